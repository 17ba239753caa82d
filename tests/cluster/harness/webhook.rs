//! label-router as a process of this machine, and the registration that makes the API server call it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Method;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::process::Process;
use super::{Certificate, Cluster, runtime, wait_for};

const BINARY: &str = env!("CARGO_BIN_EXE_label-router");

/// A running label-router.
pub(crate) struct LabelRouter {
    process: Process,
    /// Where the API server is answered.
    pub(crate) port: u16,
    /// Where health and metrics are.
    ops: String,
}

impl LabelRouter {
    /// Starts it with arguments and variables of the caller's; what it prints goes to a file in the cluster's folder.
    pub(crate) async fn start(cluster: &Cluster, name: &str, arguments: &[String], env: &[(&str, String)]) -> Self {
        let log = cluster.directory().join(format!("label-router-{name}.log"));
        // Those of an earlier start are no news.
        let before = fs::read_to_string(&log).unwrap_or_default().len();
        let mut process = Process::start("label-router", Path::new(BINARY), arguments, env, &log);
        let (port, ops) = wait_for("label-router to say where it listens", async || {
            process.must_run();
            let printed = process.log().split_off(before);
            addresses(&printed).ok_or(printed)
        })
        .await;
        Self { process, port, ops }
    }

    /// What is shown at a path of the operations' listener.
    pub(crate) async fn ops(&self, path: &str) -> Result<String, String> {
        let answer = reqwest::get(format!("{}{path}", self.ops)).await;
        let answer = answer.map_err(|error| error.to_string())?;
        answer.text().await.map_err(|error| error.to_string())
    }

    /// How many requests it has decided about, by outcome: all of them without one.
    pub(crate) async fn decided(&self, outcome: Option<&str>) -> u64 {
        let metrics = self.ops("/metrics").await.unwrap();
        let labels = outcome
            .map(|outcome| format!("outcome=\"{outcome}\""))
            .unwrap_or_default();
        metric(&metrics, "label_router_requests_total", &labels)
    }

    /// The lines of its log about a Pod, as JSON.
    pub(crate) fn decisions(&self, pod: &str) -> Vec<Value> {
        let log = self.process.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["message"] == "decided" && line["pod"] == pod)
            .collect()
    }

    /// All that it has printed.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    pub(crate) fn cpu(&self) -> Duration {
        self.process.cpu()
    }

    pub(crate) fn stop(self) {
        self.process.stop();
    }
}

/// The port of the reviews and the URL of the operations: printed for people, or logged where it thinks to be in a cluster.
fn addresses(printed: &str) -> Option<(u16, String)> {
    let after = |word: &str, end: char| Some(printed.split_once(word)?.1.split_once(end)?.0.to_owned());
    let port = |address: String| address.rsplit(':').next()?.parse().ok();
    let printed_for_people = || {
        let port = port(after("  reviews     https://", '/')?)?;
        Some((port, after("  operations  ", ' ')?))
    };
    let logged = || {
        let port = port(after("\"listen\":\"", '"')?)?;
        Some((port, format!("http://{}", after("\"ops_listen\":\"", '"')?)))
    };
    printed_for_people().or_else(logged)
}

/// The sum of a metric over all series whose labels hold a text.
pub(crate) fn metric(metrics: &str, name: &str, labels: &str) -> u64 {
    let series = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
    let series = series.filter(|(found, _)| found.contains(labels));
    series.map(|(_, value)| value.parse::<u64>().unwrap()).sum()
}

/// label-router, registered for one namespace.
pub(crate) struct Webhook {
    pub(crate) router: Option<LabelRouter>,
    pub(crate) namespace: String,
    client: Client,
    arguments: Vec<String>,
    /// Whom the API server takes it for, where it asks for something itself.
    kubeconfig: Option<PathBuf>,
    certificate: Certificate,
    port: u16,
}

impl Webhook {
    /// Serves a policy to a namespace; with none, the default policy.
    pub(crate) async fn start(cluster: &Cluster, namespace: &str, policy: Option<&str>) -> Self {
        Self::start_with(cluster, namespace, policy, |_| {}).await
    }

    /// The same under a registration that the caller changes: it gets the one element of its `webhooks`.
    pub(crate) async fn start_with(
        cluster: &Cluster,
        namespace: &str,
        policy: Option<&str>,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        Self::start_as(cluster, namespace, policy, None, change).await
    }

    /// The same with the rights of a kubeconfig.
    pub(crate) async fn start_as(
        cluster: &Cluster,
        namespace: &str,
        policy: Option<&str>,
        kubeconfig: Option<PathBuf>,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let service = format!("label-router.{namespace}.svc");
        let certificate = cluster.authority.certificate(&service, &[&service]);
        let arguments = policy.map(|policy| {
            // In a folder of its own, since the folder is watched, and logs are written beside.
            let folder = cluster.directory().join("policies").join(namespace);
            fs::create_dir_all(&folder).unwrap();
            let path = folder.join("policy.yaml");
            fs::write(&path, policy).unwrap();
            format!("--policy={}", path.display())
        });
        let mut webhook = Self {
            router: None,
            namespace: namespace.to_owned(),
            client: cluster.client.clone(),
            arguments: arguments.into_iter().collect(),
            kubeconfig,
            certificate,
            port: 0,
        };
        webhook.start_router(cluster).await;
        let port = webhook.port;
        cluster.external_service(namespace, "label-router").await;
        let mut hook = registration(namespace, "label-router", port, cluster.authority.pem());
        change(&mut hook);
        let labels = hook["objectSelector"]["matchLabels"].clone();
        let configuration = json!({ "metadata": { "name": namespace }, "webhooks": [hook] });
        cluster
            .create_in_cluster::<MutatingWebhookConfiguration>(configuration)
            .await
            .unwrap();
        webhook.wait_until_called(cluster, &labels).await;
        webhook
    }

