//! Which notices share a message, and when it is sent: the words and the meaning are Alertmanager's.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

/// By what notices are told apart into groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The namespace.
    Namespace,
    /// The workload that owns the Pod, with its namespace.
    Owner,
    /// The rule that decided.
    Rule,
    /// What was decided.
    Outcome,
}

/// How notices become messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// What a group has in common.
    pub by: Vec<By>,
    /// How long the first notice of a group waits for others.
    pub wait: Duration,
    /// How long at least from one message of a group to the next.
    pub interval: Duration,
    /// How long what was told is not told again while it stays the same.
    pub repeat: Duration,
    /// How long a rejection is taken to go on after the last attempt that was seen.
    pub resolve: Duration,
}
