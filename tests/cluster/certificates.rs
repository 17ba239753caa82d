//! Certificates that label-router makes itself, on a cluster where somebody breaks them.

use std::time::{Duration, Instant, SystemTime};

use label_router::pki::{Authority, Pair, certificates, validity, verify};
use serde_json::json;

use crate::harness::installed::{HOST, Installed, NAMESPACE, REGISTRATION, REPAIRED, SECRET, create_a_replica};
use crate::harness::{Cluster, wait_for};
use crate::shown::shown;

const DAY: Duration = Duration::from_hours(24);

/// Waits until new connections are shown this certificate.
async fn until_shown(port: u16, wanted: &[u8]) {
    wait_for("the certificate to be shown", async || {
        (shown(port).await == wanted)
            .then_some(())
            .ok_or("another one".to_owned())
    })
    .await;
}

/// Installed, with Pods that are placed.
async fn working(cluster: &'static Cluster, replicas: usize) -> Installed {
    let installed = Installed::start(cluster, replicas).await;
    wait_for("a Pod to be placed", async || create_a_replica(cluster).await).await;
    installed
}

pub(crate) async fn replicas_that_start_together_share_one_certificate(cluster: &'static Cluster) {
    let installed = working(cluster, 3).await;
    let stored = certificates(&installed.value("tls.crt").await).unwrap();
    for replica in &installed.replicas {
        until_shown(replica.port, &stored[0]).await;
    }
    assert_eq!(installed.ca_bundle().await, installed.value("ca.crt").await);
    verify(&stored, &installed.ca_bundle().await, HOST, SystemTime::now()).unwrap();
    let days = validity(&installed.value("tls.crt").await)
        .unwrap()
        .left(SystemTime::now())
        .as_secs()
        / DAY.as_secs();
    assert!((85..=90).contains(&days), "{days} days");
}

pub(crate) async fn an_emptied_ca_bundle_is_written_again(cluster: &'static Cluster) {
    let installed = working(cluster, 2).await;
    let traffic = installed.traffic();
    let bundle = installed.ca_bundle().await;
    let broken = Instant::now();
    let emptied = json!([{ "op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": "" }]);
    cluster.patch_registration(REGISTRATION, &emptied);
    wait_for("the caBundle to be written again", async || {
        let now = installed.ca_bundle().await;
        (now == bundle).then_some(()).ok_or(now)
    })
    .await;
    let took = traffic.works_again(broken).await;
    assert!(took < REPAIRED, "{took:?}");
    // Whoever applies the manifests again leaves it alone.
    let applied = Instant::now();
    let registration = [
        "apply",
        "-f",
        "deploy/base/registration.yaml",
        "--dry-run=server",
        "-o",
        "jsonpath={.webhooks[0].clientConfig.caBundle}",
    ];
    assert!(!cluster.kubectl(&registration).success().is_empty());
    assert_eq!(traffic.failures(applied), [""; 0]);
}

pub(crate) async fn a_deleted_secret_is_written_again_with_the_same_ca(cluster: &'static Cluster) {
    let installed = working(cluster, 2).await;
    let traffic = installed.traffic();
    let (before, uid) = (
        installed.value("ca.crt").await,
        installed.secret().await.unwrap().metadata.uid,
    );
    let deleted = Instant::now();
    cluster
        .kubectl(&["-n", NAMESPACE, "delete", "secret", SECRET])
        .success();
    wait_for("another Secret", async || match installed.secret().await {
        Some(secret) if secret.metadata.uid != uid => Ok(()),
        other => Err(format!("{:?}", other.map(|secret| secret.metadata.uid))),
    })
    .await;
    assert!(deleted.elapsed() < REPAIRED, "{:?}", deleted.elapsed());
    assert_eq!(installed.value("ca.crt").await, before);
    assert_eq!(traffic.failures(deleted), [""; 0], "nobody noticed");
    assert!(traffic.created() > 0);
}

