//! Where the policy lies: files, directories, and ConfigMaps by the Kubernetes API.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::cluster::{self, Client};
use crate::serve::PATIENCE;
use crate::serve::policy::default_text;
use crate::serve::settings::{Settings, choices};
use crate::source::{self, ConfigMapName, FileChanges, Seen, SourceError, SourceText};

/// Where the policy lies, in the order in which it adds up.
#[derive(Clone)]
pub struct Places {
    list: Vec<Place>,
    /// What stands in for ConfigMaps that were not seen yet.
    fallback: Option<PathBuf>,
    client: Option<Client>,
}

#[derive(Clone, Debug)]
enum Place {
    Path(PathBuf),
    ConfigMap(ConfigMapName, watch::Receiver<Seen>),
}

impl Places {
    /// Opens what the settings name. With a ConfigMap among it, waits until that was seen, or takes the fallback.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let mut list = Vec::new();
        let mut client: Option<Client> = None;
        for path in &settings.policy {
            let name = match ConfigMapName::of(path) {
                None => {
                    list.push(Place::Path(path.clone()));
                    continue;
                }
                Some(name) => name.map_err(|error| anyhow!("{error} (see {})", choices("policy")))?,
            };
            let connected = match client {
                Some(client) => client,
                None => cluster::client()
                    .await
                    .with_context(|| format!("the {name} cannot be had"))?,
            };
            let seen = source::follow(&connected, &name);
            list.push(Place::ConfigMap(name, seen));
            client = Some(connected);
        }
        let mut places = Self {
            list,
            fallback: settings.policy_fallback.clone(),
            client,
        };
        places.wait().await?;
        Ok(places)
    }

    async fn wait(&mut self) -> anyhow::Result<()> {
        let patience = if self.fallback.is_some() {
            // Long enough for an API server that is there.
            Duration::from_secs(5)
        } else {
            PATIENCE
        };
        let until = Instant::now() + patience;
        for place in &mut self.list {
            let Place::ConfigMap(name, seen) = place else { continue };
            let there = seen.wait_for(|seen| matches!(seen, Seen::Texts(_)));
            if let Ok(Ok(_)) = tokio::time::timeout_at(until, there).await {
                continue;
            }
            let why = match &*seen.borrow() {
                Seen::NotYet(why) => why.clone(),
                Seen::Absent => "there is no such ConfigMap".to_owned(),
                Seen::Texts(_) => continue,
            };
            match &self.fallback {
                Some(fallback) => tracing::warn!(
                    "the {name} cannot be had: {why}. {} is served until it can",
                    fallback.display()
                ),
                None => bail!(
                    "the {name} cannot be had: {why}. To start without it, name a file or directory to start from with {}",
                    choices("policyFallback")
                ),
            }
        }
        Ok(())
    }

    /// The texts as they are now. Files are read; of ConfigMaps it is what was seen last.
    pub fn read(&self) -> Result<Vec<SourceText>, SourceError> {
        if self.list.is_empty() {
            return Ok(vec![default_text()]);
        }
        let mut texts = Vec::new();
        for place in &self.list {
            match place {
                Place::Path(path) => texts.extend(source::policy_files(std::slice::from_ref(path))?),
                Place::ConfigMap(name, seen) => {
                    let wrong = |why: &str| SourceError {
                        path: PathBuf::from(name.to_string()),
                        message: why.to_owned(),
                    };
                    match (&*seen.borrow(), &self.fallback) {
                        (Seen::Texts(seen), _) if seen.is_empty() => {
                            return Err(wrong("it has no key that ends in .yaml"));
                        }
                        (Seen::Texts(seen), _) => texts.extend(seen.iter().cloned()),
                        (_, Some(fallback)) => texts.extend(source::policy_files(std::slice::from_ref(fallback))?),
                        (Seen::Absent, None) => return Err(wrong("there is no such ConfigMap")),
                        (Seen::NotYet(why), None) => return Err(wrong(why)),
                    }
                }
            }
        }
        Ok(texts)
    }

    /// Changes of the files among it.
    pub(super) fn changes(&self, poll: Duration) -> FileChanges {
        let paths: Vec<PathBuf> = self
            .list
            .iter()
            .filter_map(|place| match place {
                Place::Path(path) => Some(path.clone()),
                Place::ConfigMap(..) => None,
            })
            .collect();
        FileChanges::of(&paths, poll)
    }

    /// Ready when one of the ConfigMaps changed.
    pub(super) async fn config_map_changed(&mut self) {
        let changes = self.list.iter_mut().filter_map(|place| match place {
            Place::ConfigMap(_, seen) => Some(Box::pin(async { seen.changed().await.is_ok() })),
            Place::Path(_) => None,
        });
        let changes: Vec<_> = changes.collect();
        if changes.is_empty() || !futures_util::future::select_all(changes).await.0 {
            std::future::pending::<()>().await;
        }
    }

    /// Puts what is wrong where those look who edit the ConfigMap.
    pub(super) fn tell(&self, note: &str) {
        let Some(client) = &self.client else { return };
        for place in &self.list {
            let Place::ConfigMap(name, _) = place else { continue };
            let (client, name, note) = (client.clone(), name.clone(), note.to_owned());
            tokio::spawn(async move {
                let told = cluster::warn_about_config_map(&client, &name.namespace, &name.name, "PolicyRefused", &note);
                match timeout(Duration::from_secs(10), told).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!("{error}"),
                    Err(_) => tracing::warn!("the API server did not take an Event about the {name} in time"),
                }
            });
        }
    }
}
