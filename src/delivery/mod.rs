//! Brings what is said to the sinks. So far it knows whether a sink could be used: its URL and secret are there.

mod presence;

pub use presence::absent;
