//! `POST /validate`: a policy or a workload that somebody applies or scales, and what is to be known about it, before it lands.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::app::App;
use super::blocking::blocking;
use super::mutate::{NoReview, read};
use super::scale;
use super::settings::Unplaceable;
use crate::admission::registration::gaps;
use crate::admission::{self, Applied, BadReview, Said};
use crate::policy::{self, PolicyText};
use crate::preview::{self, Workload};
use crate::source::is_yaml;

pub(super) async fn validate(State(app): State<Arc<App>>, request: Request) -> Response {
    let mut response = match answer(&app, request).await {
        Ok(review) => ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], review).into_response(),
        Err(NoReview { status, message }) => {
            app.metrics.bad_review(status.as_u16());
            (status, message + "\n").into_response()
        }
    };
    app.last_of_its_connection(&mut response);
    response
}

async fn answer(app: &Arc<App>, request: Request) -> Result<Vec<u8>, NoReview> {
    let body = read(app, request).await?;
    let applied = match admission::applied(body.text()?) {
        Ok(applied) => applied,
        Err(BadReview::NotAReview(message)) => return Err(NoReview::new(StatusCode::BAD_REQUEST, message)),
        Err(BadReview::Refused { uid, message }) => {
            app.metrics.bad_review(StatusCode::OK.as_u16());
            return Ok(admission::encode_refusal(&uid, &message));
        }
    };
    let uid = applied.uid.clone();
    if let Some(scaled) = &applied.scaled {
        // Reading the workload may take its time, and Pods must not wait for the room.
        drop(body);
        let said = match scale::workload(app, scaled, &applied.namespace).await {
            Some(object) => {
                let _permit = app.permit().await;
                let (app, before) = (Arc::clone(app), scaled.from);
                blocking(move || workload(&app, &object, before)).await
            }
            None => Said::default(),
        };
        return Ok(admission::reply(&uid, &said));
    }
    let app = Arc::clone(app);
    // Compiling a large policy or making a thousand Pods takes longer than a decision, and Pods must not wait for it.
    let said = blocking(move || say(&app, applied)).await;
    Ok(admission::reply(&uid, &said))
}

fn say(app: &App, applied: Applied) -> Said {
    if applied.kind == "ConfigMap" {
        policy(app, &applied.object)
    } else {
        workload(
            app,
            &preview::in_namespace(applied.object, &applied.kind, &applied.namespace),
            0,
        )
    }
}

/// What `label-router check` says about the policies in a ConfigMap. Each problem is at its line of the key's text.
fn policy(app: &App, map: &Value) -> Said {
    let texts: Vec<PolicyText> = map["data"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| is_yaml(key))
        .map(|(key, text)| PolicyText {
            file: key.clone(),
            text: text.as_str().unwrap_or_default().to_owned(),
        })
        .collect();
    if texts.is_empty() {
        return Said {
            refusal: Some(
                "this ConfigMap carries no policy: put it under data, as a key that ends in .yaml".to_owned(),
            ),
            warnings: Vec::new(),
        };
    }
    match policy::load(&texts) {
        Err(diagnostics) => Said {
            refusal: Some(format!(
                "the policy is wrong, and would not be served\n{}",
                diagnostics.render(false)
            )),
            warnings: Vec::new(),
        },
        Ok(compiled) => {
            let mut warnings: Vec<String> = compiled
                .warnings
                .iter()
                .map(|warning| {
                    format!(
                        "{}:{}: {}; {}",
                        warning.file, warning.line, warning.message, warning.hint
                    )
                })
                .collect();
            if let Some((live, endpoint)) = app.live_registration().as_deref() {
                let missed = gaps(live, &compiled.snapshot, endpoint);
                warnings.extend(
                    missed
                        .into_iter()
                        .map(|gap| format!("the live registration does not cover this policy: {gap}")),
                );
            }
            Said {
                refusal: None,
                warnings,
            }
        }
    }
}

/// What would become of the Pods of a workload, beyond those that it asked for before.
fn workload(app: &App, object: &Value, before: u64) -> Said {
    let settings = &app.settings.workloads;
    let Ok(workload) = Workload::new(object) else {
        return Said::default();
    };
    let serving = app.serving();
    let most = settings.replicas.get() as u64;
    let Some(refused) = preview::refused(&serving.snapshot, workload, before, most) else {
        return Said::default();
    };
    match settings.unplaceable {
        Unplaceable::Warn => Said {
            refusal: None,
            warnings: vec![refused.message],
        },
        Unplaceable::Refuse => Said {
            refusal: Some(refused.message),
            warnings: Vec::new(),
        },
        Unplaceable::Ignore => Said::default(),
    }
}
