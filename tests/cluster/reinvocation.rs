//! label-router beside another mutating webhook.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::routing::post;
use axum_server::tls_rustls::RustlsConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::harness::{Cluster, Webhook, registration, wait_for};
use crate::pods::{gated_template, policy};

/// A webhook that comes after label-router, and gives every Pod that it is asked about what `patch` says.
struct Later {
    name: String,
    asked: Arc<AtomicU64>,
    cluster: &'static Cluster,
    server: tokio::task::JoinHandle<()>,
}

impl Later {
    async fn start(cluster: &'static Cluster, namespace: &str, patch: fn(&Value) -> Value) -> Self {
        let asked = Arc::new(AtomicU64::new(0));
        let count = asked.clone();
        let answer = move |body: String| async move {
            count.fetch_add(1, Ordering::Relaxed);
            let review: Value = serde_json::from_str(&body).unwrap();
            let patch = patch(&review["request"]["object"]).to_string();
            let response = json!({
                "uid": review["request"]["uid"],
                "allowed": true,
                "patchType": "JSONPatch",
                "patch": STANDARD.encode(patch),
            });
            let review = json!({ "apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response });
            ([("content-type", "application/json")], review.to_string())
        };
        let name = format!("later.{namespace}.svc");
        let certificate = cluster.authority.certificate(&name, &[&name]);
        let tls = RustlsConfig::from_pem_file(&certificate.cert, &certificate.key)
            .await
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = Router::new().route("/mutate", post(answer));
        let server = axum_server::from_tcp_rustls(listener, tls)
            .unwrap()
            .serve(app.into_make_service());
        let server = tokio::spawn(async move { server.await.unwrap() });

        cluster.external_service(namespace, "later").await;
        let mut hook = registration(namespace, "later", port, cluster.authority.pem());
        hook["reinvocationPolicy"] = json!("Never");
        // Registrations are called in the order of their names.
        let name = format!("{namespace}-later");
        let configuration = json!({ "metadata": { "name": name }, "webhooks": [hook] });
        cluster
            .create_in_cluster::<MutatingWebhookConfiguration>(configuration)
            .await
            .unwrap();
        let later = Self {
            name,
            asked,
            cluster,
            server,
        };
        let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
        let mut probe = gated_template();
        probe["metadata"]["name"] = json!("probe");
        wait_for("the API server to ask the later webhook", async || {
            let answer = cluster.send(axum::http::Method::POST, &path, Some(&probe)).await?;
            let asked = later.asked.load(Ordering::Relaxed) > 0 && answer.status == 201;
            asked.then_some(()).ok_or(answer.text)
        })
        .await;
        later
    }

    async fn stop(self) {
        Api::<MutatingWebhookConfiguration>::all(self.cluster.client.clone())
            .delete(&self.name, &DeleteParams::default())
            .await
            .unwrap();
        self.server.abort();
    }
}

const RULE: &str = "  - name: pool-a
    routes:
      - nodeSelector: { pool: a }
        tolerations: [{ key: pool, operator: Exists, effect: NoSchedule }]
        annotations: { placed: yes }
    annotate: true
";

/// What the two made of a Pod, and the outcomes of label-router's decisions about it.
async fn placed(cluster: &'static Cluster, webhook: &Webhook) -> (Value, Vec<String>) {
    let mut pod = gated_template();
    pod["metadata"]["name"] = json!("web");
    let pod = cluster.create::<Pod>(&webhook.namespace, pod).await.unwrap();
    let decisions = webhook.router().decisions(&format!("{}/web", webhook.namespace));
    let outcomes = decisions
        .iter()
        .map(|line| line["outcome"].as_str().unwrap().to_owned());
    (serde_json::to_value(pod).unwrap(), outcomes.collect())
}

pub(crate) async fn a_later_webhook_makes_the_api_server_ask_again_and_nothing_is_placed_twice(
    cluster: &'static Cluster,
) {
    let namespace = cluster.namespace("reinvoked").await;
    let webhook = Webhook::start(cluster, &namespace, Some(&policy(RULE))).await;
    let later = Later::start(cluster, &namespace, |_| {
        json!([
            { "op": "add", "path": "/spec/containers/-", "value": { "name": "sidecar", "image": "sidecar" } },
            { "op": "add", "path": "/spec/tolerations/-", "value": { "key": "later", "operator": "Exists" } },
        ])
    })
    .await;
    let (pod, outcomes) = placed(cluster, &webhook).await;
    assert_eq!(
        outcomes,
        ["routed", "unchanged"],
        "it was asked again, and had nothing to add"
    );
    assert_eq!(pod["spec"]["nodeSelector"], json!({ "pool": "a" }));
    assert_eq!(pod["spec"]["containers"].as_array().unwrap().len(), 2);
    let tolerations = pod["spec"]["tolerations"].as_array().unwrap();
    for key in ["pool", "later"] {
        let of_key = tolerations.iter().filter(|toleration| toleration["key"] == key);
        assert_eq!(of_key.count(), 1, "{key}: {tolerations:?}");
    }
    later.stop().await;
}

pub(crate) async fn a_later_webhook_that_takes_the_placement_away_is_overruled(cluster: &'static Cluster) {
    let namespace = cluster.namespace("overruled").await;
    let webhook = Webhook::start(cluster, &namespace, Some(&policy(RULE))).await;
    let later = Later::start(cluster, &namespace, |pod| {
        if pod["spec"]["nodeSelector"].is_null() {
            json!([])
        } else {
            json!([{ "op": "remove", "path": "/spec/nodeSelector" }])
        }
    })
    .await;
    let (pod, outcomes) = placed(cluster, &webhook).await;
    assert_eq!(outcomes, ["routed", "routed"]);
    assert_eq!(pod["spec"]["nodeSelector"], json!({ "pool": "a" }));
    later.stop().await;
}
