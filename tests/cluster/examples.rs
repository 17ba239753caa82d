//! The cases of every folder in `examples/`, on the API server: what it stores is what the case says, and nothing else is
//! different from the Pod that it would have stored without label-router.
//!
//! Each Pod is created by a dry run. The owners that the cases name do not exist, so that the garbage collector would delete
//! the Pods, and admission is the same. All cases are Pods that a real API server takes; one that it does not fails here.

use std::path::Path;

use axum::http::Method;
use libtest_mimic::Failed;
use regex::Regex;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::cases::{Case, Cases, folders as paths};
use crate::harness::{Answer, Cluster, Webhook};
use crate::pods::ensure_runtime_class;

/// Several examples tell of a namespace `prod`, and each wants the Pods of it for itself.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// The names of the folders.
pub(crate) fn folders() -> Vec<String> {
    let names = paths()
        .into_iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned());
    names.collect()
}

pub(crate) async fn every_case_is_decided_as_expected(cluster: &'static Cluster, folder: &str) -> Result<(), Failed> {
    let _mine = ONE_AT_A_TIME.lock().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(folder);
    let cases = Cases::read(&path).cases;
    let mut namespaces: Vec<&str> = cases.iter().map(namespace).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    for namespace in &namespaces {
        cluster.ensure_namespace(namespace).await;
    }
    for case in &cases {
        ensure_what_it_names(cluster, &case.pod).await;
        ensure_what_it_names(cluster, &patched(case)).await;
    }
    // What the API server makes of the Pods that label-router should make.
    let mut expected = Vec::new();
    for case in &cases {
        expected.push(create(cluster, namespace(case), &patched(case)).await);
    }

    let home = cluster.namespace("example").await;
    let policy = std::fs::read_to_string(path.join("policy.yaml")).unwrap();
    namespaces.push(&home);
    let webhook = Webhook::start_with(cluster, &home, Some(&policy), |hook| {
        hook["namespaceSelector"] = json!({ "matchExpressions": [
            { "key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces },
        ] });
    })
    .await;
    let mut failures = Vec::new();
    for (case, expected) in cases.iter().zip(expected) {
        let outcome = case.expect.outcome.as_str();
        let before = webhook.router().decided(Some(outcome)).await;
        let answer = create(cluster, namespace(case), &case.pod).await;
        let after = webhook.router().decided(Some(outcome)).await;
        let mut problems = compare(case, &expected, &answer);
        if after != before + 1 {
            problems.push(format!("the outcome is not {outcome}"));
        }
        if !problems.is_empty() {
            failures.push(format!("{}\n    {}", case.name, problems.join("\n    ")));
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(format!("examples/{folder}:\n{}", failures.join("\n")).into())
    }
}

fn namespace(case: &Case) -> &str {
    case.namespace.as_deref().unwrap_or("default")
}

/// The Pod with the patch that the case expects.
fn patched(case: &Case) -> Value {
    let patch: json_patch::Patch = serde_json::from_value(Value::from(case.expect.patch.clone())).unwrap();
    let mut pod = case.pod.clone();
    json_patch::patch(&mut pod, &patch).unwrap();
    pod
}

/// RuntimeClasses that Pods name must exist, with the overhead that a Pod has already.
async fn ensure_what_it_names(cluster: &Cluster, pod: &Value) {
    if let Some(class) = pod["spec"]["runtimeClassName"].as_str() {
        ensure_runtime_class(cluster, class, pod["spec"].get("overhead")).await;
    }
}

async fn create(cluster: &Cluster, namespace: &str, pod: &Value) -> Answer {
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    cluster.send(Method::POST, &path, Some(pod)).await.unwrap()
}

/// Everything about an answer that is not as expected.
fn compare(case: &Case, expected: &Answer, answer: &Answer) -> Vec<String> {
    let mut problems = Vec::new();
    if case.expect.outcome == "rejected" {
        let message = answer.message();
        if answer.status != 403 || !message.contains("denied the request: ") {
            problems.push(format!("it is not refused: {}", answer.text));
        }
        for words in &case.expect.message {
            if !message.contains(words) {
                problems.push(format!("{words:?} is not in {message:?}"));
            }
        }
    } else if expected.status != 201 {
        problems.push(format!("no real API server stores it: {}", expected.text));
    } else if answer.status == 201 {
        let (expected, found) = (settled(expected), settled(answer));
        if expected != found {
            problems.push(format!("wanted {expected}\n    found  {found}"));
        }
    } else {
        problems.push(format!("it is refused: {}", answer.text));
    }
    for words in &case.expect.warnings {
        let told = |warning: &String| warning.starts_with("label-router: ") && warning.contains(words);
        if !answer.warnings.iter().any(told) {
            problems.push(format!("{words:?} is in none of {:?}", answer.warnings));
        }
    }
    problems
}

/// The Pod without what differs from one creation to the next.
fn settled(answer: &Answer) -> Value {
    let random = Regex::new("kube-api-access-[a-z0-9]{5}").unwrap();
    let text = random.replace_all(&answer.text, "kube-api-access");
    let mut pod: Value = serde_json::from_str(&text).unwrap();
    let metadata = pod["metadata"].as_object_mut().unwrap();
    metadata.remove("uid");
    metadata.remove("creationTimestamp");
    metadata.remove("managedFields");
    let generated = metadata.get("generateName").and_then(Value::as_str).unwrap_or_default();
    let name = metadata["name"].as_str().unwrap();
    let suffix = name.strip_prefix(generated).unwrap_or_default();
    if !generated.is_empty() && suffix.len() == 5 {
        metadata.remove("name");
    }
    pod
}
