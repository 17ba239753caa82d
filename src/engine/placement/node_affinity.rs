//! `nodeAffinity`: requirements and preferences on the Node.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::requirement::NodeRequirement;
use super::{Place, Scope, Writes, push_item};
use crate::engine::conflict::OnConflict;
use crate::engine::draft::{Draft, Field};
use crate::engine::failure::Failure;
use crate::engine::interpolation::Template;
use crate::engine::node::Node;
use crate::engine::problem::Problem;

const FIELD: Field<'static> = Field("spec", "affinity");
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Requirements on the Node's labels, added to those that the Pod has.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NodeAffinity {
    /// What every Node must satisfy: added to each of the Pod's terms, since terms are alternatives. A term that is empty
    /// matches nothing and stays so.
    #[schemars(default)]
    required: Vec<NodeRequirement>,
    /// What is better: appended to the Pod's preferences.
    #[schemars(default)]
    preferred: Vec<Preferred>,
}

/// A weighted preference. Source: `corev1.PreferredSchedulingTerm`.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Preferred {
    /// From 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    weight: u8,
    /// What the Node should satisfy.
    preference: Preference,
}

/// Requirements that together are one preference.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Preference {
    /// Requirements on the Node's labels.
    match_expressions: Vec<NodeRequirement>,
}

impl Place for NodeAffinity {
    fn place<'a>(&'a self, scope: &Scope<'_, 'a>, draft: &mut Draft<'a>) -> Result<(), Failure> {
        let render = |requirements: &'a [NodeRequirement]| {
            requirements
                .iter()
                .map(|requirement| requirement.render(scope))
                .collect::<Result<Vec<_>, _>>()
        };
        let required = render(&self.required)?;
        let mut preferred = Vec::with_capacity(self.preferred.len());
        for Preferred { weight, preference } in &self.preferred {
            let expressions = Node::Array(render(&preference.match_expressions)?);
            preferred.push(Node::object([
                ("weight", u64::from(*weight).into()),
                ("preference", Node::object([("matchExpressions", expressions)])),
            ]));
        }
        let affinity = draft.edit(FIELD).get_or_insert_with(|| Node::Object(Vec::new()));
        let affinity = member(affinity, "nodeAffinity");
        if !required.is_empty() {
            require(member(affinity, REQUIRED), required);
        }
        if !preferred.is_empty() {
            let mut all = affinity.get(PREFERRED).filter(|node| !node.is_null()).cloned();
            for preference in preferred {
                let there = matches!(&all, Some(Node::Array(items)) if items.contains(&preference));
                if !there {
                    push_item(&mut all, preference);
                }
            }
            affinity.set(Cow::Borrowed(PREFERRED), all.unwrap_or_default());
        }
        Ok(())
    }

    fn templates<'t>(&'t self, visit: &mut dyn FnMut(&'t Template)) {
        let preferred = self
            .preferred
            .iter()
            .flat_map(|preferred| &preferred.preference.match_expressions);
        for requirement in self.required.iter().chain(preferred) {
            requirement.templates(visit);
        }
    }

    fn writes(&self, _: OnConflict) -> Vec<Writes> {
        vec![Writes::new(&[FIELD.0, FIELD.1, "nodeAffinity"], false)]
    }
}

/// Adds the requirements to every term that has some of its own.
fn require<'a>(selector: &mut Node<'a>, required: Vec<Node<'a>>) {
    const TERMS: &str = "nodeSelectorTerms";
    const EXPRESSIONS: &str = "matchExpressions";
    let has_items = |node: Option<&Node<'_>>| matches!(node, Some(Node::Array(items)) if !items.is_empty());
    if !has_items(selector.get(TERMS)) {
        let term = Node::object([(EXPRESSIONS, Node::Array(required))]);
        selector.set(Cow::Borrowed(TERMS), Node::Array(vec![term]));
        return;
    }
    let Node::Array(terms) = member(selector, TERMS) else {
        return;
    };
    for term in terms {
        if !has_items(term.get(EXPRESSIONS)) && !has_items(term.get("matchFields")) {
            continue;
        }
        let mut expressions = term.get(EXPRESSIONS).filter(|node| !node.is_null()).cloned();
        for requirement in &required {
            let there = matches!(&expressions, Some(Node::Array(items)) if items.contains(requirement));
            if !there {
                push_item(&mut expressions, requirement.clone());
            }
        }
        term.set(Cow::Borrowed(EXPRESSIONS), expressions.unwrap_or_default());
    }
}

/// A member to change; an absent one becomes an empty object.
fn member<'n, 'a>(node: &'n mut Node<'a>, name: &'static str) -> &'n mut Node<'a> {
    if node.get(name).is_none_or(Node::is_null) {
        node.set(Cow::Borrowed(name), Node::Object(Vec::new()));
    }
    match node {
        Node::Object(members) => {
            let at = members.iter().position(|(member, _)| member == name).unwrap_or(0);
            &mut members[at].1
        }
        // `set` has made an object of it.
        other => other,
    }
}

impl<'de> Deserialize<'de> for NodeAffinity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            #[serde(default)]
            required: Vec<NodeRequirement>,
            #[serde(default)]
            preferred: Vec<Preferred>,
        }
        let Written { required, preferred } = Written::deserialize(deserializer)?;
        if required.is_empty() && preferred.is_empty() {
            return Err(Problem::new(
                "empty-placement",
                "a nodeAffinity that asks for nothing",
                "list requirements under `required` or `preferred`, or leave the field out",
            )
            .into_error());
        }
        Ok(Self { required, preferred })
    }
}

impl<'de> Deserialize<'de> for Preferred {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            weight: u64,
            preference: Preference,
        }
        let Written { weight, preference } = Written::deserialize(deserializer)?;
        match u8::try_from(weight) {
            Ok(weight @ 1..=100) => Ok(Self { weight, preference }),
            _ => Err(Problem::new(
                "bad-weight",
                format!("a preference weighs 1 to 100, not {weight}"),
                "write a number from 1 to 100",
            )
            .into_error()),
        }
    }
}
