//! What a user writes, as text: read, checked as a whole, and compiled.
//!
//! [`load`] reports every problem at once, each at its line and column. A ConfigMap manifest that carries policies is read
//! as readily as a policy; several texts add up.

mod check;
mod diagnostics;
mod located;
mod mask;
mod model;
mod read;
mod schema;
mod strict;
mod text;

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use schema::schema;

use crate::engine::Snapshot;
use crate::engine::gate::Gate;
use crate::engine::problem::Problem;
use crate::engine::rule::{self, Verdict};
use crate::engine::suggest;
use crate::notice::grouping::By;
use crate::notice::sign::hex;
use crate::notice::sinks::{Common, ForType, Settings, SinkSettings, SinkSpec};
use crate::notice::template::{Field, Templates};
use crate::notice::{Notify, Telling};
use check::{Finding, Standing};
use located::{Place, child};
use model::{RoutingPolicy, Rule};
use read::{Fault, read};
use text::Unit;

/// The policy that is served when none is given.
pub const DEFAULT: &str = include_str!("default.yaml");

/// Above this a policy is warned about: `kubectl apply` keeps a copy in an annotation, which has this limit.
const LARGE: usize = 256 * 1024;

/// The text of a policy and the name by which people know where it stands.
#[derive(Clone, Debug)]
pub struct PolicyText {
    /// The file's name as it was given, for diagnostics.
    pub file: String,
    /// What it holds: a policy, or a ConfigMap manifest that carries some.
    pub text: String,
}

/// A policy, compiled.
#[derive(Debug)]
pub struct Compiled {
    /// What decides.
    pub snapshot: Snapshot,
    /// Where people are told.
    pub sinks: Vec<SinkSpec>,
    /// Who is told of what.
    pub telling: Telling,
    /// What is harmless and should be known.
    pub warnings: Diagnostics,
}

/// The policies that a text holds: itself, or those that a ConfigMap manifest carries. What is no YAML holds none.
pub fn texts(text: &PolicyText) -> Vec<String> {
    let units = text::read(0, text).units;
    units.into_iter().map(|unit| unit.text).collect()
}

/// Reads, checks and compiles a policy: every problem at once.
pub fn load(texts: &[PolicyText]) -> Result<Compiled, Diagnostics> {
    let mut loading = Loading {
        texts,
        ..Loading::default()
    };
    for (file, text) in texts.iter().enumerate() {
        let read = text::read(file, text);
        loading.masked.push(Arc::from(read.masked));
        loading.units.extend(read.units);
        for (problem, place) in read.problems {
            loading.found.push((Severity::Error, problem, file, place));
        }
        if text.text.len() > LARGE {
            let problem = Problem::new(
                "large-policy",
                format!(
                    "this has {} KiB: a ConfigMap holds 1 MiB, and `kubectl apply` 256 KiB",
                    text.text.len() / 1024
                ),
                "split it, or apply it with --server-side",
            );
            loading.found.push((Severity::Warning, problem, file, 0..0));
        }
    }
    if texts.is_empty() {
        let problem = Problem::new("empty-policy", "there is no policy file", "name at least one");
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(Diagnostic::new(Severity::Error, problem, "", &Arc::from(""), 0..0));
        return Err(diagnostics);
    }
    loading.heads();
    loading.rules();
    loading.sinks();
    loading.check();
    loading.finish()
}

#[derive(Default)]
struct Loading<'t> {
    texts: &'t [PolicyText],
    /// The texts as they are shown, with secrets masked.
    masked: Vec<Arc<str>>,
    units: Vec<Unit>,
    found: Vec<(Severity, Problem, usize, Place)>,
    gate: Option<Gate>,
    /// True where what stands beside rules and sinks could not be read: whether there is a gate is not known.
    heads_missing: bool,
    /// Where the file's gate, `unmatched` and `notify` are said first.
    said: [Option<usize>; 3],
    unmatched: Option<Verdict>,
    notify: Option<Notify>,
    /// The rules that could be read, with their unit and place in it.
    rules: Vec<(usize, usize, Rule)>,
    /// True where some rule could not be read: what it uses is not known.
    rules_missing: bool,
    sinks: Vec<(usize, usize, SinkSpec)>,
    /// True where `sinks` is no list: which sinks there are is not known.
    sinks_missing: bool,
    /// Every sink's name, readable or not.
    sink_names: Vec<String>,
}

