//! One compiled generation of a policy: all that decides about a Pod, and nothing that changes.

use std::sync::Arc;

use super::context::Root;
use super::gate::Gate;
use super::index::Index;
use super::node::Projection;
use super::path::Path;
use super::rule::{Rule, Verdict};

/// Where a rule with `annotate: true` records its decision on the Pod.
pub const DECISION_ANNOTATION: &str = "label-router/decision";

/// Compiled rules, with the index that finds them and the projection that says what they read.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) gate: Option<Gate>,
    pub(crate) unmatched: Verdict,
    pub(crate) rules: Vec<Rule>,
    pub(crate) index: Index,
    projection: Projection,
    reads_user: bool,
    /// True where some path reads `$.owner`, and `$.request`: what nobody reads is not built.
    pub(crate) reads_owner: bool,
    pub(crate) reads_request: bool,
    generation: Arc<str>,
}

impl Snapshot {
    /// Compiles rules. `gate` is the file's, for `unmatched`; `generation` tells this snapshot from others.
    pub fn new(gate: Option<Gate>, unmatched: Verdict, rules: Vec<Rule>, generation: &str) -> Self {
        let mut projection = Projection::nothing();
        let (mut reads_user, mut reads_owner, mut reads_request) = (false, false, false);
        for path in [
            &["metadata", "name"] as &[&str],
            &["metadata", "generateName"],
            &["metadata", "ownerReferences", "apiVersion"],
            &["metadata", "ownerReferences", "kind"],
            &["metadata", "ownerReferences", "name"],
            &["metadata", "ownerReferences", "controller"],
            &["metadata", "annotations", "kubernetes.io/config.mirror"],
            &["spec", "nodeName"],
        ] {
            projection.want(path);
        }
        if let Some(gate) = &gate {
            projection.want(&["metadata", "labels", &gate.label]);
        }
        for rule in &rules {
            want_rule(rule, &mut projection);
            let mut see = |path: &Path| {
                for reads in path.reads() {
                    match reads.root {
                        Root::Pod => projection.want(&reads.names),
                        Root::Request => {
                            reads_request = true;
                            reads_user |= reads.names.first().is_none_or(|name| name == "userInfo");
                        }
                        Root::Owner => reads_owner = true,
                        Root::Ordinal | Root::Document | Root::Spread => {}
                    }
                }
            };
            rule.paths(&mut see);
        }
        Self {
            gate,
            unmatched,
            index: Index::new(&rules),
            rules,
            projection,
            reads_user,
            reads_owner,
            reads_request,
            generation: generation.into(),
        }
    }

    /// What of a Pod some rule reads.
    pub fn projection(&self) -> &Projection {
        &self.projection
    }

    /// True where some rule reads `$.request.userInfo`.
    pub fn reads_user(&self) -> bool {
        self.reads_user
    }

    /// The rules, in their order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The gate of the whole policy.
    pub fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// Tells this snapshot from those of other policies.
    pub fn generation(&self) -> &str {
        &self.generation
    }
}

fn want_rule(rule: &Rule, projection: &mut Projection) {
    projection.want(&["metadata", "labels", &rule.gate.label]);
    for key in rule
        .matching
        .labels
        .iter()
        .flat_map(super::label_selector::LabelSelector::keys)
    {
        projection.want(&["metadata", "labels", key]);
    }
    for source in rule.ordinal.iter().flat_map(|ordinal| &ordinal.from) {
        if let Some(key) = source.reader().label() {
            projection.want(&["metadata", "labels", key]);
        }
        if let Some(key) = source.reader().annotation() {
            projection.want(&["metadata", "annotations", key]);
        }
    }
    if let Some(document) = &rule.document {
        projection.want(&["metadata", "annotations", &document.annotation.0]);
    }
    if rule.annotate {
        projection.want(&["metadata", "annotations", DECISION_ANNOTATION]);
    }
    for placement in rule.routes.iter().flat_map(|route| &route.placements) {
        for writes in placement.place().writes(rule.on_conflict) {
            projection.want(&writes.path);
        }
    }
}
