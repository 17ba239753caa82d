//! `label-router doctor` on a cluster that is well, and on one that is not.

use serde_json::{Value, json};

use crate::harness::installed::{Installed, REGISTRATION, create_a_replica};
use crate::harness::{Cluster, Output, wait_for};

fn doctor(cluster: &Cluster) -> Output {
    cluster.label_router(&["doctor", "-o", "json"])
}

/// What it says where another policy than the ConfigMap's is to be judged by.
fn doctor_by(cluster: &Cluster, policy: &str) -> Output {
    cluster.label_router(&["doctor", "-o", "json", "--policy", policy])
}

/// The findings about one thing, as (status, message and fix).
fn findings(output: &Output, check: &str) -> Vec<(String, String)> {
    let report: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["check"] == check)
        .map(|finding| (finding["status"].as_str().unwrap().to_owned(), finding.to_string()))
        .collect()
}

#[track_caller]
fn says(output: &Output, check: &str, status: &str, words: &str) {
    let found = findings(output, check);
    assert!(
        found
            .iter()
            .any(|(found, text)| found == status && text.contains(words)),
        "{check} {status} {words}: {output:?}"
    );
}

pub(crate) async fn doctor_says_what_is_well_and_what_is_not(cluster: &'static Cluster) {
    let installed = Installed::start(cluster, 1).await;
    wait_for("a Pod to be placed", async || create_a_replica(cluster).await).await;
    let well = doctor(cluster);
    for check in [
        "api",
        "policy",
        "registration",
        "caBundle",
        "webhook",
        "certificate",
        "rights",
    ] {
        let found = findings(&well, check);
        assert!(
            !found.is_empty() && found.iter().all(|(status, _)| status == "ok"),
            "{check}: {well:?}"
        );
    }
    // Other tests leave workloads that the default policy is for; this one is for another namespace's.
    let unmatched = doctor_by(cluster, "examples/zones-by-replica/policy.yaml");
    says(&unmatched, "rules", "warning", "db-zones");

    let narrowed =
        json!([{ "op": "replace", "path": "/webhooks/0/objectSelector", "value": { "matchLabels": { "a": "b" } } }]);
    cluster.patch_registration(REGISTRATION, &narrowed);
    says(&doctor(cluster), "registration", "failed", "manifests");

    cluster
        .kubectl(&["delete", "mutatingwebhookconfiguration", REGISTRATION])
        .success();
    let gone = doctor(cluster);
    assert!(!gone.fine);
    says(&gone, "registration", "failed", "label-router");
    drop(installed);
}
