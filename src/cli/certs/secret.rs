//! `label-router certs secret`: what a server with self-managed certificates does, once.

use std::time::SystemTime;

use clap::Args;

use super::{Exit, Names, with_cluster};
use crate::pki;
use crate::serve::self_managed::kept;
use crate::source::self_managed::{Registration, Rotation};

/// Make or renew the certificate in a Secret, and write the caBundle of the registration
///
/// What is there and good is kept. A server that runs shows the new certificate by itself.
#[derive(Debug, Args)]
pub(in crate::cli) struct Secret {
    #[command(flatten)]
    names: Names,
    /// Renew the certificate now, by the same CA
    #[arg(long)]
    rotate: bool,
    /// Renew the CA: the next one is published beside the one that signs, and signs a minute later
    #[arg(long, conflicts_with = "rotate")]
    rotate_ca: bool,
}

impl Secret {
    pub(in crate::cli) fn run(self) -> anyhow::Result<Exit> {
        let rotation = match (self.rotate, self.rotate_ca) {
            (true, _) => Some(Rotation::Certificate),
            (_, true) => Some(Rotation::Authority),
            _ => None,
        };
        let Names {
            namespace,
            secret,
            registration,
            ..
        } = &self.names;
        let state = with_cluster(async |client| {
            let kept = kept(&self.names.settings(), &client, namespace);
            Ok(kept.once(rotation).await?)
        })?;
        let left = pki::validity(&state.serving.certificate)?.left(SystemTime::now());
        println!(
            "The Secret {namespace}/{secret} holds a certificate for {} that is good for {} days.",
            self.names.endpoint().host(),
            left.as_secs() / (24 * 60 * 60)
        );
        if self.rotate_ca {
            println!(
                "The next CA is published; a running server goes over to it in a minute. Without one, run this again then."
            );
        }
        Ok(match state.registration {
            Registration::Live(_) => {
                println!("The caBundle of the MutatingWebhookConfiguration {registration} trusts it.");
                Exit::Fine
            }
            Registration::Absent => {
                println!(
                    "There is no MutatingWebhookConfiguration {registration} yet: apply it, and run this again where no server keeps \
                     the caBundle."
                );
                Exit::Fine
            }
            Registration::Unknown(error) => {
                eprintln!("error: {error}");
                Exit::CouldNotRun
            }
        })
    }
}
