//! `tolerations`: taints that the Pod may run on in spite of.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::{CheckedKey, CheckedValue, Place, Scope, Writes, push_item};
use crate::engine::conflict::OnConflict;
use crate::engine::draft::{Draft, Field};
use crate::engine::failure::Failure;
use crate::engine::interpolation::Template;
use crate::engine::node::Node;
use crate::engine::problem::Problem;

const FIELD: Field<'static> = Field("spec", "tolerations");
const SECONDS: &str = "tolerationSeconds";

/// Tolerations added where the Pod has none with the same key, operator, value and effect. Where only tolerationSeconds
/// differ, onConflict says whose stand.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Tolerations(Vec<Toleration>);

/// A Kubernetes Toleration, with ${path} in its key and value.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Toleration {
    /// The taint's key; without one, `operator: Exists` tolerates every taint.
    key: Option<CheckedKey>,
    /// Equal unless said.
    operator: Option<TolerationOperator>,
    /// The taint's value, for Equal.
    value: Option<CheckedValue>,
    /// The taint's effect; without one, every effect.
    effect: Option<Effect>,
    /// For NoExecute: after how many seconds the Pod is evicted all the same.
    #[schemars(rename = "tolerationSeconds")]
    seconds: Option<i64>,
}

/// How a toleration's value stands to the taint's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
enum TolerationOperator {
    /// The same value.
    Equal,
    /// Any value.
    Exists,
}

/// What a taint does to Pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
enum Effect {
    /// New Pods are not put there.
    NoSchedule,
    /// New Pods are put elsewhere where that is possible.
    PreferNoSchedule,
    /// Pods that run there are evicted.
    NoExecute,
}

impl Place for Tolerations {
    fn place<'a>(&'a self, scope: &Scope<'_, 'a>, draft: &mut Draft<'a>) -> Result<(), Failure> {
        let wanted = self
            .0
            .iter()
            .map(|toleration| toleration.render(scope))
            .collect::<Result<Vec<_>, _>>()?;
        for toleration in wanted {
            let current = match draft.get(FIELD) {
                Some(Node::Array(items)) => items.iter().position(|item| same(item, &toleration)),
                _ => None,
            };
            let Some(at) = current else {
                push_item(draft.edit(FIELD), toleration);
                continue;
            };
            // The API server gives every Pod tolerations of its own for 300 seconds, before any webhook is asked.
            let Some(seconds) = toleration.get(SECONDS).cloned() else {
                continue;
            };
            let key = toleration
                .get("key")
                .and_then(Node::as_str)
                .unwrap_or_default()
                .to_owned();
            let there = match draft.get(FIELD) {
                Some(Node::Array(items)) => items[at].get(SECONDS).cloned().unwrap_or_default(),
                _ => Node::Null,
            };
            let current = if there.is_null() { Node::from("for ever") } else { there };
            let what = || format!("toleration {key} {SECONDS}");
            if draft.settle(what, Some(&current), &seconds, scope.on_conflict)?
                && let Some(Node::Array(items)) = draft.edit(FIELD)
            {
                items[at].set(Cow::Borrowed(SECONDS), seconds);
            }
        }
        Ok(())
    }

    fn templates<'t>(&'t self, visit: &mut dyn FnMut(&'t Template)) {
        for toleration in &self.0 {
            toleration.key.iter().for_each(|key| visit(&key.0));
            toleration.value.iter().for_each(|value| visit(&value.0));
        }
    }

    fn writes(&self, _: OnConflict) -> Vec<Writes> {
        vec![Writes::new(&[FIELD.0, FIELD.1], false)]
    }
}

impl Toleration {
    fn render<'a>(&'a self, scope: &Scope<'_, 'a>) -> Result<Node<'a>, Failure> {
        let mut members = Vec::new();
        let mut push =
            |name: &'static str, value: Cow<'a, str>| members.push((Cow::Borrowed(name), Node::String(value)));
        if let Some(key) = &self.key {
            push("key", scope.key(&key.0)?);
        }
        if let Some(operator) = self.operator {
            push(
                "operator",
                Cow::Borrowed(match operator {
                    TolerationOperator::Equal => "Equal",
                    TolerationOperator::Exists => "Exists",
                }),
            );
        }
        if let Some(value) = &self.value {
            push("value", scope.value(&value.0)?);
        }
        if let Some(effect) = self.effect {
            push(
                "effect",
                Cow::Borrowed(match effect {
                    Effect::NoSchedule => "NoSchedule",
                    Effect::PreferNoSchedule => "PreferNoSchedule",
                    Effect::NoExecute => "NoExecute",
                }),
            );
        }
        if let Some(seconds) = self.seconds {
            members.push((Cow::Borrowed(SECONDS), seconds.into()));
        }
        Ok(Node::Object(members))
    }
}

/// As Kubernetes' `MatchToleration`: the seconds do not count.
fn same(a: &Node<'_>, b: &Node<'_>) -> bool {
    let text = |node: &Node<'_>, name: &str| node.get(name).and_then(Node::as_str).unwrap_or_default().to_owned();
    let operator = |node: &Node<'_>| match text(node, "operator") {
        unsaid if unsaid.is_empty() => "Equal".to_owned(),
        said => said,
    };
    operator(a) == operator(b)
        && ["key", "value", "effect"]
            .iter()
            .all(|name| text(a, name) == text(b, name))
}

impl<'de> Deserialize<'de> for Toleration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Written {
            key: Option<CheckedKey>,
            operator: Option<TolerationOperator>,
            value: Option<CheckedValue>,
            effect: Option<Effect>,
            toleration_seconds: Option<i64>,
        }
        let written = Written::deserialize(deserializer)?;
        let exists = written.operator == Some(TolerationOperator::Exists);
        let bad = |message: &str, hint: &str| Err(Problem::new("bad-toleration", message, hint).into_error());
        if written.key.is_none() && !exists {
            return bad(
                "a toleration without a key needs `operator: Exists`",
                "name the taint's key",
            );
        }
        if exists && written.value.is_some() {
            return bad(
                "`operator: Exists` takes no value",
                "leave `value` out, or write `operator: Equal`",
            );
        }
        if written.toleration_seconds.is_some() && written.effect != Some(Effect::NoExecute) {
            return bad(
                "`tolerationSeconds` goes with `effect: NoExecute` only",
                "leave one of them out",
            );
        }
        Ok(Self {
            key: written.key,
            operator: written.operator,
            value: written.value,
            effect: written.effect,
            seconds: written.toleration_seconds,
        })
    }
}
