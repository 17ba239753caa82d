//! `odd`

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Asked, Condition, Ordinals};
use crate::engine::choice::Choice;

/// Holds for odd ordinals.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct Odd;

impl Choice for Odd {
    const BARE: bool = true;
}

impl Condition for Odd {
    fn holds(&self, asked: &Asked<'_, '_>) -> bool {
        asked.ordinal.is_some_and(|ordinal| ordinal % 2 == 1)
    }

    fn ordinals(&self) -> Option<Ordinals<'_>> {
        Some(Ordinals {
            period: 2,
            bounds: Vec::new(),
            holds: Box::new(|ordinal| ordinal % 2 == 1),
        })
    }
}
