//! A workload that is scaled by its scale subresource, as `kubectl scale` and autoscalers do it. The API server shows only two
//! numbers then, so that the workload itself is read.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::app::App;
use super::settings::Unplaceable;
use crate::admission::Scaled;
use crate::cluster::{self, Client};

/// How long reading a workload may take: people wait for `kubectl scale`, and the registration waits longer than this.
const PATIENCE: Duration = Duration::from_secs(1);

/// The way to the Kubernetes API, looked for when it is needed first: most servers are never asked.
#[derive(Default)]
pub(super) struct Reader(OnceCell<Option<Client>>);

impl fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Reader").field(&self.0.initialized()).finish()
    }
}

impl Reader {
    async fn client(&self) -> Option<&Client> {
        let look = async || match cluster::client().await {
            Ok(client) => Some(client),
            Err(error) => {
                tracing::debug!(%error, "workloads that are scaled cannot be looked at");
                None
            }
        };
        self.0.get_or_init(look).await.as_ref()
    }
}

/// The workload with its new number of Pods; none where nothing is to be said, or where it cannot be read. Whoever scales
/// never has to wait for long, or is refused anything, because of that.
pub(super) async fn workload(app: &Arc<App>, scaled: &Scaled, namespace: &str) -> Option<Value> {
    if scaled.to <= scaled.from || app.settings.workloads.unplaceable == Unplaceable::Ignore {
        return None;
    }
    let kind = cluster::SCALED
        .iter()
        .find(|kind| kind.version == scaled.version && kind.plural == scaled.plural)?;
    let read = async {
        let client = app
            .reader
            .client()
            .await
            .ok_or("there is no way to the Kubernetes API")?;
        cluster::workload(client, kind, namespace, &scaled.name)
            .await
            .map_err(|error| error.cause())
    };
    let why = match timeout(PATIENCE, read).await {
        Ok(Ok(mut workload)) if workload["spec"].is_object() => {
            workload["spec"]["replicas"] = json!(scaled.to);
            return Some(workload);
        }
        Ok(Ok(_)) => "it has no spec".to_owned(),
        Ok(Err(why)) => why,
        Err(_) => format!("the API server gives no answer within {} s", PATIENCE.as_secs()),
    };
    app.metrics.unseen_scales.inc();
    let Scaled { plural, name, .. } = scaled;
    tracing::debug!(
        why,
        "scaling {plural} {namespace}/{name} is let through without a look at its new Pods"
    );
    None
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::Body;
    use axum::http::{Request, Response};
    use tower::ServiceExt;

    use super::*;
    use crate::serve::app::router;
    use crate::serve::settings::Settings;
    use crate::serve::testing;

    /// What a real API server sent when somebody scaled a StatefulSet from 2 to 3.
    const REVIEW: &str = include_str!("../../tests/reviews/scale/statefulset-2-to-3.json");

    /// The same for other numbers, as the API server writes them: it leaves out 0.
    fn review(from: u64, to: u64) -> String {
        let spec = |replicas: u64| match replicas {
            0 => json!({}),
            replicas => json!({ "replicas": replicas }),
        };
        let mut review: Value = serde_json::from_str(REVIEW).unwrap();
        review["request"]["object"]["spec"] = spec(to);
        review["request"]["oldObject"]["spec"] = spec(from);
        review.to_string()
    }

    /// The StatefulSet in its namespace, with places for its even replicas only.
    fn web() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "web", "namespace": "scaled-0" },
            "spec": { "replicas": 2, "template": {
                "metadata": {
                    "labels": { "ab-build-different": "true" },
                    "annotations": { "custom-node-selector": r#"{"key": "name", "even": "node1"}"# },
                },
                "spec": { "containers": [] },
            } },
        })
    }

    /// An app whose API server gives this answer to every request; none is a server that keeps silent.
    fn app(unplaceable: Unplaceable, answer: Option<(u16, Value)>) -> (Arc<App>, Arc<AtomicUsize>) {
        let mut settings = Settings::default();
        settings.workloads.unplaceable = unplaceable;
        let app = testing::app_with(settings);
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            assert_eq!(
                request.uri().path(),
                "/apis/apps/v1/namespaces/scaled-0/statefulsets/web"
            );
            counter.fetch_add(1, Ordering::Relaxed);
            let answer = answer.clone();
            async move {
                let Some((status, body)) = answer else {
                    return std::future::pending().await;
                };
                Response::builder().status(status).body(Body::from(body.to_string()))
            }
        });
        let client = Client::new(service, "default");
        assert!(app.reader.0.set(Some(client)).is_ok());
        (app, asked)
    }

    async fn said(app: &Arc<App>, review: &str) -> Value {
        let request = axum::http::Request::post("/validate")
            .header("content-type", "application/json")
            .body(Body::from(review.to_owned()))
            .unwrap();
        let response = router(app).oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let mut review: Value = serde_json::from_slice(&body).unwrap();
        review["response"].take()
    }

    fn unseen(app: &App) -> bool {
        app.metrics.render().contains("label_router_unseen_scales_total 1\n")
    }

    #[tokio::test]
    async fn whoever_scales_is_told_of_the_new_pods() {
        let (app, _) = app(Unplaceable::Warn, Some((200, web())));
        let response = said(&app, REVIEW).await;
        assert_eq!((&response["allowed"], response.get("warnings")), (&json!(true), None));
        for (from, to, told) in [
            (
                2,
                6,
                "Of its 6 Pods number 3 and 5 would be refused. Pod scaled-0/web-3 carries",
            ),
            (
                0,
                2,
                "Of its 2 Pods number 1 would be refused. Pod scaled-0/web-1 carries",
            ),
            (3, 4, "Its new Pod would be refused. Pod scaled-0/web-3 carries"),
        ] {
            let response = said(&app, &review(from, to)).await;
            assert_eq!(response["allowed"], true);
            let warning = response["warnings"][0].as_str().unwrap();
            assert!(warning.starts_with(&format!("label-router: {told}")), "{warning}");
        }
        assert!(!unseen(&app));
    }

    #[tokio::test]
    async fn it_is_refused_where_applying_is() {
        let (app, _) = app(Unplaceable::Refuse, Some((200, web())));
        let response = said(&app, &review(2, 6)).await;
        assert_eq!(response["allowed"], false);
        let message = response["status"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("Of its 6 Pods number 3 and 5 would be refused."),
            "{message}"
        );
    }

    #[tokio::test]
    async fn nothing_is_read_where_nothing_is_to_be_said() {
        let grown = review(2, 6);
        for (unplaceable, review) in [
            (Unplaceable::Refuse, review(6, 2)),
            (Unplaceable::Refuse, review(2, 0)),
            (Unplaceable::Refuse, grown.replace("statefulsets", "replicasets")),
            (Unplaceable::Ignore, grown.clone()),
        ] {
            let (app, asked) = app(unplaceable, Some((200, web())));
            let response = said(&app, &review).await;
            assert_eq!((&response["allowed"], response.get("warnings")), (&json!(true), None));
            assert_eq!(asked.load(Ordering::Relaxed), 0);
            assert!(!unseen(&app), "it is as it should be");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_is_let_through() {
        let status = |code: u16, message: &str| {
            let status =
                json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message });
            Some((code, status))
        };
        for answer in [
            status(403, "statefulsets.apps \"web\" is forbidden"),
            status(404, "statefulsets.apps \"web\" not found"),
            Some((200, json!("no workload"))),
            None,
        ] {
            let told = format!("{answer:?}");
            let (app, _) = app(Unplaceable::Refuse, answer);
            let response = said(&app, REVIEW).await;
            assert_eq!(
                (&response["allowed"], response.get("warnings")),
                (&json!(true), None),
                "{told}"
            );
            assert!(unseen(&app), "{told}");
        }
    }

    #[tokio::test]
    async fn without_a_cluster_it_is_let_through() {
        let app = testing::app();
        assert!(app.reader.0.set(None).is_ok());
        assert_eq!(said(&app, &review(2, 6)).await["allowed"], true);
        assert!(unseen(&app));
    }
}
