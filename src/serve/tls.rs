//! The certificate that the API server is shown, and the TLS that is spoken with it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};

use super::settings::{MinVersion, TlsSettings, choices};
use crate::source;

/// A certificate with its chain, and its private key.
#[derive(Debug)]
pub struct Identity {
    /// The server's own certificate, then those that vouch for it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key. Its Debug prints nothing of it.
    pub key: PrivateKeyDer<'static>,
    /// Where it came from, for people.
    pub origin: String,
}

impl Identity {
    /// The configured certificate or, outside a cluster, one that lives as long as this process.
    pub fn find(settings: &TlsSettings, in_cluster: bool) -> anyhow::Result<Self> {
        match (&settings.cert, &settings.key) {
            (Some(cert), Some(key)) => Self::read(cert, key),
            (None, None) if in_cluster => bail!(
                "no certificate is configured. Mount a Secret of type kubernetes.io/tls and set {} to its tls.crt and {} to its \
                 tls.key. Making one in memory is for outside a cluster: here each replica would make its own, and the API \
                 server's caBundle can trust but one",
                choices("tls.cert"),
                choices("tls.key")
            ),
            (None, None) => Self::make(),
            // The settings refuse one without the other when they are read; those made in code may hold it.
            _ => bail!(
                "a certificate needs its key: set {} and {}",
                choices("tls.cert"),
                choices("tls.key")
            ),
        }
    }

    /// Reads PEM files.
    pub fn read(cert: &Path, key: &Path) -> anyhow::Result<Self> {
        let wrong = |path: &Path, what: &str| anyhow!("{}: {what}", path.display());
        let bytes = source::read_bytes(cert).context("the certificate cannot be used")?;
        let chain = CertificateDer::pem_slice_iter(&bytes)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong(cert, &format!("it is no PEM file: {error}")))?;
        if chain.is_empty() {
            return Err(wrong(
                cert,
                "there is no certificate in it: a line -----BEGIN CERTIFICATE----- is expected",
            ));
        }
        let bytes = source::read_bytes(key).context("the certificate's key cannot be used")?;
        // The parser's own error could repeat what it found.
        let key_der = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
            wrong(
                key,
                "there is no private key in it: a line -----BEGIN PRIVATE KEY----- (or RSA, or EC) is expected; one with a password \
                 cannot be used",
            )
        })?;
        let identity = Self {
            chain,
            key: key_der,
            origin: cert.display().to_string(),
        };
        // Finds now what else every handshake would.
        if let Err(error) = identity.server_config(MinVersion::Tls13) {
            bail!(
                "the key {} and the certificate {} cannot be used: {error}",
                key.display(),
                cert.display()
            );
        }
        Ok(identity)
    }

    /// A certificate of its own for this machine.
    fn make() -> anyhow::Result<Self> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).context("a certificate cannot be made")?;
        Ok(Self {
            chain: vec![made.cert.der().clone()],
            key: PrivateKeyDer::try_from(made.signing_key.serialize_der())
                .map_err(|error| anyhow!("a certificate cannot be made: {error}"))?,
            origin: "made in memory".to_owned(),
        })
    }

    /// TLS as the API server speaks it to a Service: HTTP/1.1, no resumption.
    pub fn server_config(&self, oldest: MinVersion) -> Result<ServerConfig, rustls::Error> {
        let versions: &[_] = match oldest {
            MinVersion::Tls12 => &[&TLS13, &TLS12],
            MinVersion::Tls13 => &[&TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => rustls::Error::General(
                    "the key does not belong to the certificate; were they renewed one without the other?".to_owned(),
                ),
                other => other,
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // The API server resumes no session, so tickets would be work for nobody.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn errors_say_which_file_and_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let (cert, key) = pair();
        let (_, other_key) = pair();
        let cert_file = put("tls.crt", &cert);
        let key_file = put("tls.key", &key);
        let other = put("other.key", &other_key);
        let empty = put("empty.crt", "");
        let broken = put(
            "broken.crt",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        );
        let absent = directory.path().join("absent.crt");
        let cases = [
            (&absent, &key_file, "absent.crt: there is no such file"),
            (&empty, &key_file, "empty.crt: there is no certificate in it"),
            (&broken, &key_file, "broken.crt: it is no PEM file"),
            (&cert_file, &cert_file, "tls.crt: there is no private key in it"),
            (&cert_file, &other, "the key does not belong to the certificate"),
        ];
        for (cert, key, expected) in cases {
            let error = format!("{:#}", Identity::read(cert, key).unwrap_err());
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("PRIVATE KEY-----\n"), "{error}");
        }
        Identity::read(&cert_file, &key_file).unwrap();
    }

    #[test]
    fn only_outside_a_cluster_one_is_made() {
        let settings = TlsSettings::default();
        let made = Identity::find(&settings, false).unwrap();
        assert!(!format!("{made:?}").contains(&format!("{:?}", made.key.secret_der())));
        let error = Identity::find(&settings, true).unwrap_err().to_string();
        assert!(
            error.contains("--tls-cert") && error.contains("LABEL_ROUTER_TLS_KEY"),
            "{error}"
        );
    }
}
