//! The certificate that the API server is shown, and the TLS that is spoken with it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::settings::{MinVersion, TlsSettings, choices};
use crate::pki::{self, Pair, PkiError};
use crate::source;

/// A certificate with its chain, ready to be shown, and where it came from.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What is shown, and the key to sign with. Its Debug prints nothing of the key.
    pub certified: pki::Identity,
    /// How long it is good.
    pub validity: pki::Validity,
    /// Where it came from, for people.
    pub origin: String,
}

impl Identity {
    /// The configured certificate or, outside a cluster, one that lives as long as this process.
    pub fn find(settings: &TlsSettings, in_cluster: bool) -> anyhow::Result<Self> {
        match (&settings.cert, &settings.key) {
            (Some(cert), Some(key)) => Self::read(cert, key),
            (None, None) if in_cluster => bail!(
                "no certificate is configured. Let label-router make one that all replicas share, with {}; or mount a Secret of \
                 type kubernetes.io/tls and set {} to its tls.crt and {} to its tls.key. One in memory is for outside a \
                 cluster: here each replica would make its own, and the API server's caBundle can trust but one",
                choices("tls.selfManaged"),
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
        let read = |path: &Path, what: &str| {
            let bytes = source::read_bytes(path).with_context(|| format!("{what} cannot be used"))?;
            String::from_utf8(bytes).map_err(|_| anyhow!("{}: it is no PEM file", path.display()))
        };
        let certificate = read(cert, "the certificate")?;
        pki::certificates(&certificate).map_err(|error| anyhow!("{}: {error}", cert.display()))?;
        let pair = Pair {
            certificate,
            key: read(key, "the certificate's key")?,
        };
        Self::from_pair(&pair, cert.display().to_string()).map_err(|error| {
            anyhow!(
                "the key {} with the certificate {}: {error}",
                key.display(),
                cert.display()
            )
        })
    }

    /// A pair of PEM texts.
    pub fn from_pair(pair: &Pair, origin: String) -> Result<Self, PkiError> {
        Ok(Self {
            certified: pki::identity(pair)?,
            validity: pki::validity(&pair.certificate)?,
            origin,
        })
    }

    /// A certificate of its own for this machine.
    fn make() -> anyhow::Result<Self> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).context("a certificate cannot be made")?;
        let pair = Pair {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        };
        Ok(Self::from_pair(&pair, "made in memory".to_owned())?)
    }
}

/// The certificate that new connections are shown. Those that are open keep theirs.
#[derive(Debug)]
pub struct Shown(ArcSwap<CertifiedKey>);

impl Shown {
    /// Shows this one.
    pub fn new(identity: &Identity) -> Arc<Self> {
        Arc::new(Self(ArcSwap::new(Arc::clone(&identity.certified))))
    }

    /// Shows another one from the next connection on.
    pub fn show(&self, identity: &Identity) {
        self.0.store(Arc::clone(&identity.certified));
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// TLS as the API server speaks it to a Service: HTTP/1.1, no resumption.
pub fn server_config(shown: Arc<Shown>, oldest: MinVersion) -> Result<ServerConfig, rustls::Error> {
    let versions: &[_] = match oldest {
        MinVersion::Tls12 => &[&TLS13, &TLS12],
        MinVersion::Tls13 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(shown);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // The API server resumes no session, so tickets would be work for nobody.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
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
            (&broken, &key_file, "broken.crt: it is no PEM text"),
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
        assert_eq!(made.origin, "made in memory");
        let error = Identity::find(&settings, true).unwrap_err().to_string();
        assert!(
            error.contains("--tls-cert") && error.contains("LABEL_ROUTER_TLS_KEY"),
            "{error}"
        );
    }
}
