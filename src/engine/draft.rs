//! The Pod as it would be: placements edit it, and the difference to the Pod is the patch.
//!
//! Only the fields that a placement touches are copied. A field here is a member of `metadata` or `spec`.

use std::borrow::Cow;

use super::conflict::OnConflict;
use super::failure::Failure;
use super::node::Node;
use super::patch::{PatchOperation, Tokens, diff};

/// A copy-on-write view of a Pod.
#[derive(Clone, Debug)]
pub(crate) struct Draft<'a> {
    pod: &'a Node<'a>,
    fields: Vec<(Field<'a>, Option<Node<'a>>)>,
    /// What a rule with `onConflict: reject` has settled: no later rule may change it, or admitting the Pod again would
    /// be refused.
    claims: Vec<String>,
    /// What was replaced, for those who set it.
    overridden: Vec<String>,
}

/// A member of `metadata` or `spec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a>(pub(crate) &'a str, pub(crate) &'a str);

impl<'a> Draft<'a> {
    pub(crate) fn new(pod: &'a Node<'a>) -> Self {
        Self {
            pod,
            fields: Vec::new(),
            claims: Vec::new(),
            overridden: Vec::new(),
        }
    }

    /// A field as it stands in the draft; `null` is absent.
    pub(crate) fn get(&self, field: Field<'_>) -> Option<&Node<'a>> {
        match self.fields.iter().find(|(touched, _)| *touched == field) {
            Some((_, node)) => node.as_ref(),
            None => self.pod.at(&[field.0, field.1]),
        }
        .filter(|node| !node.is_null())
    }

    /// A field to change.
    pub(crate) fn edit(&mut self, field: Field<'a>) -> &mut Option<Node<'a>> {
        let at = if let Some(at) = self.fields.iter().position(|(touched, _)| *touched == field) {
            at
        } else {
            let node = self.pod.at(&[field.0, field.1]).filter(|node| !node.is_null()).cloned();
            self.fields.push((field, node));
            self.fields.len() - 1
        };
        &mut self.fields[at].1
    }

    /// Sets a member of an object field.
    pub(crate) fn set_member(&mut self, field: Field<'a>, name: Cow<'a, str>, value: Node<'a>) {
        self.edit(field)
            .get_or_insert_with(|| Node::Object(Vec::new()))
            .set(name, value);
    }

    /// Whether `wanted` may be written where `current` stands, and what is to be said about it. `what` names the place.
    pub(crate) fn settle(
        &mut self,
        what: impl Fn() -> String,
        current: Option<&Node<'_>>,
        wanted: &Node<'_>,
        on_conflict: OnConflict,
    ) -> Result<bool, Failure> {
        let write = match current.filter(|current| !current.is_null()) {
            Some(current) if current == wanted => false,
            _ if !self.claims.is_empty() && self.is_claimed(&what()) => {
                let settled = current.map_or_else(String::new, |current| format!(" as {}", shown(current)));
                let wants = match wanted {
                    Node::Null => "removes it".to_owned(),
                    wanted => format!("wants {}", shown(wanted)),
                };
                return Err(Failure::Conflict(format!(
                    "an earlier rule settled its {}{settled}, and this one {wants}",
                    what()
                )));
            }
            None => true,
            Some(current) => {
                let what = what();
                let (old, new) = (shown(current), shown(wanted));
                match on_conflict {
                    OnConflict::Keep => return Ok(false),
                    OnConflict::Reject => {
                        let origin = if self.fields.is_empty() {
                            ""
                        } else {
                            ", by itself or by an earlier rule"
                        };
                        return Err(Failure::Conflict(format!(
                            "its {what} is already {old}{origin}, and the rule wants {new}"
                        )));
                    }
                    OnConflict::Override | OnConflict::Replace => {
                        // A Warning has room for names, not for whole objects.
                        self.overridden.push(match (current, wanted) {
                            (_, Node::Null) => format!("{what} was removed"),
                            (Node::Object(_) | Node::Array(_), _) | (_, Node::Object(_) | Node::Array(_)) => {
                                format!("{what} was replaced")
                            }
                            _ => format!("{what} {old} was replaced by {new}"),
                        });
                        true
                    }
                }
            }
        };
        self.claim(what, on_conflict);
        Ok(write)
    }

    /// Keeps what a rule with `onConflict: reject` found as it should be, or made so.
    pub(crate) fn claim(&mut self, what: impl Fn() -> String, on_conflict: OnConflict) {
        if on_conflict == OnConflict::Reject {
            self.claims.push(what());
        }
    }

    /// True where an earlier rule with `onConflict: reject` settled this place.
    pub(crate) fn is_claimed(&self, what: &str) -> bool {
        // Of two JSON Pointers, one that leads through the other is about the same place.
        let around = |outer: &str, inner: &str| {
            outer.starts_with('/') && inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
        };
        self.claims
            .iter()
            .any(|claim| claim == what || around(claim, what) || around(what, claim))
    }

    pub(crate) fn note_override(&mut self, what: String) {
        self.overridden.push(what);
    }

    /// What was replaced so far.
    pub(crate) fn overridden(&self) -> &[String] {
        &self.overridden
    }

    /// What turns the Pod into the draft.
    pub(crate) fn patch(&self) -> Vec<PatchOperation> {
        let mut patch = Vec::new();
        for (field, node) in &self.fields {
            let section = Tokens {
                parent: None,
                token: field.0,
            };
            let tokens = Tokens {
                parent: Some(&section),
                token: field.1,
            };
            diff(self.pod.at(&[field.0, field.1]), node.as_ref(), tokens, &mut patch);
        }
        patch
    }
}

fn shown(node: &Node<'_>) -> String {
    match node {
        Node::String(text) => text.clone().into_owned(),
        other => serde_json::Value::from(other).to_string(),
    }
}
