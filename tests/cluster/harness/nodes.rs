//! Nodes that run Pods on paper: nothing runs, and the API server is told that it does.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::{Cluster, runtime};

impl Cluster {
    /// A Node with room for many Pods, with these labels and taints.
    pub(crate) async fn node(&self, name: &str, labels: &[(&str, &str)], taints: Value) {
        let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
        let node = json!({ "metadata": { "name": name, "labels": labels }, "spec": { "taints": taints } });
        self.create_in_cluster::<Node>(node).await.unwrap();
        let nodes = Api::<Node>::all(self.client.clone());
        let room = json!({ "cpu": "64", "memory": "256Gi", "pods": "500" });
        let now = Timestamp::now();
        let ready = json!({
            "type": "Ready",
            "status": "True",
            "reason": "OnPaper",
            "message": "",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        });
        let status = json!({ "status": { "capacity": room, "allocatable": room, "conditions": [ready] } });
        nodes
            .patch_status(name, &PatchParams::default(), &Patch::Strategic(status))
            .await
            .unwrap();
        // The API server puts a taint on each new Node; who takes it off again watches kubelets.
        let untainted = json!({ "spec": { "taints": taints } });
        nodes
            .patch(name, &PatchParams::default(), &Patch::Merge(untainted))
            .await
            .unwrap();
    }
}

/// Does for all Nodes what a kubelet does for one, as long as the runtime runs: a bound Pod runs and is ready, a deleted one
/// is gone.
pub(super) fn run_pods(client: Client) {
    runtime().spawn(async move {
        let pods = Api::<Pod>::all(client.clone());
        let bound = ListParams::default().fields("spec.nodeName!=");
        loop {
            // While the API server is away there is nothing to do.
            for pod in pods.list(&bound).await.into_iter().flatten() {
                // The Pod may have been deleted or changed meanwhile; the next round sees it.
                let _ = attend(&client, &pod).await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
}

async fn attend(client: &Client, pod: &Pod) -> kube::Result<()> {
    let name = pod.name_any();
    let pods = Api::<Pod>::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    if pod.metadata.deletion_timestamp.is_some() {
        pods.delete(&name, &DeleteParams::default().grace_period(0)).await?;
    } else if pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending") {
        let now = Timestamp::now();
        let ready = json!({ "type": "Ready", "status": "True", "lastTransitionTime": now });
        let status = json!({ "status": { "phase": "Running", "startTime": now, "conditions": [ready] } });
        let patch = Patch::Strategic(status);
        pods.patch_status(&name, &PatchParams::default(), &patch).await?;
    }
    Ok(())
}
