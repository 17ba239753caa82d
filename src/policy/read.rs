//! Reads a typed piece of a policy out of a JSON value, and reports everything that is wrong with it, not only the first.
//!
//! serde stops at the first error. So the faulty part is taken out and the rest is read again, until nothing is wrong.

use std::collections::HashMap;
use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use super::located::{child, is_secret, is_secret_key};
use super::strict::Strict;
use crate::engine::problem::Problem;
use crate::engine::suggest;

/// More faults than this in one piece are not told.
const MOST_FAULTS: usize = 50;

/// A fault, with the JSON Pointer of what is faulty.
pub(super) struct Fault {
    pub(super) pointer: String,
    /// True where the key is at fault, not its value.
    pub(super) at_key: bool,
    pub(super) problem: Problem,
    /// The part of the value's text that is at fault, in bytes, where it is not the whole.
    pub(super) within: Option<Range<usize>>,
}

/// Reads `value`, which stands at the pointer `base`. The piece is there only where nothing is wrong.
pub(super) fn read<T: DeserializeOwned>(value: &Value, base: &str) -> (Option<T>, Vec<Fault>) {
    let mut value = value.clone();
    let mut faults: Vec<Fault> = Vec::new();
    let mut taken = Taken::default();
    while faults.len() < MOST_FAULTS {
        let error = match serde_path_to_error::deserialize::<_, T>(Strict(&value)) {
            Ok(piece) => return (faults.is_empty().then_some(piece), faults),
            Err(error) => error,
        };
        let path: Vec<String> = error
            .path()
            .iter()
            .filter_map(|segment| match segment {
                Segment::Seq { index } => Some(index.to_string()),
                Segment::Map { key } => Some(key.clone()),
                Segment::Enum { .. } | Segment::Unknown => None,
            })
            .collect();
        let (mut path, at) = existing(&value, &path);
        let pointer = taken.original(base, &path);
        let (problem, mut at_key) = explain(&error.inner().to_string(), &pointer);
        // A key that checks itself, as those of a nodeSelector do, is quoted in what it says, whole or in part.
        at_key |= path.last().is_some_and(|key| quotes(&problem.message, key));
        // Where a part was taken out, what the rest lacks is our doing.
        let ours = taken.is_around(&pointer) && !at_key;
        // What is said of a map may be about one of its members, which it then starts with.
        if let Some(member) = at.as_object().and_then(|members| first_word(&problem.message, members)) {
            path.push(member);
            at_key = true;
        }
        let pointer = taken.original(base, &path);
        if !ours {
            faults.push(Fault {
                pointer,
                at_key,
                problem,
                within: None,
            });
        }
        if !taken.take(&mut value, base, &path) {
            break;
        }
    }
    (None, faults)
}

/// True where a message quotes a key, or a path in the `${…}` of a key.
fn quotes(message: &str, key: &str) -> bool {
    let part = message.split('"').nth(1).filter(|part| !part.is_empty());
    message.contains(&format!("{key:?}")) || (key.contains("${") && part.is_some_and(|part| key.contains(part)))
}

/// The member that a message starts with.
fn first_word(message: &str, members: &Map<String, Value>) -> Option<String> {
    let message = message.trim_start_matches(['`', '"']);
    let starts = |name: &&String| {
        let rest = message.strip_prefix(name.as_str());
        rest.is_some_and(|rest| rest.starts_with([' ', ':', '`', '"']))
    };
    members.keys().filter(starts).max_by_key(|name| name.len()).cloned()
}

/// The part of a path that exists, with what stands there: an enum's variant may be a plain word, which has no members.
fn existing<'v>(value: &'v Value, path: &[String]) -> (Vec<String>, &'v Value) {
    let mut at = value;
    let mut existing = Vec::new();
    for name in path {
        let next = match at {
            Value::Object(members) => members.get(name),
            Value::Array(items) => name.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None => break,
        }
        existing.push(name.clone());
    }
    (existing, at)
}

/// What was taken out, so that later pointers still say where things stand in the text.
#[derive(Default)]
struct Taken {
    pointers: Vec<String>,
    items: HashMap<String, Vec<usize>>,
}

impl Taken {
    /// The pointer, in the text, of a path in what is left.
    fn original(&self, base: &str, path: &[String]) -> String {
        let mut pointer = base.to_owned();
        for name in path {
            let name = match (self.items.get(&pointer), name.parse::<usize>()) {
                (Some(gone), Ok(index)) => (0..)
                    .filter(|original| !gone.contains(original))
                    .nth(index)
                    .unwrap_or(index)
                    .to_string(),
                _ => name.clone(),
            };
            pointer = child(&pointer, &name);
        }
        pointer
    }

    fn is_around(&self, pointer: &str) -> bool {
        let below = format!("{pointer}/");
        self.pointers
            .iter()
            .any(|taken| taken == pointer || taken.starts_with(&below))
    }

