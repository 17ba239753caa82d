//! The server: settings, listeners, TLS, routes, limits, health, metrics and shutdown.

pub mod app;
mod blocking;
mod body;
mod decision_log;
mod histogram;
pub mod logging;
mod metrics;
mod mutate;
mod ops;
mod policy;
pub mod reload;
mod renewal;
mod scale;
pub mod self_managed;
mod server;
pub mod settings;
#[cfg(test)]
mod testing;
pub mod tls;
mod validate;

pub use policy::{DEFAULT_NAME, Policy, PolicyError};
pub use server::Server;
pub use settings::Settings;

/// So long the API server may be away when the server starts; the kubelet starts it again after that.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);
