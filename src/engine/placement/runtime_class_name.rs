//! `runtimeClassName`: what runs the Pod's containers.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::metadata::kept_or_refused;
use super::scheduler_name::{dns_name, dns_template};
use super::{Place, Scope, Writes};
use crate::engine::conflict::OnConflict;
use crate::engine::draft::{Draft, Field};
use crate::engine::failure::Failure;
use crate::engine::interpolation::Template;

const FIELD: Field<'static> = Field("spec", "runtimeClassName");

/// The RuntimeClass, only where the Pod names none: changing one would not fit the overhead already computed.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(transparent)]
pub struct RuntimeClassName(Template);

impl Place for RuntimeClassName {
    fn place<'a>(&'a self, scope: &Scope<'_, 'a>, draft: &mut Draft<'a>) -> Result<(), Failure> {
        let wanted = dns_name(&self.0, scope)?;
        let current = draft.get(FIELD).cloned();
        if draft.settle(
            || FIELD.1.to_owned(),
            current.as_ref(),
            &wanted,
            kept_or_refused(scope.on_conflict),
        )? {
            *draft.edit(FIELD) = Some(wanted);
        }
        Ok(())
    }

    fn templates<'t>(&'t self, visit: &mut dyn FnMut(&'t Template)) {
        visit(&self.0);
    }

    fn writes(&self, _: OnConflict) -> Vec<Writes> {
        vec![Writes::new(&[FIELD.0, FIELD.1], true)]
    }
}

impl<'de> Deserialize<'de> for RuntimeClassName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        dns_template(deserializer).map(Self)
    }
}
