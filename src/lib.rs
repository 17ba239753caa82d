//! label-router: a Kubernetes mutating admission webhook that gives each replica of a workload its own placement.

pub mod admission;
pub mod engine;
pub mod policy;
