//! `{first: N}`

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::{Asked, Condition, Ordinals};
use crate::engine::choice::Choice;
use crate::engine::problem::Problem;

/// Holds for the ordinals below this number.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(transparent)]
pub struct First(#[schemars(range(min = 1))] u64);

impl Choice for First {}

impl Condition for First {
    fn holds(&self, asked: &Asked<'_, '_>) -> bool {
        asked.ordinal.is_some_and(|ordinal| ordinal < self.0)
    }

    fn details(&self) -> String {
        self.0.to_string()
    }

    fn ordinals(&self) -> Option<Ordinals<'_>> {
        Some(Ordinals {
            period: 1,
            bounds: vec![self.0],
            holds: Box::new(|ordinal| ordinal < self.0),
        })
    }
}

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            0 => Err(Problem::new("bad-first", "first: 0 never holds", "count from 1").into_error()),
            count => Ok(Self(count)),
        }
    }
}
