//! What will be: the Pods that a workload's controller makes, before it makes them. Pure, as all of the core.

mod applied;
mod created;
mod workload;

pub use applied::{Refused, in_namespace, refused, request};
pub use created::as_created;
pub use workload::{NotAWorkload, Workload};