pub(crate) async fn a_certificate_near_its_end_is_renewed_and_shown(cluster: &'static Cluster) {
    let installed = working(cluster, 2).await;
    let authority = Authority::from_pair(Pair {
        certificate: installed.value("ca.crt").await,
        key: installed.value("ca.key").await,
    })
    .unwrap();
    let old = authority
        .issue(&[HOST.to_owned()], SystemTime::now() - DAY * 75)
        .unwrap();
    let traffic = installed.traffic();
    let written = Instant::now();
    installed.write(&[("tls.crt", &old.certificate), ("tls.key", &old.key)], &json!({}));
    let renewed = wait_for("a certificate that is good for longer", async || {
        let current = installed.value("tls.crt").await;
        let left = validity(&current).unwrap().left(SystemTime::now());
        if left > DAY * 80 {
            Ok(current)
        } else {
            Err(format!("{} days", left.as_secs() / DAY.as_secs()))
        }
    })
    .await;
    let renewed = certificates(&renewed).unwrap();
    for replica in &installed.replicas {
        until_shown(replica.port, &renewed[0]).await;
    }
    assert!(written.elapsed() < REPAIRED, "{:?}", written.elapsed());
    assert_eq!(traffic.failures(written), [""; 0], "nobody noticed");
    assert!(traffic.created() > 0);
}

pub(crate) async fn a_ca_near_its_end_is_followed_by_the_next(cluster: &'static Cluster) {
    let installed = working(cluster, 2).await;
    let years_ago = SystemTime::now() - DAY * 365 * 8;
    let old = Authority::make(years_ago).unwrap();
    let leaf = old.issue(&[HOST.to_owned()], SystemTime::now()).unwrap();
    installed.write(
        &[
            ("ca.crt", &old.pair().certificate),
            ("ca.key", &old.pair().key),
            ("tls.crt", &leaf.certificate),
            ("tls.key", &leaf.key),
        ],
        &json!({}),
    );
    // Both are trusted before the next one signs anything.
    let next = installed.value("next-ca.crt").await;
    wait_for("both CAs in the caBundle", async || {
        let bundle = installed.ca_bundle().await;
        let both = [&old.pair().certificate, &next]
            .iter()
            .all(|ca| bundle.contains(ca.trim()));
        both.then_some(()).ok_or(bundle)
    })
    .await;
    assert_eq!(
        installed.value("tls.crt").await,
        leaf.certificate,
        "it is not replaced yet"
    );
    let traffic = installed.traffic();
    traffic.works_again(Instant::now()).await;
    let switched = Instant::now();
    // As if a minute had passed.
    installed.write(&[], &json!({ "label-router/next-ca-since": "2026-01-01T00:00:00Z" }));
    wait_for("a certificate by the next CA", async || {
        let chain = certificates(&installed.value("tls.crt").await).unwrap();
        verify(&chain, &next, HOST, SystemTime::now()).map_err(|error| error.to_string())
    })
    .await;
    wait_for("it to be shown", async || {
        let stored = certificates(&installed.value("tls.crt").await).unwrap();
        (shown(installed.replicas[0].port).await == stored[0].as_ref())
            .then_some(())
            .ok_or("another one".to_owned())
    })
    .await;
    assert!(switched.elapsed() < REPAIRED, "{:?}", switched.elapsed());
    assert_eq!(traffic.failures(switched), [""; 0], "nobody noticed");
}

pub(crate) async fn a_deleted_registration_stays_deleted_and_is_reported(cluster: &'static Cluster) {
    let installed = working(cluster, 1).await;
    let router = &installed.replicas[0];
    let reported = async |value: &str| {
        let wanted = format!("label_router_registration_present{{registration=\"label-router\"}} {value}");
        wait_for(&wanted, async || {
            let metrics = router.ops("/metrics").await?;
            metrics.contains(&wanted).then_some(()).ok_or(metrics)
        })
        .await;
    };
    reported("1").await;
    cluster
        .kubectl(&["delete", "mutatingwebhookconfiguration", REGISTRATION])
        .success();
    reported("0").await;
    // Something to repair makes it look at everything again.
    cluster
        .kubectl(&["-n", NAMESPACE, "delete", "secret", SECRET])
        .success();
    installed.value("ca.crt").await;
    let gone = cluster
        .kubectl(&["get", "mutatingwebhookconfiguration", REGISTRATION])
        .failure();
    assert!(gone.contains("NotFound"), "{gone}");
    let log = router.log();
    assert!(
        log.contains("no Pod is placed. It is not created again by itself"),
        "{log}"
    );
    // Applied again, it works again.
    cluster
        .kubectl(&["apply", "-f", "deploy/base/registration.yaml"])
        .success();
    cluster
        .lead_here("mutatingwebhookconfigurations", REGISTRATION, router.port)
        .await;
    wait_for("a Pod to be placed again", async || create_a_replica(cluster).await).await;
    reported("1").await;
}