    fn take(&mut self, value: &mut Value, base: &str, path: &[String]) -> bool {
        let pointer = self.original(base, path);
        let Some((last, parents)) = path.split_last() else {
            return false;
        };
        let mut at = value;
        for name in parents {
            let next = match at {
                Value::Object(members) => members.get_mut(name),
                Value::Array(items) => name.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
                _ => None,
            };
            let Some(next) = next else { return false };
            at = next;
        }
        match at {
            Value::Object(members) => {
                members.remove(last);
            }
            Value::Array(items) => {
                let Some(index) = last.parse::<usize>().ok().filter(|index| *index < items.len()) else {
                    return false;
                };
                items.remove(index);
                let (array, original) = pointer.rsplit_once('/').unwrap_or_default();
                if let Ok(original) = original.parse() {
                    self.items.entry(array.to_owned()).or_default().push(original);
                }
            }
            _ => return false,
        }
        self.pointers.push(pointer);
        true
    }
}

/// serde's message as a problem, and whether the key is at fault.
fn explain(message: &str, pointer: &str) -> (Problem, bool) {
    if let Some(problem) = Problem::from_error(message) {
        // A header's name may be a secret, so that the message does not quote it.
        let at_key = problem.code == "bad-header";
        return (problem, at_key);
    }
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let known = quoted.get(1..).unwrap_or_default();
    let choose = || {
        quoted
            .first()
            .and_then(|written| suggest::closest(written, known.iter().copied()))
            .map_or_else(
                || format!("choose one of {}", known.join(", ")),
                |near| format!("did you mean {near}?"),
            )
    };
    // What serde says of a value that may be a secret would repeat it.
    let secret = is_secret(pointer);
    if message.starts_with("unknown field") {
        let field = quoted.first().copied().unwrap_or_default();
        let map = pointer.rsplit_once('/').map_or("", |(map, _)| map);
        let said = if is_secret_key(map, field) {
            "there is no such field here".to_owned()
        } else {
            format!("there is no field {field} here")
        };
        let hint = if known.is_empty() {
            "delete it".to_owned()
        } else {
            choose()
        };
        return (Problem::new("unknown-field", said, hint), true);
    }
    if message.starts_with("unknown variant") {
        let word = quoted.first().copied().unwrap_or_default();
        let said = if secret {
            "this is none of the words allowed here".to_owned()
        } else {
            format!("{word:?} is none of the words allowed here")
        };
        return (Problem::new("unknown-value", said, choose()), false);
    }
    if message.starts_with("missing field") {
        let field = quoted.first().copied().unwrap_or_default();
        let value = match field {
            "apiVersion" => ": label-router/v1",
            "kind" if pointer.is_empty() => ": RoutingPolicy",
            _ => "",
        };
        return (
            Problem::new(
                "missing-field",
                format!("the field {field} is missing"),
                format!("add {field}{value}"),
            ),
            false,
        );
    }
    let found = match message.split_once(", expected ") {
        Some((found, expected)) => Problem::new(
            "wrong-type",
            if secret {
                "this is the wrong kind of value".to_owned()
            } else {
                plain_found(found)
            },
            format!("expected {}", plain_type(expected)),
        ),
        None if secret => Problem::new("wrong-value", "this value is not possible", "see `label-router schema`"),
        None => Problem::new("wrong-value", message, "see `label-router schema`"),
    };
    (found, false)
}

/// What was found, as a person says it.
fn plain_found(found: &str) -> String {
    let kinds = [
        ("sequence", "a list"),
        ("map", "a map"),
        ("null", "null"),
        ("string ", "the text "),
        ("boolean ", ""),
        ("integer ", "the number "),
        ("floating point ", "the number "),
    ];
    let Some((fault, kind)) = found.split_once(": ") else {
        return found.replacen("invalid length", "this has the wrong length", 1);
    };
    let kind = kinds
        .into_iter()
        .find_map(|(serde, plain)| {
            kind.strip_prefix(serde)
                .map(|rest| format!("{plain}{}", rest.replace('`', "")))
        })
        .unwrap_or_else(|| kind.to_owned());
    match fault {
        "invalid value" => format!("this value is not possible: {kind}"),
        _ => format!("this is the wrong kind of value: {kind}"),
    }
}

/// A type's name as a person says it.
fn plain_type(expected: &str) -> String {
    match expected {
        "u64" | "usize" | "u32" | "u8" => "a whole number of 0 or more".to_owned(),
        "i32" | "i64" => "a whole number".to_owned(),
        "a nonzero u64" => "a whole number of 1 or more".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a boolean" => "true or false".to_owned(),
        other if other.starts_with("struct ") || other == "a map" => "a map".to_owned(),
        other => other.to_owned(),
    }
}
