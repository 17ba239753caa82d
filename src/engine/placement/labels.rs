//! `labels`: labels on the Pod.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

use super::{Entries, Place, Scope, Writes, set_members};
use crate::engine::conflict::OnConflict;
use crate::engine::draft::{Draft, Field};
use crate::engine::failure::{Cause, Failure};
use crate::engine::interpolation::Template;
use crate::engine::problem::Problem;
use crate::engine::syntax;

const FIELD: Field<'static> = Field("metadata", "labels");

/// Labels added to the Pod. One that is there already stays, or is refused with `onConflict: reject`: controllers find
/// their Pods by labels.
#[derive(Clone, Debug)]
pub struct LabelPlacement(Entries<true>);

impl Place for LabelPlacement {
    fn place<'a>(&'a self, scope: &Scope<'_, 'a>, draft: &mut Draft<'a>) -> Result<(), Failure> {
        let members = self.0.render(scope)?;
        refuse_owned(members.iter().map(|(key, _)| key.as_ref()))?;
        set_members(FIELD, members, kept_or_refused(scope.on_conflict), draft)
    }

    fn templates<'t>(&'t self, visit: &mut dyn FnMut(&'t Template)) {
        self.0.templates(visit);
    }

    fn writes(&self, _: OnConflict) -> Vec<Writes> {
        self.0.writes([FIELD.0, FIELD.1], false)
    }
}

impl<'de> Deserialize<'de> for LabelPlacement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Entries::deserialize(deserializer)?;
        check_owned(&entries).map_err(Problem::into_error::<D::Error>)?;
        Ok(Self(entries))
    }
}

impl JsonSchema for LabelPlacement {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LabelPlacement".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Entries::<true>::json_schema(generator);
        schema.insert(
            "description".to_owned(),
            "Labels added to the Pod. One that is there already stays, or is refused with `onConflict: reject`: controllers \
             find their Pods by labels."
                .into(),
        );
        schema
    }
}

/// What is on the Pod already is never replaced.
pub(super) fn kept_or_refused(on_conflict: OnConflict) -> OnConflict {
    match on_conflict {
        OnConflict::Reject => OnConflict::Reject,
        OnConflict::Override | OnConflict::Keep | OnConflict::Replace => OnConflict::Keep,
    }
}

/// Refuses a key that turns out to be a controller's.
pub(super) fn refuse_owned<'k>(mut keys: impl Iterator<Item = &'k str>) -> Result<(), Failure> {
    match keys.find(|key| syntax::owned_by_controller(key)) {
        Some(key) => Err(Failure::new(
            Cause::InvalidValue,
            format!("the key {key} belongs to a controller"),
        )),
        None => Ok(()),
    }
}

/// The same for keys that are literal, when the policy loads.
pub(super) fn check_owned<const LABELS: bool>(entries: &Entries<LABELS>) -> Result<(), Problem> {
    let owned = entries
        .0
        .iter()
        .filter_map(|(key, _)| key.literal())
        .find(|key| syntax::owned_by_controller(key));
    match owned {
        Some(key) => Err(Problem::new(
            "owned-key",
            format!("{key} belongs to a controller, which finds its Pods by it"),
            "use a key of your own, such as example.com/placement",
        )),
        None => Ok(()),
    }
}
