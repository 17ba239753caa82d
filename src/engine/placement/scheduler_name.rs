//! `schedulerName`: who schedules the Pod.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::{Place, Scope, Writes, invalid};
use crate::engine::conflict::OnConflict;
use crate::engine::draft::{Draft, Field};
use crate::engine::failure::Failure;
use crate::engine::interpolation::Template;
use crate::engine::node::Node;
use crate::engine::problem::Problem;
use crate::engine::syntax;

const FIELD: Field<'static> = Field("spec", "schedulerName");
/// What the API server fills in before admission where nobody said anything.
const UNSAID: &str = "default-scheduler";

/// The scheduler's name. `default-scheduler`, which the API server fills in, counts as absent.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(transparent)]
pub struct SchedulerName(Template);

impl Place for SchedulerName {
    fn place<'a>(&'a self, scope: &Scope<'_, 'a>, draft: &mut Draft<'a>) -> Result<(), Failure> {
        let wanted = dns_name(&self.0, scope)?;
        let current = draft
            .get(FIELD)
            .filter(|current| current.as_str() != Some(UNSAID))
            .cloned();
        if draft.settle(|| FIELD.1.to_owned(), current.as_ref(), &wanted, scope.on_conflict)? {
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

impl<'de> Deserialize<'de> for SchedulerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        dns_template(deserializer).map(Self)
    }
}

/// A DNS name for this Pod.
pub(super) fn dns_name<'a>(template: &'a Template, scope: &Scope<'_, 'a>) -> Result<Node<'a>, Failure> {
    let name = scope.text(template)?;
    syntax::dns_subdomain(&name).map_err(|why| invalid(template, &format!("{name:?}, which {why}")))?;
    Ok(Node::String(name))
}

/// A text that is a DNS name, as far as it is literal.
pub(super) fn dns_template<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Template, D::Error> {
    let template = Template::deserialize(deserializer)?;
    if let Some(name) = template.literal() {
        syntax::dns_subdomain(name).map_err(|why| {
            Problem::new(
                "bad-name",
                format!("{name:?} {why}"),
                "use the object's name as kubectl shows it",
            )
            .into_error::<D::Error>()
        })?;
    }
    Ok(template)
}
