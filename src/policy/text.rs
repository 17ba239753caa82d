//! From texts to YAML values with places: a policy, or the policies that a ConfigMap manifest carries.

use std::ops::Range;

use serde_json::Value;

use super::PolicyText;
use super::located::{Located, Place, Places, child, places};
use super::mask::{mask, secret_comments, secret_lines};
use crate::engine::problem::Problem;

/// One policy text that could be read as YAML.
pub(super) struct Unit {
    /// Which of the given texts it stands in.
    pub(super) file: usize,
    /// The policy's own text: the same whether it stands in a file or in a ConfigMap manifest.
    pub(super) text: String,
    pub(super) value: Value,
    pub(super) places: Places,
    embedding: Embedding,
}

/// How places of a policy become places of the text that it stands in.
enum Embedding {
    /// It is the text.
    Whole,
    /// It stands in a literal block scalar: where each of its lines starts in the text.
    Lines { inner: Vec<usize>, outer: Vec<usize> },
    /// It stands in a quoted or folded scalar, where lines do not correspond: where that is, and where its lines start.
    Scalar { inner: Vec<usize>, outer: Place },
}

/// What was read of one given text.
pub(super) struct Read {
    pub(super) units: Vec<Unit>,
    pub(super) problems: Vec<Located>,
    /// The text with what may be a secret masked.
    pub(super) masked: String,
}

impl Unit {
    /// The place of a part of a scalar's text, where its lines stand in the policy as they are; otherwise the whole scalar's.
    pub(super) fn within(&self, pointer: &str, part: &Range<usize>) -> Place {
        let whole = self.places.value(pointer);
        let Some(scalar) = self.value.pointer(pointer).and_then(Value::as_str) else {
            return whole;
        };
        match self.places.block(pointer) {
            Some(block) => lines(&self.text, self.places.key(pointer).end, block, scalar).outer(part.clone()),
            None => {
                let text = &self.text[whole.clone()];
                // With quotes around it, and nothing escaped.
                let start = whole.start + usize::from(text.starts_with(['"', '\'']));
                if self.text[start..].starts_with(scalar) {
                    start + part.start..start + part.end
                } else {
                    whole
                }
            }
        }
    }
}

/// Reads one given text.
pub(super) fn read(file: usize, text: &PolicyText) -> Read {
    let text = text.text.strip_prefix('\u{feff}').unwrap_or(&text.text);
    let mut units = Vec::new();
    let mut problems = Vec::new();
    let mut secrets: Vec<Range<usize>> = secret_comments(text);
    if let Some((value, places)) = parse(text, &mut problems, &mut secrets) {
        if value.get("kind").and_then(Value::as_str) == Some("ConfigMap") {
            embedded(file, text, &value, &places, &mut units, &mut problems, &mut secrets);
        } else {
            units.push(Unit {
                file,
                text: text.to_owned(),
                value,
                places,
                embedding: Embedding::Whole,
            });
        }
    }
    Read {
        units,
        problems,
        masked: mask(text, &secrets),
    }
}

/// A text as a value with places; nothing where it is no YAML.
fn parse(text: &str, problems: &mut Vec<Located>, secrets: &mut Vec<Range<usize>>) -> Option<(Value, Places)> {
    let (mut places, found) = places(text);
    secrets.append(&mut places.secrets);
    let clean = found.is_empty();
    let empty = found.iter().any(|(problem, _)| problem.code == "empty-policy");
    problems.extend(found);
    if !places.complete {
        secrets.extend(secret_lines(text));
        return None;
    }
    match serde_yaml::from_str(text) {
        Ok(value) => (!empty).then_some((value, places)),
        Err(error) => {
            secrets.extend(secret_lines(text));
            if clean {
                let at = error.location().map_or(0, |location| location.index());
                let problem = Problem::new(
                    "yaml-syntax",
                    "this is no YAML that a policy can be read from",
                    "check the indentation, quotes and brackets here and on the line above",
                );
                problems.push((problem, at..at + 1));
            }
            None
        }
    }
}

