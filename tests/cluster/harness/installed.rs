//! label-router as `deploy/overlays/self-managed` installs it: the objects are those that are shipped, and processes of this
//! machine stand in for the Pods of its Deployment, with its arguments and the rights of its ServiceAccount.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::Method;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Cluster, LabelRouter, wait_for};

pub(crate) const NAMESPACE: &str = "label-router";
pub(crate) const REGISTRATION: &str = "label-router";
pub(crate) const SECRET: &str = "label-router-tls";
pub(crate) const HOST: &str = "label-router.label-router.svc";

/// Repairs take no longer than this, from the moment something is broken.
pub(crate) const REPAIRED: Duration = Duration::from_secs(10);

/// Without a failure for so long, the API server goes by what it has stored.
const SETTLED: Duration = Duration::from_secs(2);

/// An installation with running replicas. Its registration is about all Pods of the cluster, so that it must go, however the
/// test ends.
pub(crate) struct Installed {
    cluster: &'static Cluster,
    pub(crate) replicas: Vec<LabelRouter>,
}

impl Installed {
    /// Applies the overlay.
    pub(crate) async fn apply(cluster: &'static Cluster) -> Self {
        wait_for("an earlier installation to be gone", async || {
            let gone = cluster.kubectl(&["get", "namespace", NAMESPACE]);
            if gone.fine { Err(gone.stdout) } else { Ok(()) }
        })
        .await;
        cluster
            .kubectl(&["apply", "-k", "deploy/overlays/self-managed"])
            .success();
        Self {
            cluster,
            replicas: Vec::new(),
        }
    }

    /// The same with as many running replicas; the first one is called.
    pub(crate) async fn start(cluster: &'static Cluster, replicas: usize) -> Self {
        let mut installed = Self::apply(cluster).await;
        installed.run(replicas).await;
        installed
    }

    /// One replica that follows the ConfigMap by the Kubernetes API, with the rights of the component for that.
    pub(crate) async fn following(cluster: &'static Cluster) -> Self {
        let mut installed = Self::apply(cluster).await;
        cluster
            .kubectl(&["apply", "-k", "tests/deploy/kustomizations/follow-self-managed"])
            .success();
        installed.run(1).await;
        installed
    }

    /// Leads the API server here for policies and workloads, too, and waits until it asks.
    pub(crate) async fn looks_at_what_is_applied(&self) {
        self.cluster
            .lead_here("validatingwebhookconfigurations", REGISTRATION, self.replicas[0].port)
            .await;
        let empty = json!({
            "metadata": { "name": "no-policy", "labels": { "label-router/policy": "true" } }, "data": {},
        });
        let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps?dryRun=All");
        wait_for("the API server to ask about policies", async || {
            let answer = self.cluster.send(Method::POST, &path, Some(&empty)).await?;
            (answer.status == 403).then_some(()).ok_or(answer.text)
        })
        .await;
    }

    /// Starts one replica anew, which refuses workloads with Pods that would be refused.
    pub(crate) async fn refuse_what_is_unplaceable(&mut self) {
        self.replicas.clear();
        self.run_with(1, &[("LABEL_ROUTER_WORKLOADS_UNPLACEABLE", "refuse")])
            .await;
        self.looks_at_what_is_applied().await;
    }

    /// Starts replicas, all at the same time, and leads the API server to the first one.
    pub(crate) async fn run(&mut self, replicas: usize) {
        self.run_with(replicas, &[]).await;
    }

    async fn run_with(&mut self, replicas: usize, settings: &[(&str, &str)]) {
        let arguments = self.arguments().await;
        let kubeconfig = self.cluster.kubeconfig_for_service_account(NAMESPACE, "label-router");
        let starting = (0..replicas).map(|number| {
            let mut env = vec![
                ("KUBECONFIG", kubeconfig.display().to_string()),
                ("HOSTNAME", format!("label-router-{number}")),
            ];
            env.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
            let arguments = arguments.clone();
            let cluster = self.cluster;
            async move { LabelRouter::start(cluster, &format!("installed-{number}"), &arguments, &env).await }
        });
        self.replicas = futures_util::future::join_all(starting).await;
        let port = self.replicas[0].port;
        self.cluster
            .lead_here("mutatingwebhookconfigurations", REGISTRATION, port)
            .await;
    }

