//! The URL, the secret and the headers of a sink, read where they stand: in the policy, the environment or a file. They are
//! read for each attempt, so that a changed file counts with the next one.

use std::{env, fs};

use crate::notice::message::Credentials;
use crate::notice::sinks::{HttpSink, SinkSpec, Url, Value};

/// What a sink cannot be used without and is not there, each as a sentence without a full stop.
pub fn absent(sink: &SinkSpec) -> Vec<String> {
    match sink.settings.http() {
        Some(http) => resolve(http).err().unwrap_or_default(),
        None => Vec::new(),
    }
}

/// Reads all of them, or says what is absent.
pub(super) fn resolve(http: &dyn HttpSink) -> Result<Credentials, Vec<String>> {
    let mut absent = Vec::new();
    let mut note = |value: Result<String, String>| value.map_err(|why| absent.push(why)).unwrap_or_default();
    let url = note(read("url", http.url(), |Url(url)| url));
    let secret = http
        .secret()
        .map(|secret| note(read("secret", secret, |secret| secret)));
    let headers = http.headers().into_iter().flatten();
    let headers = headers
        .map(|(name, value)| {
            let value = note(read(&format!("headers.{name}"), value, |value| value));
            (name.to_string(), value)
        })
        .collect();
    if absent.is_empty() {
        Ok(Credentials { url, secret, headers })
    } else {
        Err(absent)
    }
}

fn read<T>(field: &str, value: &Value<T>, literal: impl Fn(&T) -> &String) -> Result<String, String> {
    match value {
        Value::Literal(value) => Ok(literal(value).clone()),
        Value::Env(name) => match env::var(name) {
            Ok(value) if !value.is_empty() => Ok(value),
            Err(env::VarError::NotUnicode(_)) => Err(format!("{field}: the environment variable {name} is no UTF-8")),
            _ => Err(format!("{field}: the environment variable {name} is not set")),
        },
        Value::File(path) => match fs::read_to_string(path) {
            Ok(text) if text.trim().is_empty() => Err(format!("{field}: the file {path} is empty")),
            // An editor ends a file with a line break, which is part of no URL and of no secret.
            Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => Err(format!("{field}: the file {path} cannot be read: {error}")),
        },
    }
}
