//! Certificates without hand work: a CA and a serving certificate in one Secret that all replicas share, and the caBundle of
//! the registration that goes with them.
//!
//! Every replica does the same: whenever the Secret or the registration changes, and when a certificate nears its end, it
//! reads both, decides what is to be done (`contents.rs`), and writes. Of several replicas that write the Secret one
//! succeeds, and the others read again. What is served is always what the Secret holds, so that the replicas agree without
//! talking to each other. A registration that was deleted is reported and never created again: that is the way to switch
//! label-router off.

mod contents;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration as Mutating, ValidatingWebhookConfiguration as Validating, WebhookClientConfig,
};
use tokio::sync::watch;

use crate::cluster::{self, Client, ClusterError};
use crate::pki::{Pair, PkiError, certificates};
pub use contents::Rotation;
use contents::{Contents, Plan, Unusable, plan};

/// After a failure it is tried again after this.
const RETRY: Duration = Duration::from_secs(5);
/// Without any change it is looked after this all the same: a clock may have been set.
const LOOK: Duration = Duration::from_mins(10);
/// So often a conflict is answered by reading again, before it counts as a failure.
const ATTEMPTS: usize = 8;

/// Which Secret and registration are kept.
pub struct SelfManaged {
    /// The client for the cluster.
    pub client: Client,
    /// The namespace of the Secret.
    pub namespace: String,
    /// The Secret's name.
    pub secret: String,
    /// The names that the certificate is for.
    pub hosts: Vec<String>,
    /// The registration's name.
    pub registration: String,
    /// Tells our webhooks in the registration from those of others.
    pub is_ours: Box<dyn Fn(&WebhookClientConfig) -> bool + Send + Sync>,
    /// Tells this replica from the others among the managers of the Secret's fields.
    pub replica: String,
}

/// What the cluster holds.
#[derive(Clone, Debug)]
pub struct State {
    /// The serving certificate.
    pub serving: Pair,
    /// The registration.
    pub registration: Registration,
}

/// The registration, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub enum Registration {
    /// It is there.
    Live(Arc<Mutating>),
    /// It is not there: nobody asks label-router.
    Absent,
    /// It could not be read, or not be written.
    Unknown(
        /// Why, for people.
        String,
    ),
}

/// Why the certificates could not be looked after.
#[derive(Debug)]
pub enum SelfManagedError {
    /// The Kubernetes API did not do what was asked.
    Cluster(ClusterError),
    /// What the Secret holds cannot be used.
    Secret(String),
}

impl std::fmt::Display for SelfManagedError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cluster(error) => error.fmt(formatter),
            Self::Secret(error) => formatter.write_str(error),
        }
    }
}

impl std::error::Error for SelfManagedError {}

impl From<ClusterError> for SelfManagedError {
    fn from(error: ClusterError) -> Self {
        Self::Cluster(error)
    }
}

impl SelfManaged {
    /// Makes or reads the certificates, and keeps them from then on, until the receiver is dropped. Fails where there are none
    /// to begin with.
    pub async fn start(self) -> Result<watch::Receiver<State>, SelfManagedError> {
        let mut keeper = Keeper::of(self, None);
        let (state, wake) = keeper.pass().await?;
        let (sender, receiver) = watch::channel(state);
        tokio::spawn(keeper.keep(sender, wake));
        Ok(receiver)
    }

    /// Looks after the certificates once, and renews what is asked for.
    pub async fn once(self, rotation: Option<Rotation>) -> Result<State, SelfManagedError> {
        Keeper::of(self, rotation).pass().await.map(|(state, _)| state)
    }

    fn unusable(&self, error: &PkiError) -> SelfManagedError {
        SelfManagedError::Secret(format!("the Secret {}/{}: {error}", self.namespace, self.secret))
    }
}

struct Keeper {
    kept: SelfManaged,
    /// What somebody asks for, until it is written.
    rotation: Option<Rotation>,
    /// What was last seen in the Secret, to write it again where it is deleted.
    remembered: Option<Contents>,
    /// What was last said about the registration: it is said once.
    reported: Option<String>,
}

impl Keeper {
    fn of(kept: SelfManaged, rotation: Option<Rotation>) -> Self {
        Self {
            kept,
            rotation,
            remembered: None,
            reported: None,
        }
    }

