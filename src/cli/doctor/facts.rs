//! What there is in the cluster, read once. What could not be read is kept as that.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::Doctor;
use super::finding::{Seen, Unseen};
use super::webhook::Probe;
use super::{rights, rules, webhook};
use crate::admission::registration::Endpoint;
use crate::cluster::{self, Client, ClusterError, Right, StoredSecret};
use crate::notice::sinks::Settings;
use crate::policy::{self, Compiled, Diagnostics, PolicyText};
use crate::source;

/// So long the API server may take for its first answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// So long one replica may take to say what it serves.
const REPLICA_PATIENCE: Duration = Duration::from_secs(5);

/// Where a replica says what it serves, unless a port of its container is called `ops`.
const OPS_PORT: i32 = 8080;

/// The name of the ServiceAccount that `deploy/` makes.
const ACCOUNT: &str = "label-router";

/// Everything that is judged.
pub(super) struct Facts {
    pub(super) now: SystemTime,
    pub(super) endpoint: Endpoint,
    /// `namespace/name`
    pub(super) secret: String,
    /// The ConfigMap of the policy.
    pub(super) configmap: String,
    /// The files that are judged by, where some are named.
    pub(super) files: Vec<PathBuf>,
    pub(super) version: Seen<String>,
    pub(super) policy: PolicySeen,
    pub(super) registration: Seen<Option<MutatingWebhookConfiguration>>,
    pub(super) certificates: Seen<Option<Certificates>>,
    pub(super) service: Seen<Option<Service>>,
    pub(super) slices: Seen<Vec<EndpointSlice>>,
    /// The Pods behind the Service.
    pub(super) pods: Seen<Vec<Pod>>,
    /// The Deployment behind the Service.
    pub(super) deployment: Option<Deployment>,
    /// None where label-router needs no rights.
    pub(super) rights: Option<Rights>,
    pub(super) replicas: Vec<Replica>,
    pub(super) probe: Probe,
    pub(super) workloads: Vec<Value>,
    /// Why some workloads are not among them.
    pub(super) unlisted: Vec<Unseen>,
    /// Live Pods that carry the gating label of a rule that no workload's Pods come to.
    pub(super) gated_pods: Vec<Value>,
}

/// The policy, as far as it could be read.
pub(super) enum PolicySeen {
    Loaded { compiled: Box<Compiled>, origin: String },
    Wrong { diagnostics: Diagnostics },
    Absent { origin: String },
    Unseen(Unseen),
}

/// What of a Secret anybody may know.
#[derive(Clone, Debug)]
pub(super) struct Certificates {
    /// The serving certificate, as PEM.
    pub(super) serving: String,
    /// The CA beside it, as PEM.
    pub(super) authority: Option<String>,
    pub(super) keeper: Keeper,
}

/// Who renews a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeper {
    LabelRouter,
    CertManager,
    Somebody,
}

/// What label-router's user may do.
pub(super) struct Rights {
    pub(super) user: String,
    /// Those to keep its certificates, where it makes them.
    pub(super) granted: Vec<(Right, Seen<bool>)>,
    /// Those to read workloads that are scaled, where it is asked about them.
    pub(super) scaled: Vec<(Right, Seen<bool>)>,
}

/// One replica.
pub(super) struct Replica {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) said: Seen<Said>,
}

/// What a replica says of itself.
#[derive(Debug, Deserialize)]
pub(super) struct Said {
    pub(super) version: String,
    pub(super) generation: String,
    /// Why it does not serve the policy that lies there now, as `/config` has it.
    #[serde(default)]
    refused: Value,
}

impl Said {
    /// Why it does not serve the policy that lies there now.
    pub(super) fn refused(&self) -> Option<&str> {
        let why = [&self.refused["error"], &self.refused["diagnostics"][0]["message"]];
        why.into_iter().find_map(Value::as_str)
    }
}

