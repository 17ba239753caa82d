//! Certificates: a CA of label-router's own, what it signs, requests for other signers, and what a certificate says of itself.
//!
//! Everything is PEM text, and the time is an argument. Keys are ECDSA on P-256, which every API server verifies and which
//! makes a handshake cheap.

mod authority;
mod inspect;

pub use authority::{Authority, Pair, request};
pub use inspect::{Identity, Validity, certificates, identity, pem, validity, verify};

/// Why a certificate cannot be made or used, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PkiError(String);

impl PkiError {
    /// A sentence without its full stop.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl std::fmt::Display for PkiError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for PkiError {}
