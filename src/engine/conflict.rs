//! `onConflict`: what happens where the Pod already says otherwise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens where the Pod already says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// The rule's value stands, and the Pod's creator is warned.
    #[default]
    Override,
    /// The Pod's value stands.
    Keep,
    /// The Pod is rejected.
    Reject,
    /// As override; the Pod's other nodeSelector keys are dropped, too.
    Replace,
}
