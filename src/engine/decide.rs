//! The decision: index → gate → match → ordinal → document → route → placement on the draft → patch.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::condition;
use super::context::Context;
use super::decision::{Applied, Decision, Outcome, Rejection, Shadowed, Skip};
use super::draft::{Draft, Field};
use super::failure::{Cause, Failure};
use super::node::Node;
use super::ordinal;
use super::patch::PatchOperation;
use super::placement::Scope;
use super::pod::Pod;
use super::request::Request;
use super::rule::{Mode, Rule, Verdict};
use super::snapshot::{DECISION_ANNOTATION, Snapshot};
use super::trace::{Step, Trace};

/// Decides about a request. Pure: no IO, no clock; the same snapshot and request give the same decision.
pub fn decide<T: Trace>(snapshot: &Snapshot, request: &Request<'_>, trace: &mut T) -> Decision {
    if let Some(skip) = out_of_scope(request) {
        return Decision::skipped(skip);
    }
    let pod = Pod::new(&request.pod, &request.namespace);
    if pod.is_mirror() {
        return Decision::skipped(Skip::MirrorPod);
    }
    let gated = snapshot.gate.as_ref().is_some_and(|gate| gate.opens(pod.labels));
    let mut candidates = if T::ON {
        (0..snapshot.rules.len()).collect()
    } else {
        snapshot.index.candidates(&pod)
    };
    candidates.retain(|at| {
        let rule = &snapshot.rules[*at];
        let opens = rule.gate.opens(pod.labels);
        if T::ON && !opens {
            trace.step(Step::Rule {
                name: rule.name.to_string(),
            });
            trace.step(gate_step(rule, &pod, false));
        }
        opens
    });
    if candidates.is_empty() && !gated {
        return Decision::skipped(Skip::NotGated);
    }
    if let Some(node) = pod.node_name() {
        let mut decision = Decision::skipped(Skip::NodeNameSet);
        decision.warnings.push(format!(
            "Pod {} names its Node {node} itself (spec.nodeName), so no rule can place it",
            pod.display_name()
        ));
        return decision;
    }
    Deciding {
        snapshot,
        pod,
        request: if snapshot.reads_request {
            request_node(request)
        } else {
            Node::Null
        },
        draft: Draft::new(&request.pod),
        applied: Vec::new(),
        shadowed: Vec::new(),
        at_the_end: Vec::new(),
        warnings: Vec::new(),
    }
    .run(&candidates, gated, trace)
}

fn out_of_scope(request: &Request<'_>) -> Option<Skip> {
    if request.resource != "pods" || !request.group.is_empty() {
        Some(Skip::NotAPod)
    } else if !request.sub_resource.is_empty() {
        Some(Skip::Subresource)
    } else if request.operation != "CREATE" {
        Some(Skip::NotCreate)
    } else {
        None
    }
}

/// `$.request`
fn request_node<'a>(request: &'a Request<'_>) -> Node<'a> {
    Node::object([
        ("namespace", Node::String(Cow::Borrowed(request.namespace.as_ref()))),
        ("name", Node::String(Cow::Borrowed(request.name.as_ref()))),
        ("operation", Node::String(Cow::Borrowed(request.operation.as_ref()))),
        ("userInfo", request.user_info.clone()),
    ])
}

/// A decision under way.
struct Deciding<'a> {
    snapshot: &'a Snapshot,
    pod: Pod<'a, 'a>,
    request: Node<'a>,
    draft: Draft<'a>,
    applied: Vec<Applied>,
    shadowed: Vec<Shadowed>,
    /// Which of the shadowed are compared with the final patch.
    at_the_end: Vec<usize>,
    warnings: Vec<String>,
}

/// How far a rule got with a Pod.
struct Attempt {
    applied: Applied,
    failure: Option<Failure>,
}

impl<'a> Deciding<'a> {
    fn run<T: Trace>(mut self, candidates: &[usize], gated: bool, trace: &mut T) -> Decision {
        let snapshot = self.snapshot;
        for &at in candidates {
            let rule = &snapshot.rules[at];
            let mut context = self.context(rule);
            if !self.matches(rule, &context, trace) {
                continue;
            }
            match rule.mode {
                Mode::Shadow => self.shadow(at, &mut context, trace),
                Mode::Enforce => {
                    if let Some(rejection) = self.enforce(at, &mut context, trace) {
                        return self.finish(Some(rejection), None);
                    }
                    if !rule.continues {
                        break;
                    }
                }
            }
        }
        if self.applied.is_empty() {
            if gated && snapshot.unmatched == Verdict::Reject {
                let rejection = self.unmatched();
                return self.finish(Some(rejection), None);
            }
            let skip = if self.pod.is_daemon() {
                Skip::DaemonSetPod
            } else {
                Skip::NoRule
            };
            return self.finish(None, Some(skip));
        }
        self.finish(None, None)
    }