pub(crate) async fn a_registration_that_leaves_pods_out_is_measured(cluster: &'static Cluster) {
    let installed = working(cluster, 1).await;
    let narrowed = json!([{ "op": "replace", "path": "/webhooks/0/objectSelector", "value": { "matchLabels": { "other": "gate" } } }]);
    cluster.patch_registration(REGISTRATION, &narrowed);
    wait_for("the gap to be measured", async || {
        let metrics = installed.replicas[0].ops("/metrics").await?;
        // The rule, and unmatched: reject.
        let wanted = "label_router_registration_gaps{registration=\"label-router\"} 2";
        metrics.contains(wanted).then_some(()).ok_or(metrics)
    })
    .await;
    let log = installed.replicas[0].log();
    assert!(
        log.contains("rule statefulset-parity is for Pods with the label ab-build-different=true"),
        "{log}"
    );
}

pub(crate) async fn somebody_elses_certificate_is_left_alone(cluster: &'static Cluster) {
    let mut installed = Installed::apply(cluster).await;
    let theirs = cluster.authority.certificate("theirs", &[HOST]);
    let (cert, key) = (theirs.cert.display().to_string(), theirs.key.display().to_string());
    cluster
        .kubectl(&[
            "-n", NAMESPACE, "create", "secret", "tls", SECRET, "--cert", &cert, "--key", &key,
        ])
        .success();
    let error = installed.refuses_to_start().await;
    assert!(
        error.contains(
            "the Secret label-router/label-router-tls: it holds a certificate that label-router did not make"
        ),
        "{error}"
    );
    assert_eq!(
        installed.value("tls.crt").await,
        std::fs::read_to_string(&theirs.cert).unwrap()
    );
}

pub(crate) async fn a_signer_of_the_cluster_makes_the_certificate(cluster: &'static Cluster) {
    let installed = Installed::apply(cluster).await;
    let certs = |arguments: &[&str]| cluster.label_router(arguments);
    // The only signer that Kubernetes itself brings for serving certificates; it is meant for Nodes.
    let arguments = [
        "certs",
        "csr",
        "--signer-name=kubernetes.io/kubelet-serving",
        "--common-name=system:node:label-router",
        "--organization=system:nodes",
        "--approve",
    ];
    let said = certs(&arguments).success();
    assert!(
        said.contains("holds a certificate for label-router.label-router.svc"),
        "{said}"
    );
    let chain = certificates(&installed.value("tls.crt").await).unwrap();
    verify(&chain, &installed.ca_bundle().await, HOST, SystemTime::now()).unwrap();
    let wrong = [
        "certs",
        "csr",
        "--signer-name=example.com/nobody",
        "--approve",
        "--timeout=1",
    ];
    let error = certs(&wrong).failure();
    assert!(error.contains("example.com/nobody did not sign"), "{error}");
}

pub(crate) async fn certificates_can_be_made_and_renewed_by_hand(cluster: &'static Cluster) {
    let installed = working(cluster, 1).await;
    let before = installed.value("tls.crt").await;
    let said = cluster.label_router(&["certs", "secret"]).success();
    assert!(
        said.contains("good for 89 days") || said.contains("good for 90 days"),
        "{said}"
    );
    assert_eq!(installed.value("tls.crt").await, before, "what is good is kept");
    let (ca, traffic, asked) = (installed.value("ca.crt").await, installed.traffic(), Instant::now());
    cluster.label_router(&["certs", "secret", "--rotate"]).success();
    let renewed = installed.value("tls.crt").await;
    assert_ne!(renewed, before);
    assert_eq!(installed.value("ca.crt").await, ca);
    let renewed = certificates(&renewed).unwrap();
    until_shown(installed.replicas[0].port, &renewed[0]).await;
    let said = cluster.label_router(&["certs", "secret", "--rotate-ca"]).success();
    assert!(said.contains("The next CA is published"), "{said}");
    let next = installed.value("next-ca.crt").await;
    assert!(installed.ca_bundle().await.contains(next.trim()));
    assert_eq!(traffic.failures(asked), [""; 0], "nobody noticed");
}