    /// Starts a replica that ends by itself, and gives what it said.
    pub(crate) async fn refuses_to_start(&mut self) -> String {
        let kubeconfig = self.cluster.kubeconfig_for_service_account(NAMESPACE, "label-router");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_label-router"))
            .args(self.arguments().await)
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    /// Those of the Deployment, with the ConfigMap's policy in a file of this machine, on free ports.
    async fn arguments(&self) -> Vec<String> {
        let map = self
            .cluster
            .api::<ConfigMap>(NAMESPACE)
            .get("label-router-policy")
            .await
            .unwrap();
        let folder = self.cluster.directory().join("installed-policy");
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in map.data.unwrap() {
            fs::write(folder.join(name), text).unwrap();
        }
        let deployment = self
            .cluster
            .api::<Deployment>(NAMESPACE)
            .get("label-router")
            .await
            .unwrap();
        let [container] = deployment.spec.template.spec.unwrap().containers.try_into().unwrap();
        let mut arguments = container.args.unwrap();
        for argument in &mut arguments {
            if argument.starts_with("--policy=/") || argument.starts_with("--policy-fallback=/") {
                let flag = argument.split('=').next().unwrap();
                *argument = format!("{flag}={}", folder.display());
            }
        }
        arguments.extend(["--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0"].map(str::to_owned));
        arguments
    }

    pub(crate) async fn secret(&self) -> Option<Secret> {
        self.cluster.api::<Secret>(NAMESPACE).get_opt(SECRET).await.unwrap()
    }

    /// A value of the Secret, once it is there.
    pub(crate) async fn value(&self, key: &str) -> String {
        wait_for(&format!("{key} in the Secret"), async || {
            let data = self.secret().await.and_then(|secret| secret.data).unwrap_or_default();
            let value = data.get(key).ok_or("it is not there")?;
            Ok(String::from_utf8(value.0.clone()).unwrap())
        })
        .await
    }

    /// Writes values and annotations of the Secret.
    pub(crate) fn write(&self, values: &[(&str, &str)], annotations: &Value) {
        let values: serde_json::Map<String, Value> = values
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        let patch = json!({ "stringData": values, "metadata": { "annotations": annotations } }).to_string();
        self.cluster
            .kubectl(&["-n", NAMESPACE, "patch", "secret", SECRET, "--type=merge", "-p", &patch])
            .success();
    }

    /// What the registration trusts.
    pub(crate) async fn ca_bundle(&self) -> String {
        let registrations = Api::<MutatingWebhookConfiguration>::all(self.cluster.client.clone());
        let Some(registration) = registrations.get_opt(REGISTRATION).await.unwrap() else {
            return String::new();
        };
        let bundle = registration.webhooks.unwrap()[0].client_config.ca_bundle.clone();
        bundle
            .map(|bundle| String::from_utf8(bundle.0).unwrap())
            .unwrap_or_default()
    }

    /// Creates Pods from now on, one after the other.
    pub(crate) fn traffic(&self) -> Traffic {
        let results: Results = Arc::default();
        let (cluster, seen) = (self.cluster, Arc::clone(&results));
        let task = tokio::spawn(async move {
            loop {
                let result = create_a_replica(cluster).await;
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((Instant::now(), result));
            }
        });
        Traffic { results, task }
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        self.replicas.clear();
        for arguments in [
            [
                "delete",
                "mutatingwebhookconfiguration",
                REGISTRATION,
                "--ignore-not-found",
            ],
            [
                "delete",
                "validatingwebhookconfiguration",
                REGISTRATION,
                "--ignore-not-found",
            ],
        ] {
            self.cluster.kubectl(&arguments);
        }
        // Its Pods first, and at once: the namespace would look after them again only in some seconds.
        let own = ["-n", NAMESPACE, "delete"];
        self.cluster
            .kubectl(&[own.as_slice(), &["deployments", "--all", "--cascade=foreground"]].concat());
        self.cluster
            .kubectl(&[own.as_slice(), &["pods", "--all", "--force", "--grace-period=0"]].concat());
        self.cluster
            .kubectl(&["delete", "namespace", NAMESPACE, "--ignore-not-found"]);
    }
}

/// Has the API server admit the first replica of a StatefulSet. It is not stored, but label-router is asked all the same.
pub(crate) async fn create_a_replica(cluster: &Cluster) -> Result<(), String> {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-0",
            "labels": { "ab-build-different": "true", "apps.kubernetes.io/pod-index": "0" },
            "annotations": { "custom-node-selector": r#"{"key": "name", "even": "node1", "odd": "node2"}"# },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "1", "controller": true,
            }],
        },
        "spec": { "containers": [{ "name": "web", "image": "web" }] },
    });
    let answer = cluster
        .send(Method::POST, "/api/v1/namespaces/default/pods?dryRun=All", Some(&pod))
        .await?;
    if answer.status != 201 {
        return Err(answer.message());
    }
    let placed = answer.json()["spec"]["nodeSelector"]["name"] == "node1";
    placed
        .then_some(())
        .ok_or("it was created without its placement".to_owned())
}

type Results = Arc<Mutex<Vec<(Instant, Result<(), String>)>>>;

/// Pods that are created all the time.
pub(crate) struct Traffic {
    results: Results,
    task: JoinHandle<()>,
}

impl Traffic {
    fn results(&self) -> Vec<(Instant, Result<(), String>)> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until Pods are created as they should be, from the moment `since`, and gives how long that took. Several in a
    /// row must be, and for a while: the API server goes by a registration a moment after it has stored it, so that the first
    /// ones may still go by what was there before.
    pub(crate) async fn works_again(&self, since: Instant) -> Duration {
        wait_for("Pods to be created again", async || {
            let results = self.results();
            let after: Vec<_> = results.iter().filter(|(at, _)| *at > since).collect();
            let last_failure = after.iter().rposition(|(_, result)| result.is_err());
            let first = after.get(last_failure.map_or(0, |at| at + 1)).map(|(at, _)| *at);
            let in_a_row = after.len() - last_failure.map_or(0, |at| at + 1);
            match first {
                Some(first) if in_a_row >= 10 && first.elapsed() >= SETTLED => Ok(first - since),
                _ => Err(format!("{:?}", results.last())),
            }
        })
        .await
    }

    /// What went wrong since then.
    pub(crate) fn failures(&self, since: Instant) -> Vec<String> {
        let results = self.results();
        let since = results.into_iter().filter(|(at, _)| *at > since);
        since.filter_map(|(_, result)| result.err()).collect()
    }

    /// How many Pods were created.
    pub(crate) fn created(&self) -> usize {
        self.results().iter().filter(|(_, result)| result.is_ok()).count()
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.task.abort();
    }
}
