//! `label-router certs files`: a CA and a certificate in a directory.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail};
use clap::Args;

use super::Exit;
use crate::admission::registration::Endpoint;
use crate::pki::{Authority, Pair};

/// Write a CA and a certificate as PEM files: ca.crt, ca.key, tls.crt and tls.key
///
/// Where ca.crt and ca.key are there already, that CA signs: run it again before the certificate ends, after 90 days.
#[derive(Debug, Args)]
pub(in crate::cli) struct Files {
    /// The directory, which is made where it is not there
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// A name that the certificate is for; repeat it for several [default: that of the Service in the namespace label-router]
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
}

impl Files {
    pub(in crate::cli) fn run(self) -> anyhow::Result<Exit> {
        let now = SystemTime::now();
        let hosts = if self.host.is_empty() {
            vec![Endpoint::default().host()]
        } else {
            self.host
        };
        fs::create_dir_all(&self.dir).with_context(|| format!("{} cannot be made", self.dir.display()))?;
        let file = |name: &str| self.dir.join(name);
        let (ca, ca_key) = (file("ca.crt"), file("ca.key"));
        let authority = match (read(&ca)?, read(&ca_key)?) {
            (Some(certificate), Some(key)) => Authority::from_pair(Pair { certificate, key })
                .with_context(|| format!("{} with {}", ca.display(), ca_key.display()))?,
            (None, None) => {
                let authority = Authority::make(now)?;
                write(&ca, &authority.pair().certificate, false)?;
                write(&ca_key, &authority.pair().key, true)?;
                authority
            }
            (Some(_), None) => bail!(
                "{} is there without {}: a CA signs with its key",
                ca.display(),
                ca_key.display()
            ),
            (None, Some(_)) => bail!("{} is there without {}", ca_key.display(), ca.display()),
        };
        let pair = authority.issue(&hosts, now)?;
        write(&file("tls.crt"), &pair.certificate, false)?;
        write(&file("tls.key"), &pair.key, true)?;
        println!(
            "{} holds a certificate for {}, signed by ca.crt.\nServe it with --tls-cert {} --tls-key {}, and put ca.crt into the \
             registration's caBundle.",
            self.dir.display(),
            hosts.join(", "),
            file("tls.crt").display(),
            file("tls.key").display(),
        );
        Ok(Exit::Fine)
    }
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// A key is for its owner's eyes only, from the moment the file is there.
fn write(path: &Path, text: &str, secret: bool) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    if secret {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let _ = secret;
    options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("{} cannot be written", path.display()))
}
