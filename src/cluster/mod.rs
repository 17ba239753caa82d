//! Everything that talks to the Kubernetes API. What is read and written there is decided elsewhere.

mod access;
mod client;
mod event;
mod inventory;
mod probe;
mod registration;
mod secret;
mod signing;
mod watch;

pub use access::{Right, may};
pub use client::{ClusterError, client, cluster_ca};
pub use event::{ObjectEvent, ObjectEvents, warn_about_config_map};
pub use inventory::{
    SCALED, WORKLOADS, WorkloadKind, config_map, deployments, endpoint_slices, labelled_pods, namespaces, pods_in,
    service, version, workload, workloads,
};
pub use probe::{ask_replica, try_pod};
pub use registration::{Registration, publish_ca_bundle, registration};
pub use secret::{StoredSecret, create_secret, replace_secret, secret};
pub use signing::{SigningRequest, approve, create, signed};
pub use watch::{changes_of_registration, changes_of_secret, states_of_config_map};

pub use kube::Client;
