//! Which decisions of a rule are told to which sinks.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::engine::Outcome;

/// Whom a rule tells of its decisions, and of which.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// Names of sinks.
    pub sinks: Vec<String>,
    /// The outcomes that are worth a message; routed, rejected and shadowed unless said.
    #[serde(default = "worth_telling")]
    pub outcomes: Vec<Outcome>,
}

fn worth_telling() -> Vec<Outcome> {
    vec![Outcome::Routed, Outcome::Rejected, Outcome::Shadowed]
}
