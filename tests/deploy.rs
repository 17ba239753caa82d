//! Holds the manifests in `deploy/` against the Kubernetes API, the default policy and each other.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read files, and a failure should stop them"
)]

use std::fs;
use std::path::Path;

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Container, Namespace, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use label_router::policy::{self, PolicyText};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const NAMESPACE: &str = "label-router";

#[test]
fn every_manifest_is_one_that_kubernetes_knows() {
    the::<Namespace>("namespace.yaml");
    the::<ConfigMap>("configmap.yaml");
    the::<Deployment>("deployment.yaml");
    the::<PodDisruptionBudget>("poddisruptionbudget.yaml");
    the::<Service>("service.yaml");
    the::<MutatingWebhookConfiguration>("webhook.yaml");
    let example = documents("example-statefulset.yaml");
    typed::<StatefulSet>("example-statefulset.yaml", &example[0]);
    typed::<Service>("example-statefulset.yaml", &example[1]);
}

#[test]
fn the_config_map_holds_the_default_policy() {
    let map = the::<ConfigMap>("configmap.yaml");
    let data = map.data.unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["policy.yaml"]);
    assert!(
        data["policy.yaml"] == policy::DEFAULT,
        "deploy/configmap.yaml holds another policy than src/policy/default.yaml; copy it, with four spaces before each line"
    );
    let manifest = PolicyText {
        file: "deploy/configmap.yaml".to_owned(),
        text: read("configmap.yaml"),
    };
    let compiled = policy::load(&[manifest]).unwrap_or_else(|problems| panic!("\n{problems}\n"));
    assert!(compiled.warnings.is_empty(), "\n{}\n", compiled.warnings);
}

#[test]
fn the_registration_asks_about_what_the_policy_gates() {
    let webhook = webhook();
    let gate = serde_yaml::from_str::<Value>(policy::DEFAULT).unwrap()["gate"].clone();
    let selected = webhook.object_selector.unwrap().match_labels.unwrap();
    let selected: Vec<(&str, &str)> = selected
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        selected,
        [(gate["label"].as_str().unwrap(), gate["value"].as_str().unwrap())]
    );

    let [rule] = webhook.rules.unwrap().try_into().unwrap();
    assert_eq!(
        rule.operations.unwrap(),
        ["CREATE"],
        "where a Pod runs cannot be changed later"
    );
    assert_eq!(rule.resources.unwrap(), ["pods"]);
    assert_eq!(rule.api_groups.unwrap(), [""]);
    assert_eq!(rule.api_versions.unwrap(), ["v1"]);
}

#[test]
fn the_registration_is_one_that_the_api_server_takes() {
    let webhook = webhook();
    assert!(
        webhook.name.split('.').count() >= 3,
        "{} has too few segments",
        webhook.name
    );
    assert_eq!(webhook.failure_policy.as_deref(), Some("Fail"));
    assert_eq!(webhook.reinvocation_policy.as_deref(), Some("IfNeeded"));
    assert_eq!(webhook.match_policy.as_deref(), Some("Equivalent"));
    assert_eq!(webhook.side_effects, "NoneOnDryRun");
    assert_eq!(webhook.timeout_seconds, Some(3));
    assert_eq!(webhook.admission_review_versions, ["v1"]);
    assert_eq!(
        webhook.client_config.ca_bundle, None,
        "applying the file again would take away what stands there"
    );

    let [namespaces] = webhook
        .namespace_selector
        .unwrap()
        .match_expressions
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(
        (namespaces.key.as_str(), namespaces.operator.as_str()),
        ("kubernetes.io/metadata.name", "NotIn")
    );
    assert_eq!(namespaces.values.unwrap(), ["kube-system", NAMESPACE]);
}

/// From the API server to the process.
#[test]
fn the_ports_lead_to_the_server() {
    let called = webhook().client_config.service.unwrap();
    let service = the::<Service>("service.yaml");
    assert_eq!(Some(&called.name), service.metadata.name.as_ref());
    assert_eq!(Some(&called.namespace), service.metadata.namespace.as_ref());
    assert_eq!(called.path.as_deref(), Some("/mutate"));
    let service = service.spec.unwrap();
    let [port] = service.ports.unwrap().try_into().unwrap();
    assert_eq!(called.port, Some(port.port));
    let deployment = the::<Deployment>("deployment.yaml").spec;
    let labels = deployment.template.metadata.unwrap().labels;
    assert_eq!(service.selector, labels);
    assert_eq!(deployment.selector.match_labels, labels);
    assert_eq!(
        the::<PodDisruptionBudget>("poddisruptionbudget.yaml")
            .spec
            .unwrap()
            .selector
            .unwrap()
            .match_labels,
        labels
    );

    let container = container();
    let number = |name: &str| {
        let ports = container.ports.iter().flatten();
        ports
            .filter(|port| port.name.as_deref() == Some(name))
            .map(|port| port.container_port)
            .next()
    };
    let Some(IntOrString::String(target)) = &port.target_port else {
        panic!("the Service's targetPort is no name: {:?}", port.target_port);
    };
    assert_eq!(number(target), Some(8443));
    assert_eq!(number("ops"), Some(8080));
    for (probe, path) in [
        (&container.liveness_probe, "/healthz"),
        (&container.readiness_probe, "/readyz"),
    ] {
        let get = probe.as_ref().unwrap().http_get.as_ref().unwrap();
        assert_eq!(
            (get.path.as_deref(), &get.port),
            (Some(path), &IntOrString::String("ops".to_owned()))
        );
    }
}

