//! `annotations`: annotations on the Pod.

use super::metadata::MetadataEntries;

/// Annotations added to the Pod. One that is there already stays, or is refused with `onConflict: reject`.
pub(super) type AnnotationPlacement = MetadataEntries<false>;