impl Loading<'_> {
    fn fault(&mut self, unit: usize, fault: Fault) {
        let at = &self.units[unit];
        let place = match &fault.within {
            Some(within) => at.within(&fault.pointer, within),
            None if fault.at_key => at.places.key(&fault.pointer),
            None => at.places.value(&fault.pointer),
        };
        let (problem, place) = at.outer(fault.problem, place);
        self.found.push((Severity::Error, problem, at.file, place));
    }

    fn finding(&mut self, unit: usize, finding: Finding) {
        let at = &self.units[unit];
        let place = match &finding.text {
            Some(text) => at.places.text_below(&finding.pointer, text),
            None => at.places.value(&finding.pointer),
        };
        let (problem, place) = at.outer(finding.problem, place);
        let severity = if finding.is_error {
            Severity::Error
        } else {
            Severity::Warning
        };
        self.found.push((severity, problem, at.file, place));
    }

    /// The file and line of what stands at a pointer.
    fn line_of(&self, unit: usize, pointer: &str) -> String {
        let at = &self.units[unit];
        let start = at.place(at.places.value(pointer)).start;
        let before = self.masked[at.file].bytes().take(start);
        let line = before.filter(|byte| *byte == b'\n').count() + 1;
        format!("{}:{line}", self.texts[at.file].file)
    }

    /// Reads what stands beside rules and sinks.
    fn heads(&mut self) {
        for unit in 0..self.units.len() {
            let mut head = self.units[unit].value.clone();
            let Some(members) = head.as_object_mut() else {
                let hint = "start with apiVersion: label-router/v1 and kind: RoutingPolicy";
                self.finding(
                    unit,
                    Finding::error("", "wrong-type", "a policy is a map of fields", hint),
                );
                continue;
            };
            for list in ["rules", "sinks"] {
                if members
                    .remove(list)
                    .is_some_and(|value| !value.is_array() && !value.is_null())
                {
                    let pointer = child("", list);
                    self.finding(
                        unit,
                        Finding::error(
                            &pointer,
                            "wrong-type",
                            format!("{list} is no list"),
                            "start each entry with a dash",
                        ),
                    );
                    self.sinks_missing |= list == "sinks";
                }
            }
            let (policy, faults) = read::<RoutingPolicy>(&head, "");
            for fault in faults {
                self.fault(unit, fault);
            }
            let Some(policy) = policy else {
                self.heads_missing = true;
                continue;
            };
            let fields = [
                ("gate", policy.gate.is_some()),
                ("unmatched", policy.unmatched.is_some()),
                ("notify", policy.notify.is_some()),
            ];
            for (index, (field, said)) in fields.into_iter().enumerate() {
                match (said, self.said[index]) {
                    (true, Some(first)) => {
                        let pointer = child("", field);
                        let message = format!("{field} is said in two policies that add up");
                        let hint = format!(
                            "it is said first at {}; keep one of them",
                            self.line_of(first, &pointer)
                        );
                        self.finding(unit, Finding::error(&pointer, "said-twice", message, hint));
                    }
                    (true, None) => self.said[index] = Some(unit),
                    (false, _) => {}
                }
            }
            self.gate = self.gate.take().or(policy.gate);
            self.unmatched = self.unmatched.or(policy.unmatched);
            self.notify = self.notify.take().or(policy.notify);
        }
    }

    fn rules(&mut self) {
        for unit in 0..self.units.len() {
            for (index, value) in entries(&self.units[unit].value, "rules").into_iter().enumerate() {
                let (rule, faults) = read::<Rule>(&value, &format!("/rules/{index}"));
                for fault in faults {
                    self.fault(unit, fault);
                }
                match rule {
                    Some(rule) => self.rules.push((unit, index, rule)),
                    None => self.rules_missing = true,
                }
            }
        }
    }

    fn sinks(&mut self) {
        for unit in 0..self.units.len() {
            for (index, value) in entries(&self.units[unit].value, "sinks").into_iter().enumerate() {
                let pointer = format!("/sinks/{index}");
                self.sink_names
                    .extend(value.get("name").and_then(Value::as_str).map(str::to_owned));
                match sink(value, &pointer) {
                    Ok(spec) => self.sinks.push((unit, index, spec)),
                    Err(faults) => {
                        for fault in faults {
                            self.fault(unit, fault);
                        }
                    }
                }
            }
        }
    }

    /// Everything that is about more than one piece.
    fn check(&mut self) {
        let mut findings: Vec<(usize, Finding)> = Vec::new();
        let standing: Vec<Standing<'_>> = self
            .rules
            .iter()
            .map(|(unit, index, rule)| Standing {
                rule,
                unit: *unit,
                index: *index,
                written: &self.units[*unit].value["rules"][*index],
            })
            .collect();
        for at in &standing {
            let may_have_gate = self.gate.is_some() || self.heads_missing;
            let own = check::rule(at.rule, &format!("/rules/{}", at.index), may_have_gate);
            let own = own.into_iter().chain(check::spread_values(at));
            findings.extend(own.map(|finding| (at.unit, finding)));
        }
        let about_rules = check::writes_what_is_read(&standing, self.gate.as_ref())
            .into_iter()
            .chain(check::order_matters(&standing))
            .chain(check::unreachable(&standing));
        findings.extend(about_rules.map(|(at, finding)| (standing[at].unit, finding)));
        for (at, first) in check::repeated(standing.iter().map(|at| at.rule.name.0.as_str())) {
            let Standing { rule, unit, index, .. } = standing[at];
            let first = self.line_of(standing[first].unit, &format!("/rules/{}/name", standing[first].index));
            findings.push((
                unit,
                Finding::error(
                    &format!("/rules/{index}/name"),
                    "duplicate-name",
                    format!("two rules are called {}", rule.name.0),
                    format!("the first one is at {first}; rename one of them"),
                ),
            ));
        }
        for (at, first) in check::repeated(self.sinks.iter().map(|(_, _, sink)| sink.name.as_str())) {
            let (unit, index, sink) = &self.sinks[at];
            let first = self.line_of(self.sinks[first].0, &format!("/sinks/{}/name", self.sinks[first].1));
            findings.push((
                *unit,
                Finding::error(
                    &format!("/sinks/{index}/name"),
                    "duplicate-name",
                    format!("two sinks are called {}", sink.name),
                    format!("the first one is at {first}; rename one of them"),
                ),
            ));
        }
        findings.extend(self.shadow_only());
        self.check_sink_names(&mut findings);
        let nothing_to_do = self.rules.is_empty() && !self.rules_missing && !self.units.is_empty();
        for (unit, finding) in findings {
            self.finding(unit, finding);
        }
        if nothing_to_do && self.found.iter().all(|(severity, ..)| *severity == Severity::Warning) {
            self.finding(
                0,
                Finding::error("/rules", "no-rules", "the policy has no rules", "add one under `rules`"),
            );
        }
    }

    /// A policy that only tries rules out and refuses every Pod that passes the file's gate, since none of them decides.
    fn shadow_only(&self) -> Option<(usize, Finding)> {
        let (first, ..) = self.rules.first()?;
        let all_known = !self.rules_missing && !self.heads_missing && self.gate.is_some();
        let shadowed = self.rules.iter().all(|(_, _, rule)| rule.mode == rule::Mode::Shadow);
        if !all_known || !shadowed || self.unmatched == Some(Verdict::Admit) {
            return None;
        }
        let (unit, pointer) = self.said[1].map_or((*first, "/rules"), |unit| (unit, "/unmatched"));
        let finding = Finding::warning(
            pointer,
            "shadow-only",
            "every rule is in shadow, so that every Pod that passes the file's gate is refused",
            "write `unmatched: admit`",
        );
        Some((unit, finding))
    }

    /// Looks at what is written, not at what could be read: a rule with a fault elsewhere names its sinks all the same.
    fn check_sink_names(&self, findings: &mut Vec<(usize, Finding)>) {
        let mut used: HashSet<&str> = HashSet::new();
        for (unit, at) in self.units.iter().enumerate() {
            let rules = list(&at.value, "/rules").enumerate();
            let rules = rules.map(|(index, rule)| (format!("/rules/{index}"), rule));
            for (pointer, notifier) in rules.chain([(String::new(), &at.value)]) {
                for (at, name) in list(notifier, "/notify/sinks").enumerate() {
                    let Some(name) = name.as_str() else { continue };
                    used.insert(name);
                    if self.sinks_missing || self.sink_names.iter().any(|known| known == name) {
                        continue;
                    }
                    let near = suggest::closest(name, self.sink_names.iter().map(String::as_str));
                    findings.push((
                        unit,
                        Finding::error(
                            &format!("{pointer}/notify/sinks/{at}"),
                            "undeclared-sink",
                            format!("no sink is called {name}"),
                            near.map_or_else(
                                || "declare it under `sinks`".to_owned(),
                                |near| format!("did you mean {near}?"),
                            ),
                        ),
                    ));
                }
            }
        }
        for (unit, index, sink) in self
            .sinks
            .iter()
            .filter(|(_, _, sink)| !used.contains(&sink.name.as_str()))
        {
            findings.push((
                *unit,
                Finding::warning(
                    &format!("/sinks/{index}/name"),
                    "unused-sink",
                    format!("no rule tells the sink {}", sink.name),
                    "name it under `notify` of a rule or of the file, or delete it",
                ),
            ));
        }
    }

    fn finish(self) -> Result<Compiled, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        // What is no text to YAML is refused once more as a label key, say.
        let no_text: HashSet<(usize, usize)> = self
            .found
            .iter()
            .filter(|(_, problem, ..)| matches!(problem.code.as_str(), "bad-key" | "merge-key" | "yaml-tag"))
            .map(|(_, _, file, place)| (*file, place.start))
            .collect();
        let mut told = HashSet::new();
        for (severity, problem, file, place) in self.found {
            let at = (file, place.start);
            if no_text.contains(&at) && !told.insert(at) {
                continue;
            }
            diagnostics.push(Diagnostic::new(
                severity,
                problem,
                &self.texts[file].file,
                &self.masked[file],
                place,
            ));
        }
        let files: Vec<String> = self.texts.iter().map(|text| text.file.clone()).collect();
        diagnostics.sort(&files);
        if diagnostics.errors() > 0 {
            return Err(diagnostics);
        }
        let mut rules = Vec::with_capacity(self.rules.len());
        let mut notify = Vec::with_capacity(self.rules.len());
        for (_, _, rule) in self.rules {
            // `check` has made sure that there is one of the two.
            let Some(gate) = rule.gate.or_else(|| self.gate.clone()) else {
                continue;
            };
            notify.push(rule.notify);
            rules.push(rule::Rule {
                name: rule.name.0.into(),
                gate,
                matching: rule.matching,
                mode: rule.mode,
                ordinal: rule.ordinal,
                document: rule.document,
                routes: rule.routes,
                on_conflict: rule.on_conflict,
                on_error: rule.on_error,
                allow: rule.allow,
                continues: rule.continues,
                annotate: rule.annotate,
            });
        }
        let sinks: Vec<SinkSpec> = self.sinks.into_iter().map(|(_, _, sink)| sink).collect();
        let by_rule: Vec<Option<&Notify>> = notify.iter().map(|own| own.as_ref().or(self.notify.as_ref())).collect();
        let telling = Telling::new(&by_rule, self.notify.as_ref(), &sinks);
        Ok(Compiled {
            telling,
            snapshot: Snapshot::new(
                self.gate,
                self.unmatched.unwrap_or_default(),
                rules,
                &generation(&self.units),
            ),
            sinks,
            warnings: diagnostics,
        })
    }
}

