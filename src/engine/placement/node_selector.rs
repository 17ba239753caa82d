//! `nodeSelector`: labels that the Node must have.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Entries, Place, Scope, Writes, set_members};
use crate::engine::conflict::OnConflict;
use crate::engine::draft::{Draft, Field};
use crate::engine::failure::Failure;
use crate::engine::interpolation::Template;
use crate::engine::node::Node;

const FIELD: Field<'static> = Field("spec", "nodeSelector");

/// Labels that the Node must have, added to those the Pod already asks for. With `onConflict: replace` they are all.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct NodeSelector(Entries<true>);

impl Place for NodeSelector {
    fn place<'a>(&'a self, scope: &Scope<'_, 'a>, draft: &mut Draft<'a>) -> Result<(), Failure> {
        let members = self.0.render(scope)?;
        if scope.on_conflict == OnConflict::Replace {
            let is_wanted = |key: &str| members.iter().any(|(wanted, _)| wanted == key);
            let others: Vec<String> = draft
                .get(FIELD)
                .map(Node::members)
                .unwrap_or_default()
                .iter()
                .filter(|(key, _)| !is_wanted(key))
                .map(|(key, _)| format!("nodeSelector {key}"))
                .collect();
            if let Some(what) = others.iter().find(|what| draft.is_claimed(what)) {
                return Err(Failure::Conflict(format!(
                    "an earlier rule settled its {what}, and this one drops it"
                )));
            }
            if !others.is_empty() {
                if let Some(Node::Object(selector)) = draft.edit(FIELD) {
                    selector.retain(|(member, _)| is_wanted(member));
                }
                for what in others {
                    draft.note_override(format!("{what} was dropped"));
                }
            }
        }
        set_members(FIELD, members, scope.on_conflict, draft)
    }

    fn templates<'t>(&'t self, visit: &mut dyn FnMut(&'t Template)) {
        self.0.templates(visit);
    }

    fn writes(&self, on_conflict: OnConflict) -> Vec<Writes> {
        self.0.writes([FIELD.0, FIELD.1], on_conflict == OnConflict::Replace)
    }
}
