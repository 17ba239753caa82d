//! `{where: […]}`

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Asked, Condition, Ordinals};
use crate::engine::choice::Choice;
use crate::engine::path::{Path, Paths};

/// Holds where every path selects something.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Where(Paths);

impl Choice for Where {}

impl Condition for Where {
    fn holds(&self, asked: &Asked<'_, '_>) -> bool {
        self.0.0.iter().all(|path| path.holds(asked.context))
    }

    fn details(&self) -> String {
        let paths: Vec<&str> = self.0.0.iter().map(Path::text).collect();
        paths.join(" and ")
    }

    fn ordinals(&self) -> Option<Ordinals<'_>> {
        None
    }

    fn paths(&self) -> &[Path] {
        &self.0.0
    }
}
