//! Whether the URL, the secret and the headers of a sink are there.

use std::{env, fs};

use crate::notice::sinks::{SinkSpec, Value};

/// What a sink cannot be used without and is not there, each as a sentence without a full stop.
pub fn absent(sink: &SinkSpec) -> Vec<String> {
    let Some(http) = sink.settings.http() else {
        return Vec::new();
    };
    let url = missing("url", http.url());
    let secret = http.secret().and_then(|secret| missing("secret", secret));
    let headers = http.headers().into_iter().flatten();
    let headers = headers.filter_map(|(name, value)| missing(&format!("headers.{name}"), value));
    url.into_iter().chain(secret).chain(headers).collect()
}

fn missing<T>(field: &str, value: &Value<T>) -> Option<String> {
    match value {
        Value::Literal(_) => None,
        Value::Env(name) => env::var_os(name)
            .is_none_or(|value| value.is_empty())
            .then(|| format!("{field}: the environment variable {name} is not set")),
        Value::File(path) => match fs::read_to_string(path) {
            Ok(text) if text.trim().is_empty() => Some(format!("{field}: the file {path} is empty")),
            Ok(_) => None,
            Err(error) => Some(format!("{field}: the file {path} cannot be read: {error}")),
        },
    }
}
