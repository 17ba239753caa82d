//! Certificates that label-router makes itself: from the cluster to the listener and the metrics.

use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};

use super::PATIENCE;
use super::app::App;
use super::settings::{TlsSettings, choices};
use super::tls::{Identity, Shown};
use crate::admission::registration::Endpoint;
use crate::cluster;
use crate::source::self_managed::{Registration, SelfManaged, SelfManagedError, State};

/// The certificates of this cluster, followed.
pub(super) struct Followed {
    endpoint: Endpoint,
    origin: String,
    states: watch::Receiver<State>,
}

/// Where the registration of these settings leads.
pub fn endpoint(settings: &TlsSettings, namespace: &str) -> Endpoint {
    Endpoint {
        registration: settings.registration.clone(),
        namespace: namespace.to_owned(),
        service: settings.service.clone(),
        ..Endpoint::default()
    }
}

/// What is kept under these settings.
pub fn kept(settings: &TlsSettings, client: &cluster::Client, namespace: &str) -> SelfManaged {
    let endpoint = endpoint(settings, namespace);
    SelfManaged {
        client: client.clone(),
        namespace: namespace.to_owned(),
        secret: settings.secret.clone(),
        hosts: vec![endpoint.host()],
        registration: settings.registration.clone(),
        is_ours: Box::new(move |called| endpoint.is_called_by(called)),
        // In a Pod the host name is the Pod's name.
        replica: std::env::var("HOSTNAME").unwrap_or_else(|_| format!("process-{}", std::process::id())),
    }
}

impl Followed {
    /// Makes or reads the certificates, with patience while the API server is away.
    pub(super) async fn start(settings: &TlsSettings) -> anyhow::Result<(Identity, Self)> {
        let why = || {
            format!(
                "certificates cannot be self-managed (see {})",
                choices("tls.selfManaged")
            )
        };
        let client = cluster::client().await.with_context(why)?;
        let namespace = client.default_namespace().to_owned();
        let give_up = Instant::now() + PATIENCE;
        let states = loop {
            match kept(settings, &client, &namespace).start().await {
                Ok(states) => break states,
                Err(SelfManagedError::Cluster(error)) if !error.is_forbidden() && Instant::now() < give_up => {
                    tracing::warn!(%error, "the certificates cannot be had yet; it is tried again");
                    sleep(Duration::from_secs(1)).await;
                }
                Err(error) => bail!("{}: {error}", why()),
            }
        };
        let origin = format!("made by label-router, in the Secret {namespace}/{}", settings.secret);
        let identity = Identity::from_pair(&states.borrow().serving, origin.clone()).with_context(why)?;
        let endpoint = endpoint(settings, &namespace);
        Ok((
            identity,
            Self {
                endpoint,
                origin,
                states,
            },
        ))
    }

    /// Shows each new certificate, and measures whether the registration covers the policy.
    pub(super) async fn follow(mut self, app: Arc<App>, shown: Arc<Shown>) {
        let mut told = Vec::new();
        loop {
            let state = self.states.borrow_and_update().clone();
            match Identity::from_pair(&state.serving, self.origin.clone()) {
                Ok(identity) => {
                    shown.show(&identity);
                    app.metrics.shows(identity.validity.until);
                }
                Err(error) => {
                    tracing::error!(%error, "the new certificate cannot be used; the old one is served on");
                }
            }
            let name = &self.endpoint.registration;
            match &state.registration {
                Registration::Live(live) => {
                    app.sees(Arc::clone(live), self.endpoint.clone());
                    let missed = app.measure_gaps();
                    if missed != told {
                        for gap in &missed {
                            tracing::warn!(registration = name, "{gap}");
                        }
                        told = missed;
                    }
                }
                Registration::Absent => {
                    app.forget_registration();
                    app.saw_registration(name, None);
                }
                Registration::Unknown(_) => app.metrics.registration_is_unknown(name),
            }
            if self.states.changed().await.is_err() {
                return;
            }
        }
    }
}
