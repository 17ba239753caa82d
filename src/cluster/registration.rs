//! The registrations as the API server has them, and their caBundle.

use std::fmt::Debug;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::ClusterError;

/// Who owns the caBundle among the managers of the registration's fields.
const MANAGER: &str = "label-router-certs";

/// A registration: a MutatingWebhookConfiguration or a ValidatingWebhookConfiguration.
pub trait Registration:
    k8s_openapi::Resource + kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static
{
    /// What its webhooks call, each by the webhook's name.
    fn called(&self) -> Vec<(&str, &WebhookClientConfig)>;
}

impl Registration for MutatingWebhookConfiguration {
    fn called(&self) -> Vec<(&str, &WebhookClientConfig)> {
        let webhooks = self.webhooks.iter().flatten();
        webhooks
            .map(|webhook| (webhook.name.as_str(), &webhook.client_config))
            .collect()
    }
}

impl Registration for ValidatingWebhookConfiguration {
    fn called(&self) -> Vec<(&str, &WebhookClientConfig)> {
        let webhooks = self.webhooks.iter().flatten();
        webhooks
            .map(|webhook| (webhook.name.as_str(), &webhook.client_config))
            .collect()
    }
}

/// Reads a registration; `None` where there is none.
pub async fn registration<R: Registration>(client: &Client, name: &str) -> Result<Option<R>, ClusterError> {
    Api::<R>::all(client.clone())
        .get_opt(name)
        .await
        .map_err(|error| ClusterError::new(format!("read the {} {name}", kind::<R>()), error))
}

/// Writes the caBundle of those webhooks that are ours, where it is another one. True where something was written.
///
/// By server-side apply under a manager of its own, so that whoever applies the registration without a caBundle leaves it
/// alone. The object's UID goes with it: where the registration was deleted meanwhile, nothing is created.
pub async fn publish_ca_bundle<R: Registration>(
    client: &Client,
    live: &R,
    is_ours: impl Fn(&WebhookClientConfig) -> bool,
    bundle: &str,
) -> Result<bool, ClusterError> {
    let wanted = ByteString(bundle.as_bytes().to_vec());
    let mut ours = live.called();
    ours.retain(|(_, called)| is_ours(called));
    if ours
        .iter()
        .all(|(_, called)| called.ca_bundle.as_ref() == Some(&wanted))
    {
        return Ok(false);
    }
    let metadata = live.meta();
    let name = metadata.name.clone().unwrap_or_default();
    let webhooks: Vec<_> = ours
        .iter()
        .map(|(name, _)| json!({ "name": name, "clientConfig": { "caBundle": wanted } }))
        .collect();
    let apply = json!({
        "apiVersion": <R as k8s_openapi::Resource>::API_VERSION,
        "kind": kind::<R>(),
        "metadata": { "name": name, "uid": metadata.uid },
        "webhooks": webhooks,
    });
    Api::<R>::all(client.clone())
        .patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&apply))
        .await
        .map(|_| true)
        .map_err(|error| ClusterError::new(format!("write the caBundle of the {} {name}", kind::<R>()), error))
}

fn kind<R: Registration>() -> &'static str {
    <R as k8s_openapi::Resource>::KIND
}
