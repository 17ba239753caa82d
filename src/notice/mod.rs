//! What is said about decisions, to whom, and in which words. Pure: the time is an argument, and sending is the delivery's
//! business.

pub mod digest;
pub mod grouping;
pub mod groups;
mod interval;
mod language;
pub mod markup;
pub mod message;
#[allow(clippy::module_inception, reason = "it holds the Notice")]
mod notice;
mod notify;
mod redact;
pub mod samples;
mod severity;
pub(crate) mod sign;
pub mod sinks;
mod telling;
pub mod template;

pub use interval::Interval;
pub use language::Language;
pub use notice::{Kind, Notice, Owner};
pub use notify::Notify;
pub use severity::Severity;
pub use telling::{Telling, Told};
