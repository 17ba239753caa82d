//! What is wrong with a policy as a whole, although each piece of it could be read.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::located::child;
use super::model::Rule;
use crate::engine::DECISION_ANNOTATION;
use crate::engine::condition::covered;
use crate::engine::context::Root;
use crate::engine::gate::{Gate, check_value};
use crate::engine::interpolation::Template;
use crate::engine::path::{Path, Reads};
use crate::engine::placement::Writes;
use crate::engine::problem::Problem;
use crate::engine::rule::Mode;

/// A problem, with whether it is an error, and where: the text to point at, at or below a pointer.
pub(super) struct Finding {
    pub(super) is_error: bool,
    pub(super) problem: Problem,
    pub(super) pointer: String,
    /// The text to point at, where it is not the pointer's own.
    pub(super) text: Option<String>,
}

impl Finding {
    pub(super) fn error(pointer: &str, code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            is_error: true,
            problem: Problem::new(code, message, hint),
            pointer: pointer.to_owned(),
            text: None,
        }
    }

    pub(super) fn warning(pointer: &str, code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            is_error: false,
            ..Self::error(pointer, code, message, hint)
        }
    }

    fn at(mut self, text: &str) -> Self {
        self.text = Some(text.to_owned());
        self
    }
}

/// Checks one rule by itself. `pointer` is where it stands; `may_have_gate` says that the file's gate may stand for its own.
pub(super) fn rule(rule: &Rule, pointer: &str, may_have_gate: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if rule.gate.is_none() && !may_have_gate {
        findings.push(Finding::error(
            &child(pointer, "name"),
            "no-gate",
            format!(
                "no gate for rule {}: it would act on every Pod of the cluster",
                rule.name.0
            ),
            "write `gate: {label: …}` for the file or the rule",
        ));
    }
    if rule.routes.is_empty() {
        findings.push(Finding::error(
            &child(pointer, "routes"),
            "empty-list",
            format!("rule {} has no routes", rule.name.0),
            "add a route with a placement",
        ));
    }
    let owner = rule.matching.owner.as_ref();
    if owner.is_some_and(|owner| owner.kinds.as_ref().is_some_and(Vec::is_empty)) {
        findings.push(Finding::error(
            &format!("{pointer}/match/owner/kinds"),
            "empty-list",
            "an empty list of kinds",
            "leave the field out to match any kind",
        ));
    }
    phases(rule, pointer, &mut findings);
    needs_ordinal(rule, pointer, &mut findings);
    let conditions: Vec<_> = rule.routes.iter().map(|route| route.when.as_ref()).collect();
    for index in covered(&conditions) {
        let route = format!("{pointer}/routes/{index}");
        findings.push(Finding::error(
            &if rule.routes[index].when.is_some() {
                child(&route, "when")
            } else {
                route
            },
            "covered-route",
            "this route is never taken: those before it take all of its Pods",
            "delete it, or put it before them",
        ));
    }
    for source in rule.ordinal.iter().flat_map(|ordinal| &ordinal.from) {
        if let Some(problem) = source.reader().warning() {
            findings.push(Finding {
                is_error: false,
                problem,
                pointer: format!("{pointer}/ordinal"),
                text: source.reader().path().map(|path| path.text().to_owned()),
            });
        }
    }
    if rule.document.is_some() && !reads_document(rule) {
        findings.push(Finding::warning(
            &child(pointer, "document"),
            "unused-document",
            format!("nothing in rule {} reads $.document", rule.name.0),
            "delete `document`, or use ${$.document…}; until then a Pod without the annotation is refused for nothing",
        ));
    }
    findings
}

fn reads_document(rule: &Rule) -> bool {
    let mut found = false;
    each_path(rule, &mut |path, _, _| {
        found |= path.reads().iter().any(|reads| reads.root == Root::Document);
    });
    found
}

/// The phase in which a path is evaluated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Match,
    Ordinal,
    Route,
    Spread,
    Placement { has_spread: bool },
}

