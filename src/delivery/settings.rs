//! How messages are sent.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

/// How messages are sent: settings of the server, the same for every sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverySettings {
    /// How many notices of a sink wait to be looked at; more are dropped, and counted.
    pub queue: NonZeroUsize,
    /// How many replicas share a vendor's limit.
    pub replicas: NonZeroU32,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long a message is tried.
    pub give_up: Duration,
    /// A PEM file with CA certificates that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether a sink may be at a link-local address, where clouds keep the credentials of their machines.
    pub link_local: bool,
    /// What the cluster is called in messages.
    pub cluster: Option<String>,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            queue: NonZeroUsize::MIN.saturating_add(4095),
            replicas: NonZeroU32::MIN,
            timeout: Duration::from_secs(10),
            give_up: Duration::from_mins(15),
            ca_file: None,
            link_local: false,
            cluster: None,
        }
    }
}
