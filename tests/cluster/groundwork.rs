//! The harness itself: what later tests build upon.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ServiceAccount;
use libtest_mimic::Failed;
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::json;

use crate::harness::{Cluster, GUARDIAN, wait_for};

/// Whoever holds the pipe is killed by SIGKILL, as the tests may be; what it started is gone soon after.
#[allow(clippy::unnecessary_wraps, reason = "what a trial returns")]
pub(crate) fn nothing_outlives_the_tests() -> Result<(), Failed> {
    let mut holder = Command::new("sleep").arg("600").stdout(Stdio::piped()).spawn().unwrap();
    let pipe = holder.stdout.take().unwrap();
    let mut guardian = Command::new("sh")
        .args(["-c", GUARDIAN, "guardian", "sleep", "600"])
        .stdin(pipe)
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    // A moment in which nothing should happen.
    std::thread::sleep(Duration::from_millis(200));
    assert!(
        guardian.try_wait().unwrap().is_none(),
        "it runs as long as the pipe is open"
    );
    holder.kill().unwrap();
    holder.wait().unwrap();
    let start = Instant::now();
    while guardian.try_wait().unwrap().is_none() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "it outlives whoever held the pipe"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    // The group is empty: nobody is left to get a signal.
    let group = format!("kill -0 -{}", guardian.id());
    let left = Command::new("sh")
        .args(["-c", &group])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!left.success(), "something of its group is left");
    Ok(())
}

pub(crate) async fn a_service_account_can_be_acted_for(cluster: &'static Cluster) {
    let namespace = cluster.namespace("account").await;
    let account = json!({ "metadata": { "name": "label-router" } });
    cluster.create::<ServiceAccount>(&namespace, account).await.unwrap();
    let kubeconfig = cluster.kubeconfig_for_service_account(&namespace, "label-router");
    let who = cluster.kubectl_as(
        &kubeconfig,
        &["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"],
        "",
    );
    assert_eq!(who.success(), format!("system:serviceaccount:{namespace}:label-router"));
    let said = cluster
        .kubectl_as(&kubeconfig, &["-n", &namespace, "get", "pods"], "")
        .failure();
    assert!(said.contains("Forbidden"), "it has no rights of its own: {said}");
}

/// A request that is approved is signed by the cluster's authority.
pub(crate) async fn a_certificate_can_be_asked_for(cluster: &'static Cluster) {
    use base64::Engine;
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "someone");
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let request = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": { "name": "someone" },
        "spec": {
            "request": base64::engine::general_purpose::STANDARD.encode(request),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        },
    });
    cluster
        .kubectl_with(&["create", "-f", "-"], &request.to_string())
        .success();
    cluster.kubectl(&["certificate", "approve", "someone"]).success();
    wait_for("the certificate", async || {
        let issued = cluster
            .kubectl(&["get", "csr", "someone", "-o", "jsonpath={.status.certificate}"])
            .success();
        (!issued.is_empty()).then_some(()).ok_or_else(|| "none yet".to_owned())
    })
    .await;
}
