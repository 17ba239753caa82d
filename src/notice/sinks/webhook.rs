//! `webhook`: Any HTTP endpoint, which gets a CloudEvent, or what the user's template makes.
//!
//! ```json
//! {"specversion": "1.0", "id": "…", "source": "/label-router/CLUSTER", "type": "label-router.digest.v1", "time": "…",
//!  "subject": "NAMESPACE/KIND/NAME", "datacontenttype": "application/json", "data": {"title": "…", "digests": […], …}}
//! ```
//!
//! Sources: CloudEvents 1.0.2 and its "HTTP protocol binding", structured mode; Standard Webhooks 1.0; GitHub's "Validating
//! webhook deliveries" for X-Hub-Signature-256.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::answer::refused;
use super::header::{ContentType, HeaderName};
use super::{HttpSink, SinkSettings, Url, Value};
use crate::notice::markup::{Markup, PLAIN};
use crate::notice::message::{Credentials, HttpRequest, Message, Pace, Reply, Verdict, rfc3339, unix_time};
use crate::notice::sign;

/// The type of the events. The number changes where `data` changes so that a receiver must know.
const EVENT: &str = "label-router.digest.v1";

/// Any HTTP endpoint, which gets a CloudEvent, or what the user's template makes.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Webhook {
    /// Where to send.
    pub url: Value<Url>,
    /// The key of an HMAC-SHA256, sent as a header, where the endpoint checks one. What starts with whsec_ is base64, as
    /// Standard Webhooks has it; anything else is the key itself.
    pub secret: Option<Value<String>>,
    /// Which header says it.
    #[serde(default)]
    pub signature: Signature,
    /// Headers to send, such as Authorization.
    #[serde(default)]
    pub headers: BTreeMap<HeaderName, Value<String>>,
    /// What is sent.
    #[serde(default)]
    pub payload: Payload,
    /// The content type of a payload that is the body; application/json unless said.
    pub content_type: Option<ContentType>,
}

/// Which header carries the HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Signature {
    /// webhook-signature, over the headers webhook-id and webhook-timestamp and the body, as Standard Webhooks has it.
    #[default]
    Standard,
    /// X-Hub-Signature-256, over the body, as GitHub sends it.
    Hub,
}

/// What is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// A CloudEvent in JSON, with the title, the body, and all that is known in `data`.
    #[default]
    CloudEvents,
    /// What the template `body` makes, as it is.
    Body,
}

impl Webhook {
    fn signed_headers(&self, secret: &str, id: &str, now: SystemTime, body: &[u8]) -> Vec<(String, String)> {
        let key = secret
            .strip_prefix("whsec_")
            .and_then(sign::from_base64)
            .unwrap_or_else(|| secret.as_bytes().to_vec());
        let header = |name: &str, value: String| (name.to_owned(), value);
        match self.signature {
            Signature::Hub => {
                let mac = sign::hex(&sign::hmac_sha256(&key, body));
                vec![header("x-hub-signature-256", format!("sha256={mac}"))]
            }
            Signature::Standard => {
                let timestamp = unix_time(now).as_secs();
                // A point divides what is signed.
                let id = id.replace('.', "-");
                let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
                let mac = sign::base64(&sign::hmac_sha256(&key, &signed));
                vec![
                    header("webhook-id", id),
                    header("webhook-timestamp", timestamp.to_string()),
                    header("webhook-signature", format!("v1,{mac}")),
                ]
            }
        }
    }
}

/// The event. It is the same for each attempt, so that a receiver can tell that it has it.
fn event(message: &Message, now: SystemTime) -> serde_json::Value {
    let digest = message.digests.first();
    let source = message.cluster.as_ref().map_or_else(
        || "/label-router".to_owned(),
        |cluster| format!("/label-router/{}", uri_segment(cluster)),
    );
    let links: Vec<serde_json::Value> = message
        .links
        .iter()
        .map(|(text, url)| json!({ "text": text, "url": url }))
        .collect();
    let mut event = json!({
        "specversion": "1.0",
        "id": message.id,
        "source": source,
        "type": EVENT,
        "time": digest.map_or_else(|| rfc3339(now), |digest| digest.last.clone()),
        "datacontenttype": "application/json",
        "data": {
            "title": message.title,
            "body": message.body,
            "links": links,
            "severity": message.severity,
            "resolved": message.resolved,
            "cluster": message.cluster,
            "digests": message.digests,
        },
    });
    if message.is_test {
        event["data"]["test"] = true.into();
    }
    // An event about several workloads has no subject of its own.
    if let [digest] = message.digests.as_slice() {
        let owner = digest.owner.as_ref();
        let parts = [
            digest.namespace.as_deref(),
            owner.map(|owner| owner.kind.as_str()),
            owner.map(|owner| owner.name.as_str()),
        ];
        let subject: Vec<&str> = parts.into_iter().flatten().collect();
        if digest.is_policy {
            event["subject"] = "policy".into();
        } else if !subject.is_empty() {
            event["subject"] = subject.join("/").into();
        }
    }
    event
}

/// A text as one segment of a URI's path: RFC 3986, section 2.3.
fn uri_segment(text: &str) -> String {
    use fmt::Write;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
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

    fn render(&self, message: &Message, credentials: &Credentials, now: SystemTime) -> HttpRequest {
        let (content_type, body) = match self.payload {
            Payload::CloudEvents => (
                "application/cloudevents+json; charset=utf-8",
                event(message, now).to_string().into_bytes(),
            ),
            Payload::Body => (
                self.content_type
                    .as_ref()
                    .map_or("application/json", ContentType::as_str),
                message.body.clone().into_bytes(),
            ),
        };
        let mut headers = credentials.headers.clone();
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        {
            headers.push(("content-type".to_owned(), content_type.to_owned()));
        }
        if let Some(secret) = &credentials.secret {
            headers.extend(self.signed_headers(secret, &message.id, now, &body));
        }
        HttpRequest {
            url: credentials.url.clone(),
            headers,
            body,
        }
    }

    fn classify(&self, reply: &Reply<'_>) -> Verdict {
        let advice = match reply.status {
            401 | 403 => "the endpoint does not know who sends: look at `secret`, `signature` and `headers`",
            404 => "there is nothing at this URL",
            410 => "the endpoint wants no more messages: remove the sink",
            413 => "the message is longer than the endpoint takes",
            415 => "the endpoint does not take this kind of content: look at `payload` and `contentType`",
            _ => return Verdict::of_status(reply),
        };
        refused(reply, Some(advice))
    }
}

#[cfg(test)]
#[path = "tests/webhook.rs"]
mod tests;