    async fn keep(mut self, sender: watch::Sender<State>, mut wake: SystemTime) {
        let (client, kept) = (&self.kept.client, &self.kept);
        let secret = cluster::changes_of_secret(client, &kept.namespace, &kept.secret);
        let registration = cluster::changes_of_registration::<Mutating>(client, &kept.registration);
        let validation = cluster::changes_of_registration::<Validating>(client, &kept.registration);
        let changes = futures_util::stream::select(secret, registration);
        let mut changes = std::pin::pin!(futures_util::stream::select(changes, validation));
        loop {
            let pause = wake.duration_since(SystemTime::now()).unwrap_or_default().min(LOOK);
            tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep(pause) => {}
                change = changes.next() => if let Some(Err(error)) = change {
                    tracing::warn!(error, "the Secret or the registration cannot be watched now; it is tried again");
                    // Looked at all the same: the next change may be missed.
                },
            }
            match self.pass().await {
                Ok((state, next)) => {
                    wake = next;
                    sender.send_replace(state);
                }
                Err(error) => {
                    tracing::error!(%error, "the certificates could not be looked after; the ones at hand are served on");
                    wake = SystemTime::now() + RETRY;
                }
            }
        }
    }

    /// Brings Secret and caBundle to where they should be. The state then, and when to look again.
    async fn pass(&mut self) -> Result<(State, SystemTime), SelfManagedError> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let kept = &self.kept;
            let (live, trouble) = match cluster::registration(&kept.client, &kept.registration).await {
                Ok(live) => (live, None),
                Err(error) => (None, Some(error.to_string())),
            };
            let stored = cluster::secret(&kept.client, &kept.namespace, &kept.secret).await?;
            let read = stored.as_ref().map_or_else(
                || Err(Unusable::Broken("there is no such Secret".to_owned())),
                |stored| Contents::read(&stored.data, &stored.annotations),
            );
            let trusts = |bundle: &str| trouble.is_none() && live.as_ref().is_none_or(|live| self.trusts(live, bundle));
            let now = SystemTime::now();
            let mut planned = plan(read, self.remembered.as_ref(), &kept.hosts, trusts, now)
                .map_err(|error| kept.unusable(&error))?;
            if let (Some(rotation), Plan::Keep { contents, .. }) = (self.rotation, &planned) {
                let rotated = contents.clone().rotated(rotation, &kept.hosts, now);
                planned = Plan::Write {
                    contents: rotated.map_err(|error| kept.unusable(&error))?,
                    why: "it was asked for".to_owned(),
                };
            }
            let (contents, wake) = match planned {
                Plan::Keep { contents, wake } => (contents, wake),
                Plan::Write { contents, why } => {
                    match self.write(stored.as_ref(), &contents).await {
                        Ok(()) => {
                            tracing::info!(secret = kept.secret, why, "wrote the certificates");
                            self.rotation = None;
                        }
                        Err(error) if error.is_conflict() => {
                            tracing::debug!(%error, "another replica wrote first");
                            last = Some(error);
                        }
                        Err(error) => return Err(error.into()),
                    }
                    // Read again: what is there is what counts.
                    continue;
                }
            };
            let registration = match (live, trouble) {
                (_, Some(trouble)) => Registration::Unknown(trouble),
                (None, None) => Registration::Absent,
                (Some(live), None) => match self.publish(&live, &contents).await {
                    Ok(()) => Registration::Live(Arc::new(live)),
                    Err(error) if error.is_conflict() => {
                        last = Some(error);
                        continue;
                    }
                    Err(error) => Registration::Unknown(error.to_string()),
                },
            };
            self.report(&registration);
            self.publish_validation(&contents).await;
            let wake = match &registration {
                Registration::Unknown(_) => wake.min(now + RETRY),
                _ => wake,
            };
            let state = State {
                serving: contents.serving.clone(),
                registration,
            };
            self.remembered = Some(contents);
            return Ok((state, wake));
        }
        Err(last.map_or_else(
            || {
                SelfManagedError::Secret(format!(
                    "the Secret {} is written by others all the time",
                    self.kept.secret
                ))
            },
            SelfManagedError::from,
        ))
    }

    async fn write(&self, stored: Option<&cluster::StoredSecret>, contents: &Contents) -> Result<(), ClusterError> {
        let kept = &self.kept;
        match stored {
            Some(stored) => {
                cluster::replace_secret(
                    &kept.client,
                    &kept.namespace,
                    stored,
                    contents.data(),
                    contents.annotations(),
                )
                .await
            }
            None => {
                let manager = format!("label-router-certs-{}", kept.replica);
                cluster::create_secret(
                    &kept.client,
                    &kept.namespace,
                    &kept.secret,
                    contents.data(),
                    contents.annotations(),
                    &manager,
                )
                .await
            }
        }
    }

    /// Publishes the CAs in a registration.
    async fn publish<R: cluster::Registration>(&self, live: &R, contents: &Contents) -> Result<(), ClusterError> {
        let kept = &self.kept;
        if cluster::publish_ca_bundle(&kept.client, live, &kept.is_ours, &contents.bundle()).await? {
            tracing::info!(registration = kept.registration, kind = R::KIND, "wrote the caBundle");
        }
        Ok(())
    }

    /// Publishes the CAs in the registration for policies and workloads, where there is one. It only tells people something,
    /// so that it may fail: the next pass tries again.
    async fn publish_validation(&self, contents: &Contents) {
        let kept = &self.kept;
        let published = match cluster::registration::<Validating>(&kept.client, &kept.registration).await {
            Ok(Some(live)) => self.publish(&live, contents).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = published {
            tracing::warn!(%error, "policies and workloads are not looked at when they are applied");
        }
    }

    /// Says what is to be known about the registration, once.
    fn report(&mut self, registration: &Registration) {
        let report = match registration {
            Registration::Live(_) => None,
            Registration::Absent => Some(format!(
                "there is no MutatingWebhookConfiguration {}: the API server asks label-router about nothing, and no Pod is \
                 placed. It is not created again by itself; apply it when Pods should be placed",
                self.kept.registration
            )),
            Registration::Unknown(error) => Some(error.clone()),
        };
        if report != self.reported {
            match &report {
                Some(report) => tracing::warn!("{report}"),
                None => tracing::info!(registration = self.kept.registration, "the registration is there again"),
            }
            self.reported = report;
        }
    }

    /// True where each of our webhooks trusts every certificate of the bundle.
    fn trusts(&self, live: &Mutating, bundle: &str) -> bool {
        let Ok(wanted) = certificates(bundle) else { return false };
        let mut ours = cluster::Registration::called(live);
        ours.retain(|(_, called)| (self.kept.is_ours)(called));
        ours.iter().all(|(_, called)| {
            let trusted = called.ca_bundle.as_ref();
            let trusted = trusted
                .map(|bundle| String::from_utf8_lossy(&bundle.0).into_owned())
                .unwrap_or_default();
            certificates(&trusted).is_ok_and(|trusted| wanted.iter().all(|wanted| trusted.contains(wanted)))
        })
    }
}
