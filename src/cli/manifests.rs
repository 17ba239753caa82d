//! `label-router manifests`: what is applied to a cluster, for a policy of one's own.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Exit;
use crate::admission::registration::{Endpoint, SCALES, gaps, registration, validation};
use crate::notice::sinks::Settings;
use crate::policy::{self, PolicyText};
use crate::serve::{Policy, PolicyError};
use crate::source::{self, SourceText};

/// All that is installed, for the default policy in the namespace label-router.
const INSTALL: &str = include_str!("../../deploy/install.yaml");

/// The rights that a sink of type `event` takes.
const EVENTS: &str = include_str!("../../deploy/components/events/rbac.yaml");

const MUTATING: &str = "MutatingWebhookConfiguration";
const VALIDATING: &str = "ValidatingWebhookConfiguration";
const REGISTRATIONS: [&str; 2] = [MUTATING, VALIDATING];

/// The name of the ClusterRole, and its binding, that workloads are read by.
const SCALE_RIGHTS: &str = "label-router-scale";

/// Print what installs label-router for a policy, with the registration derived from its rules
///
/// Certificates are self-managed. Apply it with kubectl: label-router manifests --policy my.yaml | kubectl apply -f -
#[derive(Debug, Args)]
pub(super) struct Manifests {
    /// Files and directories of the policy; the default policy without it
    #[arg(long, value_name = "PATH")]
    policy: Vec<PathBuf>,
    /// The namespace to install into
    #[arg(short, long, default_value_t = Endpoint::default().namespace)]
    namespace: String,
    /// The image of label-router
    #[arg(long, value_name = "IMAGE", default_value = concat!("label-router:", env!("CARGO_PKG_VERSION")))]
    image: String,
    /// How many replicas run
    #[arg(long, default_value_t = 2)]
    replicas: u32,
    /// Leave out kubectl scale and autoscalers, and the right to read StatefulSets and Deployments that looking at them takes
    #[arg(long)]
    no_scale: bool,
    /// Only a part: what changes when the policy does, or the registration alone
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// The form of the manifests
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The ConfigMap, the registrations, and where a sink writes Events the right to that
    Policy,
    /// The registrations
    Registration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// YAML documents
    #[default]
    Yaml,
    /// One JSON list
    Json,
}

impl Manifests {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let texts = if self.policy.is_empty() {
            vec![SourceText {
                name: "policy.yaml".to_owned(),
                text: policy::DEFAULT.to_owned(),
            }]
        } else {
            source::policy_files(&self.policy)?
        };
        let compiled = match Policy::compile(texts.clone()) {
            Ok(policy) => policy.compiled,
            Err(PolicyError::Wrong(diagnostics)) => {
                eprintln!("{diagnostics}\n\nerror: the policy is wrong, so that there is nothing to install");
                return Ok(Exit::Wrong);
            }
            Err(error @ PolicyError::Source(_)) => return Err(error.into()),
        };
        if !compiled.warnings.is_empty() {
            eprintln!("{}", compiled.warnings);
        }
        let endpoint = Endpoint {
            namespace: self.namespace.clone(),
            ..Endpoint::default()
        };
        let registration = registration(&compiled.snapshot, &endpoint);
        for gap in gaps(&registration, &compiled.snapshot, &endpoint) {
            eprintln!("warning: {gap}");
        }
        let registration = serde_json::to_value(registration)?;
        let mut validation = validation(&compiled.snapshot, &endpoint);
        if let Some(webhooks) = validation.webhooks.as_mut().filter(|_| self.no_scale) {
            webhooks.retain(|webhook| !webhook.name.starts_with(SCALES));
        }
        let validation = serde_json::to_value(validation)?;
        let mut manifests = Vec::new();
        let tells_events = compiled
            .sinks
            .iter()
            .any(|sink| matches!(sink.settings, Settings::Event(_)));
        let texts_of = [Some(INSTALL), tells_events.then_some(EVENTS)];
        let documents = texts_of
            .into_iter()
            .flatten()
            .flat_map(serde_yaml::Deserializer::from_str);
        for document in documents {
            let mut manifest = Value::deserialize(document).context("the embedded manifests cannot be read")?;
            let kind = manifest["kind"].as_str().unwrap_or_default().to_owned();
            let wanted = match self.only {
                None => true,
                Some(Part::Policy) => {
                    kind == "ConfigMap" || REGISTRATIONS.contains(&kind.as_str()) || is_about_events(&manifest)
                }
                Some(Part::Registration) => REGISTRATIONS.contains(&kind.as_str()),
            };
            let left_out = self.no_scale && manifest["metadata"]["name"] == SCALE_RIGHTS;
            if !wanted || left_out {
                continue;
            }
            match kind.as_str() {
                MUTATING => manifest = registration_manifest(MUTATING, &registration),
                VALIDATING => manifest = registration_manifest(VALIDATING, &validation),
                "ConfigMap" => manifest["data"] = json!(keyed(&texts)),
                "Deployment" => {
                    manifest["spec"]["replicas"] = json!(self.replicas);
                    let container = &mut manifest["spec"]["template"]["spec"]["containers"][0];
                    container["image"] = json!(self.image);
                    share_limits(container, self.replicas);
                }
                _ => {}
            }
            move_to(&mut manifest, &kind, &self.namespace);
            manifests.push(manifest);
        }
        match self.output {
            Form::Json => {
                let list = json!({ "apiVersion": "v1", "kind": "List", "items": manifests });
                println!("{}", serde_json::to_string_pretty(&list)?);
            }
            Form::Yaml => {
                let documents = manifests
                    .iter()
                    .map(serde_yaml::to_string)
                    .collect::<Result<Vec<_>, _>>()?;
                print!("{}", documents.join("---\n"));
            }
        }
        Ok(Exit::Fine)
    }
}

