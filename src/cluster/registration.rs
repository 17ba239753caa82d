//! The registrations as the API server has them, and their caBundle.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::ClusterError;

/// Who owns the caBundle among the managers of the registration's fields.
const MANAGER: &str = "label-router-certs";

/// Reads a registration; `None` where there is none.
pub async fn live_registration(
    client: &Client,
    name: &str,
) -> Result<Option<MutatingWebhookConfiguration>, ClusterError> {
    Api::<MutatingWebhookConfiguration>::all(client.clone())
        .get_opt(name)
        .await
        .map_err(|error| ClusterError::new(format!("read the MutatingWebhookConfiguration {name}"), error))
}

/// Reads the registration by which policies and workloads are looked at; `None` where there is none.
pub async fn live_validation(
    client: &Client,
    name: &str,
) -> Result<Option<ValidatingWebhookConfiguration>, ClusterError> {
    Api::<ValidatingWebhookConfiguration>::all(client.clone())
        .get_opt(name)
        .await
        .map_err(|error| ClusterError::new(format!("read the ValidatingWebhookConfiguration {name}"), error))
}

/// Writes the caBundle of those webhooks that are ours, where it is another one. True where something was written.
///
/// By server-side apply under a manager of its own, so that whoever applies the registration without a caBundle leaves it
/// alone. The object's UID goes with it: where the registration was deleted meanwhile, nothing is created.
pub async fn publish_ca_bundle(
    client: &Client,
    live: &MutatingWebhookConfiguration,
    is_ours: impl Fn(&WebhookClientConfig) -> bool,
    bundle: &str,
) -> Result<bool, ClusterError> {
    let webhooks = live.webhooks.iter().flatten();
    let ours = webhooks.map(|webhook| (webhook.name.as_str(), &webhook.client_config));
    let ours: Vec<_> = ours.filter(|(_, called)| is_ours(called)).collect();
    publish::<MutatingWebhookConfiguration>(client, &live.metadata, &ours, bundle).await
}

/// The same for the registration by which policies and workloads are looked at.
pub async fn publish_validation_ca_bundle(
    client: &Client,
    live: &ValidatingWebhookConfiguration,
    is_ours: impl Fn(&WebhookClientConfig) -> bool,
    bundle: &str,
) -> Result<bool, ClusterError> {
    let webhooks = live.webhooks.iter().flatten();
    let ours = webhooks.map(|webhook| (webhook.name.as_str(), &webhook.client_config));
    let ours: Vec<_> = ours.filter(|(_, called)| is_ours(called)).collect();
    publish::<ValidatingWebhookConfiguration>(client, &live.metadata, &ours, bundle).await
}

async fn publish<K>(
    client: &Client,
    metadata: &ObjectMeta,
    ours: &[(&str, &WebhookClientConfig)],
    bundle: &str,
) -> Result<bool, ClusterError>
where
    K: k8s_openapi::Resource + kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let wanted = ByteString(bundle.as_bytes().to_vec());
    if ours
        .iter()
        .all(|(_, called)| called.ca_bundle.as_ref() == Some(&wanted))
    {
        return Ok(false);
    }
    let name = metadata.name.clone().unwrap_or_default();
    let webhooks: Vec<_> = ours
        .iter()
        .map(|(name, _)| json!({ "name": name, "clientConfig": { "caBundle": wanted } }))
        .collect();
    let kind = <K as k8s_openapi::Resource>::KIND;
    let apply = json!({
        "apiVersion": <K as k8s_openapi::Resource>::API_VERSION,
        "kind": kind,
        "metadata": { "name": name, "uid": metadata.uid },
        "webhooks": webhooks,
    });
    Api::<K>::all(client.clone())
        .patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&apply))
        .await
        .map(|_| true)
        .map_err(|error| ClusterError::new(format!("write the caBundle of the {kind} {name}"), error))
}
