//! `webhook`: Any HTTP endpoint, which gets a CloudEvent.
//!
//! Sources: CloudEvents 1.0, "HTTP protocol binding", structured mode; RFC 9110, sections 5.1 and 5.6.2, for the names of
//! headers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::{HttpSink, SinkSettings, Url, Value};
use crate::engine::problem::Problem;
use crate::notice::markup::{Markup, PLAIN};
use crate::notice::message::{Credentials, HttpRequest, Message, Pace, Reply, Verdict};

/// Any HTTP endpoint, which gets a CloudEvent.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Webhook {
    /// Where to send.
    pub url: Value<Url>,
    /// The key of an HMAC-SHA256 over the body, sent as a header, where the endpoint checks one.
    pub secret: Option<Value<String>>,
    /// Headers to send, such as Authorization.
    #[serde(default)]
    pub headers: BTreeMap<HeaderName, Value<String>>,
}

impl SinkSettings for Webhook {
    fn http(&self) -> Option<&dyn HttpSink> {
        Some(self)
    }
}

impl HttpSink for Webhook {
    fn url(&self) -> &Value<Url> {
        &self.url
    }

    fn secret(&self) -> Option<&Value<String>> {
        self.secret.as_ref()
    }

    fn headers(&self) -> Option<&BTreeMap<HeaderName, Value<String>>> {
        Some(&self.headers)
    }

    fn markup(&self) -> &'static Markup {
        &PLAIN
    }

    fn pace(&self) -> Option<Pace> {
        None
    }

    fn room(&self) -> Option<usize> {
        None
    }

    fn render(&self, message: &Message, credentials: &Credentials, _now: SystemTime) -> HttpRequest {
        HttpRequest::json(&credentials.url, message.body.clone().into_bytes())
    }

    fn classify(&self, reply: &Reply<'_>) -> Verdict {
        Verdict::of_status(reply)
    }
}

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