impl Facts {
    /// Reads everything. An error where the API server cannot be reached, or a file of the policy cannot be read.
    pub(super) async fn gather(asked: &Doctor) -> anyhow::Result<Self> {
        let files = files(asked)?;
        let client = cluster::client().await?;
        let version = match timeout(PATIENCE, cluster::version(&client)).await {
            Ok(Ok(version)) => Ok(version),
            Ok(Err(error)) if error.is_forbidden() => Err(error.into()),
            Ok(Err(error)) => bail!("{error}"),
            Err(_) => bail!("the API server gives no answer within {} seconds", PATIENCE.as_secs()),
        };
        let endpoint = Endpoint {
            registration: asked.registration.clone(),
            namespace: asked.namespace.clone(),
            service: asked.service.clone(),
            ..Endpoint::default()
        };
        let namespace = asked.namespace.as_str();
        let (policy, registration, secret, service, slices, deployments, namespaces, (workloads, unlisted)) = tokio::join!(
            policy(&client, asked, files),
            cluster::registration(&client, &asked.registration),
            cluster::secret(&client, namespace, &asked.secret),
            cluster::service(&client, namespace, &asked.service),
            cluster::endpoint_slices(&client, namespace, &asked.service),
            cluster::deployments(&client, namespace),
            cluster::namespaces(&client),
            workloads(&client),
        );
        let certificates: Seen<Option<Certificates>> = seen(secret.map(|secret| secret.as_ref().map(certificates)));
        let service = seen(service);
        let selector = service.as_ref().ok().and_then(Option::as_ref).and_then(selector);
        let pods = match &selector {
            Some(selector) => seen(cluster::pods_in(&client, namespace, selector).await),
            None => Ok(Vec::new()),
        };
        let deployment = deployments.unwrap_or_default().into_iter().find(|deployment| {
            selector
                .as_ref()
                .is_some_and(|selector| is_behind(deployment, selector))
        });
        let mut facts = Self {
            now: SystemTime::now(),
            secret: format!("{namespace}/{}", asked.secret),
            configmap: asked.configmap.clone(),
            files: asked.policy.clone(),
            endpoint,
            version,
            policy,
            registration: seen(registration),
            certificates,
            service,
            slices: seen(slices),
            replicas: replicas(&client, namespace, pods.as_deref().unwrap_or_default()).await,
            pods,
            deployment,
            rights: None,
            probe: Probe::Needless,
            workloads,
            unlisted,
            gated_pods: Vec::new(),
        };
        facts.rights = facts.ask_rights(&client, &asked.secret).await;
        facts.probe = facts.try_call(&client, namespaces).await;
        facts.look_at_pods(&client).await;
        Ok(facts)
    }

    /// The webhooks of the registration that call the Service.
    pub(super) fn our_webhooks(&self) -> Vec<&MutatingWebhook> {
        let live = self.registration.as_ref().ok().and_then(Option::as_ref);
        live.iter()
            .flat_map(|live| live.webhooks.iter().flatten())
            .filter(|webhook| self.endpoint.is_called_by(&webhook.client_config))
            .collect()
    }

    /// The policy, where there is one that loads.
    pub(super) fn compiled(&self) -> Option<&Compiled> {
        match &self.policy {
            PolicySeen::Loaded { compiled, .. } => Some(compiled),
            _ => None,
        }
    }

    /// The Deployment, as kubectl takes it.
    pub(super) fn deployment(&self) -> String {
        let name = self
            .deployment
            .as_ref()
            .and_then(|found| found.metadata.name.as_deref());
        format!("deployment/{}", name.unwrap_or(&self.endpoint.service))
    }

    async fn ask_rights(&self, client: &Client, secret: &str) -> Option<Rights> {
        let certificates = self.certificates.as_ref().ok().and_then(Option::as_ref);
        let keeps = certificates.is_some_and(|certificates| certificates.keeper == Keeper::LabelRouter);
        let scales = self.is_asked_about_scaled(client).await;
        if !keeps && !scales {
            return None;
        }
        let template = self
            .deployment
            .as_ref()
            .and_then(|found| found.spec.template.spec.as_ref());
        let pod = || self.pods.as_ref().ok()?.first()?.spec.as_ref();
        let account = template.or_else(pod).map_or(ACCOUNT, |spec| {
            spec.service_account_name.as_deref().unwrap_or("default")
        });
        let user = format!("system:serviceaccount:{}:{account}", self.endpoint.namespace);
        let ask = async |needed: bool, rights: Vec<Right>| {
            let mut granted = Vec::new();
            for right in rights.into_iter().filter(|_| needed) {
                let may = seen(cluster::may(client, &user, &right).await);
                granted.push((right, may));
            }
            granted
        };
        let mut sinks = self.compiled().into_iter().flat_map(|compiled| &compiled.sinks);
        let events = sinks.any(|sink| matches!(sink.settings, Settings::Event(_)));
        Some(Rights {
            granted: ask(keeps, rights::needed(&self.endpoint, secret, events)).await,
            scaled: ask(scales, rights::to_read_scaled()).await,
            user,
        })
    }

