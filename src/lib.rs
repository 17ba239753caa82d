//! label-router: a Kubernetes mutating admission webhook that gives each replica of a workload its own placement.

pub mod admission;
pub mod engine;
pub mod notice;
pub mod policy;
pub mod preview;

#[cfg(feature = "server")]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "commands read files and the environment"
)]
pub mod cli;
#[cfg(feature = "server")]
pub mod cluster;
#[cfg(feature = "server")]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "secrets stand in files and in the environment"
)]
pub mod delivery;
#[cfg(feature = "server")]
pub mod pki;
#[cfg(feature = "server")]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the server reads the environment and the clock"
)]
pub mod serve;
#[cfg(feature = "server")]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is where files are read, and where certificates come to their end"
)]
pub mod source;
