//! `alertmanager`: A Prometheus Alertmanager, which groups and deduplicates for many replicas.
//!
//! ```json
//! [{"labels": {"alertname": "LabelRouterRejected", "namespace": "…"}, "annotations": {"summary": "…"}, "startsAt": "…", "endsAt": "…"}]
//! ```
//!
//! Sources: prometheus.io, "Alerts API"; prometheus/alertmanager, `api/v2/openapi.yaml` and `alert/alert.go`: an alert is told
//! from others by its labels alone, and lasts until its `endsAt`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::answer::{refused, strange};
use super::{HeaderName, HttpSink, SinkSettings, Url, Value};
use crate::notice::digest::{Digest, Line};
use crate::notice::markup::{Markup, PLAIN};
use crate::notice::message::{Credentials, HttpRequest, Message, Pace, Reply, Verdict, rfc3339};
use crate::notice::notice::Kind;

/// The API's path, below where an Alertmanager is.
const PATH: &str = "/api/v2/alerts";
/// How long an alert lasts that says what goes on with the policy: it is looked at again only when somebody changes it.
const POLICY: Duration = Duration::from_hours(7 * 24);
/// How long an alert lasts that says what happened.
const PASSING: Duration = Duration::from_mins(5);

/// A Prometheus Alertmanager, which groups and deduplicates for many replicas.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Alertmanager {
    /// The Alertmanager's URL, without /api/v2/alerts.
    pub url: Value<Url>,
    /// Headers to send, such as Authorization.
    #[serde(default)]
    pub headers: BTreeMap<HeaderName, Value<String>>,
}

/// What happened, as the name of an alert.
const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Rejected => "LabelRouterRejected",
        Kind::Policy => "LabelRouterPolicyRefused",
        Kind::Unchanged => "LabelRouterUnchanged",
        Kind::Shadowed => "LabelRouterShadowed",
        Kind::Routed => "LabelRouterRouted",
    }
}

/// What tells an alert from others. It is the same in all replicas and for all Pods of a workload: neither names of Pods nor
/// texts are in it.
fn labels(message: &Message, digest: &Digest, line: &Line) -> BTreeMap<&'static str, String> {
    let owner = digest.owner.as_ref();
    let labels = [
        ("alertname", name(line.outcome).to_owned()),
        ("severity", line.severity.name().to_owned()),
        ("outcome", line.outcome.name().to_owned()),
        ("cluster", message.cluster.clone().unwrap_or_default()),
        ("namespace", digest.namespace.clone().unwrap_or_default()),
        ("owner_kind", owner.map(|owner| owner.kind.clone()).unwrap_or_default()),
        ("owner", owner.map(|owner| owner.name.clone()).unwrap_or_default()),
        ("rule", line.rule.as_deref().unwrap_or_default().to_owned()),
        // Silences and routes can tell it from one about a workload that has the same name.
        ("test", if message.is_test { "true" } else { "" }.to_owned()),
    ];
    // An empty label is none.
    labels.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// What a line says, for whoever reads the alert.
fn said(line: &Line) -> String {
    let mut pods = line.pods.join(", ");
    if line.more > 0 {
        pods = format!("{pods} and {} more", line.more);
    }
    let parts = [pods.as_str(), line.place.as_str(), line.message.as_str()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(": ")
}

fn annotations(message: &Message, digest: &Digest, description: String) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::from([
        ("summary".to_owned(), message.title.clone()),
        ("description".to_owned(), description),
        ("generation".to_owned(), digest.generation.clone()),
    ]);
    annotations.extend(
        message
            .links
            .iter()
            .map(|(text, url)| (annotation_name(text), url.clone())),
    );
    annotations
}

/// A link's text as the name of an annotation: what a name of Prometheus cannot have becomes `_`.
fn annotation_name(text: &str) -> String {
    let fits = |character: char| character.is_ascii_alphanumeric();
    let name: String = text
        .chars()
        .map(|character| {
            if fits(character) {
                character.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    format!("link_{name}")
}

fn alerts(message: &Message, now: SystemTime) -> Vec<serde_json::Value> {
    let mut alerts = Vec::new();
    for digest in &message.digests {
        // Lines that differ in what is no label are one alert, which goes on where one of them does.
        let mut same: BTreeMap<BTreeMap<&str, String>, Vec<&Line>> = BTreeMap::new();
        for line in &digest.lines {
            same.entry(labels(message, digest, line)).or_default().push(line);
        }
        let are_one = message.digests.len() == 1 && same.len() == 1;
        for (labels, lines) in same {
            let going: Vec<&Line> = lines.iter().copied().filter(|line| !line.resolved).collect();
            let has_ended = going.len() < lines.len() && digest.still == 0;
            let ends = match going.first().map(|line| line.outcome) {
                // Another Pod of the same workload is rejected still.
                None if digest.still > 0 => now + digest.lasts,
                None => now,
                // It began and ended while the group waited: nothing tells its end later.
                Some(kind) if kind.lasts() && has_ended => now,
                // Nobody is to be called for an hour by what is none.
                Some(_) if message.is_test => now + PASSING,
                Some(Kind::Policy) => now + POLICY,
                Some(kind) if kind.lasts() => now + digest.lasts,
                Some(_) => now + PASSING,
            };
            let lines = if going.is_empty() { lines } else { going };
            let description = if are_one {
                message.body.clone()
            } else {
                lines.into_iter().map(said).collect::<Vec<_>>().join("\n")
            };
            alerts.push(json!({
                "labels": labels,
                "annotations": annotations(message, digest, description),
                "startsAt": rfc3339(digest.since.min(now)),
                "endsAt": rfc3339(ends),
            }));
        }
    }
    alerts
}

/// Where alerts are taken: the path goes before a query.
fn endpoint(url: &str) -> String {
    let (base, query) = url.split_at(url.find('?').unwrap_or(url.len()));
    let base = base.trim_end_matches('/');
    let base = base.strip_suffix(PATH).unwrap_or(base);
    format!("{base}{PATH}{query}")
}

impl SinkSettings for Alertmanager {
    /// An Alertmanager has a `repeat_interval` of its own, and must hear of what goes on before the alert ends.
    fn repeat_interval() -> Duration {
        Duration::from_mins(5)
    }

    fn http(&self) -> Option<&dyn HttpSink> {
        Some(self)
    }
}

impl HttpSink for Alertmanager {
    fn url(&self) -> &Value<Url> {
        &self.url
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
        let body = serde_json::Value::from(alerts(message, now)).to_string();
        let mut request = HttpRequest::json(endpoint(&credentials.url), body.into_bytes());
        // An Alertmanager takes nothing else.
        let own = credentials.headers.iter();
        let own = own.filter(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        request.headers.extend(own.cloned());
        request
    }

    fn classify(&self, reply: &Reply<'_>) -> Verdict {
        let advice = match reply.status {
            200..=299 if reply.body.trim_start().starts_with('<') => return strange(reply, "an Alertmanager"),
            401 | 403 => "who sends is not known: write an Authorization under `headers`",
            404 | 405 => {
                "no Alertmanager is here: write its URL without /api/v2/alerts, with the prefix that it is served under"
            }
            _ => return Verdict::of_status(reply),
        };
        refused(reply, Some(advice))
    }
}

#[cfg(test)]
#[path = "tests/alertmanager.rs"]
mod tests;
