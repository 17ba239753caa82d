//! What is shipped in `deploy/`, on a cluster that has none of it yet.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use axum::http::Method;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::harness::installed::{Installed, NAMESPACE, REGISTRATION, create_a_replica};
use crate::harness::{Cluster, LabelRouter, wait_for};
use crate::pods::node;

/// The commands of the README as they stand there, on Nodes of the names that it says. The Deployment's own Pods pass the
/// namespace's Pod Security level, and count as running; the process that the API server calls in their place runs here.
pub(crate) async fn the_readme_brings_it_into_a_cluster(cluster: &'static Cluster) {
    cluster.node("deploy-one", &[], json!([])).await;
    cluster.node("deploy-two", &[], json!([])).await;
    let mut installed = Installed::nothing_yet(cluster).await;

    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(checkout.join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Into a cluster\n").unwrap();
    let (_, commands) = section.split_once("```sh\n").unwrap();
    let (commands, _) = commands.split_once("```").unwrap();
    assert!(commands.lines().count() <= 5, "five commands or fewer");
    let commands = commands.replace("NODE-A", "deploy-one").replace("NODE-B", "deploy-two");
    let (install, workload) = commands.rsplit_once("kubectl apply").unwrap();
    let said = cluster.shell(install, checkout).success();
    assert!(
        said.contains("deployment \"label-router\" successfully rolled out"),
        "{said}"
    );
    installed.run(2).await;
    let example = Example(cluster);
    cluster.shell(&format!("kubectl apply{workload}"), checkout).success();
    example.is_placed().await;
}

/// The README's StatefulSet. It goes, however the test ends, and its Pods before it.
struct Example(&'static Cluster);

impl Example {
    /// Waits until both replicas are on their Nodes.
    async fn is_placed(&self) {
        let pods = wait_for("the example's two replicas on their Nodes", async || {
            let pods = self
                .0
                .api::<Pod>("default")
                .list(&ListParams::default().labels("app=web"))
                .await
                .map_err(|error| error.to_string())?;
            let mut placed: Vec<(String, String)> = pods
                .iter()
                .filter_map(|pod| Some((pod.metadata.name.clone()?, node(pod)?.to_owned())))
                .collect();
            placed.sort();
            (placed.len() == 2)
                .then_some(placed.clone())
                .ok_or(format!("{placed:?}"))
        })
        .await;
        // Another test's Nodes may carry the same labels, so that what the label says is what counts.
        for (pod, node) in pods {
            let label = self
                .0
                .kubectl(&["get", "node", &node, "-o", "jsonpath={.metadata.labels.name}"])
                .success();
            let wanted = if pod == "web-0" { "node1" } else { "node2" };
            assert_eq!(label, wanted, "{pod} is on {node}");
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let delete = [
            "delete",
            "-f",
            "deploy/example-statefulset.yaml",
            "--cascade=foreground",
        ];
        self.0.kubectl(&delete);
    }
}

/// What was applied rolls out, places the README's StatefulSet and looks at policies. `name` is for Nodes.
async fn installs_it(cluster: &'static Cluster, name: &str, mut installed: Installed) {
    for (number, label) in ["node1", "node2"].into_iter().enumerate() {
        let node = format!("{name}-{number}");
        cluster.node(&node, &[("name", label)], json!([])).await;
    }
    let status = [
        "-n",
        NAMESPACE,
        "rollout",
        "status",
        "deployment/label-router",
        "--timeout=1m",
    ];
    cluster.kubectl(&status).success();
    installed.run(1).await;
    // The controller would try again after longer and longer times.
    wait_for("a Pod to be placed", async || create_a_replica(cluster).await).await;
    installed.looks_at_what_is_applied().await;
    let example = Example(cluster);
    cluster
        .kubectl(&["apply", "-f", "deploy/example-statefulset.yaml"])
        .success();
    example.is_placed().await;
}

pub(crate) async fn the_chart_brings_it_into_a_cluster(cluster: &'static Cluster) {
    let installed = Installed::apply_manifests(cluster, &rendered(&["chart/self-managed"])).await;
    installs_it(cluster, "chart", installed).await;
}

/// cert-manager itself is no part of the test: its kinds are there, and what it would write is made from what was applied.
pub(crate) async fn the_overlay_for_cert_manager_brings_it_into_a_cluster(cluster: &'static Cluster) {
    for (kind, plural) in [("Certificate", "certificates"), ("Issuer", "issuers")] {
        let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("{plural}.cert-manager.io") },
            "spec": {
                "group": "cert-manager.io",
                "names": { "kind": kind, "plural": plural },
                "scope": "Namespaced",
                "versions": [{
                    "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema },
                }],
            },
        });
        cluster
            .kubectl_with(&["apply", "-f", "-"], &definition.to_string())
            .success();
        let name = format!("crd/{plural}.cert-manager.io");
        cluster
            .kubectl(&["wait", "--for=condition=Established", &name, "--timeout=1m"])
            .success();
    }
    let installed = Installed::apply_manifests(cluster, &rendered(&["overlays/cert-manager"])).await;
    play_cert_manager(cluster).await;
    installs_it(cluster, "cert-manager", installed).await;
}

