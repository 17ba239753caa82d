//! `allow`: what `${…}` may produce.

use schemars::JsonSchema;
use serde::Deserialize;

use super::glob::Glob;

/// The keys and values that `${…}` may produce: the Pod's author writes the document.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// Globs of which a key must fit one; any key, where there are none.
    #[serde(default)]
    pub keys: Vec<Glob>,
    /// Globs of which a value must fit one; any value, where there are none.
    #[serde(default)]
    pub values: Vec<Glob>,
}

impl Allow {
    pub(crate) fn key(&self, key: &str) -> Result<(), String> {
        Self::check(&self.keys, "key", key)
    }

    pub(crate) fn value(&self, value: &str) -> Result<(), String> {
        Self::check(&self.values, "value", value)
    }

    fn check(globs: &[Glob], what: &str, text: &str) -> Result<(), String> {
        if globs.is_empty() || globs.iter().any(|glob| glob.matches(text)) {
            return Ok(());
        }
        let allowed: Vec<String> = globs.iter().map(ToString::to_string).collect();
        Err(format!(
            "the {what} {text:?}, and the rule allows {}",
            allowed.join(", ")
        ))
    }
}
