//! `POST /mutate`: an AdmissionReview in, an AdmissionReview out.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::SemaphorePermit;

use super::app::App;
use super::body::{self, NoBody};
use super::decision_log;
use crate::admission::{self, BadReview};
use crate::engine::{self, NoTrace};

/// A request that is no AdmissionReview, with what its sender is told.
#[derive(Debug)]
pub(super) struct NoReview {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl NoReview {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }
}

pub(super) async fn mutate(State(app): State<Arc<App>>, request: Request) -> Response {
    let _in_flight = app.metrics.in_flight();
    let mut response = match answer(&app, request).await {
        Ok(review) => ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], review).into_response(),
        Err(NoReview { status, message }) => {
            app.metrics.bad_review(status.as_u16());
            decision_log::bad_review(status.as_u16(), None, &message);
            (status, message + "\n").into_response()
        }
    };
    app.last_of_its_connection(&mut response);
    response
}

/// The body of a request, and the room that it takes until it is answered.
pub(super) struct Body<'a> {
    _permit: Option<SemaphorePermit<'a>>,
    bytes: Bytes,
    /// When it was there as a whole.
    start: Instant,
}

/// Reads the body of a request, once there is room for one more.
pub(super) async fn read(app: &App, request: Request) -> Result<Body<'_>, NoReview> {
    check_media_type(request.headers())?;
    // Taken before the body is read, since bodies are what memory goes to.
    let permit = app.permit().await;
    let limit = app.settings.limits.body;
    let bytes = body::read(request.into_body(), limit.0, app.settings.timeouts.body)
        .await
        .map_err(|no_body| match no_body {
            NoBody::TooLong => NoReview::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is longer than {limit} bytes (the setting limits.body)"),
            ),
            NoBody::TooSlow => NoReview::new(
                StatusCode::REQUEST_TIMEOUT,
                "the body did not arrive in time (the setting timeouts.body)",
            ),
            NoBody::Broken => NoReview::new(StatusCode::BAD_REQUEST, "the body could not be read to its end"),
        })?;
    let start = Instant::now();
    Ok(Body {
        _permit: permit,
        bytes,
        start,
    })
}

impl Body<'_> {
    /// The body as text.
    pub(super) fn text(&self) -> Result<&str, NoReview> {
        str::from_utf8(&self.bytes).map_err(|error| {
            let at = error.valid_up_to();
            NoReview::new(
                StatusCode::BAD_REQUEST,
                format!("the body is not UTF-8: the byte at {at} is wrong"),
            )
        })
    }
}

async fn answer(app: &App, request: Request) -> Result<Vec<u8>, NoReview> {
    let body = read(app, request).await?;
    decide(app, body.text()?, body.start).map_err(|message| NoReview::new(StatusCode::BAD_REQUEST, message))
}

/// The reply to the text of an AdmissionReview, or why it is none.
fn decide(app: &App, text: &str, start: Instant) -> Result<Vec<u8>, String> {
    let serving = app.serving();
    let request = match admission::decode(text, &serving.wanted) {
        Ok(request) => request,
        Err(BadReview::NotAReview(message)) => return Err(message),
        Err(BadReview::Refused { uid, message }) => {
            app.metrics.bad_review(StatusCode::OK.as_u16());
            decision_log::bad_review(StatusCode::OK.as_u16(), Some(&uid), &message);
            return Ok(admission::encode_refusal(&uid, &message));
        }
    };
    let decision = engine::decide(&serving.snapshot, &request, &mut NoTrace);
    let reply = admission::encode(&request, &decision, serving.snapshot.generation());
    let duration = start.elapsed();
    app.metrics.observe(duration);
    serving.requests.count(&decision);
    serving.tell(&request, &decision);
    decision_log::decided(&request, &decision, duration);
    Ok(reply)
}

fn check_media_type(headers: &HeaderMap) -> Result<(), NoReview> {
    let sent = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let media_type = sent.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if media_type.eq_ignore_ascii_case(b"application/json") {
        return Ok(());
    }
    let sent = String::from_utf8_lossy(media_type);
    Err(NoReview::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        if sent.is_empty() {
            "the header content-type is missing; an AdmissionReview is sent as application/json".to_owned()
        } else {
            format!("the content-type is {sent:?}; an AdmissionReview is sent as application/json")
        },
    ))
}
