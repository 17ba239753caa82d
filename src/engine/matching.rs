//! Which Pods a rule is for. Every part that is written must hold.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::context::Context;
use super::glob::Globs;
use super::label_selector::LabelSelector;
use super::path::Paths;
use super::pod::{Owner, Pod};
use super::problem::Problem;
use super::suggest;

/// The Pods that a rule is for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// Namespaces, as globs.
    pub namespaces: Option<Globs>,
    /// Pod names, as globs. A Pod whose name is yet to be made is known by the prefix in its generateName.
    pub names: Option<Globs>,
    /// Requirements on the Pod's labels.
    pub labels: Option<LabelSelector>,
    /// The controlling owner.
    pub owner: Option<OwnerMatch>,
    /// JSONPaths of which each must select something; they read $.pod, $.owner and $.request.
    #[serde(rename = "where")]
    pub where_: Option<Paths>,
}

/// Which controlling owner a Pod must have.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnerMatch {
    /// Kinds: StatefulSet, Job, ReplicaSet, or Kind.group for others, such as StatefulSet.apps.kruise.io.
    pub kinds: Option<Vec<OwnerKind>>,
    /// Names, as globs.
    pub names: Option<Globs>,
    /// The owner's name to assume where the Pod has no controlling owner.
    pub default: Option<String>,
}

/// A kind of controlling owner, with its API group.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(transparent)]
pub struct OwnerKind {
    #[schemars(skip)]
    kind: String,
    #[schemars(skip)]
    group: String,
    written: String,
}

impl OwnerKind {
    fn is(&self, owner: &Owner<'_>) -> bool {
        self.kind == owner.kind && self.group == owner.group
    }

    /// The kind without its group.
    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }
}

impl<'de> Deserialize<'de> for OwnerKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const KNOWN: [(&str, &str); 4] = [
            ("StatefulSet", "apps"),
            ("ReplicaSet", "apps"),
            ("Job", "batch"),
            ("ReplicationController", ""),
        ];
        let written = String::deserialize(deserializer)?;
        let bad = |message: String, hint: String| Problem::new("bad-owner-kind", message, hint).into_error();
        match written.as_str() {
            "Deployment" | "Deployment.apps" => {
                return Err(bad(
                    "no Pod belongs to a Deployment: its Pods belong to a ReplicaSet".to_owned(),
                    "write ReplicaSet".to_owned(),
                ));
            }
            "CronJob" | "CronJob.batch" => {
                return Err(bad(
                    "no Pod belongs to a CronJob: its Pods belong to a Job".to_owned(),
                    "write Job".to_owned(),
                ));
            }
            "DaemonSet" | "DaemonSet.apps" => {
                return Err(bad(
                    "Pods of a DaemonSet are never placed: their own affinity pins each to its Node".to_owned(),
                    "use the DaemonSet's own nodeSelector".to_owned(),
                ));
            }
            _ => {}
        }
        let (kind, group) = match written.split_once('.') {
            Some((kind, group)) => (kind, group),
            None => KNOWN.into_iter().find(|(kind, _)| *kind == written).ok_or_else(|| {
                let near = suggest::closest(&written, KNOWN.map(|(kind, _)| kind));
                let hint = near.map_or_else(
                    || "write Kind.group for a kind of your own, such as StatefulSet.apps.kruise.io".to_owned(),
                    |near| format!("did you mean {near}?"),
                );
                bad(format!("{written:?} is no kind that Pods belong to by itself"), hint)
            })?,
        };
        Ok(Self {
            kind: kind.to_owned(),
            group: group.to_owned(),
            written,
        })
    }
}

/// One part of a match, as it is told to a person.
pub(crate) struct Predicate {
    pub(crate) name: &'static str,
    pub(crate) wants: String,
    pub(crate) found: String,
    pub(crate) held: bool,
}

impl Match {
    /// True where every part holds.
    pub(crate) fn holds(&self, pod: &Pod<'_, '_>, context: &Context<'_>) -> bool {
        self.namespaces
            .as_ref()
            .is_none_or(|globs| globs.matches(pod.namespace))
            && self.names.as_ref().is_none_or(|globs| globs.matches(pod.name))
            && self
                .owner
                .as_ref()
                .is_none_or(|owner| owner.kind_holds(pod) && owner.name_holds(pod))
            && self.labels.as_ref().is_none_or(|labels| labels.matches(pod.labels))
            && self
                .where_
                .iter()
                .flat_map(|paths| &paths.0)
                .all(|path| path.holds(context))
    }

    /// Every part, with what it wants and what the Pod has.
    pub(crate) fn predicates(&self, pod: &Pod<'_, '_>, context: &Context<'_>) -> Vec<Predicate> {
        let mut predicates = Vec::new();
        let mut add = |name, wants: String, found: String, held| {
            predicates.push(Predicate {
                name,
                wants,
                found,
                held,
            });
        };
        if let Some(globs) = &self.namespaces {
            let found = format!("it is in {}", pod.namespace);
            add(
                "namespaces",
                format!("namespace {globs}"),
                found,
                globs.matches(pod.namespace),
            );
        }
        if let Some(globs) = &self.names {
            let found = format!("its name is {}", pod.name);
            add("names", format!("name {globs}"), found, globs.matches(pod.name));
        }
        if let Some(owner) = &self.owner {
            let found = match pod.owner {
                Some(found) => format!("it belongs to {} {}", found.kind_in_group(), found.name),
                None => "no controller owns it".to_owned(),
            };
            if let Some(kinds) = &owner.kinds {
                let wants: Vec<&str> = kinds.iter().map(|kind| kind.written.as_str()).collect();
                add(
                    "owner.kinds",
                    format!("owner kind {}", wants.join(" or ")),
                    found.clone(),
                    owner.kind_holds(pod),
                );
            }
            if let Some(globs) = &owner.names {
                add("owner.names", format!("owner {globs}"), found, owner.name_holds(pod));
            }
        }
        if let Some(selector) = &self.labels {
            let found: Vec<String> = selector
                .keys()
                .map(|key| match pod.labels.get(key) {
                    Some(value) => format!("{key}={value}"),
                    None => format!("no {key}"),
                })
                .collect();
            add(
                "labels",
                format!("labels {selector}"),
                format!("it has {}", found.join(", ")),
                selector.matches(pod.labels),
            );
        }
        for path in self.where_.iter().flat_map(|paths| &paths.0) {
            let held = path.holds(context);
            let found = if held {
                "it selects something"
            } else {
                "it selects nothing"
            };
            add("where", format!("{path}"), found.to_owned(), held);
        }
        predicates
    }
}

impl OwnerMatch {
    fn kind_holds(&self, pod: &Pod<'_, '_>) -> bool {
        match (&self.kinds, &pod.owner) {
            (Some(kinds), Some(owner)) => kinds.iter().any(|kind| kind.is(owner)),
            // `default` stands in for the owner that is not there.
            (Some(_), None) => self.default.is_some(),
            (None, _) => true,
        }
    }

    fn name_holds(&self, pod: &Pod<'_, '_>) -> bool {
        match (&self.names, self.name(pod)) {
            (Some(globs), Some(name)) => globs.matches(name),
            (Some(_), None) => false,
            (None, _) => true,
        }
    }

    /// The owner's name: the controller's, or the one to assume.
    pub(crate) fn name<'m>(&'m self, pod: &Pod<'m, '_>) -> Option<&'m str> {
        pod.owner.map_or(self.default.as_deref(), |owner| Some(owner.name))
    }
}
