//! The commands of the README, on a cluster that has none of it yet.

use std::fs;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::json;

use crate::harness::{Cluster, LabelRouter, wait_for};
use crate::pods::node;

/// Its registration is about all Pods of the cluster, so that it must go, however the test ends.
struct Cleanup(&'static Cluster);

impl Drop for Cleanup {
    fn drop(&mut self) {
        self.0
            .kubectl(&["delete", "mutatingwebhookconfiguration", "label-router"]);
        self.0.kubectl(&["delete", "-f", "deploy/example-statefulset.yaml"]);
        self.0.kubectl(&["delete", "namespace", "label-router", "--wait=false"]);
    }
}

/// The Deployment's own Pods pass the namespace's Pod Security level, and count as running; the process that the API server
/// then calls in their place runs here.
pub(crate) async fn the_readme_brings_it_into_a_cluster(cluster: &'static Cluster) {
    let _cleanup = Cleanup(cluster);
    cluster.node("deploy-one", &[("name", "node1")], json!([])).await;
    cluster.node("deploy-two", &[("name", "node2")], json!([])).await;

    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = cluster.directory().join("readme");
    fs::create_dir_all(&directory).unwrap();
    std::os::unix::fs::symlink(checkout.join("deploy"), directory.join("deploy")).unwrap();
    let service = "label-router.label-router.svc";
    let certificate = cluster.authority.certificate(service, &[service]);
    fs::copy(&certificate.cert, directory.join("tls.crt")).unwrap();
    fs::copy(&certificate.key, directory.join("tls.key")).unwrap();
    fs::write(directory.join("ca.crt"), cluster.authority.pem()).unwrap();
    let readme = fs::read_to_string(checkout.join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Into a cluster\n").unwrap();
    let (_, commands) = section.split_once("```sh\n").unwrap();
    let (commands, _) = commands.split_once("```").unwrap();
    let said = cluster.shell(commands, &directory).success();
    assert!(
        said.contains("deployment \"label-router\" successfully rolled out"),
        "{said}"
    );

    let policy = cluster
        .kubectl(&[
            "-n",
            "label-router",
            "get",
            "configmap",
            "label-router-policy",
            "-o",
            "yaml",
        ])
        .success();
    let policy_file = directory.join("policy.yaml");
    fs::write(&policy_file, policy).unwrap();
    let arguments = [
        "serve".to_owned(),
        "--listen=127.0.0.1:0".to_owned(),
        "--ops-listen=127.0.0.1:0".to_owned(),
        format!("--tls-cert={}", certificate.cert.display()),
        format!("--tls-key={}", certificate.key.display()),
        format!("--policy={}", policy_file.display()),
    ];
    let router = LabelRouter::start(cluster, "readme", &arguments, &[]).await;
    cluster
        .lead_here("mutatingwebhookconfigurations", "label-router", router.port)
        .await;

    cluster
        .kubectl(&["apply", "-f", "deploy/example-statefulset.yaml"])
        .success();
    let pods = wait_for("the example's two replicas on their Nodes", async || {
        let pods = cluster
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
        let label = cluster
            .kubectl(&["get", "node", &node, "-o", "jsonpath={.metadata.labels.name}"])
            .success();
        let wanted = if pod == "web-0" { "node1" } else { "node2" };
        assert_eq!(label, wanted, "{pod} is on {node}");
    }
}