    fn context(&self, rule: &'a Rule) -> Context<'a> {
        Context {
            pod: self.pod.node,
            owner: if self.snapshot.reads_owner {
                self.owner(rule)
            } else {
                Node::Null
            },
            request: self.request.clone(),
            ordinal: None,
            document: None,
            spread: None,
        }
    }

    /// `$.owner`: the controlling owner, or the one that the rule assumes.
    fn owner(&self, rule: &'a Rule) -> Node<'a> {
        let owner = rule.matching.owner.as_ref();
        let (kind, name) = match (self.pod.owner, owner.and_then(|owner| owner.default.as_deref())) {
            (Some(owner), _) => (Some(owner.kind), Some(owner.name)),
            (None, Some(assumed)) => {
                let kinds = owner.and_then(|owner| owner.kinds.as_ref());
                (
                    kinds
                        .and_then(|kinds| kinds.first())
                        .map(super::matching::OwnerKind::kind),
                    Some(assumed),
                )
            }
            (None, None) => (None, None),
        };
        let members = [("kind", kind), ("name", name)];
        Node::Object(
            members
                .into_iter()
                .filter_map(|(name, text)| Some((Cow::Borrowed(name), Node::String(Cow::Borrowed(text?)))))
                .collect(),
        )
    }

    fn matches<T: Trace>(&self, rule: &Rule, context: &Context<'_>, trace: &mut T) -> bool {
        let daemon = self.pod.is_daemon();
        if T::ON {
            trace.step(Step::Rule {
                name: rule.name.to_string(),
            });
            trace.step(gate_step(rule, &self.pod, true));
            for predicate in rule.matching.predicates(&self.pod, context) {
                trace.step(Step::Predicate {
                    name: predicate.name,
                    wants: predicate.wants,
                    found: predicate.found,
                    held: predicate.held,
                });
            }
            if daemon {
                trace.step(Step::Predicate {
                    name: "owner",
                    wants: "any owner but a DaemonSet".to_owned(),
                    found: Skip::DaemonSetPod.reason().to_owned(),
                    held: false,
                });
            }
        }
        !daemon && rule.matching.holds(&self.pod, context)
    }

    fn enforce<T: Trace>(&mut self, place: usize, context: &mut Context<'a>, trace: &mut T) -> Option<Rejection> {
        let rule = &self.snapshot.rules[place];
        // What a rule did before it failed is undone where the Pod is let through.
        let before = rule.on_error.may_admit().then(|| self.draft.clone());
        let overridden = self.draft.overridden().len();
        let Attempt { mut applied, failure } = attempt(rule, place, &self.pod, context, &mut self.draft, trace);
        match failure {
            None => {
                applied.overridden = self.draft.overridden()[overridden..].to_vec();
                for what in &applied.overridden {
                    self.warnings.push(format!("rule {}: {what}", rule.name));
                }
                if rule.annotate {
                    record(&applied, &mut self.draft);
                }
            }
            Some(Failure::Error(cause, message)) if rule.on_error.verdict(cause) == Verdict::Admit => {
                if let Some(before) = before {
                    self.draft = before;
                }
                applied.route = None;
                self.warnings.push(format!(
                    "rule {} could not place Pod {} and let it through: {message}",
                    rule.name,
                    self.pod.display_name()
                ));
                applied.admitted = Some(message);
            }
            Some(failure) => {
                let (cause, message) = self.refusal(rule, &failure);
                self.applied.push(applied);
                return Some(Rejection {
                    rule: Some(rule.name.clone()),
                    cause,
                    message,
                });
            }
        }
        self.applied.push(applied);
        None
    }

    fn shadow<T: Trace>(&mut self, place: usize, context: &mut Context<'a>, trace: &mut T) {
        let rule = &self.snapshot.rules[place];
        let mut draft = self.draft.clone();
        let Attempt { mut applied, failure } = attempt(rule, place, &self.pod, context, &mut draft, trace);
        let mut shadowed = Shadowed {
            applied: applied.clone(),
            patch: Vec::new(),
            differs: false,
            rejection: None,
        };
        match failure {
            None => {
                shadowed.patch = draft.patch();
                if rule.continues {
                    // Later rules would have their say, too: only what this one adds is compared.
                    self.compare(&mut shadowed, &self.draft.patch());
                } else {
                    // This rule would have ended the search: compared with what the Pod gets in the end.
                    self.at_the_end.push(self.shadowed.len());
                }
            }
            Some(Failure::Error(cause, message)) if rule.on_error.verdict(cause) == Verdict::Admit => {
                applied.route = None;
                shadowed.applied = applied;
                self.warnings.push(format!(
                    "shadowed rule {} could not place the Pod: {message}",
                    rule.name
                ));
            }
            Some(failure) => {
                let (_, message) = self.refusal(rule, &failure);
                self.warnings
                    .push(format!("shadowed rule {} would refuse the Pod: {message}", rule.name));
                shadowed.differs = true;
                shadowed.rejection = Some(message);
            }
        }
        self.shadowed.push(shadowed);
    }

    /// Says what a shadowed rule would have done otherwise than `patch`.
    fn compare(&mut self, shadowed: &mut Shadowed, patch: &[PatchOperation]) {
        shadowed.differs = shadowed.patch != patch;
        if shadowed.differs {
            self.warnings.push(shadowed_change(shadowed, patch));
        }
    }

    /// Where the Pod's author writes.
    fn template(&self) -> &'static str {
        if self.pod.owner.is_some() {
            "Pod template"
        } else {
            "Pod"
        }
    }

    /// The cause and the words of a refusal.
    fn refusal(&self, rule: &Rule, failure: &Failure) -> (&'static str, String) {
        let annotation = rule
            .document
            .as_ref()
            .map_or("", |document| document.annotation.0.as_str());
        let (cause, message, advice) = match failure {
            Failure::Conflict(message) => (
                "conflict",
                message,
                format!(
                    "Take it out of the {}, or ask for onConflict: override in the rule",
                    self.template()
                ),
            ),
            Failure::Error(cause, message) => {
                let advice = match cause {
                    Cause::MissingDocument | Cause::InvalidDocument => format!(
                        "Annotate the {} with {annotation}: '{}'",
                        self.template(),
                        rule.document_shape()
                    ),
                    Cause::MissingPath | Cause::InvalidValue if !annotation.is_empty() => format!(
                        "The rule reads the annotation {annotation} as {}",
                        rule.document_shape()
                    ),
                    Cause::MissingOrdinal if rule.reads_own_ordinal() => {
                        "Set what the rule reads the ordinal from, or take the label off".to_owned()
                    }
                    Cause::MissingOrdinal => "Use a workload that numbers its Pods, or take the label off".to_owned(),
                    Cause::NoRoute => "Take the label off, or ask for a route that takes it".to_owned(),
                    Cause::MissingPath | Cause::InvalidValue => {
                        format!("Correct the {}, or ask whoever writes the policy", self.template())
                    }
                };
                (cause.name(), message, advice)
            }
        };
        let message = format!(
            "Pod {} carries the label {}, and rule {} cannot place it: {message}. {advice}.",
            self.pod.display_name(),
            carried(rule.gate.label.as_str(), &self.pod),
            rule.name,
        );
        (cause, message)
    }

    /// Why no rule applies, with what each rule wants.
    fn unmatched(&self) -> Rejection {
        const SHOWN: usize = 3;
        let gate = self.snapshot.gate.as_ref().map_or("", |gate| gate.label.as_str());
        let enforcing: Vec<&Rule> = self
            .snapshot
            .rules
            .iter()
            .filter(|rule| rule.mode == Mode::Enforce)
            .collect();
        let mut reasons: Vec<String> = enforcing
            .iter()
            .take(SHOWN)
            .map(|rule| format!("rule {} wants {}", rule.name, self.unmet(rule)))
            .collect();
        if enforcing.len() > SHOWN {
            reasons.push(match enforcing.len() - SHOWN {
                1 => "1 more rule does not match either".to_owned(),
                more => format!("{more} more rules do not match either"),
            });
        }
        if reasons.is_empty() {
            reasons.push("the policy has no enforcing rule".to_owned());
        }
        Rejection {
            rule: None,
            cause: "unmatched",
            message: format!(
                "Pod {} carries the label {}, and no rule places it: {}. Take the label off the {}, or ask for a rule that matches.",
                self.pod.display_name(),
                carried(gate, &self.pod),
                reasons.join("; "),
                self.template(),
            ),
        }
    }

    /// The first thing a rule wants that the Pod has not.
    fn unmet(&self, rule: &'a Rule) -> String {
        if !rule.gate.opens(self.pod.labels) {
            return format!("the label {}", rule.gate);
        }
        let context = self.context(rule);
        rule.matching
            .predicates(&self.pod, &context)
            .into_iter()
            .find(|predicate| !predicate.held)
            .map_or_else(
                || format!("any owner but a DaemonSet, and it is {}", Skip::DaemonSetPod.reason()),
                |predicate| format!("{}, and {}", predicate.wants, predicate.found),
            )
    }

    fn finish(mut self, rejection: Option<Rejection>, skip: Option<Skip>) -> Decision {
        let patch = if rejection.is_some() {
            Vec::new()
        } else {
            self.draft.patch()
        };
        for at in std::mem::take(&mut self.at_the_end) {
            let mut shadowed = self.shadowed[at].clone();
            self.compare(&mut shadowed, &patch);
            shadowed.differs |= rejection.is_some();
            self.shadowed[at] = shadowed;
        }
        let outcome = if rejection.is_some() {
            Outcome::Rejected
        } else if !patch.is_empty() {
            Outcome::Routed
        } else if self.shadowed.iter().any(|shadowed| shadowed.differs) {
            Outcome::Shadowed
        } else if skip.is_some() {
            Outcome::Skipped
        } else {
            Outcome::Unchanged
        };
        Decision {
            outcome,
            patch,
            applied: self.applied,
            shadowed: self.shadowed,
            rejection,
            skipped: skip,
            warnings: self.warnings,
        }
    }
}

/// What a shadowed rule would have done otherwise.
fn shadowed_change(shadowed: &Shadowed, patch: &[PatchOperation]) -> String {
    /// More are counted, not told: a Warning has no room for them.
    const MOST_CHANGES: usize = 16;
    let rule = &shadowed.applied.rule;
    if shadowed.patch.is_empty() {
        return format!("shadowed rule {rule} would leave the Pod as it is");
    }
    if shadowed.patch.len().max(patch.len()) > MOST_CHANGES {
        return format!(
            "shadowed rule {rule} would make {} changes, and the Pod gets {}",
            shadowed.patch.len(),
            patch.len()
        );
    }
    let path = |operation: &PatchOperation| operation.path.replace("~1", "/").replace("~0", "~");
    let only = |ours: &[PatchOperation], theirs: &[PatchOperation]| -> Vec<PatchOperation> {
        ours.iter()
            .filter(|operation| !theirs.contains(operation))
            .cloned()
            .collect()
    };
    let would = only(&shadowed.patch, patch)
        .iter()
        .map(|operation| match &operation.value {
            Some(value) => format!("set {} {}", path(operation), serde_json::Value::from(value)),
            None => format!("remove {}", path(operation)),
        })
        .collect::<Vec<_>>();
    let would_not = only(patch, &shadowed.patch)
        .iter()
        .filter(|operation| !shadowed.patch.iter().any(|other| other.path == operation.path))
        .map(|operation| match operation.value {
            Some(_) => format!("not set {}", path(operation)),
            None => format!("not remove {}", path(operation)),
        })
        .collect::<Vec<_>>();
    format!("shadowed rule {rule} would {}", [would, would_not].concat().join(", "))
}

/// Takes a Pod through a rule that matches it: ordinal, document, route, spread, placements.
fn attempt<'a, T: Trace>(
    rule: &'a Rule,
    place: usize,
    pod: &Pod<'a, 'a>,
    context: &mut Context<'a>,
    draft: &mut Draft<'a>,
    trace: &mut T,
) -> Attempt {
    let mut applied = Applied {
        rule: rule.name.clone(),
        place,
        route: None,
        ordinal: None,
        spread: None,
        cause: None,
        admitted: None,
        overridden: Vec::new(),
    };
    let failure = go(rule, pod, context, draft, &mut applied, trace).err();
    if let Some(failure) = &failure {
        if let Failure::Error(cause, _) = failure {
            applied.cause = Some(*cause);
        }
        if T::ON {
            let (Failure::Error(_, message) | Failure::Conflict(message)) = failure;
            trace.step(Step::Failure {
                message: message.clone(),
            });
        }
    }
    Attempt { applied, failure }
}

