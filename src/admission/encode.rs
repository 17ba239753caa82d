//! From a decision to bytes.

use std::borrow::Cow;
use std::fmt::Display;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

use super::{API_VERSION, KIND};
use crate::engine::{Decision, Request, Skip};

/// How many characters a Warning may have before the API server cuts it.
const WARNING_LIMIT: usize = 256;
/// How many characters all Warnings of a response may have together before the API server drops some.
const WARNINGS_LIMIT: usize = 4096;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'d> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'d>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'d> {
    uid: &'d str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'d>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_annotations: Option<Audit<'d>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Status<'d> {
    code: u16,
    reason: &'static str,
    message: &'d str,
}

/// Annotations of the audit event. The API server puts the webhook's name before each key, so that a key holds no slash.
#[derive(Serialize)]
struct Audit<'d> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Cow<'d, str>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    route: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    ordinal: Option<u64>,
    generation: &'d str,
}

// serde hands a field over as it is.
#[allow(clippy::ref_option, reason = "the signature that serialize_with asks for")]
fn text<S: Serializer, T: Display>(number: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => serializer.collect_str(number),
        None => serializer.serialize_none(),
    }
}

/// The reply to a request, as JSON. `generation` is the snapshot's.
pub fn encode(request: &Request<'_>, decision: &Decision, generation: &str) -> Vec<u8> {
    let patched = !decision.patch.is_empty();
    let patch = patched.then(|| STANDARD.encode(json(&decision.patch)));
    let last = decision.applied.last();
    let rule = match decision.applied.as_slice() {
        [] => None,
        [one] => Some(Cow::Borrowed(one.rule.as_ref())),
        several => Some(Cow::Owned(
            several
                .iter()
                .map(|applied| applied.rule.as_ref())
                .collect::<Vec<_>>()
                .join(","),
        )),
    };
    reply(Response {
        uid: &request.uid,
        allowed: decision.is_allowed(),
        status: decision.rejection.as_ref().map(|rejection| Status {
            code: 403,
            reason: "Forbidden",
            message: &rejection.message,
        }),
        patch_type: patched.then_some("JSONPatch"),
        patch,
        audit_annotations: Some(Audit {
            outcome: decision.outcome.name(),
            reason: decision
                .skipped
                .map(Skip::reason)
                .or(decision.rejection.as_ref().map(|rejection| rejection.cause)),
            rule,
            route: last.and_then(|applied| applied.route),
            ordinal: last.and_then(|applied| applied.ordinal),
            generation,
        }),
        warnings: warnings(&decision.warnings),
    })
}

/// The reply to a review that cannot be decided about: a refusal with its UID.
pub fn encode_refusal(uid: &str, message: &str) -> Vec<u8> {
    reply(Response {
        uid,
        allowed: false,
        status: Some(Status {
            code: 400,
            reason: "BadRequest",
            message,
        }),
        patch_type: None,
        patch: None,
        audit_annotations: None,
        warnings: Vec::new(),
    })
}

fn reply(response: Response<'_>) -> Vec<u8> {
    let review = Review {
        api_version: API_VERSION,
        kind: KIND,
        response,
    };
    json(&review)
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Enough for the reply to most Pods.
    let mut bytes = Vec::with_capacity(640);
    match serde_json::to_writer(&mut bytes, value) {
        Ok(()) => bytes,
        // Writing plain structs into memory cannot fail.
        Err(_) => Vec::new(),
    }
}

/// Warnings as the API server takes them: on one line, each and all within its limits, so that it cuts none itself.
fn warnings(warnings: &[String]) -> Vec<String> {
    let mut left = WARNINGS_LIMIT;
    let mut kept = Vec::with_capacity(warnings.len());
    for warning in warnings {
        let line: String = "label-router: "
            .chars()
            .chain(warning.chars())
            .map(|character| if character.is_control() { ' ' } else { character })
            .collect();
        let cut = shorten(&line, WARNING_LIMIT);
        let length = cut.chars().count();
        if length > left {
            break;
        }
        left -= length;
        kept.push(cut);
    }
    kept
}

fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_stay_within_what_the_api_server_passes_on() {
        let long: Vec<String> = (0..40).map(|number| format!("{number}\n{}", "ä".repeat(400))).collect();
        let kept = warnings(&long);
        assert_eq!(kept.len(), 16, "4096 / 256");
        for warning in &kept {
            assert_eq!(warning.chars().count(), WARNING_LIMIT);
            assert!(warning.ends_with('…') && !warning.contains('\n'), "{warning}");
        }
    }
}
