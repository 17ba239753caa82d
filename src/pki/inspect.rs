//! What certificates say of themselves, and whether they hold.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Pair, PkiError};

/// What a TLS server shows: the certificate with its chain, and the key to sign with.
pub type Identity = Arc<CertifiedKey>;

/// From when to when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before this.
    pub from: SystemTime,
    /// Not after this.
    pub until: SystemTime,
}

impl Validity {
    /// What is left of it; nothing once it is over.
    pub fn left(&self, now: SystemTime) -> Duration {
        self.until.duration_since(now).unwrap_or_default()
    }

    /// True in the last third of its life, and before it begins: the time to have another one.
    pub fn is_ending(&self, now: SystemTime) -> bool {
        self.ending().is_none_or(|ending| now >= ending) || now < self.from
    }

    /// When its last third begins; none where its end is before its beginning.
    pub fn ending(&self) -> Option<SystemTime> {
        let life = self.until.duration_since(self.from).ok()?;
        Some(self.until - life / 3)
    }
}

/// The certificates of a PEM text.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| PkiError::new(format!("it is no PEM text: {error}")))?;
    if certificates.is_empty() {
        return Err(PkiError::new(
            "there is no certificate in it: a line -----BEGIN CERTIFICATE----- is expected",
        ));
    }
    Ok(certificates)
}

/// A certificate as PEM (RFC 7468).
pub fn pem(certificate: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// How long the first certificate of a PEM text is good.
pub fn validity(pem: &str) -> Result<Validity, PkiError> {
    let certificates = certificates(pem)?;
    let [first, ..] = certificates.as_slice() else {
        return Err(PkiError::new("there is no certificate in it"));
    };
    let (_, parsed) =
        X509Certificate::from_der(first).map_err(|error| PkiError::new(format!("it is no certificate: {error}")))?;
    let at = |time: x509_parser::time::ASN1Time| {
        let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    };
    Ok(Validity {
        from: at(parsed.validity().not_before),
        until: at(parsed.validity().not_after),
    })
}

/// What a server can show of a pair. It is an error where the key does not belong to the certificate.
pub fn identity(pair: &Pair) -> Result<Identity, PkiError> {
    let chain = certificates(&pair.certificate)?;
    // The parser's own error could repeat what it found.
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(|_| {
        PkiError::new(
            "there is no private key in it: a line -----BEGIN PRIVATE KEY----- (or RSA, or EC) is expected; one with a \
             password cannot be used",
        )
    })?;
    let identity = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            PkiError::new("the key does not belong to the certificate; were they renewed one without the other?")
        }
        other => PkiError::new(other.to_string()),
    })?;
    Ok(Arc::new(identity))
}

/// Whether a client that trusts `bundle` takes this certificate for `host`, now. The error is a sentence.
pub fn verify(chain: &[CertificateDer<'_>], bundle: &str, host: &str, now: SystemTime) -> Result<(), PkiError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(bundle)? {
        roots
            .add(certificate)
            .map_err(|error| PkiError::new(format!("a certificate of the bundle cannot be used: {error}")))?;
    }
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(aws_lc_rs::default_provider()))
            .build()
            .map_err(|error| PkiError::new(error.to_string()))?;
    let Some((leaf, rest)) = chain.split_first() else {
        return Err(PkiError::new("there is no certificate"));
    };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| PkiError::new(format!("{host} is no name that a certificate can be for")))?;
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    verifier
        .verify_server_cert(leaf, rest, &name, &[], UnixTime::since_unix_epoch(since))
        .map(|_| ())
        .map_err(|error| PkiError::new(in_words(&error, host)))
}

fn in_words(error: &rustls::Error, host: &str) -> String {
    use rustls::CertificateError as Wrong;
    match error {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            Wrong::Expired | Wrong::ExpiredContext { .. } => "the certificate has expired".to_owned(),
            Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => {
                "the certificate is not valid yet; do the clocks agree?".to_owned()
            }
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
                format!("the certificate is not for {host}")
            }
            Wrong::UnknownIssuer | Wrong::BadSignature => "another CA signed the certificate".to_owned(),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Authority;

    const HOST: &str = "label-router.label-router.svc";

    fn day(number: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(24 * (20_000 + number))
    }

    #[test]
    fn what_an_authority_signs_is_trusted_for_its_name_and_time_only() {
        let authority = Authority::make(day(0)).unwrap();
        let bundle = &authority.pair().certificate;
        let pair = authority.issue(&[HOST.to_owned()], day(0)).unwrap();
        let chain = certificates(&pair.certificate).unwrap();
        let says = |bundle: &str, host: &str, now| verify(&chain, bundle, host, now).map_err(|error| error.to_string());
        assert_eq!(says(bundle, HOST, day(1)), Ok(()));
        let error = says(bundle, "label-router.other.svc", day(1)).unwrap_err();
        assert_eq!(error, "the certificate is not for label-router.other.svc");
        assert_eq!(says(bundle, HOST, day(91)).unwrap_err(), "the certificate has expired");
        let other = Authority::make(day(0)).unwrap();
        let error = says(&other.pair().certificate, HOST, day(1)).unwrap_err();
        assert_eq!(error, "another CA signed the certificate");
        let both = format!("{}{bundle}", other.pair().certificate);
        assert_eq!(says(&both, HOST, day(1)), Ok(()), "the bundle may hold several");
    }

    #[test]
    fn a_certificate_ends_in_its_last_third() {
        let authority = Authority::make(day(0)).unwrap();
        let pair = authority.issue(&[HOST.to_owned()], day(0)).unwrap();
        let leaf = validity(&pair.certificate).unwrap();
        assert!(!leaf.is_ending(day(59)));
        assert!(leaf.is_ending(day(61)));
        let ca = validity(&authority.pair().certificate).unwrap();
        assert!(ca.until > leaf.until, "a CA outlives what it signs");
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let authority = Authority::make(day(0)).unwrap();
        let one = authority.issue(&[HOST.to_owned()], day(0)).unwrap();
        let two = authority.issue(&[HOST.to_owned()], day(0)).unwrap();
        let mixed = Pair {
            certificate: one.certificate.clone(),
            key: two.key,
        };
        let error = identity(&mixed).unwrap_err().to_string();
        assert!(error.contains("does not belong to the certificate"), "{error}");
        assert!(identity(&one).is_ok());
        assert!(!format!("{one:?}").contains("PRIVATE"), "{one:?}");
        let der = certificates(&one.certificate).unwrap();
        assert_eq!(certificates(&pem(&der[0])).unwrap(), der);
    }
}
