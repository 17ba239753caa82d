//! A ConfigMap as the API server has it: an edit counts at once, not when the kubelet gets to the mounted one.

use std::fmt;
use std::path::Path;

use futures_util::StreamExt;
use tokio::sync::watch;

use super::{SourceText, is_yaml};
use crate::cluster::{self, Client};

/// Which ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMapName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ConfigMapName {
    const SCHEME: &'static str = "configmap://";

    /// Reads `configmap://NAMESPACE/NAME`; `None` where the path is a file's, and an error where only the beginning is right.
    pub fn of(path: &Path) -> Option<Result<Self, String>> {
        let text = path.to_str()?;
        let rest = text.strip_prefix(Self::SCHEME)?;
        Some(match rest.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => Ok(Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(format!("{text} is no {}NAMESPACE/NAME", Self::SCHEME)),
        })
    }
}

impl fmt::Display for ConfigMapName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ConfigMap {}/{}", self.namespace, self.name)
    }
}

/// What is known of a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The API server has not answered yet.
    NotYet(
        /// Why not, as far as it is known.
        String,
    ),
    /// There is no such ConfigMap.
    Absent,
    /// Its YAML files, by name.
    Texts(Vec<SourceText>),
}

/// Follows a ConfigMap until every receiver is dropped. While the API server is away, what was seen last stands.
pub fn follow(client: &Client, which: &ConfigMapName) -> watch::Receiver<Seen> {
    let (sender, receiver) = watch::channel(Seen::NotYet("the API server has not answered yet".to_owned()));
    let changes = cluster::states_of_config_map(client, &which.namespace, &which.name);
    let which = which.clone();
    tokio::spawn(async move {
        let mut changes = std::pin::pin!(changes);
        loop {
            let change = tokio::select! {
                () = sender.closed() => return,
                change = changes.next() => change,
            };
            let seen = match change {
                None => return,
                Some(Ok(None)) => Seen::Absent,
                Some(Ok(Some(map))) => {
                    let files = map.data.into_iter().flatten();
                    let files = files.filter(|(key, _)| is_yaml(key));
                    Seen::Texts(
                        files
                            .map(|(key, text)| SourceText {
                                name: format!("{which}: {key}"),
                                text,
                            })
                            .collect(),
                    )
                }
                Some(Err(error)) => {
                    tracing::warn!(error, "{which} cannot be watched now; it is tried again");
                    sender.send_if_modified(|seen| {
                        let unknown = matches!(seen, Seen::NotYet(_));
                        if unknown {
                            *seen = Seen::NotYet(error);
                        }
                        unknown
                    });
                    continue;
                }
            };
            sender.send_if_modified(|last| {
                let changed = *last != seen;
                if changed {
                    *last = seen;
                }
                changed
            });
        }
    });
    receiver
}