fn go<'a, T: Trace>(
    rule: &'a Rule,
    pod: &Pod<'a, 'a>,
    context: &mut Context<'a>,
    draft: &mut Draft<'a>,
    applied: &mut Applied,
    trace: &mut T,
) -> Result<(), Failure> {
    if let Some(ordinal) = &rule.ordinal {
        let owner = rule.matching.owner.as_ref();
        let asked = ordinal::Asked {
            pod,
            owner_name: owner.map_or_else(|| pod.owner.map(|owner| owner.name), |owner| owner.name(pod)),
            context,
        };
        let ordinal = ordinal.find(&asked, trace)?;
        applied.ordinal = Some(ordinal);
        context.ordinal = Some(ordinal.into());
    }
    if let Some(document) = &rule.document {
        let read = read_document(&document.annotation.0, pod);
        if T::ON {
            let problem = match &read {
                Ok(_) => None,
                Err(Failure::Error(_, message) | Failure::Conflict(message)) => Some(message.clone()),
            };
            trace.step(Step::Document {
                annotation: document.annotation.0.clone(),
                problem,
            });
        }
        context.document = Some(read?);
    }
    let asked = condition::Asked {
        ordinal: applied.ordinal,
        context,
    };
    let taken = rule.routes.iter().enumerate().find(|(index, route)| {
        let held = route.when.as_ref().is_none_or(|when| when.condition().holds(&asked));
        if T::ON {
            trace.step(Step::Route {
                index: *index,
                when: route.when.as_ref().map_or_else(
                    || "always".to_owned(),
                    |when| {
                        format!("{} {}", when.name(), when.condition().details())
                            .trim_end()
                            .to_owned()
                    },
                ),
                held,
            });
        }
        held
    });
    let Some((index, route)) = taken else {
        let number = applied
            .ordinal
            .map_or_else(String::new, |ordinal| format!(" for ordinal {ordinal}"));
        return Err(Failure::new(Cause::NoRoute, format!("no route holds{number}")));
    };
    applied.route = Some(index);
    if let Some(spread) = &route.spread {
        // A spread without an ordinal is an error when the policy loads.
        let value = spread.choose(applied.ordinal.unwrap_or_default(), context)?;
        let text = value.as_str().unwrap_or_default().to_owned();
        if T::ON {
            trace.step(Step::Spread { value: text.clone() });
        }
        applied.spread = Some(text);
        context.spread = Some(value);
    }
    let scope = Scope {
        context,
        on_conflict: rule.on_conflict,
        allow: &rule.allow,
    };
    for placement in &route.placements {
        let before = if T::ON { draft.patch() } else { Vec::new() };
        placement.place().place(&scope, draft)?;
        if T::ON {
            trace.step(Step::Placement {
                name: placement.name(),
                changed: draft.patch() != before,
            });
        }
    }
    Ok(())
}