/// Every path of a rule, with the phase in which it is evaluated and the pointer, relative to the rule, below which it
/// stands.
fn each_path<'r>(rule: &'r Rule, see: &mut dyn FnMut(&'r Path, Phase, String)) {
    for path in rule.matching.where_.iter().flat_map(|paths| &paths.0) {
        see(path, Phase::Match, "/match".to_owned());
    }
    for source in rule.ordinal.iter().flat_map(|ordinal| &ordinal.from) {
        if let Some(path) = source.reader().path() {
            see(path, Phase::Ordinal, "/ordinal".to_owned());
        }
    }
    for (index, route) in rule.routes.iter().enumerate() {
        let pointer = format!("/routes/{index}");
        for path in route.when.iter().flat_map(|when| when.condition().paths()) {
            see(path, Phase::Route, format!("{pointer}/when"));
        }
        if let Some(spread) = &route.spread {
            let paths = spread.templates().iter().flat_map(Template::paths);
            for path in spread.path().into_iter().chain(paths) {
                see(path, Phase::Spread, format!("{pointer}/spread"));
            }
        }
        for placement in &route.placements {
            let phase = Phase::Placement {
                has_spread: route.spread.is_some(),
            };
            let pointer = format!("{pointer}/{}", placement.name());
            placement.place().templates(&mut |template| {
                for path in template.paths() {
                    see(path, phase, pointer.clone());
                }
            });
        }
    }
}

/// Paths that read what is not there yet, or never.
fn phases(rule: &Rule, pointer: &str, findings: &mut Vec<Finding>) {
    each_path(rule, &mut |path, phase, below| {
        for reads in path.reads() {
            let root = reads.root;
            let early = matches!(phase, Phase::Match | Phase::Ordinal);
            let (code, message, hint) = match root {
                Root::Ordinal | Root::Document if early => (
                    "later-phase",
                    format!("$.{} is read here and found only after this", root.name()),
                    "match and ordinal read $.pod, $.owner and $.request; use the condition of a route instead",
                ),
                Root::Spread if early || matches!(phase, Phase::Route | Phase::Spread) => (
                    "later-phase",
                    "$.spread is read here and chosen only after this".to_owned(),
                    "only placements can read $.spread",
                ),
                Root::Ordinal if rule.ordinal.is_none() => (
                    "needs-ordinal",
                    format!("$.ordinal is read here, and rule {} finds none", rule.name.0),
                    "add `ordinal: {from: [podIndexLabel, podName]}` to the rule",
                ),
                Root::Document if rule.document.is_none() => (
                    "needs-document",
                    format!("$.document is read here, and rule {} names none", rule.name.0),
                    "add `document: {annotation: …}` to the rule",
                ),
                Root::Spread if phase == (Phase::Placement { has_spread: false }) => (
                    "needs-spread",
                    "$.spread is read here, and the route has none".to_owned(),
                    "add `spread: {values: […]}` to the route",
                ),
                _ => continue,
            };
            findings.push(locate(
                Finding::error(&format!("{pointer}{below}"), code, message, hint),
                path,
            ));
        }
    });
}

/// Points at the text that holds a path: the path itself, or `${path}`.
fn locate(finding: Finding, path: &Path) -> Finding {
    finding.at(path.text())
}

fn needs_ordinal(rule: &Rule, pointer: &str, findings: &mut Vec<Finding>) {
    if rule.ordinal.is_some() {
        return;
    }
    for (index, route) in rule.routes.iter().enumerate() {
        let needs = [
            (
                "when",
                route.when.as_ref().is_some_and(|when| {
                    // `otherwise` holds without one; `where` looks at something else.
                    when.name() != "otherwise" && when.condition().ordinals().is_some()
                }),
            ),
            ("spread", route.spread.is_some()),
        ];
        for (field, _) in needs.into_iter().filter(|(_, needed)| *needed) {
            findings.push(Finding::error(
                &format!("{pointer}/routes/{index}/{field}"),
                "needs-ordinal",
                format!("this looks at the ordinal, and rule {} finds none", rule.name.0),
                "add `ordinal: {from: [podIndexLabel, podName]}` to the rule",
            ));
        }
    }
}

/// A rule and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Standing<'r> {
    pub(super) rule: &'r Rule,
    pub(super) unit: usize,
    pub(super) index: usize,
    /// The rule as it is written.
    pub(super) written: &'r Value,
}

