//! When files change: a mounted ConfigMap that is swapped, an editor's rename, a plain write.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// After a change it is waited until nothing has changed for this long: who writes several files, or one in pieces, is
/// read once.
const QUIET: Duration = Duration::from_millis(50);
/// But no longer than this.
const AT_MOST: Duration = Duration::from_millis(500);

/// Tells when files may have changed.
#[derive(Debug)]
pub struct FileChanges {
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
    changed: mpsc::Receiver<()>,
    poll: Duration,
}

impl FileChanges {
    /// Watches files and directories. Never the files themselves: Kubernetes and editors put another file in the place of the
    /// one that is there, and a mounted one is a link. Every `poll` it is taken that something changed, for file systems
    /// without events, and for directories that went away and came back.
    pub fn of(paths: &[PathBuf], poll: Duration) -> Self {
        let (sender, changed) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Reading is no change. An error may stand for changes that were missed.
            if !matches!(
                &event,
                Ok(Event {
                    kind: EventKind::Access(_),
                    ..
                })
            ) {
                // One that waits is enough.
                let _ = sender.try_send(());
            }
        });
        let watcher = watcher
            .inspect_err(
                |error| tracing::warn!(%error, "files cannot be watched; they are looked at from time to time"),
            )
            .ok();
        let mut changes = Self {
            watcher,
            directories: paths.iter().map(|path| directory_of(path)).collect(),
            changed,
            poll,
        };
        changes.watch();
        changes
    }

    fn watch(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        for directory in &self.directories {
            // Where it is watched already, or not there now, there is nothing to do.
            let _ = watcher.watch(directory, RecursiveMode::NonRecursive);
        }
    }

    /// Ready when something may have changed, and has come to rest.
    pub async fn next(&mut self) {
        match timeout(self.poll, self.changed.recv()).await {
            Ok(Some(())) => {}
            // No watcher is left that could tell.
            Ok(None) => sleep(self.poll).await,
            Err(_) => {
                self.watch();
                return;
            }
        }
        let first = Instant::now();
        while first.elapsed() < AT_MOST {
            if !matches!(timeout(QUIET, self.changed.recv()).await, Ok(Some(()))) {
                return;
            }
        }
    }
}

/// Where the entry lies that is replaced when the path changes.
fn directory_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.to_owned();
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);
    const NEVER: Duration = Duration::from_hours(1);

    async fn sees(changes: &mut FileChanges, what: &str, change: impl FnOnce()) {
        change();
        timeout(PATIENCE, changes.next()).await.expect(what);
    }

    #[tokio::test]
    async fn every_way_to_change_a_file_counts() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("policy.yaml"), "a").unwrap();
        let mut changes = FileChanges::of(&[at("policy.yaml")], NEVER);
        sees(&mut changes, "a plain write", || {
            fs::write(at("policy.yaml"), "b").unwrap();
        })
        .await;
        sees(&mut changes, "an editor's rename", || {
            fs::write(at(".policy.yaml.swp"), "c").unwrap();
            fs::rename(at(".policy.yaml.swp"), at("policy.yaml")).unwrap();
        })
        .await;
        sees(&mut changes, "a file that goes", || {
            fs::remove_file(at("policy.yaml")).unwrap();
        })
        .await;
        sees(&mut changes, "a file that comes", || {
            fs::write(at("policy.yaml"), "d").unwrap();
        })
        .await;
        assert!(timeout(QUIET * 4, changes.next()).await.is_err(), "nothing changed");
        fs::read(at("policy.yaml")).unwrap();
        assert!(
            timeout(QUIET * 4, changes.next()).await.is_err(),
            "reading is no change"
        );
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_swap_of_a_mounted_config_map_counts() {
        use std::os::unix::fs::symlink;

        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for version in ["..1", "..2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("policy.yaml"), version).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/policy.yaml", at("policy.yaml")).unwrap();
        let mut changes = FileChanges::of(&[at("policy.yaml")], NEVER);
        sees(&mut changes, "the swap", || {
            symlink("..2", at("..data_tmp")).unwrap();
            fs::rename(at("..data_tmp"), at("..data")).unwrap();
        })
        .await;
        assert_eq!(fs::read_to_string(at("policy.yaml")).unwrap(), "..2");
    }

    #[tokio::test]
    async fn without_events_it_is_looked_at_from_time_to_time() {
        let directory = tempfile::tempdir().unwrap();
        let mut changes = FileChanges::of(&[directory.path().to_owned()], Duration::from_millis(10));
        timeout(PATIENCE, changes.next()).await.expect("the poll");
    }
}