    /// Whether the API server asks label-router about workloads that are scaled.
    async fn is_asked_about_scaled(&self, client: &Client) -> bool {
        let name = &self.endpoint.registration;
        let Ok(Some(live)) = cluster::registration::<ValidatingWebhookConfiguration>(client, name).await else {
            return false;
        };
        let mut webhooks = live.webhooks.into_iter().flatten();
        webhooks.any(|webhook| {
            let mut resources = webhook
                .rules
                .iter()
                .flatten()
                .flat_map(|rule| rule.resources.iter().flatten());
            self.endpoint.is_called_by(&webhook.client_config) && resources.any(|resource| resource.ends_with("/scale"))
        })
    }

    /// Has the API server call label-router.
    async fn try_call(&self, client: &Client, namespaces: Result<Vec<Namespace>, ClusterError>) -> Probe {
        let webhooks = self.our_webhooks();
        let Some(compiled) = self.compiled().filter(|_| !webhooks.is_empty()) else {
            return Probe::Needless;
        };
        // Whoever may not list them knows that there is this one.
        let namespaces = namespaces.unwrap_or_else(|_| {
            let mut namespace = Namespace::default();
            namespace.metadata.name = Some("default".to_owned());
            vec![namespace]
        });
        let Some(plan) = webhook::plan(&compiled.snapshot, &webhooks, &namespaces) else {
            return Probe::NoPod;
        };
        let answer = cluster::try_pod(client, &plan.namespace, &plan.pod).await;
        Probe::Tried {
            plan: Box::new(plan),
            answer: answer.map_err(|error| error.cause()),
        }
    }

    async fn look_at_pods(&mut self, client: &Client) {
        let Some(compiled) = self.compiled() else { return };
        for selector in rules::gates_of_unreached(&compiled.snapshot, &self.workloads) {
            match cluster::labelled_pods(client, &selector).await {
                Ok(pods) => self.gated_pods.extend(pods),
                Err(error) => self.unlisted.push(error.into()),
            }
        }
    }
}

fn seen<T>(read: Result<T, ClusterError>) -> Seen<T> {
    read.map_err(Unseen::from)
}

/// The files that are judged by, where some are named.
fn files(asked: &Doctor) -> anyhow::Result<Option<Vec<PolicyText>>> {
    if asked.policy.is_empty() {
        return Ok(None);
    }
    let texts = source::policy_files(&asked.policy).context("the policy cannot be loaded")?;
    let texts = texts.into_iter().map(|text| PolicyText {
        file: text.name,
        text: text.text,
    });
    Ok(Some(texts.collect()))
}

async fn policy(client: &Client, asked: &Doctor, files: Option<Vec<PolicyText>>) -> PolicySeen {
    if let Some(texts) = files {
        let names: Vec<&str> = texts.iter().map(|text| text.file.as_str()).collect();
        let origin = names.join(", ");
        return load(&texts, origin);
    }
    let origin = format!("ConfigMap {}/{}", asked.namespace, asked.configmap);
    match cluster::config_map(client, &asked.namespace, &asked.configmap).await {
        Err(error) => PolicySeen::Unseen(error.into()),
        Ok(None) => PolicySeen::Absent { origin },
        Ok(Some(data)) => load(&texts(&origin, data), origin),
    }
}

/// The policies of a ConfigMap: those values that a mounted directory would be read for.
fn texts(origin: &str, data: BTreeMap<String, String>) -> Vec<PolicyText> {
    data.into_iter()
        .filter(|(key, _)| {
            let extension = std::path::Path::new(key).extension();
            extension.is_some_and(|extension| extension == "yaml" || extension == "yml")
        })
        .map(|(key, text)| PolicyText {
            file: format!("{origin}: {key}"),
            text,
        })
        .collect()
}

fn load(texts: &[PolicyText], origin: String) -> PolicySeen {
    match policy::load(texts) {
        Ok(compiled) => PolicySeen::Loaded {
            compiled: Box::new(compiled),
            origin,
        },
        Err(diagnostics) => PolicySeen::Wrong { diagnostics },
    }
}

