//! A certificate from files that is renewed in its place, as cert-manager and the kubelet do: new connections are shown the
//! new one at once, and those that are open go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::app::App;
use super::blocking::blocking;
use super::tls::{Identity, Shown};
use crate::source::FileChanges;

/// Certificate and key are two files: between the writing of the one and the other they do not fit.
const BETWEEN_TWO_FILES: Duration = Duration::from_millis(500);

/// Shows what lies in the files whenever that is another certificate and can be used, until the task is aborted.
pub(super) async fn follow(app: Arc<App>, shown: Arc<Shown>, cert: PathBuf, key: PathBuf, mut identity: Identity) {
    let mut changes = FileChanges::of(&[cert.clone(), key.clone()], app.settings.reload.poll);
    let mut told = String::new();
    loop {
        let mut read = read(&cert, &key).await;
        if read.is_err() {
            sleep(BETWEEN_TWO_FILES).await;
            read = self::read(&cert, &key).await;
        }
        match read {
            Ok(new) => {
                app.metrics.reloads.certificate(true);
                told.clear();
                if new.certified.cert != identity.certified.cert {
                    shown.show(&new);
                    app.metrics.shows(new.validity.until);
                    tracing::info!(certificate = new.origin, "another certificate is shown from now on");
                    identity = new;
                }
            }
            Err(error) => {
                app.metrics.reloads.certificate(false);
                if error != told {
                    tracing::error!("the certificate changed and cannot be used; the one before is shown on: {error}");
                    told = error;
                }
            }
        }
        changes.next().await;
    }
}

async fn read(cert: &Path, key: &Path) -> Result<Identity, String> {
    let (cert, key) = (cert.to_owned(), key.to_owned());
    blocking(move || Identity::read(&cert, &key).map_err(|error| format!("{error:#}"))).await
}
