//! Why a rule that matched could not place a Pod.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The causes that `onError` tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// No source of the rule gave an ordinal, or it lies below `start`.
    MissingOrdinal,
    /// The Pod has no such annotation.
    MissingDocument,
    /// The annotation holds no JSON.
    InvalidDocument,
    /// A path selected nothing.
    MissingPath,
    /// A value that Kubernetes, `allow` or the rule does not accept.
    InvalidValue,
    /// No route of the rule holds.
    NoRoute,
}

impl Cause {
    /// Every cause, for metrics.
    pub const ALL: [Self; 6] = [
        Self::MissingOrdinal,
        Self::MissingDocument,
        Self::InvalidDocument,
        Self::MissingPath,
        Self::InvalidValue,
        Self::NoRoute,
    ];

    /// The word used in policies, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MissingOrdinal => "missingOrdinal",
            Self::MissingDocument => "missingDocument",
            Self::InvalidDocument => "invalidDocument",
            Self::MissingPath => "missingPath",
            Self::InvalidValue => "invalidValue",
            Self::NoRoute => "noRoute",
        }
    }
}

/// What went wrong, as a person is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// `onError` says what becomes of it.
    Error(Cause, String),
    /// The Pod says otherwise and `onConflict` is `reject`.
    Conflict(String),
}

impl Failure {
    pub(crate) fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self::Error(cause, message.into())
    }
}
