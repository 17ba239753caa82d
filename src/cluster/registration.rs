//! The registration as the API server has it, and its caBundle.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
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

/// Writes the caBundle of those webhooks that are ours, where it is another one. True where something was written.
///
/// By server-side apply under a manager of its own, so that whoever applies the registration without a caBundle leaves it
/// alone. The object's UID goes with it: where the registration was deleted meanwhile, nothing is created.
pub async fn publish_ca_bundle(
    client: &Client,
    live: &MutatingWebhookConfiguration,
    is_ours: impl Fn(&MutatingWebhook) -> bool,
    bundle: &str,
) -> Result<bool, ClusterError> {
    let wanted = ByteString(bundle.as_bytes().to_vec());
    let ours: Vec<&MutatingWebhook> = live
        .webhooks
        .iter()
        .flatten()
        .filter(|webhook| is_ours(webhook))
        .collect();
    if ours
        .iter()
        .all(|webhook| webhook.client_config.ca_bundle.as_ref() == Some(&wanted))
    {
        return Ok(false);
    }
    let name = live.metadata.name.clone().unwrap_or_default();
    let webhooks: Vec<_> = ours
        .iter()
        .map(|webhook| json!({ "name": webhook.name, "clientConfig": { "caBundle": wanted } }))
        .collect();
    let apply = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": name, "uid": live.metadata.uid },
        "webhooks": webhooks,
    });
    Api::<MutatingWebhookConfiguration>::all(client.clone())
        .patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&apply))
        .await
        .map(|_| true)
        .map_err(|error| {
            ClusterError::new(
                format!("write the caBundle of the MutatingWebhookConfiguration {name}"),
                error,
            )
        })
}
