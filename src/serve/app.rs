//! What every request shares, and the routes.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use axum::Router;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tower_http::catch_panic::CatchPanicLayer;

use super::metrics::{Metrics, RequestCounters};
use super::policy::Policy;
use super::reload::{Asked, Refusal, Reloaded};
use super::scale::Reader;
use super::settings::Settings;
use super::{mutate, ops, validate};
use crate::admission;
use crate::admission::registration::{Endpoint, PATH, VALIDATION_PATH, gaps};
use crate::delivery::{Delivery, Outlet};
use crate::engine::{Decision, Request, Snapshot};
use crate::notice::Telling;
use crate::notice::sinks::Settings as SinkKind;
use crate::policy::Compiled;

/// One generation of the policy, with all that a request needs of it. A request takes it once, so that a reload changes no
/// request midway.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) snapshot: Snapshot,
    /// What of an AdmissionReview the snapshot looks at.
    pub(super) wanted: admission::Wanted,
    pub(super) files: Vec<String>,
    pub(super) requests: RequestCounters,
    telling: Telling,
    /// In the order of the policy's sinks; none for what cannot be used.
    outlets: Vec<Option<Outlet>>,
}

impl Serving {
    /// Hands what is worth it over to the sinks, and never waits for them.
    pub(super) fn tell(&self, request: &Request<'_>, decision: &Decision) {
        let outlet = |sink: usize| self.outlets.get(sink)?.as_ref();
        let lasts = |sink| outlet(sink).is_some_and(Outlet::lasts);
        let generation = self.snapshot.generation();
        for told in self
            .telling
            .notices(request, decision, generation, SystemTime::now, lasts)
        {
            if let Some(outlet) = outlet(told.sink) {
                outlet.tell(told);
            }
        }
    }
}

/// What every request shares.
#[derive(Debug)]
pub struct App {
    serving: ArcSwap<Serving>,
    pub(super) metrics: Metrics,
    pub(super) settings: Settings,
    pub(super) delivery: Delivery,
    pub(super) reader: Reader,
    permits: Semaphore,
    /// How somebody asks for a reload; set where the policy is reloaded at all.
    reloads: OnceLock<mpsc::Sender<Asked>>,
    /// Why the policy that lies there now is not the one that is served.
    refusal: ArcSwapOption<Refusal>,
    /// The registration as it was seen last, where it is followed.
    registration: ArcSwapOption<(Arc<MutatingWebhookConfiguration>, Endpoint)>,
    listening: AtomicBool,
    stopping: AtomicBool,
}

impl App {
    /// An app that serves a policy, and tells its sinks: where there are any, within a runtime. It is an error where the
    /// settings of the sinks cannot be used.
    pub fn new(settings: Settings, policy: Policy) -> anyhow::Result<Arc<Self>> {
        let metrics = Metrics::new();
        let delivery = Delivery::new(settings.delivery(), metrics.delivery.clone())?;
        let permits = settings.limits.concurrency.get().min(Semaphore::MAX_PERMITS);
        metrics.limits_requests_to(permits);
        Ok(Arc::new(Self {
            serving: ArcSwap::from_pointee(prepare(policy, &metrics, &delivery)),
            permits: Semaphore::new(permits),
            metrics,
            settings,
            delivery,
            reader: Reader::default(),
            reloads: OnceLock::new(),
            refusal: ArcSwapOption::empty(),
            registration: ArcSwapOption::empty(),
            listening: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        }))
    }

    /// Serves another policy from the next request on.
    pub fn swap(&self, policy: Policy) {
        self.serving
            .store(Arc::new(prepare(policy, &self.metrics, &self.delivery)));
    }

    pub(super) fn takes_reloads(&self, reloads: mpsc::Sender<Asked>) {
        // The server starts to reload once.
        let _ = self.reloads.set(reloads);
    }

    /// Reads the policy again, and tells what came of it; nothing where it is not reloaded here.
    pub(super) async fn reload(&self) -> Option<Reloaded> {
        let (asker, answer) = oneshot::channel();
        self.reloads.get()?.send(asker).await.ok()?;
        answer.await.ok()
    }

    /// Before the policy is swapped, so that those are told who were told of the refusal.
    pub(super) fn reload_succeeded(&self, generation: &str) {
        if self.refusal.swap(None).is_some() {
            self.delivery.policy_served(generation);
        }
    }

    /// Keeps why the policy cannot be served, and tells the sinks in short.
    pub(super) fn reload_failed(&self, refusal: Refusal, summary: &str) {
        self.refusal.store(Some(Arc::new(refusal)));
        self.delivery
            .policy_refused(summary, self.serving().snapshot.generation());
    }

    pub(super) fn refusal(&self) -> Option<Arc<Refusal>> {
        self.refusal.load_full()
    }

    pub(super) fn sees(&self, live: Arc<MutatingWebhookConfiguration>, endpoint: Endpoint) {
        self.registration.store(Some(Arc::new((live, endpoint))));
    }

    pub(super) fn live_registration(&self) -> Option<Arc<(Arc<MutatingWebhookConfiguration>, Endpoint)>> {
        self.registration.load_full()
    }

