//! A CA, what it signs, and requests that others sign.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::OffsetDateTime;

use super::{PkiError, identity};

/// How long a CA is good for. It must outlive everything that it signs.
const CA_LIFETIME: Duration = Duration::from_hours(24 * 3650);
/// How long a serving certificate is good for.
const LIFETIME: Duration = Duration::from_hours(24 * 90);
/// Clocks of Nodes differ a little: a certificate is good from a while before it was made.
const CLOCK_SKEW: Duration = Duration::from_mins(10);

/// A certificate (its own first, then what vouches for it) and its private key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate and its chain.
    pub certificate: String,
    /// The private key. Debug does not print it.
    pub key: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pair")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// A CA with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    pair: Pair,
}

impl Authority {
    /// Makes one.
    pub fn make(now: SystemTime) -> Result<Self, PkiError> {
        let key = new_key()?;
        let mut params = params(&[], now, CA_LIFETIME)?;
        params.distinguished_name.push(DnType::CommonName, "label-router CA");
        // It vouches for servers, and for no further CA.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(unmakable)?;
        Ok(Self {
            pair: Pair {
                certificate: certificate.pem(),
                key: key.serialize_pem(),
            },
        })
    }

    /// One that was made before. It is an error where the key does not belong to the certificate.
    pub fn from_pair(pair: Pair) -> Result<Self, PkiError> {
        identity(&pair)?;
        Ok(Self { pair })
    }

    /// Its certificate and key.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// A serving certificate for these host names.
    pub fn issue(&self, hosts: &[String], now: SystemTime) -> Result<Pair, PkiError> {
        let own_key = KeyPair::from_pem(&self.pair.key).map_err(unmakable)?;
        let issuer = Issuer::from_ca_cert_pem(&self.pair.certificate, own_key).map_err(unmakable)?;
        let key = new_key()?;
        let mut params = params(hosts, now, LIFETIME)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &issuer).map_err(unmakable)?;
        Ok(Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// A certificate signing request (PKCS #10, PEM) for these host names, with the key that it is about. `common_name` and
/// `organization` are what the signer asks for: `kubernetes.io/kubelet-serving`, for one, wants `system:node:NAME` in
/// `system:nodes`.
pub fn request(
    hosts: &[String],
    common_name: Option<&str>,
    organization: Option<&str>,
) -> Result<(String, String), PkiError> {
    let key = new_key()?;
    let mut params = CertificateParams::new(hosts.to_vec()).map_err(unmakable)?;
    params.distinguished_name = DistinguishedName::new();
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    let common_name = common_name.or(hosts.first().map(String::as_str)).unwrap_or_default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let request = params
        .serialize_request(&key)
        .and_then(|request| request.pem())
        .map_err(unmakable)?;
    Ok((request, key.serialize_pem()))
}

fn new_key() -> Result<KeyPair, PkiError> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(unmakable)
}

fn params(hosts: &[String], now: SystemTime, lifetime: Duration) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::new(hosts.to_vec()).map_err(unmakable)?;
    params.distinguished_name = DistinguishedName::new();
    if let Some(host) = hosts.first() {
        params.distinguished_name.push(DnType::CommonName, host);
    }
    params.not_before = OffsetDateTime::from(now - CLOCK_SKEW);
    params.not_after = OffsetDateTime::from(now + lifetime);
    Ok(params)
}

#[allow(clippy::needless_pass_by_value, reason = "a function for map_err")]
fn unmakable(error: rcgen::Error) -> PkiError {
    PkiError::new(format!("a certificate cannot be made: {error}"))
}
