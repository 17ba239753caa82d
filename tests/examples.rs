//! Runs the cases of every folder in `examples/`.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read files, and a failure should stop them"
)]

#[path = "support/cases.rs"]
mod cases;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cases::{Case, Cases, folders};
use k8s_openapi::api::core::v1::Pod;
use label_router::engine::condition::When;
use label_router::engine::conflict::OnConflict;
use label_router::engine::node::Node;
use label_router::engine::ordinal::Source;
use label_router::engine::placement::Placement;
use label_router::engine::rule::Mode;
use label_router::engine::{self, Decision, NoTrace, Request, Snapshot};
use label_router::policy::{self, PolicyText};
use serde_json::Value;

#[test]
fn every_case_is_decided_as_expected() {
    let mut failures = Vec::new();
    for folder in folders() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let cases = Cases::read(&folder);
        let snapshot = load(&folder);
        let untouched = |case: &&Case| ["rejected", "skipped", "unchanged"].contains(&case.expect.outcome.as_str());
        if cases.cases.len() < 3 || cases.cases.iter().find(untouched).is_none() {
            failures.push(format!(
                "{name}: three cases are wanted, one of a Pod rejected or left alone"
            ));
        }
        for case in &cases.cases {
            let problems = check(&snapshot, case);
            if !problems.is_empty() {
                failures.push(format!("{name}: {}\n    {}", case.name, problems.join("\n    ")));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
}

/// Users copy what they find here, so all of the language should be found.
#[test]
fn the_examples_use_the_whole_language() {
    let snapshots: Vec<Snapshot> = folders().iter().map(|folder| load(folder)).collect();
    let rules = || snapshots.iter().flat_map(Snapshot::rules);
    let routes = || rules().flat_map(|rule| &rule.routes);
    let sources = rules().flat_map(|rule| rule.ordinal.iter().flat_map(|ordinal| &ordinal.from));
    all_used("ordinal source", Source::NAMES, sources.map(Source::name));
    let conditions = routes().filter_map(|route| route.when.as_ref());
    all_used("condition", When::NAMES, conditions.map(When::name));
    let placements = routes().flat_map(|route| &route.placements);
    all_used("placement", Placement::NAMES, placements.map(Placement::name));
    for on_conflict in [
        OnConflict::Override,
        OnConflict::Keep,
        OnConflict::Reject,
        OnConflict::Replace,
    ] {
        assert!(
            rules().any(|rule| rule.on_conflict == on_conflict),
            "no example uses onConflict {on_conflict:?}"
        );
    }
    assert!(
        rules().any(|rule| rule.mode == Mode::Shadow),
        "no example uses mode: shadow"
    );
    assert!(rules().any(|rule| rule.continues), "no example uses continue");
    assert!(rules().any(|rule| rule.annotate), "no example uses annotate");
    assert!(routes().any(|route| route.spread.is_some()), "no example uses spread");
}

fn all_used(what: &str, names: &[&str], used: impl Iterator<Item = &'static str>) {
    let used: BTreeSet<&str> = used.collect();
    let unused: Vec<&&str> = names.iter().filter(|name| !used.contains(**name)).collect();
    assert!(unused.is_empty(), "no example uses the {what} {unused:?}");
}

/// The policy of a folder, without an error or a warning.
fn load(folder: &Path) -> Snapshot {
    let path = folder.join("policy.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let schema = "# yaml-language-server: $schema=../../schemas/policy.schema.json\n";
    assert!(text.starts_with(schema), "{} starts without {schema}", path.display());
    let file = path.display().to_string();
    let compiled = policy::load(&[PolicyText { file, text }]).unwrap_or_else(|problems| panic!("\n{problems}\n"));
    assert!(compiled.warnings.is_empty(), "\n{}\n", compiled.warnings);
    compiled.snapshot
}

/// Everything about a case that is not as expected.
fn check(snapshot: &Snapshot, case: &Case) -> Vec<String> {
    let mut problems = Vec::new();
    let mut expect = |what: &str, wanted: String, found: String| {
        if wanted != found {
            problems.push(format!("{what}: wanted {wanted}\n    {what}: found  {found}"));
        }
    };
    let decision = decide(snapshot, case, &case.pod);
    let reason = decision.rejection.as_ref().map_or("", |rejection| &rejection.message);
    expect("outcome", case.expect.outcome.clone(), decision.outcome.to_string());
    if let Some(rule) = &case.expect.rule {
        let last = decision.applied.last().map_or("none", |applied| &applied.rule);
        expect("rule", rule.clone(), last.to_owned());
    }
    let patch = serde_json::to_value(&decision.patch).unwrap();
    expect(
        "patch",
        Value::from(case.expect.patch.clone()).to_string(),
        patch.to_string(),
    );
    for words in &case.expect.message {
        if !reason.contains(words) {
            problems.push(format!("message: {words:?} is not in {reason:?}"));
        }
    }
    if case.expect.message.is_empty() && !reason.is_empty() {
        problems.push(format!("message: unexpected {reason:?}"));
    }
    for words in &case.expect.warnings {
        if !decision.warnings.iter().any(|warning| warning.contains(words)) {
            problems.push(format!("warnings: {words:?} is in none of {:?}", decision.warnings));
        }
    }
    problems.extend(settles(snapshot, case, patch));
    problems
}

/// A patch applies, leaves a Pod of the Kubernetes API, and is the last one: the patched Pod gets none.
fn settles(snapshot: &Snapshot, case: &Case, patch: Value) -> Option<String> {
    let mut pod = case.pod.clone();
    let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
    if let Err(error) = json_patch::patch(&mut pod, &patch) {
        return Some(format!("patch: does not apply: {error}"));
    }
    if let Err(error) = serde_json::from_value::<Pod>(pod.clone()) {
        return Some(format!("patch: leaves no Pod: {error}"));
    }
    let again = decide(snapshot, case, &pod);
    (!again.patch.is_empty()).then(|| format!("patch: the patched Pod gets another one: {:?}", again.patch))
}

fn decide(snapshot: &Snapshot, case: &Case, pod: &Value) -> Decision {
    let mut request = Request::create(Node::from(pod.clone()));
    if let Some(namespace) = &case.namespace {
        request.namespace = namespace.into();
    }
    engine::decide(snapshot, &request, &mut NoTrace)
}
