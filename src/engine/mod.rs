//! The engine: decides about one Pod, purely.
//!
//! [`decide`] takes a [`Snapshot`] (a compiled policy) and a [`Request`], and gives a [`Decision`]: index → gate → match →
//! ordinal → document → route → placement on a draft → patch. It does no IO and reads no clock, so that the server and
//! every command agree.

pub mod allow;
pub(crate) mod choice;
pub mod condition;
pub mod conflict;
pub mod context;
mod decide;
mod decision;
mod draft;
mod failure;
pub mod gate;
pub mod glob;
mod index;
pub mod interpolation;
pub mod label_selector;
pub mod matching;
pub mod node;
pub mod ordinal;
pub mod patch;
pub mod path;
pub mod placement;
pub mod pod;
pub mod problem;
mod request;
pub mod route;
pub mod rule;
pub(crate) mod skim;
mod snapshot;
pub mod spread;
pub mod suggest;
mod syntax;
mod trace;

pub use decide::decide;
pub use decision::{Applied, Decision, Outcome, Rejection, Shadowed, Skip};
pub use failure::Cause;
pub use request::Request;
pub use snapshot::{DECISION_ANNOTATION, Snapshot};
pub use trace::{NoTrace, Recorder, Step, Trace};
