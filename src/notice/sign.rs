//! How what is sent is signed: HMAC-SHA256, which all sinks that sign use in a way of their own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// HMAC-SHA256.
///
/// Source: RFC 2104.
pub(super) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    // A key of one block is the kind that cannot fail. Longer ones are hashed first, shorter ones end in zeros: RFC 2104,
    // section 2.
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Base64 with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// What base64 stands for, where it is base64.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Lowercase hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '%s' '{"a":1}' | openssl dgst -sha256 -hmac KEY -hex`
    #[test]
    fn the_mac_is_that_of_openssl() {
        for (key, wanted) in [
            (
                "webhook-secret".to_owned(),
                "7636aa12ed84a427b685e3c629daaa79b2732c8f15c200a639978d3b48f509f0",
            ),
            // As long as a block, and longer: k repeated.
            (
                "k".repeat(64),
                "a7acd3fff15223e957d04cb8251d1e5894fd19a2e07d7ee1aac6ecb8f5c9060f",
            ),
            (
                "k".repeat(65),
                "693deec197e66b7639f43e56f09994125e4cfabdde66ed242618615119b20c62",
            ),
        ] {
            assert_eq!(hex(&hmac_sha256(key.as_bytes(), br#"{"a":1}"#)), wanted, "{key}");
        }
    }

    #[test]
    fn base64_is_read_as_it_is_written() {
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
        assert_eq!(from_base64("+/8="), Some(vec![0xfb, 0xff]));
        assert_eq!(from_base64("not base64"), None);
    }
}
