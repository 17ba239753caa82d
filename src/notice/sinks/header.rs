//! Headers of HTTP, as far as a policy writes them.
//!
//! Source: RFC 9110, sections 5.1 and 5.6.2 for names, 8.3.1 for media types.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::engine::problem::Problem;

/// The name of a header: a token of HTTP.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderName(String);

impl fmt::Display for HeaderName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// True for what HTTP takes as the name of a header.
pub(crate) fn is_header_name(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}

impl<'de> Deserialize<'de> for HeaderName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if is_header_name(&name) {
            return Ok(Self(name));
        }
        // What is no name may be a header with its value, a secret, so that the message cannot repeat it.
        Err(Problem::new(
            "bad-header",
            "this is no name of an HTTP header",
            "write the name alone, of letters, digits and dashes, such as X-Api-Key",
        )
        .into_error())
    }
}

impl JsonSchema for HeaderName {
    fn schema_name() -> Cow<'static, str> {
        "HeaderName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" })
    }
}

/// A media type, the value of the header content-type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType(String);

impl ContentType {
    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for ContentType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (essence, parameters) = text.split_once(';').unwrap_or((&text, ""));
        let is_media_type = essence
            .trim_end()
            .split_once('/')
            .is_some_and(|(kind, subtype)| is_header_name(kind) && is_header_name(subtype));
        if is_media_type && parameters.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Ok(Self(text));
        }
        Err(Problem::new(
            "bad-content-type",
            "this is no media type",
            "write a type and a subtype, such as text/plain or application/json; charset=utf-8",
        )
        .into_error())
    }
}

impl JsonSchema for ContentType {
    fn schema_name() -> Cow<'static, str> {
        "ContentType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+/[A-Za-z0-9!#$%&'*+.^_`|~-]+ *(;[ -~]*)?$" })
    }
}