/// Writes the caBundle into the registrations that ask for it, and the certificate that they name into its Secret.
async fn play_cert_manager(cluster: &Cluster) {
    use base64::Engine;
    let bundle = base64::engine::general_purpose::STANDARD.encode(cluster.authority.pem());
    let mut named = BTreeSet::new();
    for kind in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
        let path = format!("/apis/admissionregistration.k8s.io/v1/{kind}/{REGISTRATION}");
        let mut registration = cluster.send(Method::GET, &path, None).await.unwrap().json();
        let annotations = &registration["metadata"]["annotations"];
        named.insert(
            annotations["cert-manager.io/inject-ca-from"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
        for hook in registration["webhooks"].as_array_mut().unwrap() {
            hook["clientConfig"]["caBundle"] = json!(bundle);
        }
        let answer = cluster.send(Method::PUT, &path, Some(&registration)).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    for name in named {
        let (namespace, name) = name.split_once('/').unwrap();
        let path = format!("/apis/cert-manager.io/v1/namespaces/{namespace}/certificates/{name}");
        let spec = &cluster.send(Method::GET, &path, None).await.unwrap().json()["spec"];
        let hosts: Vec<&str> = spec["dnsNames"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let certificate = cluster.authority.certificate("cert-manager", &hosts);
        let secret = json!({
            "metadata": { "name": spec["secretName"] },
            "type": "kubernetes.io/tls",
            "stringData": {
                "tls.crt": fs::read_to_string(certificate.cert).unwrap(),
                "tls.key": fs::read_to_string(certificate.key).unwrap(),
                "ca.crt": cluster.authority.pem(),
            },
        });
        cluster.create::<Secret>(namespace, secret).await.unwrap();
    }
}

/// What `tests/deploy/render` prints: the manifests of one way into a cluster.
fn rendered(arguments: &[&str]) -> String {
    let output = Command::new("tests/deploy/render")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

/// Without what belongs to cert-manager and to the Prometheus operator, which are not installed here.
fn known(manifests: &str) -> String {
    let documents = manifests.split("\n---\n");
    let known: Vec<&str> = documents
        .filter(|document| {
            let absent = ["apiVersion: cert-manager.io/", "apiVersion: monitoring.coreos.com/"];
            !absent.iter().any(|absent| document.contains(absent))
        })
        .collect();
    known.join("\n---\n")
}

pub(crate) async fn every_way_is_one_that_the_api_server_takes(cluster: &'static Cluster) {
    let ways = rendered(&[]);
    for way in ways.lines() {
        let (way, namespace) = way.split_once(' ').unwrap();
        cluster.ensure_namespace(namespace).await;
        let apply = [
            "apply",
            "--server-side",
            "--dry-run=server",
            "--validate=strict",
            "-n",
            namespace,
            "-f",
            "-",
        ];
        let output = cluster.kubectl_with(&apply, &known(&rendered(&[way])));
        assert!(output.fine, "{way}: {}", output.stderr);
        assert!(output.stdout.contains("deployment.apps/"), "{way}: {}", output.stdout);
    }
    cluster.kubectl(&["delete", "namespace", "label-router"]);
}

pub(crate) async fn what_the_command_prints_installs_it(cluster: &'static Cluster) {
    let mut installed = Installed::apply(cluster).await;
    cluster
        .kubectl(&["delete", "mutatingwebhookconfiguration", "label-router"])
        .success();
    never_asked_about_is_no_error(cluster);
    let manifests = cluster.label_router(&["manifests"]).success();
    cluster.kubectl_with(&["apply", "-f", "-"], &manifests).success();
    installed.run(1).await;
    wait_for("a Pod to be placed", async || create_a_replica(cluster).await).await;
}

/// The API server takes a registration for a rule that it is never to ask about, and who prints it is told so.
fn never_asked_about_is_no_error(cluster: &Cluster) {
    let policy = cluster.directory().join("kube-system.yaml");
    let text = "apiVersion: label-router/v1\nkind: RoutingPolicy\ngate: { label: routed }\nrules:\n  \
                - { name: system, match: { namespaces: [kube-system] }, routes: [{ nodeSelector: { a: b } }] }\n";
    fs::write(&policy, text).unwrap();
    let policy = format!("--policy={}", policy.display());
    let printed = cluster.label_router(&["manifests", "--only=registration", &policy]);
    assert!(
        printed
            .stderr
            .contains("warning: rule system is only for Pods in kube-system"),
        "{}",
        printed.stderr
    );
    let apply = ["apply", "--dry-run=server", "-f", "-"];
    cluster.kubectl_with(&apply, &printed.success()).success();
}

/// The names that people of the original know: theirs is the Secret, and the caBundle is patched by hand.
pub(crate) async fn the_names_of_sts_webhook_lead_here(cluster: &'static Cluster) {
    let service = "sts-webhook.custom-system.svc";
    let certificate = cluster.authority.certificate(service, &[service]);
    cluster
        .kubectl(&["apply", "-k", "deploy/overlays/sts-webhook"])
        .success();
    let _cleanup = Original(cluster);
    let arguments = [
        "serve".to_owned(),
        "--listen=127.0.0.1:0".to_owned(),
        "--ops-listen=127.0.0.1:0".to_owned(),
        format!("--tls-cert={}", certificate.cert.display()),
        format!("--tls-key={}", certificate.key.display()),
    ];
    let router = LabelRouter::start(cluster, "sts-webhook", &arguments, &[]).await;
    cluster
        .lead_here("mutatingwebhookconfigurations", "sts-webhook", router.port)
        .await;
    let patch = {
        use base64::Engine;
        let bundle = base64::engine::general_purpose::STANDARD.encode(cluster.authority.pem());
        json!([{ "op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": bundle }])
    };
    cluster.patch_registration("sts-webhook", &patch);
    wait_for("a Pod to be placed", async || create_a_replica(cluster).await).await;
}

struct Original(&'static Cluster);

impl Drop for Original {
    fn drop(&mut self) {
        for registration in ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"] {
            self.0.kubectl(&["delete", registration, "sts-webhook"]);
        }
        self.0
            .kubectl(&["delete", "namespace", "custom-system", "--wait=false"]);
    }
}
