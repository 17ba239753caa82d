//! A certificate authority that everything in a test cluster trusts.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

pub(crate) struct Authority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its private key, in files.
#[derive(Clone)]
pub(crate) struct Certificate {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new(directory: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test cluster");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        fs::create_dir_all(directory).unwrap();
        fs::write(directory.join("ca.crt"), &pem).unwrap();
        fs::write(directory.join("ca.key"), key.serialize_pem()).unwrap();
        Self {
            directory: directory.to_owned(),
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Its own certificate and key, for the controller that signs requests.
    pub(crate) fn files(&self) -> Certificate {
        self.named("ca")
    }

    /// A serving certificate for these names and addresses.
    pub(crate) fn certificate(&self, name: &str, subjects: &[&str]) -> Certificate {
        let subjects: Vec<String> = subjects.iter().map(|subject| (*subject).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(subjects)
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        let files = self.named(name);
        fs::write(&files.cert, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    /// A pair of keys without a certificate: in `cert` stands the public one.
    pub(crate) fn keys(&self, name: &str) -> Certificate {
        let files = self.named(name);
        let key = KeyPair::generate().unwrap();
        fs::write(&files.cert, key.public_key_pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    fn named(&self, name: &str) -> Certificate {
        Certificate {
            cert: self.directory.join(format!("{name}.crt")),
            key: self.directory.join(format!("{name}.key")),
        }
    }
}
