//! Tries things out without changing anything.

use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::core::Request;
use kube::{Api, Client};
use serde_json::Value;

use super::ClusterError;

/// Has the API server take a Pod through admission, and not keep it: the Pod as it would be stored.
pub async fn try_pod(client: &Client, namespace: &str, pod: &Value) -> Result<Value, ClusterError> {
    let failed = |error| ClusterError::new(format!("create a Pod in the namespace {namespace} as a dry run"), error);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let path = Api::<Pod>::namespaced(client.clone(), namespace)
        .resource_url()
        .to_owned();
    let body = pod.to_string().into_bytes();
    let request = Request::new(path)
        .create(&dry_run, body)
        .map_err(|error| failed(kube::Error::BuildRequest(error)))?;
    client.request(request).await.map_err(failed)
}

/// What one replica says of itself, asked through the API server: the text at a path of its port.
pub async fn ask_replica(
    client: &Client,
    namespace: &str,
    pod: &str,
    port: i32,
    path: &str,
) -> Result<String, ClusterError> {
    let failed = |error| ClusterError::new(format!("ask the Pod {namespace}/{pod} for {path}"), error);
    let pods = Api::<Pod>::namespaced(client.clone(), namespace)
        .resource_url()
        .to_owned();
    let request = Request::new(pods)
        .get_subresource(&format!("proxy{path}"), &format!("http:{pod}:{port}"))
        .map_err(|error| failed(kube::Error::BuildRequest(error)))?;
    client.request_text(request).await.map_err(failed)
}
