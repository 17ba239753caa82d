//! One Secret, read and written by its name.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};

use super::ClusterError;

/// A Secret as the API server has it.
#[derive(Clone)]
pub struct StoredSecret {
    /// Its values by their keys. Debug does not print them.
    pub data: BTreeMap<String, Vec<u8>>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    object: Secret,
}

impl std::fmt::Debug for StoredSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StoredSecret")
            .field("keys", &self.data.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Reads a Secret; `None` where there is none.
pub async fn secret(client: &Client, namespace: &str, name: &str) -> Result<Option<StoredSecret>, ClusterError> {
    let found = Api::<Secret>::namespaced(client.clone(), namespace)
        .get_opt(name)
        .await
        .map_err(|error| ClusterError::new(format!("read the Secret {namespace}/{name}"), error))?;
    Ok(found.map(|object| StoredSecret {
        data: object
            .data
            .iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.0.clone()))
            .collect(),
        annotations: object.metadata.annotations.clone().unwrap_or_default(),
        object,
    }))
}

/// Replaces values and annotations of a Secret as it was read. A conflict where somebody else wrote since.
pub async fn replace_secret(
    client: &Client,
    namespace: &str,
    read: &StoredSecret,
    data: BTreeMap<String, Vec<u8>>,
    annotations: BTreeMap<String, Option<String>>,
) -> Result<(), ClusterError> {
    let name = read.object.metadata.name.clone().unwrap_or_default();
    let mut object = read.object.clone();
    object.data = Some(encoded(data));
    let kept = object.metadata.annotations.get_or_insert_default();
    for (key, value) in annotations {
        match value {
            Some(value) => kept.insert(key, value),
            None => kept.remove(&key),
        };
    }
    // Replacing takes the resourceVersion that was read, so that of two replicas that write, one is told.
    Api::<Secret>::namespaced(client.clone(), namespace)
        .replace(&name, &PostParams::default(), &object)
        .await
        .map(|_| ())
        .map_err(|error| ClusterError::new(format!("write the Secret {namespace}/{name}"), error))
}

/// Creates a Secret of type kubernetes.io/tls. A conflict where somebody else created one with other values meanwhile.
///
/// By server-side apply: for the creation by it the API server asks for the right to create a Secret of this very name,
/// while a plain creation needs the right to create any Secret. Each replica is a manager of its own, so that of two that
/// create, the second one is told.
pub async fn create_secret(
    client: &Client,
    namespace: &str,
    name: &str,
    data: BTreeMap<String, Vec<u8>>,
    annotations: BTreeMap<String, Option<String>>,
    manager: &str,
) -> Result<(), ClusterError> {
    let object = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            annotations: Some(
                annotations
                    .into_iter()
                    .filter_map(|(key, value)| Some((key, value?)))
                    .collect(),
            ),
            labels: Some(BTreeMap::from([(
                "app.kubernetes.io/name".to_owned(),
                "label-router".to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(encoded(data)),
        ..Secret::default()
    };
    Api::<Secret>::namespaced(client.clone(), namespace)
        .patch(name, &PatchParams::apply(manager), &Patch::Apply(&object))
        .await
        .map(|_| ())
        .map_err(|error| ClusterError::new(format!("create the Secret {namespace}/{name}"), error))
}

fn encoded(data: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, ByteString> {
    data.into_iter().map(|(key, value)| (key, ByteString(value))).collect()
}
