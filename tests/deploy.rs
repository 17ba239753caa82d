//! Holds `deploy/` against the Kubernetes API, the default policy and itself. What is a file is read as it is; what kustomize
//! and Helm make of the files needs them, and is checked by `just deploy-test`.
//!
//! `tests/deploy/render` lists every overlay and every set of values for the chart, and prints what comes of one.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read files, and a failure should stop them"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use k8s_openapi::Resource;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, Namespace, PodSpec, ResourceQuota, Service, ServiceAccount, Volume,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use label_router::admission::registration::{Endpoint, POLICY_LABEL, validation};
use label_router::policy::{self, PolicyText};
use label_router::serve::Settings;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[test]
fn the_base_holds_together() {
    let base = Manifests::base();
    base.hold_together();
    assert_eq!(base.namespace(), "label-router");
    let webhook = base.webhook();
    assert_eq!(webhook.failure_policy.as_deref(), Some("Fail"));
    assert_eq!(webhook.timeout_seconds, Some(3));
    assert_eq!(base.deployment().spec.replicas, Some(2));
    let namespace: Namespace = base.the();
    let labels = namespace.metadata.labels.unwrap();
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    assert!(!base.self_managed(), "the base has no rights");
}

#[test]
fn the_base_has_every_file_beside_it() {
    let mut files: BTreeSet<String> = names_in("deploy/base");
    files.remove("kustomization.yaml");
    let listed = yaml("deploy/base/kustomization.yaml")["resources"].clone();
    assert_eq!(serde_json::from_value::<BTreeSet<String>>(listed).unwrap(), files);
}

#[test]
fn the_config_map_holds_the_default_policy() {
    let map = Manifests::base().policy_map();
    let data = map.data.unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["policy.yaml"]);
    assert!(
        data["policy.yaml"] == policy::DEFAULT,
        "deploy/base/configmap.yaml holds another policy than src/policy/default.yaml; copy it, with four spaces before each line"
    );
    let file = "deploy/base/configmap.yaml".to_owned();
    let text = read(&file);
    let compiled = policy::load(&[PolicyText { file, text }]).unwrap_or_else(|problems| panic!("\n{problems}\n"));
    assert!(compiled.warnings.is_empty(), "\n{}\n", compiled.warnings);
}

#[test]
fn the_default_policy_finds_what_it_names() {
    let base = Manifests::base();
    let sinks = serde_yaml::from_str::<Value>(policy::DEFAULT).unwrap()["sinks"].clone();
    let secret = base
        .volume_at(sinks[0]["secret"]["file"].as_str().unwrap())
        .secret
        .unwrap();
    assert_eq!(secret.optional, Some(true), "the default policy runs without a robot");
    let variable = sinks[0]["url"]["env"].as_str().unwrap();
    let container = base.container();
    assert!(
        container.env.iter().flatten().any(|env| env.name == variable),
        "no variable {variable}"
    );
}

#[test]
fn the_example_is_one_that_kubernetes_knows_and_the_default_policy_gates() {
    let example = documents(
        "deploy/example-statefulset.yaml",
        &read("deploy/example-statefulset.yaml"),
    );
    let set: StatefulSet = strict("deploy/example-statefulset.yaml", &example[0]);
    strict::<Service>("deploy/example-statefulset.yaml", &example[1]);
    let labels = set.spec.template.metadata.unwrap().labels.unwrap();
    let gate = serde_yaml::from_str::<Value>(policy::DEFAULT).unwrap()["gate"].clone();
    assert_eq!(labels[gate["label"].as_str().unwrap()], gate["value"]);
}

/// No file of an overlay is forgotten, and none is missing.
#[test]
fn the_overlays_name_their_files() {
    for kustomization in kustomizations() {
        let file = format!("{kustomization}/kustomization.yaml");
        let said = yaml(&file);
        let mut files = names_in(&kustomization);
        files.remove("kustomization.yaml");
        // What prometheusrule.yaml is made of, for those who have no Prometheus operator.
        files.remove("rules.yaml");
        let resources = said["resources"].as_array().into_iter().flatten().map(Value::as_str);
        let patches = said["patches"].as_array().into_iter().flatten();
        let patches = patches.map(|patch| patch["path"].as_str());
        let generated = said["configMapGenerator"].as_array().into_iter().flatten();
        let generated = generated
            .flat_map(|map| map["files"].as_array().unwrap())
            .map(Value::as_str);
        for named in resources.chain(patches).chain(generated).flatten() {
            let path = root().join(&kustomization).join(named);
            assert!(path.exists(), "{file}: there is no {named}");
            files.remove(named);
        }
        assert!(files.is_empty(), "{file} does not name {files:?}");
        for image in said["images"].as_array().into_iter().flatten() {
            assert_eq!(image["newTag"], env!("CARGO_PKG_VERSION"), "{file}");
        }
    }
}

#[test]
fn a_certificate_of_its_own_needs_three_objects_by_name() {
    let file = "deploy/overlays/self-managed/rbac.yaml";
    let objects = documents(file, &read(file));
    let rights = Manifests {
        name: file.to_owned(),
        objects,
    };
    rights.are_known();
    let patch = yaml("deploy/overlays/self-managed/deployment.yaml");
    let pod = &patch["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], true);
    let arguments: Vec<String> = serde_json::from_value(pod["containers"][0]["args"].clone()).unwrap();
    let base = Manifests::base();
    assert!(arguments.contains(&"--tls-self-managed".to_owned()));
    assert_eq!(
        argument(&arguments, "--policy="),
        argument(&base.arguments(), "--policy=")
    );
    assert_eq!(
        argument(&arguments, "--tls-service="),
        Some(base.service_name().as_str())
    );
    assert_eq!(
        argument(&arguments, "--tls-registration="),
        Some(base.registration_name().as_str())
    );
    rights.allow_only(
        argument(&arguments, "--tls-secret=").unwrap(),
        &base.registration_name(),
        base.deployment()
            .spec
            .template
            .spec
            .unwrap()
            .service_account_name
            .as_deref(),
    );
}

#[test]
fn the_certificate_is_for_the_name_that_is_called() {
    let base = Manifests::base();
    let file = "deploy/overlays/cert-manager/certificate.yaml";
    let certificates = Manifests {
        name: file.to_owned(),
        objects: documents(file, &read(file)),
    };
    certificates.are_known();
    let secret = base.volume_at("/etc/label-router/tls/tls.crt").secret.unwrap();
    let certificate = certificates.certificate_for(&base.dns_name(), &secret.secret_name.unwrap());
    for file in ["registration.yaml", "validation.yaml"] {
        let patch = yaml(&format!("deploy/overlays/cert-manager/{file}"));
        assert_eq!(
            patch["metadata"]["annotations"]["cert-manager.io/inject-ca-from"],
            format!("{}/{certificate}", base.namespace()),
            "{file}"
        );
    }
    let by_hand = format!("subjectAltName=DNS:{}", base.dns_name());
    assert!(read("deploy/README.md").contains(&by_hand));
}

/// The first replica must start before its Secret is there, which it makes.
#[test]
fn a_certificate_of_its_own_is_not_mounted() {
    let patch = yaml("deploy/overlays/self-managed/deployment.yaml");
    let pod = &patch["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"], json!([{"$patch": "delete", "name": "tls"}]));
    assert_eq!(
        pod["containers"][0]["volumeMounts"],
        json!([{"$patch": "delete", "mountPath": "/etc/label-router/tls"}])
    );
}

