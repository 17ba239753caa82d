//! Rules that change while it serves, on a cluster.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use label_router::policy;
use serde_json::json;

use crate::harness::installed::{Installed, NAMESPACE, create_a_replica};
use crate::harness::{Cluster, wait_for};

const MAP: &str = "label-router-policy";

/// Puts another policy into the ConfigMap, as `kubectl patch` does.
async fn edit(cluster: &Cluster, text: &str) {
    let patch = json!({ "data": { "policy.yaml": text } });
    cluster
        .api::<ConfigMap>(NAMESPACE)
        .patch(MAP, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

/// The default policy with another name for its rule.
fn renamed(name: &str) -> String {
    policy::DEFAULT.replace("statefulset-parity", name)
}

/// Waits until the policy is served whose rule has this name.
async fn serves(installed: &Installed, rule: &str) {
    wait_for(&format!("rule {rule} to be served"), async || {
        let config = installed.replicas[0].ops("/config").await?;
        config.contains(rule).then_some(()).ok_or(config)
    })
    .await;
}

pub(crate) async fn an_edit_of_the_config_map_is_in_force_in_less_than_a_second(cluster: &'static Cluster) {
    let installed = Installed::following(cluster).await;
    wait_for("a Pod to be placed", async || create_a_replica(cluster).await).await;
    for name in ["first-edit", "second-edit"] {
        let edited = Instant::now();
        edit(cluster, &renamed(name)).await;
        serves(&installed, name).await;
        assert!(edited.elapsed() < Duration::from_secs(1), "{:?}", edited.elapsed());
    }
    // What is wrong changes nothing, and stands where those look who edited it. The edit comes by a way that no webhook sees.
    cluster
        .kubectl(&["delete", "validatingwebhookconfiguration", "label-router"])
        .success();
    edit(
        cluster,
        &renamed("third-edit").replace("onConflict: override", "onConflict: overide"),
    )
    .await;
    wait_for("an Event on the ConfigMap", async || {
        let described = cluster
            .kubectl(&["-n", NAMESPACE, "describe", "configmap", MAP])
            .success();
        let told = described.contains("PolicyRefused") && described.contains("did you mean override?");
        told.then_some(()).ok_or(described)
    })
    .await;
    let config = installed.replicas[0].ops("/config").await.unwrap();
    assert!(
        config.contains("second-edit") && config.contains("did you mean override?"),
        "{config}"
    );
    create_a_replica(cluster).await.unwrap();
}

pub(crate) async fn it_follows_the_config_map_over_a_restart_of_the_api_server(cluster: &'static Cluster) {
    let installed = Installed::following(cluster).await;
    edit(cluster, &renamed("before")).await;
    serves(&installed, "before").await;
    cluster.restart_api_server(async || {}).await;
    edit(cluster, &renamed("after")).await;
    serves(&installed, "after").await;
    wait_for("a Pod to be placed", async || create_a_replica(cluster).await).await;
}
