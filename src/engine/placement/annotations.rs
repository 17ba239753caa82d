//! `annotations`: annotations on the Pod.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

use super::labels::{check_owned, kept_or_refused, refuse_owned};
use super::{Entries, Place, Scope, Writes, set_members};
use crate::engine::conflict::OnConflict;
use crate::engine::draft::{Draft, Field};
use crate::engine::failure::Failure;
use crate::engine::interpolation::Template;
use crate::engine::problem::Problem;

const FIELD: Field<'static> = Field("metadata", "annotations");

/// Annotations added to the Pod. One that is there already stays, or is refused with `onConflict: reject`.
#[derive(Clone, Debug)]
pub struct AnnotationPlacement(Entries<false>);

impl Place for AnnotationPlacement {
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

impl<'de> Deserialize<'de> for AnnotationPlacement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Entries::deserialize(deserializer)?;
        check_owned(&entries).map_err(Problem::into_error::<D::Error>)?;
        Ok(Self(entries))
    }
}

impl JsonSchema for AnnotationPlacement {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AnnotationPlacement".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Entries::<false>::json_schema(generator);
        schema.insert(
            "description".to_owned(),
            "Annotations added to the Pod. One that is there already stays, or is refused with `onConflict: reject`."
                .into(),
        );
        schema
    }
}