/// Has as many replicas share what the vendors of sinks take.
fn share_limits(container: &mut Value, replicas: u32) {
    let variables = container["env"].as_array_mut().into_iter().flatten();
    for variable in variables.filter(|variable| variable["name"] == "LABEL_ROUTER_SINKS_REPLICAS") {
        variable["value"] = json!(replicas.max(1).to_string());
    }
}

/// True for what comes of `EVENTS`.
fn is_about_events(manifest: &Value) -> bool {
    manifest["metadata"]["name"] == "label-router-events"
}

fn registration_manifest(kind: &str, registration: &Value) -> Value {
    let mut manifest = registration.clone();
    manifest["apiVersion"] = json!("admissionregistration.k8s.io/v1");
    manifest["kind"] = json!(kind);
    manifest
}

/// The policies of these texts by the keys that they get in the ConfigMap: the names of their files.
fn keyed(texts: &[SourceText]) -> BTreeMap<String, String> {
    let mut keyed = BTreeMap::new();
    for text in texts {
        let policies = policy::texts(&PolicyText {
            file: text.name.clone(),
            text: text.text.clone(),
        });
        for policy in policies {
            let mut key = key(&text.name);
            // Two directories may hold files of one name, and a ConfigMap several policies.
            while keyed.contains_key(&key) {
                key.insert(0, '_');
            }
            keyed.insert(key, policy);
        }
    }
    keyed
}

/// A file's name as the key of a ConfigMap, which has letters, digits and `-._`.
fn key(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    let mut key: String = name
        .chars()
        .map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' => character,
            _ => '-',
        })
        .collect();
    if !source::is_yaml(&key) {
        key.push_str(".yaml");
    }
    key
}

/// Puts a manifest, and what it refers to, into a namespace.
fn move_to(manifest: &mut Value, kind: &str, namespace: &str) {
    match kind {
        "Namespace" => manifest["metadata"]["name"] = json!(namespace),
        "ClusterRole" | "ClusterRoleBinding" | MUTATING | VALIDATING => {}
        _ => manifest["metadata"]["namespace"] = json!(namespace),
    }
    let subjects = manifest.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten() {
        subject["namespace"] = json!(namespace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_becomes_a_key() {
        assert_eq!(key("policies/my zones.yaml"), "my-zones.yaml");
        assert_eq!(key("<default policy>"), "-default-policy-.yaml");
    }
}