/// Placements that write what some gate, match, `where`, ordinal, document or `${…}` reads: admitting the patched Pod again
/// would decide otherwise. Found for each rule, with the rule's place among all.
pub(super) fn writes_what_is_read(rules: &[Standing<'_>], file_gate: Option<&Gate>) -> Vec<(usize, Finding)> {
    let mut readers: BTreeMap<Vec<String>, (bool, String)> = BTreeMap::new();
    let mut add = |names: &[&str], exact: bool, reader: String| {
        let key: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        readers.entry(key).or_insert((exact, reader));
    };
    if let Some(gate) = file_gate {
        add(&["metadata", "labels", &gate.label], true, "the file's gate".to_owned());
    }
    for Standing { rule, .. } in rules {
        let name = &rule.name.0;
        if let Some(gate) = &rule.gate {
            add(
                &["metadata", "labels", &gate.label],
                true,
                format!("the gate of rule {name}"),
            );
        }
        for key in rule
            .matching
            .labels
            .iter()
            .flat_map(super::super::engine::label_selector::LabelSelector::keys)
        {
            add(&["metadata", "labels", key], true, format!("the match of rule {name}"));
        }
        for source in rule.ordinal.iter().flat_map(|ordinal| &ordinal.from) {
            let reader = || format!("the ordinal of rule {name}");
            if let Some(key) = source.reader().label() {
                add(&["metadata", "labels", key], true, reader());
            }
            if let Some(key) = source.reader().annotation() {
                add(&["metadata", "annotations", key], true, reader());
            }
        }
        if let Some(document) = &rule.document {
            add(
                &["metadata", "annotations", &document.annotation.0],
                true,
                format!("the document of rule {name}"),
            );
        }
        each_path(rule, &mut |path, _, _| {
            for Reads { names, exact, .. } in path.reads().iter().filter(|reads| reads.root == Root::Pod) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                add(&names, *exact, format!("{path} in rule {name}"));
            }
        });
    }
    let mut findings = Vec::new();
    for (standing, Standing { rule, index, .. }) in rules.iter().enumerate() {
        if rule.mode == Mode::Shadow {
            continue;
        }
        for (field, writes) in writers(rule) {
            let found = writes
                .iter()
                .filter_map(|writes| Some((writes, reader_of(&readers, writes)?)))
                // The first that is certain, or else the first.
                .min_by_key(|(_, (certain, _))| !certain);
            let Some((writes, (certain, reader))) = found else {
                continue;
            };
            let pointer = format!("/rules/{index}{field}");
            let message = format!(
                "this {} /{}, which is read by {reader}",
                if certain { "writes" } else { "may write" },
                writes.path.join("/"),
            );
            let hint = "admitting the Pod again would decide otherwise; read something that no rule writes";
            findings.push((
                standing,
                if certain {
                    // At the key, where it stands as one.
                    Finding::error(&pointer, "writes-what-is-read", message, hint)
                        .at(writes.path.last().map_or("", String::as_str))
                } else {
                    Finding::warning(&pointer, "writes-what-is-read", message, hint)
                },
            ));
        }
    }
    findings
}

/// What a rule writes, by the pointer, relative to the rule, of what writes it.
fn writers(rule: &Rule) -> Vec<(String, Vec<Writes>)> {
    let mut writers = Vec::new();
    for (index, route) in rule.routes.iter().enumerate() {
        for placement in &route.placements {
            let writes = placement.place().writes(rule.on_conflict);
            writers.push((format!("/routes/{index}/{}", placement.name()), writes));
        }
    }
    if rule.annotate {
        let decision = Writes::new(&["metadata", "annotations", DECISION_ANNOTATION], true);
        writers.push(("/annotate".to_owned(), vec![decision]));
    }
    writers
}

/// Who reads a place that is written, or something around or below it, and whether that is certain.
fn reader_of<'r>(readers: &'r BTreeMap<Vec<String>, (bool, String)>, writes: &Writes) -> Option<(bool, &'r str)> {
    // Read at or around what is written. Who looks at the whole Pod seldom means this place.
    for length in (0..=writes.path.len()).rev() {
        if let Some((exact, reader)) = readers.get(&writes.path[..length]) {
            return Some((*exact && writes.exact && length > 0, reader));
        }
    }
    // Read below what is written.
    readers
        .range(writes.path.clone()..)
        .take_while(|(names, _)| names.starts_with(&writes.path))
        .map(|(_, (exact, reader))| (*exact && writes.exact, reader.as_str()))
        .next()
}

/// Literal values of spreads that become label values, and that Kubernetes or the rule's own `allow` would refuse for every
/// replica that gets one.
pub(super) fn spread_values(
    Standing {
        rule, index, written, ..
    }: &Standing<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (route_index, route) in rule.routes.iter().enumerate() {
        let Some(spread) = &route.spread else { continue };
        let route = format!("/routes/{route_index}");
        let as_value = |placement: &str| {
            let written = written.pointer(&format!("{route}/{placement}"));
            written.is_some_and(|written| match placement {
                "nodeSelector" | "labels" => written.as_object().is_some_and(|map| map.values().any(is_spread)),
                _ => has_spread_value(written),
            })
        };
        let places = ["nodeSelector", "nodeAffinity", "tolerations", "labels"];
        if !places.into_iter().any(as_value) {
            continue;
        }
        for (at, template) in spread.templates().iter().enumerate() {
            let Some(value) = template.literal() else { continue };
            let refused = check_value(value).and_then(|()| {
                rule.allow.value(value).map_err(|why| {
                    let message = format!("${{$.spread}} gives {why}");
                    Problem::new("not-allowed", message, "add it to `allow.values`, or correct it")
                })
            });
            findings.extend(refused.err().map(|problem| Finding {
                is_error: true,
                problem,
                pointer: format!("/rules/{index}{route}/spread/values/{at}"),
                text: None,
            }));
        }
    }
    findings
}

