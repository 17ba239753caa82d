//! `even`

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Asked, Condition, Ordinals};
use crate::engine::choice::Choice;

/// Holds for even ordinals.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct Even;

impl Choice for Even {
    const BARE: bool = true;
}

impl Condition for Even {
    fn holds(&self, asked: &Asked<'_, '_>) -> bool {
        asked.ordinal.is_some_and(|ordinal| ordinal % 2 == 0)
    }

    fn ordinals(&self) -> Option<Ordinals<'_>> {
        Some(Ordinals {
            period: 2,
            bounds: Vec::new(),
            holds: Box::new(|ordinal| ordinal % 2 == 0),
        })
    }
}
