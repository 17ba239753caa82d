//! Brings what is said to the sinks. So far it knows whether a sink could be used: its URL, secret and headers are there.

mod presence;

pub use presence::absent;
