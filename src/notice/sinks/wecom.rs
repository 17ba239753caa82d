//! `wecom`: A WeCom robot of a group.
//!
//! Source: developer.work.weixin.qq.com, "Group robots".

use schemars::JsonSchema;
use serde::Deserialize;

use super::{SinkSettings, Url, Value};

/// A WeCom robot of a group.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WeCom {
    /// The robot's webhook URL, which holds its key.
    pub url: Value<Url>,
}

impl SinkSettings for WeCom {
    fn url(&self) -> Option<&Value<Url>> {
        Some(&self.url)
    }
}
