//! `labels`: labels on the Pod.

use super::metadata::MetadataEntries;

/// Labels added to the Pod. One that is there already stays, or is refused with `onConflict: reject`: controllers find
/// their Pods by labels.
pub(super) type LabelPlacement = MetadataEntries<true>;