fn embedded(
    file: usize,
    text: &str,
    value: &Value,
    outer: &Places,
    units: &mut Vec<Unit>,
    problems: &mut Vec<Located>,
    secrets: &mut Vec<Range<usize>>,
) {
    let data: Vec<(&String, &str)> = value
        .get("data")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key, value.as_str()?)))
        .filter(|(key, _)| {
            std::path::Path::new(key)
                .extension()
                .is_some_and(|extension| extension == "yaml" || extension == "yml")
        })
        .collect();
    if data.is_empty() {
        problems.push((
            Problem::new(
                "empty-policy",
                "this ConfigMap carries no policy",
                "put the policy under data, as a key that ends in .yaml",
            ),
            outer.key("/data"),
        ));
    }
    for (key, inner) in data {
        let pointer = child("/data", key);
        let place = outer.value(&pointer);
        let embedding = match outer.block(&pointer) {
            Some(block) => lines(text, outer.key(&pointer).end, block, inner),
            None => Embedding::Scalar {
                inner: line_starts(inner, 0),
                outer: place,
            },
        };
        let mut inner_problems = Vec::new();
        let mut inner_secrets = Vec::new();
        let parsed = parse(inner, &mut inner_problems, &mut inner_secrets);
        problems.extend(
            inner_problems
                .into_iter()
                .map(|(problem, place)| embedding.located(problem, place)),
        );
        secrets.extend(inner_secrets.into_iter().map(|place| embedding.outer(place)));
        if let Some((value, places)) = parsed {
            units.push(Unit {
                file,
                text: inner.to_owned(),
                value,
                places,
                embedding,
            });
        }
    }
}

/// Where each line of a text starts, from `from` on.
fn line_starts(text: &str, from: usize) -> Vec<usize> {
    std::iter::once(from)
        .chain(text[from..].match_indices('\n').map(|(at, _)| from + at + 1))
        .collect()
}

/// Where the lines of a literal block scalar start, in it and around it. `key` is where its key ends.
fn lines(text: &str, key: usize, block: &Place, inner: &str) -> Embedding {
    // Its place starts at its first line that is not blank. All of its lines start below the `|`.
    let header = text[key..].find('|').map_or(block.start, |at| key + at);
    let first = text[header..].find('\n').map_or(text.len(), |at| header + at + 1);
    let indent = text[first..]
        .lines()
        .zip(inner.lines())
        .find(|(_, inner)| !inner.trim().is_empty())
        .map_or(0, |(outer, inner)| outer.len().saturating_sub(inner.len()));
    Embedding::Lines {
        inner: line_starts(inner, 0),
        outer: line_starts(text, first)
            .into_iter()
            .map(|start| start + indent)
            .collect(),
    }
}

impl Embedding {
    fn outer(&self, place: Place) -> Place {
        match self {
            Self::Whole => place,
            Self::Scalar { outer, .. } => outer.clone(),
            Self::Lines { inner, outer } => {
                let translate = |at: usize| {
                    let line = line_of(inner, at);
                    outer
                        .get(line)
                        .or(outer.last())
                        .map_or(at, |start| start + (at - inner[line]))
                };
                translate(place.start)..translate(place.end)
            }
        }
    }

    /// A problem of the policy as one of the text it stands in.
    fn located(&self, mut problem: Problem, place: Place) -> Located {
        if let Self::Scalar { inner, .. } = self {
            let line = line_of(inner, place.start) + 1;
            problem.message = format!("{} (line {line} of the text in here)", problem.message);
        }
        (problem, self.outer(place))
    }
}

/// The line that an offset lies in, from 0.
fn line_of(starts: &[usize], at: usize) -> usize {
    starts.partition_point(|start| *start <= at).saturating_sub(1)
}

impl Unit {
    /// A problem of the policy as one of the text it stands in.
    pub(super) fn outer(&self, problem: Problem, place: Place) -> Located {
        self.embedding.located(problem, place)
    }

    /// A place of the policy as one of the text it stands in.
    pub(super) fn place(&self, place: Place) -> Place {
        self.embedding.outer(place)
    }
}
