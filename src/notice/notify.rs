//! Which decisions are told to which sinks.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::engine::Outcome;
use crate::engine::problem::Problem;

/// Whom a rule tells of its decisions, and of which.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// Names of sinks.
    pub sinks: Vec<String>,
    /// The outcomes that are worth a message; routed, rejected and shadowed unless said. Of what is unchanged, only a Pod is
    /// told that the rule could not place and let through.
    #[serde(default = "worth_telling", deserialize_with = "outcomes")]
    pub outcomes: Vec<Outcome>,
}

fn worth_telling() -> Vec<Outcome> {
    vec![Outcome::Routed, Outcome::Rejected, Outcome::Shadowed]
}

fn outcomes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Outcome>, D::Error> {
    let outcomes = Vec::<Outcome>::deserialize(deserializer)?;
    if outcomes.contains(&Outcome::Skipped) {
        return Err(Problem::new(
            "never-told",
            "a Pod that no rule looks at is told of to nobody",
            "delete skipped; a refused one is `rejected`",
        )
        .into_error());
    }
    Ok(outcomes)
}