fn read_document<'a>(annotation: &str, pod: &Pod<'a, 'a>) -> Result<Node<'a>, Failure> {
    let text = pod
        .annotations
        .get(annotation)
        .ok_or_else(|| Failure::new(Cause::MissingDocument, format!("it has no annotation {annotation}")))?;
    Node::parse(text).map_err(|error| {
        Failure::new(
            Cause::InvalidDocument,
            format!("its annotation {annotation} is no JSON: {error}"),
        )
    })
}

/// Records the decision on the Pod, for a rule with `annotate: true`.
fn record(applied: &Applied, draft: &mut Draft<'_>) {
    const FIELD: Field<'static> = Field("metadata", "annotations");
    let mut text = format!("rule={}", applied.rule);
    // Writing into a String cannot fail.
    if let Some(route) = applied.route {
        let _ = write!(text, " route={route}");
    }
    if let Some(ordinal) = applied.ordinal {
        let _ = write!(text, " ordinal={ordinal}");
    }
    if let Some(spread) = &applied.spread {
        let _ = write!(text, " spread={spread}");
    }
    draft.set_member(
        FIELD,
        Cow::Borrowed(DECISION_ANNOTATION),
        Node::String(Cow::Owned(text)),
    );
}

fn carried(label: &str, pod: &Pod<'_, '_>) -> String {
    format!("{label}={}", pod.labels.get(label).unwrap_or_default())
}

fn gate_step(rule: &Rule, pod: &Pod<'_, '_>, held: bool) -> Step {
    Step::Predicate {
        name: "gate",
        wants: format!("label {}", rule.gate),
        found: pod.labels.get(&rule.gate.label).map_or_else(
            || format!("it has no {}", rule.gate.label),
            |value| format!("it has {}={value}", rule.gate.label),
        ),
        held,
    }
}
