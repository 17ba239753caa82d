//! Hides what may be a secret in a text that is shown, without moving anything else in it.

use std::ops::Range;

use super::located::{is_plain_sink_field, is_secret_field};

/// The text with the given places masked. Every byte keeps its offset.
pub(super) fn mask(text: &str, places: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for place in places {
        for byte in bytes.get_mut(place.clone()).into_iter().flatten() {
            if !matches!(byte, b'\n' | b'\r' | b' ') {
                *byte = b'*';
            }
        }
    }
    // Whole characters were replaced by ASCII, so that this is UTF-8 still.
    String::from_utf8(bytes).unwrap_or_default()
}

/// The places that may hold secrets in a text that is no YAML: the rest of a line behind a secret field or from a URL on,
/// and the lines below it that are indented deeper or start no entry of their own. Among the sinks a field that nobody
/// knows may be a secret one misspelt.
pub(super) fn secret_lines(text: &str) -> Vec<Range<usize>> {
    const OTHERS: [&str; 5] = ["apiVersion:", "kind:", "gate:", "unmatched:", "rules:"];
    let mut places = Vec::new();
    let mut deeper_than = None;
    let mut in_sinks = false;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let entry = line.trim_start();
        in_sinks |= entry.starts_with("sinks:");
        in_sinks &= !OTHERS.iter().any(|field| entry.starts_with(field));
        if deeper_than.is_some_and(|field| indent > field || !starts_entry(line)) {
            places.push(at..at + line.len());
        } else {
            deeper_than = None;
            let colon = colon_behind(line, |name| {
                is_secret_field(name) || (in_sinks && name != "sinks" && !is_plain_sink_field(name))
            });
            let colon = colon.map(|colon| colon + 1);
            if let Some(from) = colon.into_iter().chain(line.find("://")).min() {
                places.push(at + from..at + line.len());
                deeper_than = Some(indent);
            }
        }
        at += line.len();
    }
    places
}

/// True for a line with a key or a dash; any other goes on with what is above it.
fn starts_entry(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("- ") || line.ends_with(':') || line.contains(": ")
}

/// The places that may hold secrets in comments, which the places of values leave out: URLs, and what stands behind a
/// secret field. Whether a # starts a comment is not asked: a text that is masked for nothing does no harm.
pub(super) fn secret_comments(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if let Some(comment) = line.find('#') {
            let colon = colon_behind(&line[comment..], is_secret_field).map(|colon| colon + 1);
            let url = line[comment..].find("://");
            places.extend(
                colon
                    .into_iter()
                    .chain(url)
                    .min()
                    .map(|from| at + comment + from..at + line.len()),
            );
        }
        at += line.len();
    }
    places
}

/// The first colon of a line behind such a name.
fn colon_behind(line: &str, is_such: impl Fn(&str) -> bool) -> Option<usize> {
    line.match_indices(':').map(|(at, _)| at).find(|at| {
        let before = line[..*at].trim_end().trim_end_matches(['"', '\'']);
        let start = before
            .rfind(|character: char| !character.is_ascii_alphanumeric())
            .map_or(0, |at| at + 1);
        // The character before the name is a delimiter of any width.
        is_such(before.get(start..).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_yaml_shows_no_secret() {
        let text = "sinks:\n  - name: ops\n    \"url\": https://s/tøken\n    headers:\n      Authorization: Bearer x\n    required: [\n  - {type: slack, secret: s3}\n";
        let masked = mask(text, &secret_lines(text));
        assert_eq!(masked.len(), text.len());
        for secret in ["https", "token", "Bearer", "s3"] {
            assert!(!masked.contains(secret), "{masked}");
        }
        assert!(masked.contains("required: ["), "{masked}");
    }
}
