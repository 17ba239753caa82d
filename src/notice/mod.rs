//! What is said about decisions, and to whom. Pure: what is sent and when is the delivery's business.

mod notify;
pub mod sinks;

pub use notify::Notify;