/// The items of a list, where there is one.
fn list<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// The entries of a list in a policy.
fn entries(value: &Value, list: &str) -> Vec<Value> {
    value.get(list).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// A field that a type of sink does not know may be meant as one that all have.
fn suggest_common(fault: &mut Fault, sink: &str) {
    let Some((map, written)) = fault.pointer.rsplit_once('/') else {
        return;
    };
    if map != sink || fault.problem.code != "unknown-field" {
        return;
    }
    let hint = &mut fault.problem.hint;
    if let Some(near) = suggest::closest(written, Common::FIELDS) {
        *hint = format!("did you mean {near}?");
    } else if !hint.starts_with("did you mean") {
        let own = hint.strip_prefix("choose one of ");
        *hint = format!(
            "choose one of {}",
            Common::FIELDS.into_iter().chain(own).collect::<Vec<_>>().join(", ")
        );
    }
}

/// Reads a sink: what all types have, then what its own type has.
fn sink(mut value: Value, pointer: &str) -> Result<SinkSpec, Vec<Fault>> {
    #[derive(serde::Deserialize)]
    struct Head {
        name: model::RuleName,
        #[serde(rename = "type")]
        _kind: String,
    }
    struct ReadSettings<'v>(&'v Value, &'v str);
    impl ForType for ReadSettings<'_> {
        type Output = (Option<Settings>, Vec<Fault>);

        fn run<T: SinkSettings + Into<Settings>>(self) -> Self::Output {
            let (settings, mut faults) = read::<T>(self.0, self.1);
            for fault in &mut faults {
                suggest_common(fault, self.1);
            }
            (settings.map(Into::into), faults)
        }
    }
    let (head, mut faults) = read::<Head>(&value, pointer);
    let (common, own) = read::<Common>(&value, pointer);
    faults.extend(own);
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(members) = value.as_object_mut() {
        for name in Common::FIELDS {
            members.remove(name);
        }
    }
    let settings = match Settings::for_type(&kind, ReadSettings(&value, pointer)) {
        Some((settings, own)) => {
            faults.extend(own);
            settings
        }
        None if kind.is_empty() => None,
        None => {
            let near = suggest::closest(&kind, Settings::NAMES.iter().copied());
            faults.push(Fault {
                pointer: child(pointer, "type"),
                at_key: false,
                problem: Problem::new(
                    "unknown-value",
                    format!("{kind:?} is no type of sink"),
                    near.map_or_else(
                        || format!("choose one of {}", Settings::NAMES.join(", ")),
                        |near| format!("did you mean {near}?"),
                    ),
                ),
                within: None,
            });
            None
        }
    };
    if let (Some(common), Some(settings)) = (&common, &settings) {
        faults.extend(templates(common, settings, pointer));
        if matches!(settings, Settings::Event(_)) && !common.group_by.contains(&By::Owner) {
            faults.push(Fault {
                pointer: child(pointer, "groupBy"),
                at_key: false,
                problem: Problem::new(
                    "event-without-owner",
                    "an Event is put on the owner of the Pods, and these groups have no owner of their own",
                    "add owner to groupBy",
                ),
                within: None,
            });
        }
    }
    match (head, common, settings) {
        (Some(head), Some(common), Some(settings)) if faults.is_empty() => Ok(SinkSpec {
            name: head.name.0,
            common,
            settings,
        }),
        _ => Err(faults),
    }
}

/// What is wrong with a sink's templates.
fn templates(common: &Common, settings: &Settings, sink: &str) -> Vec<Fault> {
    let Err(bad) = Templates::new(common, settings.markup()) else {
        return Vec::new();
    };
    bad.into_iter()
        .map(|bad| Fault {
            pointer: match &bad.field {
                Field::Title => child(sink, "title"),
                Field::Body => child(sink, "body"),
                Field::Link(name) => child(&child(sink, "links"), name),
            },
            at_key: false,
            problem: bad.problem,
            within: Some(bad.at),
        })
        .collect()
}

/// Tells a policy from others: the start of the SHA-256 of its texts, in hexadecimal.
fn generation(units: &[Unit]) -> String {
    let mut hash = Sha256::new();
    for unit in units {
        hash.update(unit.text.len().to_be_bytes());
        hash.update(unit.text.as_bytes());
    }
    hex(&hash.finalize()[..6])
}