fn certificates(secret: &StoredSecret) -> Certificates {
    let text = |key: &str| {
        let value = secret.data.get(key)?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    let keeper = if secret.data.contains_key("ca.key") {
        Keeper::LabelRouter
    } else if secret.annotations.keys().any(|key| key.starts_with("cert-manager.io/")) {
        Keeper::CertManager
    } else {
        Keeper::Somebody
    };
    Certificates {
        // The second is how the Secret of the overlay sts-webhook calls it.
        serving: text("tls.crt").or_else(|| text("cert.pem")).unwrap_or_default(),
        authority: text("ca.crt"),
        keeper,
    }
}

fn selector(service: &Service) -> Option<BTreeMap<String, String>> {
    let selector = service.spec.as_ref()?.selector.clone()?;
    (!selector.is_empty()).then_some(selector)
}

fn is_behind(deployment: &Deployment, selector: &BTreeMap<String, String>) -> bool {
    let metadata = deployment.spec.template.metadata.as_ref();
    let labels = metadata.and_then(|metadata| metadata.labels.as_ref());
    labels.is_some_and(|labels| selector.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

/// Every workload that lives, and why some could not be listed.
async fn workloads(client: &Client) -> (Vec<Value>, Vec<Unseen>) {
    let (mut found, mut unlisted) = (Vec::new(), Vec::new());
    for kind in &cluster::WORKLOADS {
        match cluster::workloads(client, kind).await {
            Ok(workloads) => found.extend(workloads.into_iter().filter(|workload| !is_past(workload))),
            Err(error) => unlisted.push(error.into()),
        }
    }
    (found, unlisted)
}

/// A ReplicaSet that a Deployment keeps only to roll back to.
fn is_past(workload: &Value) -> bool {
    workload["kind"] == "ReplicaSet"
        && workload["spec"]["replicas"] == 0
        && workload["metadata"]["ownerReferences"][0]["kind"] == "Deployment"
}

/// What each replica says of itself.
async fn replicas(client: &Client, namespace: &str, pods: &[Pod]) -> Vec<Replica> {
    let mut replicas = Vec::new();
    let living = pods.iter().filter(|pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
    });
    for pod in living {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let ports = containers
            .clone()
            .flat_map(|container| container.ports.iter().flatten());
        let mut ports = ports.filter(|port| port.name.as_deref() == Some("ops"));
        let port = ports.next().map(|port| port.container_port);
        let asked = cluster::ask_replica(client, namespace, &name, port.unwrap_or(OPS_PORT), "/config");
        let said = match timeout(REPLICA_PATIENCE, asked).await {
            Ok(Ok(text)) => serde_json::from_str(&text).map_err(|error| Unseen {
                why: format!("its /config is not that of label-router: {error}"),
                forbidden: false,
            }),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Unseen {
                why: format!("it gives no answer within {} seconds", REPLICA_PATIENCE.as_secs()),
                forbidden: false,
            }),
        };
        let image = containers.find_map(|container| container.image.clone());
        replicas.push(Replica {
            name,
            image: image.unwrap_or_default(),
            said,
        });
    }
    replicas
}

#[cfg(test)]
pub(super) mod tests {
    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::{ServicePort, ServiceSpec};
    use serde_json::json;

    use super::*;
    use crate::admission::registration::registration;
    use crate::pki::Authority;

    /// A day in 2026.
    pub(crate) fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 20_600)
    }

    /// A cluster where all is well: two replicas with self-managed certificates and the default policy.
    pub(crate) fn facts() -> Facts {
        let endpoint = Endpoint::default();
        let authority = Authority::make(now()).unwrap();
        let bundle = authority.pair().certificate.clone();
        let serving = authority.issue(&[endpoint.host()], now()).unwrap().certificate;
        let compiled = compiled(policy::DEFAULT);
        let generation = compiled.snapshot.generation().to_owned();
        let mut live = registration(&compiled.snapshot, &endpoint);
        for webhook in live.webhooks.iter_mut().flatten() {
            webhook.client_config.ca_bundle = Some(ByteString(bundle.clone().into_bytes()));
        }
        let replica = |name: &str| Replica {
            name: name.to_owned(),
            image: "label-router:0.1.0".to_owned(),
            said: Ok(Said {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                generation: generation.clone(),
                refused: Value::Null,
            }),
        };
        Facts {
            now: now() + Duration::from_hours(1),
            secret: "label-router/label-router-tls".to_owned(),
            configmap: "label-router-policy".to_owned(),
            files: Vec::new(),
            version: Ok("v1.37.2".to_owned()),
            policy: PolicySeen::Loaded {
                compiled: Box::new(compiled),
                origin: "ConfigMap label-router/label-router-policy".to_owned(),
            },
            registration: Ok(Some(live)),
            certificates: Ok(Some(Certificates {
                serving,
                authority: Some(bundle),
                keeper: Keeper::LabelRouter,
            })),
            service: Ok(Some(Service {
                spec: Some(ServiceSpec {
                    ports: Some(vec![ServicePort {
                        port: 443,
                        ..ServicePort::default()
                    }]),
                    ..ServiceSpec::default()
                }),
                ..Service::default()
            })),
            slices: Ok(slices(&[("a", true), ("b", true)])),
            pods: Ok(vec![Pod::default(), Pod::default()]),
            deployment: None,
            rights: Some(Rights {
                user: "system:serviceaccount:label-router:label-router".to_owned(),
                granted: rights::needed(&endpoint, "label-router-tls", false)
                    .into_iter()
                    .map(|right| (right, Ok(true)))
                    .collect(),
                scaled: rights::to_read_scaled()
                    .into_iter()
                    .map(|right| (right, Ok(true)))
                    .collect(),
            }),
            replicas: vec![replica("label-router-a"), replica("label-router-b")],
            probe: Probe::Needless,
            workloads: Vec::new(),
            unlisted: Vec::new(),
            gated_pods: Vec::new(),
            endpoint,
        }
    }

    fn compiled(text: &str) -> Compiled {
        let text = PolicyText {
            file: "policy.yaml".to_owned(),
            text: text.to_owned(),
        };
        policy::load(&[text]).unwrap()
    }

    /// Another policy, with the registration that it needs.
    pub(crate) fn policy(facts: &mut Facts, text: &str) {
        let compiled = compiled(text);
        facts.registration = Ok(Some(registration(&compiled.snapshot, &facts.endpoint)));
        facts.policy = PolicySeen::Loaded {
            compiled: Box::new(compiled),
            origin: "policy.yaml".to_owned(),
        };
    }

    pub(crate) fn webhook(facts: &mut Facts) -> &mut MutatingWebhook {
        let live = facts.registration.as_mut().unwrap().as_mut().unwrap();
        &mut live.webhooks.as_mut().unwrap()[0]
    }

    pub(crate) fn namespace(name: &str) -> Namespace {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        namespace
    }

    /// One EndpointSlice with these Pods, ready or not.
    pub(crate) fn slices(pods: &[(&str, bool)]) -> Vec<EndpointSlice> {
        let endpoints: Vec<Value> = pods
            .iter()
            .map(|(name, ready)| {
                json!({
                    "addresses": ["10.1.0.1"],
                    "conditions": { "ready": ready },
                    "targetRef": { "kind": "Pod", "name": name },
                })
            })
            .collect();
        let slice = json!({ "addressType": "IPv4", "endpoints": endpoints, "metadata": {} });
        vec![serde_json::from_value(slice).unwrap()]
    }

    #[test]
    fn only_yaml_of_a_configmap_is_a_policy() {
        let data = ["policy.yaml", "README.md", "more.yml"].map(|key| (key.to_owned(), String::new()));
        let texts = texts("ConfigMap a/b", BTreeMap::from(data));
        let names: Vec<&str> = texts.iter().map(|text| text.file.as_str()).collect();
        assert_eq!(names, ["ConfigMap a/b: more.yml", "ConfigMap a/b: policy.yaml"]);
    }

    #[test]
    fn what_a_deployment_keeps_to_roll_back_to_does_not_live() {
        let mut set = json!({
            "kind": "ReplicaSet", "spec": { "replicas": 0 },
            "metadata": { "ownerReferences": [{ "kind": "Deployment" }] },
        });
        assert!(is_past(&set));
        set["spec"]["replicas"] = 1.into();
        assert!(!is_past(&set));
    }
}
