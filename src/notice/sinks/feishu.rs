//! `feishu`: A Feishu or Lark robot of a group.
//!
//! Source: open.feishu.cn, "Use bots in groups".

use schemars::JsonSchema;
use serde::Deserialize;

use super::{SinkSettings, Url, Value};

/// A Feishu or Lark robot of a group.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Feishu {
    /// The robot's webhook URL, which holds its token.
    pub url: Value<Url>,
    /// The robot's signing secret, where it signs.
    pub secret: Option<Value<String>>,
}

impl SinkSettings for Feishu {
    fn url(&self) -> Option<&Value<Url>> {
        Some(&self.url)
    }

    fn secret(&self) -> Option<&Value<String>> {
        self.secret.as_ref()
    }
}