#[test]
fn the_chart_serves_the_default_policy_and_this_version() {
    let values = yaml("deploy/chart/label-router/values.yaml");
    assert!(
        values["policy"] == policy::DEFAULT,
        "deploy/chart/label-router/values.yaml holds another policy than src/policy/default.yaml; copy it, with two spaces \
         before each line"
    );
    let chart = yaml("deploy/chart/label-router/Chart.yaml");
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_schema_of_the_values_takes_what_is_right_and_nothing_else() {
    let schema: Value = serde_json::from_str(&read("deploy/chart/label-router/values.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let defaults = yaml("deploy/chart/label-router/values.yaml");
    let right = names_in("tests/deploy/values")
        .into_iter()
        .map(|name| (name.clone(), yaml(&format!("tests/deploy/values/{name}"))));
    for (name, values) in right.chain([("values.yaml".to_owned(), defaults.clone())]) {
        let problems: Vec<String> = validator.iter_errors(&values).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{name}: {problems:?}");
    }
    for wrong in [
        json!({"replica": 2}),
        json!({"certificates": {"mode": "certmanager"}}),
        json!({"certificates": {"secret": "label-router-tls"}}),
        json!({"certificates": {"existingSecret": {"ca": "ca.crt"}}}),
        json!({"policy": {"gate": {}}}),
        json!({"policy": ""}),
        json!({"registration": {"webhookName": "sts-webhook"}}),
        json!({"registration": {"failurePolicy": "fail"}}),
        json!({"registration": {"timeoutSeconds": 60}}),
        json!({"registration": {"objectSelector": {"ab-build-different": "true"}}}),
        json!({"validation": {"workloads": "reject"}}),
        json!({"validation": {"failurePolicy": "Fail"}}),
        json!({"validation": {"scale": "true"}}),
        json!({"policyFrom": "configMap"}),
        json!({"service": {"ports": []}}),
        json!({"image": {"digest": "latest"}}),
        json!({"sinks": {"env": {"no-variable": "key"}}}),
        json!({"sinks": {"events": "yes"}}),
        json!({"monitoring": {"podMonitor": {"interval": 30}}}),
        json!({"monitoring": {"enabled": true}}),
    ] {
        assert!(!validator.is_valid(&wrong), "the schema takes {wrong}");
    }
    let mut untold = Vec::new();
    untold_values(&schema, &defaults, "", &mut untold);
    assert!(untold.is_empty(), "values.yaml leaves out {untold:?}");
}

/// Outside a cluster the same is asked, of another address.
#[test]
fn the_registration_outside_asks_the_same() {
    let file = "deploy/outside/registration.yaml";
    let outside = Manifests {
        name: file.to_owned(),
        objects: documents(file, &read(file)),
    };
    outside.are_known();
    let workloads = |manifests: &Manifests| {
        let validation: ValidatingWebhookConfiguration = manifests.the();
        let mut webhook = validation.webhooks.unwrap().pop().unwrap();
        assert_eq!(webhook.client_config.ca_bundle, None);
        // Its address, and a Pod of label-router's that would have to be left out, are what differs.
        webhook.name.clear();
        webhook.namespace_selector = None;
        (std::mem::take(&mut webhook.client_config), webhook)
    };
    let ((called, asked), (_, wanted)) = (workloads(&outside), workloads(&Manifests::base()));
    assert!(called.url.unwrap().ends_with("/validate"));
    assert_eq!(asked, wanted);
    let (mut outside, mut base) = (outside.webhook(), Manifests::base().webhook());
    assert_eq!(outside.client_config.ca_bundle, None);
    assert!(outside.client_config.url.unwrap().ends_with("/mutate"));
    outside.client_config = base.client_config.clone();
    // There is no Pod of label-router's that would have to be left out.
    let namespaces = base
        .namespace_selector
        .as_mut()
        .unwrap()
        .match_expressions
        .as_mut()
        .unwrap();
    namespaces[0].values = Some(vec!["kube-system".to_owned()]);
    base.name.clone_from(&outside.name);
    assert_eq!(outside, base);
}

#[test]
fn what_argo_cd_is_told_is_about_the_registration() {
    let application = yaml("docs/snippets/argo-cd.yaml");
    let ignored = application["spec"]["ignoreDifferences"].as_array().unwrap();
    let kinds: Vec<&Value> = ignored.iter().map(|ignored| &ignored["kind"]).collect();
    assert_eq!(
        kinds,
        [MutatingWebhookConfiguration::KIND, ValidatingWebhookConfiguration::KIND]
    );
    for ignored in ignored {
        assert_eq!(ignored["group"], MutatingWebhookConfiguration::GROUP);
        assert_eq!(ignored["name"], Manifests::base().registration_name());
    }
}

#[test]
fn the_image_is_of_this_version_and_built_by_this_compiler() {
    let dockerfile = read("Dockerfile");
    let version = format!("ARG VERSION={}\n", env!("CARGO_PKG_VERSION"));
    assert!(dockerfile.contains(&version), "no {version}");
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = "));
    let compiler = format!(
        "FROM --platform=$BUILDPLATFORM rust:{}-",
        channel.unwrap().trim_matches('"')
    );
    assert!(dockerfile.contains(&compiler), "no {compiler}");
}

/// The build of the image sees what it copies, and no more.
#[test]
fn the_image_is_built_with_the_files_that_the_program_carries() {
    let (dockerfile, seen) = (read("Dockerfile"), read(".dockerignore"));
    let mut found = 0;
    for file in files_below(&root().join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        let included = text.split("include_str!(\"../../deploy/").skip(1);
        for path in included.filter_map(|rest| rest.split('"').next()) {
            let (folder, _) = path
                .rsplit_once('/')
                .map_or(("", path), |(folder, name)| (folder, name));
            let to = format!("deploy/{folder}/").replace("//", "/");
            let copied = format!("COPY deploy/{path} {to}\n");
            assert!(dockerfile.contains(&copied), "no {copied}");
            assert!(seen.lines().any(|line| line == format!("!deploy/{path}")), "{path}");
            found += 1;
        }
    }
    assert!(found >= 2, "{found}");
}

/// The names that the schema knows and the defaults do not show.
fn untold_values(schema: &Value, defaults: &Value, path: &str, untold: &mut Vec<String>) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match defaults.get(name) {
            // Helm's own; objects that are empty unless somebody fills them.
            None if path == ".global" => {}
            None if path.starts_with(".certificates.certManager.issuerRef.") => {}
            None if path.starts_with(".registration.objectSelector.") => {}
            None => untold.push(path),
            Some(value) => untold_values(inner, value, &path, untold),
        }
    }
}

/// Flags that deploy/ uses are flags of the program.
#[cfg(feature = "server")]
#[test]
fn the_flags_exist() {
    let output = Command::new(assert_cmd::cargo::cargo_bin!("label-router"))
        .args(["serve", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let mut found = 0;
    for file in files_below(&root().join("deploy")) {
        let text = fs::read_to_string(&file).unwrap();
        let flags = text.lines().filter_map(|line| line.trim().strip_prefix("- --"));
        for flag in flags {
            let flag = format!("--{}", flag.split('=').next().unwrap());
            assert!(
                help.lines()
                    .any(|line| line.split([' ', '\n']).any(|word| word == flag)),
                "{}: label-router serve takes no {flag}",
                file.display()
            );
            found += 1;
        }
    }
    assert!(found > 5, "{found} flags");
}

#[test]
fn the_command_prints_what_installs_it() {
    let ours = Manifests::printed(&[]);
    ours.hold_together();
    assert_eq!(ours.comparable(), Manifests::install().comparable());
    assert!(ours.self_managed());
}

#[test]
fn the_command_installs_a_policy_of_ones_own_elsewhere() {
    let manifests = Manifests::printed(&[
        "--policy=examples/zones-by-replica/policy.yaml",
        "--namespace=platform",
        "--image=registry.example.com/label-router:1",
        "--replicas=3",
    ]);
    manifests.hold_together();
    assert_eq!(manifests.namespace(), "platform");
    let map = manifests.policy_map();
    let policy = read("examples/zones-by-replica/policy.yaml");
    assert_eq!(map.data.unwrap(), BTreeMap::from([("policy.yaml".to_owned(), policy)]));
    let spec = manifests.deployment().spec;
    assert_eq!(spec.replicas, Some(3));
    let [container] = spec.template.spec.unwrap().containers.try_into().unwrap();
    assert_eq!(container.image.as_deref(), Some("registry.example.com/label-router:1"));
    assert!(!manifests.tells_events());
    let selector = manifests.webhook().namespace_selector.unwrap();
    assert_eq!(
        selector.match_expressions.unwrap()[0].values,
        Some(vec!["kube-system".to_owned(), "platform".to_owned()])
    );
}

/// Without the one right that is for no name.
#[test]
fn the_command_leaves_scaled_workloads_out() {
    let manifests = Manifests::printed(&["--no-scale"]);
    manifests.hold_together();
    assert!(!manifests.reads_workloads());
    assert!(Manifests::printed(&[]).reads_workloads());
}

#[test]
fn a_sink_that_writes_events_is_allowed_to() {
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("policy.yaml");
    fs::copy(root().join("docs/snippets/event.yaml"), &policy).unwrap();
    let events = &format!("--policy={}", policy.display());
    let manifests = Manifests::printed(&[events, "--namespace=platform"]);
    manifests.hold_together();
    assert!(manifests.tells_events());
    let part = Manifests::printed(&[events, "--only=policy"]);
    assert!(
        part.tells_events(),
        "a policy with its first sink for Events needs the right, too"
    );
    assert!(!Manifests::printed(&[events, "--only=registration"]).tells_events());
}

#[test]
fn a_part_of_it_is_what_changes_with_the_policy() {
    let kinds = |only: &str| -> Vec<String> {
        let objects = Manifests::printed(&[only]).objects;
        objects
            .iter()
            .map(|object| object["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    let registrations = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];
    assert_eq!(kinds("--only=registration"), registrations);
    let [mutating, validating] = registrations;
    assert_eq!(kinds("--only=policy"), ["ConfigMap", mutating, validating]);
}

#[test]
#[ignore = "needs kustomize or kubectl: just deploy-test"]
fn the_install_file_is_what_the_overlay_makes() {
    assert_eq!(
        Manifests::install().objects,
        Manifests::rendered("overlays/self-managed").objects,
        "deploy/install.yaml is out of date: just install-yaml"
    );
}

#[test]
#[ignore = "needs kustomize or kubectl, and helm: just deploy-test"]
fn all_that_the_tools_make_holds_together() {
    let ways = ways();
    for (name, namespace) in &ways {
        let manifests = Manifests::rendered(name);
        manifests.hold_together();
        assert_eq!(&manifests.namespace(), namespace, "{name}");
    }
    assert!(ways.len() > 12, "{ways:?}");
}

#[test]
#[ignore = "needs kustomize or kubectl, and helm: just deploy-test"]
fn the_chart_says_what_the_overlays_say() {
    for (chart, kustomization) in [
        ("chart/self-managed", "overlays/self-managed"),
        ("chart/cert-manager", "overlays/cert-manager"),
        ("chart/existing-secret", "base"),
        ("chart/sts-webhook", "overlays/sts-webhook"),
        ("chart/monitored", "kustomizations/monitored"),
        ("chart/follow-self-managed", "kustomizations/follow-self-managed"),
        ("chart/scale-cert-manager", "kustomizations/scale-cert-manager"),
        ("chart/events", "kustomizations/events-self-managed"),
    ] {
        let ours = Manifests::rendered(kustomization).comparable();
        let theirs = Manifests::rendered(chart).comparable();
        assert_eq!(
            ours.keys().collect::<Vec<_>>(),
            theirs.keys().collect::<Vec<_>>(),
            "{kustomization} and {chart}"
        );
        for (object, ours) in ours {
            let theirs = &theirs[&object];
            let only = |these: &str, those: &str| -> String {
                let lines = these.lines().filter(|line| !those.lines().any(|other| other == *line));
                lines.fold(String::new(), |text, line| text + line + "\n")
            };
            assert!(
                ours == *theirs,
                "{object}\nonly in {kustomization}:\n{}only in {chart}:\n{}",
                only(&ours, theirs),
                only(theirs, &ours)
            );
        }
    }
}

#[test]
#[ignore = "needs helm: just deploy-test"]
fn the_chart_carries_values_where_they_belong() {
    let everything = Manifests::rendered("chart/everything");
    let values = yaml("tests/deploy/values/everything.yaml");
    let map = everything.policy_map();
    assert_eq!(
        map.data.unwrap()["policy.yaml"],
        values["policy"],
        "the policy is a template"
    );
    let deployment = serde_json::to_value(everything.deployment()).unwrap();
    let pod = &deployment["spec"]["template"]["spec"];
    for name in ["nodeSelector", "tolerations", "affinity", "priorityClassName"] {
        assert_eq!(pod[name], values[name], "{name}");
    }
    let container = &pod["containers"][0];
    assert_eq!(container["resources"], values["resources"]);
    assert_eq!(container["imagePullPolicy"], "Always");
    let image = container["image"].as_str().unwrap();
    assert!(
        image.starts_with("registry.example.com/platform/label-router@sha256:"),
        "{image}"
    );
    assert_eq!(container["lifecycle"], Value::Null, "the server pauses by itself");
    let variables = container["env"].as_array().unwrap();
    assert!(variables.contains(&values["extraEnv"][0]));
    assert!(
        variables
            .iter()
            .all(|variable| variable["name"] != "LABEL_ROUTER_SHUTDOWN_DELAY")
    );
    assert!(everything.all::<ValidatingWebhookConfiguration>().is_empty());
    assert_eq!(pod["serviceAccountName"], "existing");
    assert!(everything.all::<ServiceAccount>().is_empty());
    assert_eq!(everything.webhook().failure_policy.as_deref(), Some("Ignore"));
    let policy: NetworkPolicy = everything.the();
    let ingress = policy.spec.unwrap().ingress.unwrap();
    let [api_server] = ingress.try_into().unwrap();
    assert_eq!(
        serde_json::to_value(api_server.from).unwrap(),
        values["networkPolicy"]["apiServer"]
    );

    let host = Manifests::rendered("chart/host-network");
    let pod = host.pod();
    assert_eq!(pod.host_network, Some(true));
    assert_eq!(pod.dns_policy.as_deref(), Some("ClusterFirstWithHostNet"));
    assert!(host.all::<NetworkPolicy>().is_empty(), "it would not hold");
    let registration: MutatingWebhookConfiguration = host.the();
    let validation: ValidatingWebhookConfiguration = host.the();
    for metadata in [registration.metadata, validation.metadata] {
        assert_eq!(metadata.labels.unwrap()["admissions.enforcer/disabled"], "true");
    }
    let unplaceable = host.container().env.unwrap().into_iter();
    let unplaceable: Vec<_> = unplaceable
        .filter(|variable| variable.name == "LABEL_ROUTER_WORKLOADS_UNPLACEABLE")
        .map(|variable| variable.value)
        .collect();
    assert_eq!(unplaceable, [Some("refuse".to_owned())]);
    let bundle = host.webhook().client_config.ca_bundle.unwrap();
    assert!(
        String::from_utf8(bundle.0)
            .unwrap()
            .starts_with("-----BEGIN CERTIFICATE-----\n")
    );
}

#[test]
#[ignore = "needs helm: just deploy-test"]
fn helm_finds_nothing_wrong_with_the_chart() {
    for name in names_in("tests/deploy/values") {
        let values = format!("tests/deploy/values/{name}");
        run(Command::new("helm").args([
            "lint",
            "--strict",
            "--quiet",
            "deploy/chart/label-router",
            "--values",
            &values,
        ]));
    }
    for (wrong, told) in [
        ("replica=1", "'replica' not allowed"),
        (
            "policy=rules: [{name: first\\, gate: {label: tier}}]",
            "the rule first has a gate of its own",
        ),
        ("policy=rules: []", "the policy has no gate"),
        ("policy=gate: label: tier", "policy cannot be read"),
        (
            "registration.objectSelector.matchExpressions[0].operator=Equals",
            "there is no operator Equals",
        ),
    ] {
        let output = Command::new("helm")
            .args(["template", "deploy/chart/label-router", "--set", wrong])
            .current_dir(root())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(told), "{wrong}: {error}");
    }
    let mut command = Command::new("helm");
    command.args(["install", "trial", "deploy/chart/label-router", "--dry-run=client"]);
    let said = run(command.args(["--set-file", "policy=docs/snippets/event.yaml"]));
    assert!(
        said.contains("The sink owner writes Events, and has no right to"),
        "{said}"
    );
    // What is said after an installation is a template, too.
    for set in ["self-managed", "existing-secret", "host-network", "everything"] {
        let values = format!("tests/deploy/values/{set}.yaml");
        let mut command = Command::new("helm");
        command.args([
            "install",
            "trial",
            "deploy/chart/label-router",
            "--dry-run=client",
            "--values",
            &values,
        ]);
        let said = run(&mut command);
        let (_, notes) = said.split_once("NOTES:").unwrap();
        assert!(
            notes.contains("kubectl delete mutatingwebhookconfiguration "),
            "{notes}"
        );
        assert_eq!(
            notes.contains("caBundle\\\", \\\"value"),
            set == "existing-secret",
            "{notes}"
        );
    }
}

/// The objects of one way into a cluster.
struct Manifests {
    /// For messages.
    name: String,
    objects: Vec<Value>,
}

impl Manifests {
    fn base() -> Self {
        let listed = yaml("deploy/base/kustomization.yaml")["resources"].clone();
        let files: Vec<String> = serde_json::from_value(listed).unwrap();
        let objects = files.iter().flat_map(|file| {
            let file = format!("deploy/base/{file}");
            documents(&file, &read(&file))
        });
        Self {
            name: "base".to_owned(),
            objects: objects.collect(),
        }
    }

    fn install() -> Self {
        Self {
            name: "deploy/install.yaml".to_owned(),
            objects: documents("deploy/install.yaml", &read("deploy/install.yaml")),
        }
    }

    /// What `label-router manifests` prints.
    fn printed(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_label-router"));
        let text = run(command.arg("manifests").args(arguments));
        Self {
            name: format!("manifests {}", arguments.join(" ")),
            objects: documents("manifests", &text),
        }
    }

    fn rendered(name: &str) -> Self {
        let text = run(Command::new("tests/deploy/render").arg(name));
        Self {
            name: name.to_owned(),
            objects: documents(name, &text),
        }
    }

    /// All that must hold, however they came about.
    fn hold_together(&self) {
        self.are_known();
        self.are_in_one_namespace();
        self.registration_asks_about_what_the_policy_gates();
        self.registration_is_one_that_the_api_server_takes();
        self.whoever_applies_is_told();
        self.ports_lead_to_the_server();
        self.what_the_server_reads_is_there();
        self.the_server_may_do_little();
        self.it_stops_without_loss();
        self.replicas_share_limits();
        self.critical_pods_have_a_quota();
    }

    /// Every object is one that Kubernetes knows, in each of its fields.
    fn are_known(&self) {
        for object in &self.objects {
            let name = format!("{}: {}", self.name, object["metadata"]["name"]);
            match object["kind"].as_str().unwrap() {
                "Namespace" => drop(strict::<Namespace>(&name, object)),
                "ServiceAccount" => drop(strict::<ServiceAccount>(&name, object)),
                "Role" => drop(strict::<Role>(&name, object)),
                "RoleBinding" => drop(strict::<RoleBinding>(&name, object)),
                "ClusterRole" => drop(strict::<ClusterRole>(&name, object)),
                "ClusterRoleBinding" => drop(strict::<ClusterRoleBinding>(&name, object)),
                "ConfigMap" => drop(strict::<ConfigMap>(&name, object)),
                "Deployment" => drop(strict::<Deployment>(&name, object)),
                "PodDisruptionBudget" => drop(strict::<PodDisruptionBudget>(&name, object)),
                "Service" => drop(strict::<Service>(&name, object)),
                "NetworkPolicy" => drop(strict::<NetworkPolicy>(&name, object)),
                "ResourceQuota" => drop(strict::<ResourceQuota>(&name, object)),
                "MutatingWebhookConfiguration" => drop(strict::<MutatingWebhookConfiguration>(&name, object)),
                "PodMonitor" | "PrometheusRule" => {
                    assert_eq!(object["apiVersion"], "monitoring.coreos.com/v1", "{name}");
                }
                "ValidatingWebhookConfiguration" => drop(strict::<ValidatingWebhookConfiguration>(&name, object)),
                "Issuer" | "Certificate" => assert_eq!(object["apiVersion"], "cert-manager.io/v1", "{name}"),
                other => panic!("{name}: nobody checks a {other}"),
            }
        }
    }

    fn are_in_one_namespace(&self) {
        let cluster = [
            "Namespace",
            "ClusterRole",
            "ClusterRoleBinding",
            "MutatingWebhookConfiguration",
            "ValidatingWebhookConfiguration",
        ];
        for object in &self.objects {
            let kind = object["kind"].as_str().unwrap();
            let wanted = if cluster.contains(&kind) {
                Value::Null
            } else {
                self.namespace().into()
            };
            assert_eq!(object["metadata"]["namespace"], wanted, "{}: {kind}", self.name);
        }
        for namespace in self.all::<Namespace>() {
            assert_eq!(namespace.metadata.name, Some(self.namespace()), "{}", self.name);
        }
    }

    fn registration_asks_about_what_the_policy_gates(&self) {
        let map = self.policy_map();
        let text = serde_yaml::to_string(&map).unwrap();
        let file = self.name.clone();
        policy::load(&[PolicyText { file, text }]).unwrap_or_else(|problems| panic!("\n{problems}\n"));
        let text = &map.data.unwrap()["policy.yaml"];
        let policy: Value = serde_yaml::from_str(text).unwrap();
        let gate = [&policy["gate"], &policy["rules"][0]["gate"]]
            .into_iter()
            .find(|gate| gate.is_object());
        let gate = gate.unwrap();
        let label = gate["label"].as_str().unwrap();
        let wanted = match (gate["value"].as_str(), &gate["values"]) {
            (Some(value), _) => json!({"matchLabels": {label: value}}),
            (None, Value::Null) => json!({"matchExpressions": [{"key": label, "operator": "Exists"}]}),
            (None, values) => json!({"matchExpressions": [{"key": label, "operator": "In", "values": values}]}),
        };
        let webhook = self.webhook();
        let selector = serde_json::to_value(webhook.object_selector).unwrap();
        assert_eq!(selector, wanted, "{}", self.name);

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

    fn registration_is_one_that_the_api_server_takes(&self) {
        let webhook = self.webhook();
        assert!(
            webhook.name.split('.').count() >= 3,
            "{} has too few segments",
            webhook.name
        );
        assert_eq!(webhook.reinvocation_policy.as_deref(), Some("IfNeeded"));
        assert_eq!(webhook.match_policy.as_deref(), Some("Equivalent"));
        assert_eq!(webhook.side_effects, "NoneOnDryRun");
        assert_eq!(webhook.admission_review_versions, ["v1"]);
        if self.name != "chart/host-network" {
            assert_eq!(
                webhook.client_config.ca_bundle, None,
                "applying it again would take away what stands there"
            );
        }
        let namespaces = webhook.namespace_selector.unwrap().match_expressions.unwrap();
        assert_eq!(
            (namespaces[0].key.as_str(), namespaces[0].operator.as_str()),
            ("kubernetes.io/metadata.name", "NotIn")
        );
        let left_out = namespaces[0].values.clone().unwrap();
        for namespace in ["kube-system", &self.namespace()] {
            assert!(
                left_out.iter().any(|name| name == namespace),
                "{}: {left_out:?}",
                self.name
            );
        }
    }

    /// What is asked about policies and workloads is what the policy needs, of the Service and the namespaces of the other
    /// registration. Only a set of values that asks for it has none.
    fn whoever_applies_is_told(&self) {
        let map = self.policy_map();
        let (label, value) = POLICY_LABEL;
        assert_eq!(map.metadata.labels.as_ref().unwrap()[label], value, "{}", self.name);
        if self.name == "chart/everything" {
            return;
        }
        let file = self.name.clone();
        let text = serde_yaml::to_string(&map).unwrap();
        let snapshot = policy::load(&[PolicyText { file, text }]).unwrap().snapshot;
        let asks = self.webhook();
        let endpoint = Endpoint {
            registration: self.registration_name(),
            namespace: self.namespace(),
            service: self.service_name(),
            port: asks.client_config.service.as_ref().unwrap().port.unwrap(),
        };
        let mut wanted = validation(&snapshot, &endpoint).webhooks.unwrap();
        for webhook in &mut wanted {
            webhook
                .client_config
                .ca_bundle
                .clone_from(&asks.client_config.ca_bundle);
        }
        for webhook in &mut wanted[1..] {
            webhook.namespace_selector.clone_from(&asks.namespace_selector);
        }
        if !self.reads_workloads() {
            wanted.pop();
        }
        let shipped: ValidatingWebhookConfiguration = self.the();
        assert_eq!(shipped.metadata.name, Some(endpoint.registration), "{}", self.name);
        let registration: MutatingWebhookConfiguration = self.the();
        assert_eq!(
            shipped.metadata.annotations, registration.metadata.annotations,
            "{}",
            self.name
        );
        assert_eq!(
            serde_json::to_value(shipped.webhooks.unwrap()).unwrap(),
            serde_json::to_value(&wanted).unwrap(),
            "{}",
            self.name
        );
    }

    /// From the API server to the process.
    fn ports_lead_to_the_server(&self) {
        let called = self.webhook().client_config.service.unwrap();
        let service: Service = self.the();
        assert_eq!(Some(&called.name), service.metadata.name.as_ref());
        assert_eq!(Some(&called.namespace), service.metadata.namespace.as_ref());
        assert_eq!(called.path.as_deref(), Some("/mutate"));
        let service = service.spec.unwrap();
        let ports = service.ports.unwrap();
        let port = ports.iter().find(|port| Some(port.port) == called.port);
        let port = port.unwrap_or_else(|| panic!("{}: the Service has no port {:?}", self.name, called.port));
        let deployment = self.deployment().spec;
        let labels = deployment.template.metadata.unwrap().labels.unwrap();
        let all_of = |selector: Option<BTreeMap<String, String>>| {
            let selector = selector.unwrap();
            assert!(!selector.is_empty(), "{}: selects all Pods", self.name);
            for (key, value) in &selector {
                assert_eq!(labels.get(key), Some(value), "{}: {key}", self.name);
            }
        };
        let selected = |selector: LabelSelector| all_of(selector.match_labels);
        all_of(service.selector);
        selected(deployment.selector);
        for monitor in self.objects.iter().filter(|object| object["kind"] == "PodMonitor") {
            let spec = &monitor["spec"];
            selected(serde_json::from_value(spec["selector"].clone()).unwrap());
            assert_eq!(spec["podMetricsEndpoints"][0]["port"], "ops");
        }
        for budget in self.all::<PodDisruptionBudget>() {
            selected(budget.spec.unwrap().selector.unwrap());
        }
        for constraint in self.pod().topology_spread_constraints.unwrap() {
            selected(constraint.label_selector.unwrap());
        }

        let container = self.container();
        let arguments = self.arguments();
        let listens = |flag: &str, default: i32| {
            argument(&arguments, flag).map_or(default, |address| address.rsplit(':').next().unwrap().parse().unwrap())
        };
        let (https, ops) = (listens("--listen=", 8443), listens("--ops-listen=", 8080));
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
        assert_eq!(number(target), Some(https), "{}", self.name);
        assert_eq!(number("ops"), Some(ops), "{}", self.name);
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
        for policy in self.all::<NetworkPolicy>() {
            let policy = policy.spec.unwrap();
            selected(policy.pod_selector.unwrap());
            assert_eq!(policy.policy_types.unwrap(), ["Ingress", "Egress"]);
            let let_in = policy.ingress.unwrap().into_iter().flat_map(|rule| rule.ports.unwrap());
            let let_in: Vec<Option<IntOrString>> = let_in.map(|port| port.port).collect();
            assert!(let_in.contains(&Some(IntOrString::Int(https))), "{}", self.name);
            let let_out = policy.egress.unwrap().into_iter().flat_map(|rule| rule.ports.unwrap());
            let let_out: Vec<Option<IntOrString>> = let_out.map(|port| port.port).collect();
            for wanted in [53, 443, 6443, 9093] {
                assert!(
                    let_out.contains(&Some(IntOrString::Int(wanted))),
                    "{}: {wanted}",
                    self.name
                );
            }
        }
    }

    fn what_the_server_reads_is_there(&self) {
        let arguments = self.arguments();
        let policy = self.policy_map();
        let named = policy.metadata.name.unwrap();
        let mounted = match argument(&arguments, "--policy=").unwrap() {
            followed if self.follows() => {
                assert_eq!(followed, format!("configmap://{}/{named}", self.namespace()));
                self.allow_to_follow(&named);
                argument(&arguments, "--policy-fallback=").unwrap()
            }
            mounted => mounted,
        };
        let map = self.volume_at(&format!("{mounted}/")).config_map.unwrap();
        assert_eq!(map.name, named, "{}", self.name);
        if self.self_managed() {
            let secret = argument(&arguments, "--tls-secret=").unwrap();
            assert_eq!(
                argument(&arguments, "--tls-service="),
                Some(self.service_name().as_str())
            );
            assert_eq!(
                argument(&arguments, "--tls-registration="),
                Some(self.registration_name().as_str())
            );
            let account = self.pod().service_account_name;
            self.allow_only(secret, &self.registration_name(), account.as_deref());
            let volumes = self.pod().volumes.unwrap();
            let mounted = volumes.into_iter().filter_map(|volume| volume.secret?.secret_name);
            assert!(
                mounted.into_iter().all(|mounted| mounted != secret),
                "{}: the first Pod would wait for the Secret that it makes",
                self.name
            );
            return;
        }
        let [certificate, key] = ["--tls-cert=", "--tls-key="].map(|flag| argument(&arguments, flag).unwrap());
        let mut names = Vec::new();
        for (path, file) in [(certificate, "tls.crt"), (key, "tls.key")] {
            assert!(path.ends_with(file), "a Secret of type kubernetes.io/tls has no {path}");
            let secret = self.volume_at(path).secret.unwrap();
            if let Some(items) = secret.items {
                assert!(items.iter().any(|item| item.path == file), "{}: no {file}", self.name);
            }
            names.push(secret.secret_name.unwrap());
        }
        assert_eq!(names[0], names[1]);
        if self.objects.iter().any(|object| object["kind"] == "Certificate") {
            let certificate = self.certificate_for(&self.dns_name(), &names[0]);
            let registration: MutatingWebhookConfiguration = self.the();
            assert_eq!(
                registration.metadata.annotations.unwrap()["cert-manager.io/inject-ca-from"],
                format!("{}/{certificate}", self.namespace())
            );
        }
    }

    /// A token where it is needed, and rights only with it.
    fn the_server_may_do_little(&self) {
        let pod = self.pod();
        assert_eq!(
            pod.automount_service_account_token,
            Some(self.self_managed() || self.follows() || self.tells_events() || self.reads_workloads()),
            "{}",
            self.name
        );
        let rights = [self.all::<Role>().len(), self.all::<ClusterRole>().len()];
        let of_certificates = usize::from(self.self_managed());
        let of_policy = usize::from(self.follows());
        let of_sinks = usize::from(self.tells_events());
        let of_workloads = usize::from(self.reads_workloads());
        assert_eq!(
            rights,
            [of_certificates + of_policy, of_certificates + of_sinks + of_workloads],
            "{}",
            self.name
        );
        if self.reads_workloads() {
            self.allow_to_read_workloads();
        }
        if self.tells_events() {
            let role = self.cluster_role_about("events");
            assert_eq!(
                role.rules.clone().unwrap(),
                [rule("events.k8s.io", "events", None, &["create", "patch"])],
                "{}",
                self.name
            );
            self.is_bound_everywhere(&role, pod.service_account_name.as_deref());
        }
        for account in self.all::<ServiceAccount>() {
            assert_eq!(account.metadata.name, pod.service_account_name);
            assert_eq!(account.automount_service_account_token, Some(false));
        }
        assert_eq!(
            pod.enable_service_links,
            Some(false),
            "a Service named label-router sets LABEL_ROUTER_PORT"
        );
        let context = pod.security_context.unwrap();
        assert_eq!(context.run_as_non_root, Some(true));
        assert_eq!(context.seccomp_profile.unwrap().type_, "RuntimeDefault");
        let container = self.container();
        assert!(container.resources.unwrap().requests.is_some());
        let context = container.security_context.unwrap();
        assert_eq!(context.read_only_root_filesystem, Some(true));
        assert_eq!(context.allow_privilege_escalation, Some(false));
        assert_eq!(context.capabilities.unwrap().drop.unwrap(), ["ALL"]);
    }

    /// The pause is preStop's or the server's own, and both it and running requests have their time.
    fn it_stops_without_loss(&self) {
        let sleep = self
            .container()
            .lifecycle
            .and_then(|lifecycle| lifecycle.pre_stop?.sleep);
        let own = self.variable("LABEL_ROUTER_SHUTDOWN_DELAY");
        assert_eq!(
            own.as_deref(),
            sleep.as_ref().map(|_| "2s"),
            "{}: two long pauses, or none",
            self.name
        );
        let defaults = Settings::defaults(true).shutdown;
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap();
        let pause = sleep.map_or(seconds(defaults.delay), |sleep| sleep.seconds + 2);
        let grace = self.pod().termination_grace_period_seconds.unwrap();
        // And a second for a last scrape.
        let needed = pause + seconds(defaults.drain) + seconds(defaults.flush) + 1;
        assert!(grace > needed, "{}: {grace} s, and it takes {needed} s", self.name);
    }

    /// What the chats of sinks take is for all replicas together.
    fn replicas_share_limits(&self) {
        let replicas = self.deployment().spec.replicas.unwrap();
        let shared = self.variable("LABEL_ROUTER_SINKS_REPLICAS");
        assert_eq!(shared, Some(replicas.max(1).to_string()), "{}", self.name);
    }

    fn variable(&self, name: &str) -> Option<String> {
        let mut variables = self.container().env.unwrap_or_default().into_iter();
        variables.find(|variable| variable.name == name)?.value
    }

    fn critical_pods_have_a_quota(&self) {
        let class = self.pod().priority_class_name;
        let quotas = self.all::<ResourceQuota>();
        assert_eq!(quotas.len(), usize::from(class.is_some()), "{}", self.name);
        for quota in quotas {
            let scopes = quota.spec.unwrap().scope_selector.unwrap().match_expressions.unwrap();
            assert_eq!(scopes[0].values, class.clone().map(|class| vec![class]));
        }
    }

    /// One Secret and two registrations, by name, for one ServiceAccount.
    fn allow_only(&self, secret: &str, registration: &str, account: Option<&str>) {
        let role = self.role_about("secrets");
        let verbs = ["get", "list", "watch", "create", "update", "patch"];
        assert_eq!(
            role.rules.clone().unwrap(),
            [rule("", "secrets", Some(secret), &verbs)],
            "{}",
            self.name
        );
        let cluster_role = self.cluster_role_about("mutatingwebhookconfigurations");
        let verbs = ["get", "list", "watch", "patch"];
        let group = "admissionregistration.k8s.io";
        assert_eq!(
            cluster_role.rules.clone().unwrap(),
            ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"].map(|registrations| rule(
                group,
                registrations,
                Some(registration),
                &verbs
            )),
            "{}: a registration that is deleted stays deleted",
            self.name
        );
        self.is_bound(&role, account);
        self.is_bound_everywhere(&cluster_role, account);
    }

    /// To read two kinds of workloads, whatever they are called, for the same.
    fn allow_to_read_workloads(&self) {
        let role = self.cluster_role_about("statefulsets");
        let right = PolicyRule {
            resources: Some(vec!["statefulsets".to_owned(), "deployments".to_owned()]),
            ..rule("apps", "", None, &["get"])
        };
        assert_eq!(role.rules.clone().unwrap(), [right], "{}", self.name);
        self.is_bound_everywhere(&role, self.pod().service_account_name.as_deref());
    }

    /// To read one ConfigMap, and to write Events, for the same.
    fn allow_to_follow(&self, map: &str) {
        let role = self.role_about("configmaps");
        assert_eq!(
            role.rules.clone().unwrap(),
            [
                rule("", "configmaps", Some(map), &["get", "list", "watch"]),
                rule("events.k8s.io", "events", None, &["create", "patch"]),
            ],
            "{}",
            self.name
        );
        self.is_bound(&role, self.pod().service_account_name.as_deref());
    }

    fn role_about(&self, resource: &str) -> Role {
        let is_about = |role: &Role| {
            let rules = role.rules.iter().flatten();
            rules
                .flat_map(|rule| rule.resources.iter().flatten())
                .any(|about| about == resource)
        };
        let roles: Vec<Role> = self.all().into_iter().filter(is_about).collect();
        let [role] = roles.try_into().unwrap();
        role
    }

    fn is_bound(&self, role: &Role, account: Option<&str>) {
        let mut bindings = self.all::<RoleBinding>().into_iter();
        let binding = bindings.find(|binding| Some(&binding.role_ref.name) == role.metadata.name.as_ref());
        is_for(
            binding.unwrap().subjects.unwrap(),
            account,
            role.metadata.namespace.as_deref(),
        );
    }

    /// Whether a sink may write Events.
    fn tells_events(&self) -> bool {
        let mut roles = self.all::<ClusterRole>().into_iter();
        roles.any(|role| is_about(&role, "events"))
    }

    fn cluster_role_about(&self, resource: &str) -> ClusterRole {
        let roles = self.all::<ClusterRole>().into_iter();
        let roles: Vec<ClusterRole> = roles.filter(|role| is_about(role, resource)).collect();
        let [role] = roles.try_into().unwrap();
        role
    }

    fn is_bound_everywhere(&self, role: &ClusterRole, account: Option<&str>) {
        let mut bindings = self.all::<ClusterRoleBinding>().into_iter();
        let binding = bindings.find(|binding| Some(&binding.role_ref.name) == role.metadata.name.as_ref());
        // A file of rights has no Deployment.
        let mut namespaces = self.all::<Deployment>().into_iter();
        let namespace = namespaces.find_map(|deployment| deployment.metadata.namespace);
        is_for(
            binding.unwrap().subjects.unwrap(),
            account,
            Some(namespace.as_deref().unwrap_or("label-router")),
        );
    }

    /// The name of the Certificate that puts `secret` there, which is valid for `host`.
    fn certificate_for(&self, host: &str, secret: &str) -> String {
        let mut certificates = self.objects.iter().filter(|object| object["kind"] == "Certificate");
        let serving = certificates
            .find(|certificate| certificate["spec"]["secretName"] == secret)
            .unwrap_or_else(|| panic!("{}: no Certificate makes {secret}", self.name));
        assert_eq!(serving["spec"]["dnsNames"], json!([host]), "{}", self.name);
        serving["metadata"]["name"].as_str().unwrap().to_owned()
    }

    /// Each object as text, by kind and name, without what only one of the tools says.
    fn comparable(&self) -> BTreeMap<String, String> {
        let objects = self.objects.iter().filter(|object| object["kind"] != "Namespace");
        let comparable = objects.map(|object| {
            let mut object = object.clone();
            even_out(&mut object);
            let name = format!(
                "{} {}",
                object["kind"].as_str().unwrap(),
                object["metadata"]["name"].as_str().unwrap()
            );
            (name, serde_yaml::to_string(&object).unwrap())
        });
        comparable.collect()
    }

    /// All objects of a kind.
    fn all<T: DeserializeOwned + Resource>(&self) -> Vec<T> {
        let objects = self.objects.iter().filter(|object| object["kind"] == T::KIND);
        objects
            .map(|object| serde_json::from_value(object.clone()).unwrap())
            .collect()
    }

    /// The one object of a kind.
    fn the<T: DeserializeOwned + Resource>(&self) -> T {
        let mut all = self.all::<T>();
        assert_eq!(all.len(), 1, "{}: {}", self.name, T::KIND);
        all.remove(0)
    }

    /// There may be another one, with the dashboard.
    fn policy_map(&self) -> ConfigMap {
        let mut maps = self.all::<ConfigMap>().into_iter();
        maps.find(|map| map.data.as_ref().is_some_and(|data| data.contains_key("policy.yaml")))
            .unwrap_or_else(|| panic!("{}: no ConfigMap holds a policy", self.name))
    }

    fn namespace(&self) -> String {
        self.deployment().metadata.namespace.unwrap()
    }

    fn registration_name(&self) -> String {
        self.the::<MutatingWebhookConfiguration>().metadata.name.unwrap()
    }

    fn webhook(&self) -> MutatingWebhook {
        let webhooks = self.the::<MutatingWebhookConfiguration>().webhooks.unwrap();
        let [webhook] = webhooks.try_into().unwrap();
        webhook
    }

    fn service_name(&self) -> String {
        self.the::<Service>().metadata.name.unwrap()
    }

    /// What a certificate must be valid for.
    fn dns_name(&self) -> String {
        format!("{}.{}.svc", self.service_name(), self.namespace())
    }

    fn deployment(&self) -> Deployment {
        self.the()
    }

    fn pod(&self) -> PodSpec {
        self.deployment().spec.template.spec.unwrap()
    }

    fn container(&self) -> Container {
        let [container] = self.pod().containers.try_into().unwrap();
        container
    }

    fn arguments(&self) -> Vec<String> {
        self.container().args.unwrap()
    }

    fn self_managed(&self) -> bool {
        self.arguments().iter().any(|argument| argument == "--tls-self-managed")
    }

    /// Whether there is a right to; what is asked must fit to it.
    fn reads_workloads(&self) -> bool {
        let mut roles = self.all::<ClusterRole>().into_iter();
        roles.any(|role| is_about(&role, "statefulsets"))
    }

    fn follows(&self) -> bool {
        argument(&self.arguments(), "--policy=")
            .unwrap()
            .starts_with("configmap://")
    }

    /// The volume that a file comes from.
    fn volume_at(&self, path: &str) -> Volume {
        let mounts = self.container().volume_mounts.unwrap();
        let mount = mounts
            .iter()
            .find(|mount| path.starts_with(&format!("{}/", mount.mount_path)))
            .unwrap_or_else(|| panic!("{}: nothing is mounted at {path}", self.name));
        assert_eq!(mount.sub_path, None, "what is mounted by subPath never changes");
        let mut volumes = self.pod().volumes.unwrap().into_iter();
        volumes.find(|volume| volume.name == mount.name).unwrap()
    }
}

fn rule(group: &str, resource: &str, name: Option<&str>, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        resource_names: name.map(|name| vec![name.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    }
}

fn is_about(role: &ClusterRole, resource: &str) -> bool {
    let rules = role.rules.iter().flatten();
    rules
        .flat_map(|rule| rule.resources.iter().flatten())
        .any(|about| about == resource)
}

/// One ServiceAccount, in this namespace.
fn is_for(subjects: Vec<Subject>, account: Option<&str>, namespace: Option<&str>) {
    let [subject] = subjects.try_into().unwrap();
    assert_eq!(
        (subject.kind.as_str(), Some(subject.name.as_str())),
        ("ServiceAccount", account)
    );
    assert_eq!(subject.namespace.as_deref(), namespace);
}

/// Takes out what Helm adds by its conventions, and puts lists of named things into the order of their names.
fn even_out(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for helms in ["instance", "version", "managed-by"] {
                members.remove(&format!("app.kubernetes.io/{helms}"));
            }
            members.remove("helm.sh/chart");
            if members.get("imagePullPolicy") == Some(&json!("IfNotPresent")) {
                members.remove("imagePullPolicy");
            }
            members.values_mut().for_each(even_out);
        }
        Value::Array(elements) => {
            elements.iter_mut().for_each(even_out);
            if elements.iter().all(|element| element["name"].is_string()) {
                elements.sort_by_key(|element| element["name"].to_string());
            }
        }
        _ => {}
    }
}

/// The names that `tests/deploy/render` takes, each with its namespace.
fn ways() -> Vec<(String, String)> {
    let listed = run(&mut Command::new("tests/deploy/render"));
    let ways = listed.lines().map(|line| line.split_once(' ').unwrap());
    ways.map(|(name, namespace)| (name.to_owned(), namespace.to_owned()))
        .collect()
}

fn kustomizations() -> Vec<String> {
    let files = files_below(&root().join("deploy"));
    let kustomizations = files.iter().filter(|file| file.ends_with("kustomization.yaml"));
    let folders = kustomizations.map(|file| file.parent().unwrap().strip_prefix(root()).unwrap());
    let folders: Vec<String> = folders.map(|folder| folder.display().to_string()).collect();
    assert!(folders.len() > 4, "{folders:?}");
    folders
}

fn run(command: &mut Command) -> String {
    let output = command
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{told}");
    String::from_utf8(output.stdout).unwrap()
}

/// What stands after `flag=` among the arguments.
fn argument<'a>(arguments: &'a [String], flag: &str) -> Option<&'a str> {
    arguments.iter().find_map(|argument| argument.strip_prefix(flag))
}

fn names_in(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The one document of a file.
fn yaml(file: &str) -> Value {
    let [document] = documents(file, &read(file)).try_into().unwrap();
    document
}

fn documents(name: &str, text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap_or_else(|error| panic!("{name}: {error}")))
        .filter(|document| !document.is_null())
        .collect()
}

/// An object of the Kubernetes API. Its types skip what they do not know, so what they kept must be all that was written.
fn strict<T: DeserializeOwned + Serialize>(name: &str, document: &Value) -> T {
    let typed: T = serde_json::from_value(document.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(
        &serde_json::to_value(&typed).unwrap(),
        document,
        "{name} holds a field that Kubernetes does not know"
    );
    typed
}
