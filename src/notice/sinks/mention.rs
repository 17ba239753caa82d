//! When people are mentioned by name.

use crate::notice::message::Message;
use crate::notice::severity::Severity;

/// The default of `mentionFrom`.
pub(super) const fn from_critical() -> Severity {
    Severity::Critical
}

/// Whether a message mentions those whom the sink names. Nobody is called for what has ended.
pub(super) fn is_due(message: &Message, from: Severity) -> bool {
    !message.resolved && message.severity >= from
}
