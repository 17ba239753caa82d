//! label-router as `deploy/` installs it: the objects are those that are shipped, and processes of this machine stand in for
//! the Pods of its Deployment, with its arguments, what it mounts and the rights of its ServiceAccount.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::Method;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Volume};
use kube::Api;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Cluster, LabelRouter, wait_for};

pub(crate) const NAMESPACE: &str = "label-router";
pub(crate) const REGISTRATION: &str = "label-router";
pub(crate) const SECRET: &str = "label-router-tls";
pub(crate) const HOST: &str = "label-router.label-router.svc";

/// What an installation has in its namespace, beside Pods and what makes them.
const CONTENTS: &str =
    "configmaps,secrets,services,serviceaccounts,roles,rolebindings,poddisruptionbudgets,networkpolicies";

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
    /// Applies the overlay `self-managed`.
    pub(crate) async fn apply(cluster: &'static Cluster) -> Self {
        let installed = Self::nothing_yet(cluster).await;
        cluster
            .kubectl(&["apply", "-k", "deploy/overlays/self-managed"])
            .success();
        installed
    }

    /// Applies what another way into a cluster comes to, which need not bring the namespace.
    pub(crate) async fn apply_manifests(cluster: &'static Cluster, manifests: &str) -> Self {
        let installed = Self::nothing_yet(cluster).await;
        cluster.ensure_namespace(NAMESPACE).await;
        let apply = ["apply", "-n", NAMESPACE, "-f", "-"];
        cluster.kubectl_with(&apply, manifests).success();
        installed
    }

    /// Nothing yet: what the caller applies is taken away in the end.
    pub(crate) async fn nothing_yet(cluster: &'static Cluster) -> Self {
        wait_for("an earlier installation to be gone", async || {
            let gone = cluster.kubectl(&["get", "namespace", NAMESPACE]);
            if gone.fine { Err(gone.stdout) } else { Ok(()) }
        })
        .await;
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

    /// Those of the Deployment on free ports, with what it mounts in files of this machine.
    async fn arguments(&self) -> Vec<String> {
        let deployments = self.cluster.api::<Deployment>(NAMESPACE);
        let deployment = deployments.get("label-router").await.unwrap();
        let pod = deployment.spec.template.spec.unwrap();
        let [container] = pod.containers.try_into().unwrap();
        let root = self.cluster.directory().join("installed");
        // Nothing of an earlier installation may stand in for what is missing in this one.
        let _ = fs::remove_dir_all(&root);
        for volume in pod.volumes.unwrap() {
            let mounts = container.volume_mounts.iter().flatten();
            let [mount] = mounts.filter(|mount| mount.name == volume.name).collect::<Vec<_>>()[..] else {
                panic!("{} is mounted elsewhere than once", volume.name);
            };
            let folder = root.join(mount.mount_path.trim_start_matches('/'));
            fs::create_dir_all(&folder).unwrap();
            for (name, value) in self.contents(&volume).await {
                fs::write(folder.join(name), value).unwrap();
            }
        }
        let mut arguments = container.args.unwrap();
        for argument in &mut arguments {
            *argument = argument.replace("=/", &format!("={}/", root.display()));
        }
        arguments.extend(["--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0"].map(str::to_owned));
        arguments
    }

    /// The files of a ConfigMap's or Secret's volume. Only an optional one may be missing.
    async fn contents(&self, volume: &Volume) -> BTreeMap<String, Vec<u8>> {
        if let Some(from) = &volume.config_map {
            let map = self.cluster.api::<ConfigMap>(NAMESPACE).get(&from.name).await.unwrap();
            let texts = map.data.unwrap().into_iter();
            return texts.map(|(name, text)| (name, text.into_bytes())).collect();
        }
        let from = volume.secret.as_ref().unwrap();
        let name = from.secret_name.as_deref().unwrap();
        let secret = self.cluster.api::<Secret>(NAMESPACE).get_opt(name).await.unwrap();
        assert!(
            secret.is_some() || from.optional == Some(true),
            "there is no Secret {name}"
        );
        let values = secret.and_then(|secret| secret.data).into_iter().flatten();
        values.map(|(name, value)| (name, value.0)).collect()
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
        let delete = |what: &[&str]| {
            self.cluster
                .kubectl(&[&["delete", "--ignore-not-found"], what].concat())
        };
        for kind in ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"] {
            delete(&[kind, REGISTRATION]);
        }
        // Its Pods at once, after what would make others.
        delete(&["-n", NAMESPACE, "deployments", "--all", "--cascade=foreground"]);
        delete(&["-n", NAMESPACE, "pods", "--all", "--force", "--grace-period=0"]);
        delete(&["-n", NAMESPACE, CONTENTS, "--all"]);
        delete(&["namespace", NAMESPACE, "--wait=false"]);
        // A controller would look for contents in some seconds, and then do this.
        let finalized = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE }, "spec": { "finalizers": [] },
        });
        let path = format!("/api/v1/namespaces/{NAMESPACE}/finalize");
        self.cluster
            .kubectl_with(&["replace", "--raw", &path, "-f", "-"], &finalized.to_string());
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
