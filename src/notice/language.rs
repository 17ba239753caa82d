//! The languages that messages are written in.

use schemars::JsonSchema;
use serde::Deserialize;

/// The language of the default templates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Chinese.
    Zh,
}
