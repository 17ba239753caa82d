//! From a decision to bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::{API_VERSION, KIND};
use crate::engine::patch::PatchOperation;
use crate::engine::{Decision, Request, Skip};

/// How many characters a Warning may have before the API server cuts it.
const WARNING_LIMIT: usize = 256;
/// How many characters all Warnings of a response may have together before the API server drops some.
const WARNINGS_LIMIT: usize = 4096;

/// The reply to a request, as JSON. `generation` is the snapshot's.
///
/// The members are written out here: through serde, which looks for characters to escape in names that have none, it took
/// more than twice as long. What is not a literal goes through serde_json.
pub fn encode(request: &Request<'_>, decision: &Decision, generation: &str) -> Vec<u8> {
    let mut reply = Reply::new(&request.uid, decision.is_allowed());
    if let Some(rejection) = &decision.rejection {
        reply.status(403, "Forbidden", &rejection.message);
    }
    if !decision.patch.is_empty() {
        reply.literal(",\"patchType\":\"JSONPatch\",\"patch\":\"");
        reply.base64(&decision.patch);
        reply.literal("\"");
    }
    // The API server puts the webhook's name before each key, so that a key holds no slash.
    reply.literal(",\"auditAnnotations\":{\"outcome\":");
    reply.word(decision.outcome.name());
    let skipped = decision.skipped.map(Skip::reason);
    if let Some(reason) = skipped.or(decision.rejection.as_ref().map(|rejection| rejection.cause)) {
        reply.literal(",\"reason\":");
        reply.word(reason);
    }
    match decision.applied.as_slice() {
        [] => {}
        [one] => {
            reply.literal(",\"rule\":");
            reply.json(one.rule.as_ref());
        }
        several => {
            let names: Vec<&str> = several.iter().map(|applied| applied.rule.as_ref()).collect();
            reply.literal(",\"rule\":");
            reply.json(&names.join(","));
        }
    }
    let last = decision.applied.last();
    if let Some(route) = last.and_then(|applied| applied.route) {
        reply.literal(",\"route\":\"");
        reply.json(&route);
        reply.literal("\"");
    }
    if let Some(ordinal) = last.and_then(|applied| applied.ordinal) {
        reply.literal(",\"ordinal\":\"");
        reply.json(&ordinal);
        reply.literal("\"");
    }
    reply.literal(",\"generation\":");
    reply.json(generation);
    reply.literal("}");
    let warnings = warnings(&decision.warnings);
    if !warnings.is_empty() {
        reply.literal(",\"warnings\":");
        reply.json(&warnings);
    }
    reply.finish()
}

/// The reply to a review that cannot be decided about: a refusal with its UID.
pub fn encode_refusal(uid: &str, message: &str) -> Vec<u8> {
    let mut reply = Reply::new(uid, false);
    reply.status(400, "BadRequest", message);
    reply.finish()
}

/// A reply while it is written.
pub(super) struct Reply(Vec<u8>);

impl Reply {
    /// Enough for the reply to most Pods.
    const USUAL: usize = 640;

    pub(super) fn new(uid: &str, allowed: bool) -> Self {
        let mut reply = Self(Vec::with_capacity(Self::USUAL));
        reply.literal("{\"apiVersion\":");
        reply.word(API_VERSION);
        reply.literal(",\"kind\":");
        reply.word(KIND);
        reply.literal(",\"response\":{\"uid\":");
        reply.json(uid);
        reply.literal(if allowed {
            ",\"allowed\":true"
        } else {
            ",\"allowed\":false"
        });
        reply
    }

    pub(super) fn literal(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// One of our own words, in which nothing is to be escaped.
    fn word(&mut self, word: &'static str) {
        self.literal("\"");
        self.literal(word);
        self.literal("\"");
    }

    pub(super) fn json(&mut self, value: &(impl Serialize + ?Sized)) {
        // Writing texts and numbers into memory cannot fail.
        let _ = serde_json::to_writer(&mut self.0, value);
    }

    fn base64(&mut self, patch: &[PatchOperation]) {
        // Writing a patch into memory cannot fail.
        let patch = serde_json::to_vec(patch).unwrap_or_default();
        let start = self.0.len();
        self.0.resize(start + patch.len().div_ceil(3) * 4, b'=');
        // The room is what Base64 with padding takes.
        let _ = STANDARD.encode_slice(&patch, &mut self.0[start..]);
    }

    fn status(&mut self, code: u16, reason: &str, message: &str) {
        self.lines(code, reason, &one_line(message));
    }

    /// The same with a message of several lines, which kubectl prints as they are.
    pub(super) fn lines(&mut self, code: u16, reason: &str, message: &str) {
        self.literal(",\"status\":{\"code\":");
        self.json(&code);
        self.literal(",\"reason\":");
        self.json(reason);
        self.literal(",\"message\":");
        self.json(message);
        self.literal("}");
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.literal("}}");
        self.0
    }
}

/// Without control characters, which a Pod's name may hold before it is validated.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}

/// Warnings as the API server takes them: on one line, each and all within its limits, so that it cuts none itself.
pub(super) fn warnings(warnings: &[String]) -> Vec<String> {
    let mut left = WARNINGS_LIMIT;
    let mut kept = Vec::with_capacity(warnings.len());
    for warning in warnings {
        let line = one_line(&format!("label-router: {warning}"));
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
