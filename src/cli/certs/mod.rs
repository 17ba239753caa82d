//! `label-router certs`: certificates as files, in a Secret, or from a signer of the cluster.

mod csr;
mod files;
mod secret;

use clap::{Args, Subcommand};

use super::Exit;
use crate::admission::registration::Endpoint;
use crate::cluster::Client;
use crate::serve::settings::{LogSettings, TlsSettings};

/// Make the certificate that the API server is shown, and tell the registration whom to trust
///
/// `label-router serve --tls-self-managed` does by itself what `label-router certs secret` does once.
#[derive(Debug, Args)]
pub(super) struct Certs {
    #[command(subcommand)]
    way: Way,
}

#[derive(Debug, Subcommand)]
enum Way {
    Files(files::Files),
    Secret(secret::Secret),
    Csr(csr::Csr),
}

impl Certs {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        match self.way {
            Way::Files(files) => files.run(),
            Way::Secret(secret) => secret.run(),
            Way::Csr(csr) => csr.run(),
        }
    }
}

/// Which label-router of the cluster it is about.
#[derive(Debug, Args)]
struct Names {
    /// The namespace of label-router
    #[arg(short, long, default_value_t = Endpoint::default().namespace)]
    namespace: String,
    /// The Secret of the certificate
    #[arg(long, value_name = "NAME", default_value_t = TlsSettings::default().secret)]
    secret: String,
    /// The Service that the API server calls: the certificate is for its name
    #[arg(long, value_name = "NAME", default_value_t = TlsSettings::default().service)]
    service: String,
    /// The registration whose caBundle is written
    #[arg(long, value_name = "NAME", default_value_t = TlsSettings::default().registration)]
    registration: String,
}

impl Names {
    fn settings(&self) -> TlsSettings {
        TlsSettings {
            secret: self.secret.clone(),
            service: self.service.clone(),
            registration: self.registration.clone(),
            ..TlsSettings::default()
        }
    }

    fn endpoint(&self) -> Endpoint {
        crate::serve::self_managed::endpoint(&self.settings(), &self.namespace)
    }
}

/// Runs what asks the cluster. What is done there is logged, as the server does.
fn with_cluster<T>(work: impl AsyncFnOnce(Client) -> anyhow::Result<T>) -> anyhow::Result<T> {
    crate::serve::logging::start(&LogSettings::default());
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async { work(crate::cluster::client().await?).await })
}
