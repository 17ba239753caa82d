//! `label-router certs csr`: a certificate from a signer of the cluster.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use clap::Args;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};

use super::{Exit, Names, with_cluster};
use crate::cluster::{self, Client, SigningRequest};
use crate::pki;
use crate::source;

/// Ask a signer of the cluster for a certificate, and put it into the Secret
///
/// For clusters that have a signer for serving certificates, such as `beta.eks.amazonaws.com/app-serving`. The signers that
/// Kubernetes itself brings sign none for a Service: `kubernetes.io/kube-apiserver-client` signs for clients only.
#[derive(Debug, Args)]
pub(in crate::cli) struct Csr {
    /// Who is to sign
    #[arg(long, value_name = "NAME")]
    signer_name: String,
    #[command(flatten)]
    names: Names,
    /// Approve the request, too, where you may. Otherwise somebody else does: kubectl certificate approve
    #[arg(long)]
    approve: bool,
    /// The common name to ask for, where the signer insists on one [default: the Service's name]
    #[arg(long, value_name = "NAME")]
    common_name: Option<String>,
    /// The organization to ask for, where the signer insists on one
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// The CA of the signer (PEM), for the caBundle [default: the CA of the cluster, as the kubeconfig has it]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// How many seconds to wait for the approval and the signature
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
}

impl Csr {
    pub(in crate::cli) fn run(self) -> anyhow::Result<Exit> {
        with_cluster(async |client| self.ask(&client).await)
    }

    async fn ask(&self, client: &Client) -> anyhow::Result<Exit> {
        let Names {
            namespace,
            secret,
            registration,
            ..
        } = &self.names;
        let endpoint = self.names.endpoint();
        let host = endpoint.host();
        // Before anything is asked for: what would be overwritten, and whom to trust.
        let stored = cluster::secret(client, namespace, secret).await?;
        if stored.as_ref().is_some_and(|stored| stored.data.contains_key("ca.key")) {
            bail!(
                "the Secret {namespace}/{secret} holds self-managed certificates. Name another one with --secret, or delete it \
                 after serve no longer runs with --tls-self-managed"
            );
        }
        let bundle = self.bundle().await?;
        let hosts = [host.clone(), format!("{}.{}", self.names.service, namespace)];
        let (pem, key) = pki::request(&hosts, self.common_name.as_deref(), self.organization.as_deref())?;
        let request = SigningRequest {
            name: format!("{host}-serving"),
            signer: self.signer_name.clone(),
            pem,
        };
        cluster::create(client, &request).await?;
        if self.approve {
            cluster::approve(client, &request.name).await?;
        } else {
            eprintln!(
                "Waiting for the approval of the CertificateSigningRequest {0}: kubectl certificate approve {0}",
                request.name
            );
        }
        let wait = Duration::from_secs(self.timeout);
        let certificate = match tokio::time::timeout(wait, cluster::signed(client, &request.name)).await {
            Ok(signed) => match signed? {
                Ok(certificate) => certificate,
                Err(why) => bail!("the CertificateSigningRequest {}: {why}", request.name),
            },
            Err(_) => bail!(
                "{} did not sign the CertificateSigningRequest {} in {} s. Is it approved, and does this cluster have that signer? \
                 kubectl describe csr {}",
                self.signer_name,
                request.name,
                self.timeout,
                request.name
            ),
        };
        let chain = pki::certificates(&certificate)?;
        if let Err(error) = pki::verify(&chain, &bundle, &host, SystemTime::now()) {
            bail!(
                "{} signed a certificate that the API server would not take: {error}. Nothing was written. If another CA vouches for \
                 it, give that with --ca",
                self.signer_name
            );
        }
        let data = BTreeMap::from([
            ("tls.crt".to_owned(), certificate.clone().into_bytes()),
            ("tls.key".to_owned(), key.into_bytes()),
        ]);
        match &stored {
            Some(stored) => cluster::replace_secret(client, namespace, stored, data, BTreeMap::new()).await?,
            None => {
                cluster::create_secret(
                    client,
                    namespace,
                    secret,
                    data,
                    BTreeMap::new(),
                    "label-router-certs-csr",
                )
                .await?;
            }
        }
        let days = pki::validity(&certificate)?.left(SystemTime::now()).as_secs() / (24 * 60 * 60);
        println!("The Secret {namespace}/{secret} holds a certificate for {host} that is good for {days} days.");
        let is_ours = |called: &_| endpoint.is_called_by(called);
        match cluster::registration::<MutatingWebhookConfiguration>(client, registration).await? {
            Some(live) => {
                cluster::publish_ca_bundle(client, &live, is_ours, &bundle).await?;
                let validation = cluster::registration::<ValidatingWebhookConfiguration>(client, registration);
                if let Some(live) = validation.await? {
                    cluster::publish_ca_bundle(client, &live, is_ours, &bundle).await?;
                }
                println!("The caBundle of the MutatingWebhookConfiguration {registration} trusts it.");
            }
            None => {
                println!("There is no MutatingWebhookConfiguration {registration} yet: apply it, and run this again.");
            }
        }
        Ok(Exit::Fine)
    }

    async fn bundle(&self) -> anyhow::Result<String> {
        if let Some(path) = &self.ca {
            return Ok(source::read_text(path)
                .context("the CA of the signer cannot be used")?
                .text);
        }
        let certificates = cluster::cluster_ca().await?;
        if certificates.is_empty() {
            bail!("the kubeconfig names no CA of the cluster; give the signer's with --ca");
        }
        Ok(certificates.iter().map(|certificate| pki::pem(certificate)).collect())
    }
}
