//! The fields that sinks of all types have.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::notice::grouping::By;
use crate::notice::interval::Interval;
use crate::notice::language::Language;
use crate::notice::severity::Severity;

/// The fields that sinks of all types have, beside `name` and `type`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Common {
    /// Whether it is an error, at start-up, that the URL or secret is absent; otherwise the sink is reported and left out.
    #[serde(default)]
    pub required: bool,
    /// What notices of one message have in common; owner and outcome unless said. With an empty list all share one message.
    #[serde(default = "by_owner_and_outcome")]
    pub group_by: Vec<By>,
    /// How long the first notice of a group waits for others; 10s unless said.
    #[serde(default = "ten_seconds")]
    pub group_wait: Interval,
    /// How long at least from one message of a group to the next; 5m unless said.
    #[serde(default = "five_minutes")]
    pub group_interval: Interval,
    /// How long what was told is not told again while it stays the same; 4h unless said. It is 5m for Events, of
    /// which the same one again is counted, and for an Alertmanager, which has an interval of its own.
    pub repeat_interval: Option<Interval>,
    /// How long a rejection is taken to go on after the last attempt that was seen; 1h unless said. A controller waits up to
    /// 17 minutes between two attempts.
    #[serde(default = "one_hour")]
    pub resolve_timeout: Interval,
    /// What matters less is not told; info unless said.
    #[serde(default)]
    pub min_severity: Severity,
    /// Whether it is told that a changed policy cannot be served; true unless said.
    #[serde(default = "yes")]
    pub policy_problems: bool,
    /// The language of the default templates; en unless said.
    #[serde(default)]
    pub language: Language,
    /// A template (Jinja) for the title, in place of the default one.
    pub title: Option<String>,
    /// A template (Jinja) for the body, in place of the default one.
    pub body: Option<String>,
    /// Links to show below a message: the text, and a template (Jinja) for the URL.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
}

impl Common {
    /// The fields' names, `name` and `type` among them.
    pub const FIELDS: [&'static str; 14] = [
        "name",
        "type",
        "required",
        "groupBy",
        "groupWait",
        "groupInterval",
        "repeatInterval",
        "resolveTimeout",
        "minSeverity",
        "policyProblems",
        "language",
        "title",
        "body",
        "links",
    ];
}

fn by_owner_and_outcome() -> Vec<By> {
    vec![By::Owner, By::Outcome]
}

const fn ten_seconds() -> Interval {
    Interval::of_secs(10)
}

const fn five_minutes() -> Interval {
    Interval::of_secs(300)
}

const fn one_hour() -> Interval {
    Interval::of_secs(3600)
}

const fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_fields_is_complete() {
        let schema = serde_json::Value::from(schemars::schema_for!(Common));
        let mut fields: Vec<&str> = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        fields.extend(["name", "type"]);
        fields.sort_unstable();
        let mut listed = Common::FIELDS.to_vec();
        listed.sort_unstable();
        assert_eq!(fields, listed);
    }
}
