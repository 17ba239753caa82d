//! `otherwise`

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Asked, Condition, Ordinals};
use crate::engine::choice::Choice;

/// Always holds: for what no earlier route takes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct Otherwise;

impl Choice for Otherwise {
    const BARE: bool = true;
}

impl Condition for Otherwise {
    fn holds(&self, _: &Asked<'_, '_>) -> bool {
        true
    }

    fn ordinals(&self) -> Option<Ordinals<'_>> {
        Some(Ordinals::all())
    }
}