#[test]
fn what_the_server_reads_is_mounted() {
    let spec = the::<Deployment>("deployment.yaml").spec.template.spec.unwrap();
    let volumes = spec.volumes.unwrap();
    let container = container();
    let mounts = container.volume_mounts.unwrap();
    let volume = |path: &str| {
        let mount = mounts
            .iter()
            .find(|mount| path.starts_with(&format!("{}/", mount.mount_path)))
            .unwrap();
        assert_eq!(mount.sub_path, None, "what is mounted by subPath never changes");
        volumes.iter().find(|volume| volume.name == mount.name).unwrap()
    };
    let argument = |name: &str| {
        let mut arguments = container.args.iter().flatten();
        arguments
            .find_map(|argument| argument.strip_prefix(name))
            .unwrap()
            .to_owned()
    };
    let map = volume(&format!("{}/", argument("--policy=")))
        .config_map
        .as_ref()
        .unwrap();
    assert_eq!(
        Some(&map.name),
        the::<ConfigMap>("configmap.yaml").metadata.name.as_ref()
    );
    for (flag, key) in [("--tls-cert=", "tls.crt"), ("--tls-key=", "tls.key")] {
        let path = argument(flag);
        let secret = volume(&path).secret.as_ref().unwrap();
        assert_eq!(secret.secret_name.as_deref(), Some("label-router-tls"));
        assert!(path.ends_with(key), "a Secret of type kubernetes.io/tls has no {path}");
    }
    let sinks = serde_yaml::from_str::<Value>(policy::DEFAULT).unwrap()["sinks"].clone();
    let secret = volume(sinks[0]["secret"]["file"].as_str().unwrap())
        .secret
        .as_ref()
        .unwrap();
    assert_eq!(secret.optional, Some(true), "the default policy runs without a robot");
    let variable = sinks[0]["url"]["env"].as_str().unwrap();
    assert!(
        container.env.iter().flatten().any(|env| env.name == variable),
        "no variable {variable}"
    );
}

#[test]
fn the_server_may_do_little() {
    let spec = the::<Deployment>("deployment.yaml").spec;
    assert_eq!(spec.replicas, Some(2));
    let pod = spec.template.spec.unwrap();
    assert_eq!(
        pod.enable_service_links,
        Some(false),
        "a Service named label-router sets LABEL_ROUTER_PORT"
    );
    let context = pod.security_context.unwrap();
    assert_eq!(context.run_as_non_root, Some(true));
    assert_eq!(context.seccomp_profile.unwrap().type_, "RuntimeDefault");
    let container = container();
    assert!(container.resources.unwrap().requests.is_some());
    let context = container.security_context.unwrap();
    assert_eq!(context.read_only_root_filesystem, Some(true));
    assert_eq!(context.allow_privilege_escalation, Some(false));
    assert_eq!(context.capabilities.unwrap().drop.unwrap(), ["ALL"]);
}

#[test]
fn everything_is_in_one_namespace() {
    assert_eq!(
        the::<Namespace>("namespace.yaml").metadata.name.as_deref(),
        Some(NAMESPACE)
    );
    for file in [
        "configmap.yaml",
        "deployment.yaml",
        "poddisruptionbudget.yaml",
        "service.yaml",
        "cert-manager/certificate.yaml",
    ] {
        for document in documents(file) {
            assert_eq!(document["metadata"]["namespace"], NAMESPACE, "{file}");
        }
    }
}

#[test]
fn the_certificate_is_for_the_name_that_is_called() {
    let called = webhook().client_config.service.unwrap();
    let name = format!("{}.{}.svc", called.name, called.namespace);
    let certificates = documents("cert-manager/certificate.yaml");
    let serving = certificates
        .iter()
        .find(|document| document["spec"]["secretName"] == "label-router-tls")
        .unwrap();
    assert_eq!(serving["spec"]["dnsNames"], serde_json::json!([name]));
    assert!(read("README.md").contains(&format!("subjectAltName=DNS:{name}")));
}

fn webhook() -> MutatingWebhook {
    let [webhook] = the::<MutatingWebhookConfiguration>("webhook.yaml")
        .webhooks
        .unwrap()
        .try_into()
        .unwrap();
    webhook
}

fn container() -> Container {
    let pod = the::<Deployment>("deployment.yaml").spec.template.spec.unwrap();
    let [container] = pod.containers.try_into().unwrap();
    container
}

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn documents(file: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(&read(file))
        .map(|document| Value::deserialize(document).unwrap_or_else(|error| panic!("{file}: {error}")))
        .collect()
}

/// The one object of a manifest.
fn the<T: DeserializeOwned + serde::Serialize>(file: &str) -> T {
    let [document] = documents(file).try_into().unwrap();
    typed(file, &document)
}

/// An object of the Kubernetes API. Its types skip what they do not know, so what they kept must be all that was written.
fn typed<T: DeserializeOwned + serde::Serialize>(file: &str, document: &Value) -> T {
    let typed: T = serde_json::from_value(document.clone()).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!(
        &serde_json::to_value(&typed).unwrap(),
        document,
        "{file} holds a field that Kubernetes does not know"
    );
    typed
}