    /// Measures again how many rules the registration leaves out, where it is followed: after a change of it, or of the
    /// policy. The sentences are for the log.
    pub(super) fn measure_gaps(&self) -> Vec<String> {
        let Some(seen) = self.registration.load_full() else {
            return Vec::new();
        };
        let (live, endpoint) = seen.as_ref();
        let missed = gaps(live, &self.serving().snapshot, endpoint);
        self.saw_registration(&endpoint.registration, Some(missed.len()));
        missed
    }

    pub(super) fn forget_registration(&self) {
        self.registration.store(None);
    }

    /// What is known of the registration from now on: how many rules it leaves out, or none where it is not there.
    pub fn saw_registration(&self, name: &str, gaps: Option<usize>) {
        self.metrics.registration(name, gaps);
    }

    pub(super) fn serving(&self) -> Guard<Arc<Serving>> {
        self.serving.load()
    }

    /// Waits until there is room for one more request.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        match self.permits.try_acquire() {
            Ok(permit) => Some(permit),
            // Fails only where the semaphore is closed, and nobody closes it.
            Err(_) => {
                let _waiting = self.metrics.waiting();
                self.permits.acquire().await.ok()
            }
        }
    }

    pub(super) fn now_listening(&self) {
        self.listening.store(true, Ordering::Release);
    }

    pub(super) fn now_stopping(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Marks the last answer of a connection, once it is stopping: a client that keeps its connection goes over to another
    /// replica with the next request, instead of sending it just when this one closes the connection.
    pub(super) fn last_of_its_connection(&self, response: &mut Response) {
        if self.stopping.load(Ordering::Acquire) {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// What is missing before requests should be sent here.
    pub(super) fn missing(&self) -> Option<&'static str> {
        if self.stopping.load(Ordering::Acquire) {
            Some("it is stopping, and finishes the requests it has")
        } else if self.listening.load(Ordering::Acquire) {
            None
        } else {
            Some("it has no certificate yet, or does not listen for the API server yet")
        }
    }
}

fn prepare(policy: Policy, metrics: &Metrics, delivery: &Delivery) -> Serving {
    let Compiled {
        snapshot,
        sinks,
        mut telling,
        ..
    } = policy.compiled;
    let outlets = delivery.serve(&sinks);
    telling.retain(|sink| outlets.get(sink).is_some_and(Option::is_some));
    metrics.serves(snapshot.generation());
    let mut wanted = admission::Wanted::by(&snapshot);
    if sinks.iter().any(|sink| matches!(sink.settings, SinkKind::Event(_))) {
        wanted.want_owner_uid();
    }
    Serving {
        wanted,
        telling,
        outlets,
        requests: metrics.request_counters(&snapshot),
        snapshot,
        files: policy.files,
    }
}

/// What the API server is answered by.
pub fn router(app: &Arc<App>) -> Router {
    let router = Router::new()
        .route(PATH, post(mutate::mutate))
        .route(VALIDATION_PATH, post(validate::validate))
        .method_not_allowed_fallback(async || (StatusCode::METHOD_NOT_ALLOWED, "an AdmissionReview is sent by POST\n"))
        .fallback(async || {
            (
                StatusCode::NOT_FOUND,
                "AdmissionReviews are answered at /mutate and /validate\n",
            )
        });
    guarded(router.with_state(Arc::clone(app)), app)
}

/// What probes, Prometheus and people are answered by.
pub fn ops_router(app: &Arc<App>) -> Router {
    let router = Router::new()
        .route("/healthz", get(ops::healthz))
        .route("/readyz", get(ops::readyz))
        .route("/metrics", get(ops::metrics))
        .route("/config", get(ops::config))
        .route("/-/reload", post(ops::reload))
        .fallback(async || {
            (
                StatusCode::NOT_FOUND,
                "there are /healthz, /readyz, /metrics, /config and, by POST, /-/reload\n",
            )
        });
    guarded(router.with_state(Arc::clone(app)), app)
}

/// Answers a panic with HTTP 500, so that the registration's failurePolicy decides about the Pod.
fn guarded(router: Router, app: &Arc<App>) -> Router {
    let app = Arc::clone(app);
    router.layer(CatchPanicLayer::custom(move |_: Box<dyn Any + Send>| -> Response {
        app.metrics.panics.inc();
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            "label-router failed on this request; its log says where\n",
        )
            .into_response()
    }))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;
    use crate::serve::testing;

    #[tokio::test]
    async fn a_panic_is_a_500_and_counted() {
        let app = testing::app();
        let broken = Router::new().route("/mutate", post(async || -> &'static str { panic!("on purpose") }));
        let request = Request::post("/mutate").body(Body::empty()).unwrap();
        let response = guarded(broken, &app).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(app.metrics.render().contains("label_router_panics_total 1"));
    }

    #[tokio::test]
    async fn overload_waits() {
        let mut settings = Settings::default();
        settings.limits.concurrency = std::num::NonZeroUsize::MIN;
        let app = testing::app_with(settings);
        let held = app.permit().await;
        let mut waiting = std::pin::pin!(app.permit());
        let early = tokio::time::timeout(std::time::Duration::from_millis(20), &mut waiting).await;
        assert!(early.is_err(), "it waits");
        assert!(app.metrics.render().contains("label_router_requests_waiting 1\n"));
        drop(held);
        assert!(waiting.await.is_some());
        assert!(app.metrics.render().contains("label_router_requests_waiting 0\n"));
        assert!(app.metrics.render().contains("label_router_requests_limit 1\n"));
    }
}
