//! What there is in a cluster: label-router's own objects, and the workloads that a policy may be for.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{GetParams, ListParams};
use kube::core::Request;
use kube::{Api, Client};
use serde_json::Value;

use super::ClusterError;

/// So many objects are asked for at a time.
const PAGE: u32 = 500;

/// A kind of workload, as the API serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkloadKind {
    /// `apps/v1` …
    pub version: &'static str,
    /// `StatefulSet` …
    pub kind: &'static str,
    /// `statefulsets` …
    pub plural: &'static str,
}

/// The kinds that are listed. A Deployment is seen through its ReplicaSets.
pub const WORKLOADS: [WorkloadKind; 4] = [
    WorkloadKind {
        version: "apps/v1",
        kind: "StatefulSet",
        plural: "statefulsets",
    },
    WorkloadKind {
        version: "apps/v1",
        kind: "ReplicaSet",
        plural: "replicasets",
    },
    WorkloadKind {
        version: "batch/v1",
        kind: "Job",
        plural: "jobs",
    },
    WorkloadKind {
        version: "batch/v1",
        kind: "CronJob",
        plural: "cronjobs",
    },
];

/// The kinds whose scale subresource is looked at: those that are looked at when they are applied, and have one.
pub const SCALED: [WorkloadKind; 2] = [
    WORKLOADS[0],
    WorkloadKind {
        version: "apps/v1",
        kind: "Deployment",
        plural: "deployments",
    },
];

/// The version of the API server.
pub async fn version(client: &Client) -> Result<String, ClusterError> {
    client
        .apiserver_version()
        .await
        .map(|info| info.git_version)
        .map_err(|error| ClusterError::new("ask the API server for its version", error))
}

/// The values of a ConfigMap; `None` where there is none.
pub async fn config_map(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<BTreeMap<String, String>>, ClusterError> {
    Api::<ConfigMap>::namespaced(client.clone(), namespace)
        .get_opt(name)
        .await
        .map(|found| found.map(|object| object.data.unwrap_or_default()))
        .map_err(|error| ClusterError::new(format!("read the ConfigMap {namespace}/{name}"), error))
}

/// A Service; `None` where there is none.
pub async fn service(client: &Client, namespace: &str, name: &str) -> Result<Option<Service>, ClusterError> {
    Api::<Service>::namespaced(client.clone(), namespace)
        .get_opt(name)
        .await
        .map_err(|error| ClusterError::new(format!("read the Service {namespace}/{name}"), error))
}

/// The EndpointSlices of a Service.
pub async fn endpoint_slices(
    client: &Client,
    namespace: &str,
    service: &str,
) -> Result<Vec<EndpointSlice>, ClusterError> {
    let wanted = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    Api::<EndpointSlice>::namespaced(client.clone(), namespace)
        .list(&wanted)
        .await
        .map(|list| list.items)
        .map_err(|error| {
            ClusterError::new(
                format!("list the EndpointSlices of the Service {namespace}/{service}"),
                error,
            )
        })
}

/// The Pods of a namespace with these labels.
pub async fn pods_in(
    client: &Client,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> Result<Vec<Pod>, ClusterError> {
    let selector: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let wanted = ListParams::default().labels(&selector.join(","));
    Api::<Pod>::namespaced(client.clone(), namespace)
        .list(&wanted)
        .await
        .map(|list| list.items)
        .map_err(|error| ClusterError::new(format!("list the Pods of the namespace {namespace}"), error))
}

/// The Deployments of a namespace.
pub async fn deployments(client: &Client, namespace: &str) -> Result<Vec<Deployment>, ClusterError> {
    Api::<Deployment>::namespaced(client.clone(), namespace)
        .list(&ListParams::default())
        .await
        .map(|list| list.items)
        .map_err(|error| ClusterError::new(format!("list the Deployments of the namespace {namespace}"), error))
}

/// Some namespaces of the cluster: all of them, where there are not very many.
pub async fn namespaces(client: &Client) -> Result<Vec<Namespace>, ClusterError> {
    Api::<Namespace>::all(client.clone())
        .list(&ListParams::default().limit(PAGE))
        .await
        .map(|list| list.items)
        .map_err(|error| ClusterError::new("list the namespaces", error))
}

/// Every workload of a kind, in all namespaces, without what nobody looks at.
pub async fn workloads(client: &Client, kind: &WorkloadKind) -> Result<Vec<Value>, ClusterError> {
    let path = format!("/apis/{}/{}", kind.version, kind.plural);
    let mut found = pages(client, &path, None)
        .await
        .map_err(|error| ClusterError::new(format!("list the {}s of all namespaces", kind.kind), error))?;
    for object in &mut found {
        // A list says them once, for all.
        object["apiVersion"] = kind.version.into();
        object["kind"] = kind.kind.into();
    }
    Ok(found)
}

/// One workload, as it is now.
pub async fn workload(
    client: &Client,
    kind: &WorkloadKind,
    namespace: &str,
    name: &str,
) -> Result<Value, ClusterError> {
    let path = format!("/apis/{}/namespaces/{namespace}/{}", kind.version, kind.plural);
    let failed = |error| ClusterError::new(format!("read the {} {namespace}/{name}", kind.kind), error);
    let request = Request::new(path)
        .get(name, &GetParams::default())
        .map_err(|error| failed(kube::Error::BuildRequest(error)))?;
    client.request(request).await.map_err(failed)
}

/// Every Pod that fits a label selector, in all namespaces.
pub async fn labelled_pods(client: &Client, selector: &str) -> Result<Vec<Value>, ClusterError> {
    pages(client, "/api/v1/pods", Some(selector)).await.map_err(|error| {
        ClusterError::new(
            format!("list the Pods of all namespaces with the label {selector}"),
            error,
        )
    })
}

/// A list, page by page, so that neither side holds a big cluster's answer at once.
async fn pages(client: &Client, path: &str, selector: Option<&str>) -> Result<Vec<Value>, kube::Error> {
    let mut found = Vec::new();
    let mut wanted = ListParams::default().limit(PAGE);
    if let Some(selector) = selector {
        wanted = wanted.labels(selector);
    }
    loop {
        let request = Request::new(path).list(&wanted).map_err(kube::Error::BuildRequest)?;
        let mut page: Value = client.request(request).await?;
        if let Some(items) = page.get_mut("items").and_then(Value::as_array_mut) {
            for mut item in items.drain(..) {
                if let Some(metadata) = item.get_mut("metadata").and_then(Value::as_object_mut) {
                    metadata.remove("managedFields");
                }
                found.push(item);
            }
        }
        match page["metadata"]["continue"].as_str() {
            Some(token) if !token.is_empty() => wanted = wanted.continue_token(token),
            _ => return Ok(found),
        }
    }
}
