//! What `labels` and `annotations` have in common: members of the Pod's metadata, none of which a controller owns.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

use super::{Entries, Place, Scope, Writes, set_members};
use crate::engine::conflict::OnConflict;
use crate::engine::draft::{Draft, Field};
use crate::engine::failure::{Cause, Failure};
use crate::engine::interpolation::Template;
use crate::engine::problem::Problem;
use crate::engine::syntax;

/// Labels, where `LABELS`, or annotations.
#[derive(Clone, Debug)]
pub struct MetadataEntries<const LABELS: bool>(Entries<LABELS>);

impl<const LABELS: bool> MetadataEntries<LABELS> {
    const FIELD: Field<'static> = Field("metadata", if LABELS { "labels" } else { "annotations" });
}

impl<const LABELS: bool> Place for MetadataEntries<LABELS> {
    fn place<'a>(&'a self, scope: &Scope<'_, 'a>, draft: &mut Draft<'a>) -> Result<(), Failure> {
        let members = self.0.render(scope)?;
        if let Some((key, _)) = members.iter().find(|(key, _)| syntax::owned_by_controller(key)) {
            return Err(Failure::new(
                Cause::InvalidValue,
                format!("the key {key} belongs to a controller"),
            ));
        }
        set_members(Self::FIELD, members, kept_or_refused(scope.on_conflict), draft)
    }

    fn templates<'t>(&'t self, visit: &mut dyn FnMut(&'t Template)) {
        self.0.templates(visit);
    }

    fn writes(&self, _: OnConflict) -> Vec<Writes> {
        self.0.writes([Self::FIELD.0, Self::FIELD.1], false)
    }
}

/// What is on the Pod already is never replaced.
pub(super) fn kept_or_refused(on_conflict: OnConflict) -> OnConflict {
    match on_conflict {
        OnConflict::Reject => OnConflict::Reject,
        OnConflict::Override | OnConflict::Keep | OnConflict::Replace => OnConflict::Keep,
    }
}

impl<'de, const LABELS: bool> Deserialize<'de> for MetadataEntries<LABELS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Entries::<LABELS>::deserialize(deserializer)?;
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
            )
            .into_error()),
            None => Ok(Self(entries)),
        }
    }
}

impl<const LABELS: bool> JsonSchema for MetadataEntries<LABELS> {
    fn schema_name() -> Cow<'static, str> {
        if LABELS { "Labels" } else { "Annotations" }.into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Entries::<LABELS>::json_schema(generator);
        let what = if LABELS { "Labels" } else { "Annotations" };
        schema.insert(
            "description".to_owned(),
            format!(
                "{what} added to the Pod, with ${{path}} in keys and values. One that is there already stays, or is refused \
                 with onConflict: reject."
            )
            .into(),
        );
        schema
    }
}
