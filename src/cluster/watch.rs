//! Changes of one object, by its name. The rights to list and watch can be had for that name alone.

use std::fmt::Debug;

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::Registration;

/// Something for each change of a Secret, and an error where it cannot be watched now. Begins anew by itself, with a pause
/// that grows.
pub fn changes_of_secret(
    client: &Client,
    namespace: &str,
    name: &str,
) -> impl Stream<Item = Result<(), String>> + Send + use<> {
    changes(Api::<Secret>::namespaced(client.clone(), namespace), name)
}

/// The same of a registration.
pub fn changes_of_registration<R: Registration>(
    client: &Client,
    name: &str,
) -> impl Stream<Item = Result<(), String>> + Send + use<R> {
    changes(Api::<R>::all(client.clone()), name)
}

/// A ConfigMap as it is now and after each change; `None` while there is none.
pub fn states_of_config_map(
    client: &Client,
    namespace: &str,
    name: &str,
) -> impl Stream<Item = Result<Option<ConfigMap>, String>> + Send + use<> {
    states(Api::namespaced(client.clone(), namespace), name)
}

fn changes<K>(api: Api<K>, name: &str) -> impl Stream<Item = Result<(), String>> + Send + use<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    states(api, name).map(|state| state.map(drop))
}

fn states<K>(api: Api<K>, name: &str) -> impl Stream<Item = Result<Option<K>, String>> + Send + use<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher::watch_object(api, name)
        .default_backoff()
        .map(|state| state.map_err(|error| error.to_string()))
}