/// True for a text that is `${$.spread}` and nothing else.
fn is_spread(written: &Value) -> bool {
    let path = written
        .as_str()
        .and_then(|text| text.strip_prefix("${")?.strip_suffix('}'));
    path.is_some_and(|path| path.trim() == "$.spread")
}

/// True where the value of a toleration or of a requirement is such a text; their keys are none of its business.
fn has_spread_value(written: &Value) -> bool {
    match written {
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name != "key" && has_spread_value(value)),
        Value::Array(items) => items.iter().any(has_spread_value),
        text => is_spread(text),
    }
}

/// One change of a `patch`.
struct Change<'r> {
    standing: usize,
    pointer: String,
    op: &'r str,
    path: Vec<String>,
}

/// Every change that enforcing rules make with `patch`.
fn changes<'r>(rules: &[Standing<'r>]) -> Vec<Change<'r>> {
    let mut changes = Vec::new();
    for (standing, at) in rules.iter().enumerate() {
        if at.rule.mode == Mode::Shadow {
            continue;
        }
        for (field, writes) in writers(at.rule) {
            let written = at.written.pointer(&field).and_then(Value::as_array);
            // A patch writes one place for each of its changes.
            for (change, (written, writes)) in written.into_iter().flatten().zip(writes).enumerate() {
                if let Some(op) = written.get("op").and_then(Value::as_str) {
                    changes.push(Change {
                        standing,
                        pointer: format!("/rules/{}{field}/{change}", at.index),
                        op,
                        path: writes.path,
                    });
                }
            }
        }
    }
    changes
}

/// Changes that depend on what the Pod has and that a later rule writes to, so that admitting the patched Pod again may
/// change something else.
pub(super) fn order_matters(rules: &[Standing<'_>]) -> Vec<(usize, Finding)> {
    let changes = changes(rules);
    let mut findings = Vec::new();
    for change in changes
        .iter()
        .filter(|change| change.op != "add" && rules[change.standing].rule.continues)
    {
        let overlaps = |later: &&Change<'_>| {
            later.standing > change.standing
                && later.op != "remove"
                && (later.path.starts_with(&change.path) || change.path.starts_with(&later.path))
        };
        let Some(later) = changes.iter().find(overlaps) else {
            continue;
        };
        let message = format!(
            "this {}s /{} where it is there, and rule {} after it writes /{}",
            change.op,
            change.path.join("/"),
            rules[later.standing].rule.name.0,
            later.path.join("/"),
        );
        let hint = "admitting the Pod again may decide otherwise; use `op: add`, or change it in one rule only";
        findings.push((
            change.standing,
            Finding::warning(&change.pointer, "order-matters", message, hint),
        ));
    }
    findings
}

/// Enforcing rules that come after one that takes all of their Pods.
pub(super) fn unreachable(rules: &[Standing<'_>]) -> Vec<(usize, Finding)> {
    let takes_all = |rule: &Rule| {
        let matching = &rule.matching;
        let any = matching.namespaces.is_none()
            && matching.names.is_none()
            && matching.labels.is_none()
            && matching.owner.is_none()
            && matching.where_.is_none();
        any && rule.mode == Mode::Enforce && !rule.continues
    };
    let mut found = Vec::new();
    for (standing, later) in rules.iter().enumerate() {
        let earlier = rules[..standing]
            .iter()
            .find(|earlier| takes_all(earlier.rule) && earlier.rule.gate == later.rule.gate);
        if let Some(earlier) = earlier {
            found.push((
                standing,
                Finding::warning(
                    &format!("/rules/{}/name", later.index),
                    "unreachable-rule",
                    format!(
                        "rule {} is never reached: rule {} before it matches every Pod of the same gate",
                        later.rule.name.0, earlier.rule.name.0
                    ),
                    "put it first, give the other a `match`, or let that one `continue`",
                ),
            ));
        }
    }
    found
}

/// Names that stand more than once, each with the place of the first: `(place of the repetition, first place)`.
pub(super) fn repeated<'n>(names: impl Iterator<Item = &'n str>) -> Vec<(usize, usize)> {
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut repeated = Vec::new();
    for (at, name) in names.enumerate() {
        match first.get(name) {
            Some(first) => repeated.push((at, *first)),
            None => {
                first.insert(name, at);
            }
        }
    }
    repeated
}