    async fn start_router(&mut self, cluster: &Cluster) {
        let mut arguments = vec![
            "serve".to_owned(),
            format!("--listen=127.0.0.1:{}", self.port),
            "--ops-listen=127.0.0.1:0".to_owned(),
            format!("--tls-cert={}", self.certificate.cert.display()),
            format!("--tls-key={}", self.certificate.key.display()),
        ];
        arguments.extend(self.arguments.iter().cloned());
        let kubeconfig = self.kubeconfig.iter();
        let env: Vec<_> = kubeconfig
            .map(|path| ("KUBECONFIG", path.display().to_string()))
            .collect();
        let router = LabelRouter::start(cluster, &self.namespace, &arguments, &env).await;
        self.port = router.port;
        self.router = Some(router);
    }

    /// The API server learns of a registration and of a Service a moment after it has stored them.
    async fn wait_until_called(&self, cluster: &Cluster, labels: &Value) {
        let path = format!("/api/v1/namespaces/{}/pods?dryRun=All", self.namespace);
        let probe = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": "probe", "labels": labels },
            "spec": { "containers": [{ "name": "probe", "image": "probe" }] },
        });
        wait_for("the API server to call label-router", async || {
            let answer = cluster.send(Method::POST, &path, Some(&probe)).await?;
            let called = self.router().decided(None).await > 0;
            called.then_some(()).ok_or(answer.text)
        })
        .await;
    }

    pub(crate) fn router(&self) -> &LabelRouter {
        self.router.as_ref().unwrap()
    }

    /// The name that the API server puts in front of audit annotations and into messages.
    pub(crate) fn name(&self) -> String {
        webhook_name(&self.namespace)
    }

    /// Stops label-router and leaves the registration.
    pub(crate) fn stop(&mut self) {
        self.router.take().unwrap().stop();
    }

    /// Starts it again where it was.
    pub(crate) async fn start_again(&mut self, cluster: &Cluster) {
        self.start_router(cluster).await;
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        let name = self.namespace.clone();
        let configurations = Api::<MutatingWebhookConfiguration>::all(self.client.clone());
        // A runtime cannot be waited for on a thread of its own.
        let deletion = std::thread::spawn(move || {
            let deletion = async { configurations.delete(&name, &DeleteParams::default()).await };
            // The API server may be gone already.
            let _ = runtime().block_on(deletion);
        });
        let _ = deletion.join();
    }
}

fn webhook_name(namespace: &str) -> String {
    format!("pods.label-router.{namespace}.svc")
}

/// An element of `webhooks`, as `deploy/` has it, for a Service and the Pods of its own namespace.
pub(crate) fn registration(namespace: &str, service: &str, port: u16, authority: &str) -> Value {
    use base64::Engine;
    json!({
        "name": format!("pods.{service}.{namespace}.svc"),
        "clientConfig": {
            "service": { "namespace": namespace, "name": service, "path": "/mutate", "port": port },
            "caBundle": base64::engine::general_purpose::STANDARD.encode(authority),
        },
        "rules": [{
            "operations": ["CREATE"],
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "resources": ["pods"],
            "scope": "Namespaced",
        }],
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "reinvocationPolicy": "IfNeeded",
        "sideEffects": "NoneOnDryRun",
        "timeoutSeconds": 10,
        "admissionReviewVersions": ["v1"],
    })
}

impl Cluster {
    /// A Service that leads the API server to this machine. Which port it calls is in the registration.
    pub(crate) async fn external_service(&self, namespace: &str, name: &str) {
        let service = json!({
            "metadata": { "name": name },
            "spec": { "type": "ExternalName", "externalName": "localhost" },
        });
        self.create::<Service>(namespace, service).await.unwrap();
    }

    /// Leads the API server to a port of this machine wherever a registration that was applied names a Service: for
    /// manifests that people apply as they are. `kind` is `mutatingwebhookconfigurations` or
    /// `validatingwebhookconfigurations`.
    pub(crate) async fn lead_here(&self, kind: &str, registration: &str, port: u16) {
        let path = format!("/apis/admissionregistration.k8s.io/v1/{kind}/{registration}");
        let stored = self.send(Method::GET, &path, None).await.unwrap().json();
        for hook in stored["webhooks"].as_array().unwrap() {
            let service = &hook["clientConfig"]["service"];
            let external = json!({ "spec": {
                "type": "ExternalName",
                "externalName": "localhost",
                "selector": null,
                "clusterIP": null,
                "clusterIPs": null,
            } });
            self.api::<Service>(service["namespace"].as_str().unwrap())
                .patch(
                    service["name"].as_str().unwrap(),
                    &PatchParams::default(),
                    &Patch::Merge(external),
                )
                .await
                .unwrap();
        }
        // Whoever keeps the caBundle may write meanwhile, so that it is read again where that happens.
        wait_for("the registration to be led here", async || {
            let mut configuration = self.send(Method::GET, &path, None).await?.json();
            for hook in configuration["webhooks"].as_array_mut().unwrap() {
                hook["clientConfig"]["service"]["port"] = json!(port);
            }
            let answer = self.send(Method::PUT, &path, Some(&configuration)).await?;
            (answer.status == 200).then_some(()).ok_or(answer.text)
        })
        .await;
    }
}
