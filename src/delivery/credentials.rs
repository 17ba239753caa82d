//! The URL, the secret and the headers of a sink, read where they stand: in the policy, the environment or a file. They are
//! read for each attempt, so that a changed file counts with the next one.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::notice::message::Credentials;
use crate::notice::sinks::{HttpSink, SinkSpec, Url, Value, is_of_the_service_account};

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
        Value::File(path) => match content(Path::new(path), is_of_the_service_account) {
            Ok(text) if text.trim().is_empty() => Err(format!("{field}: the file {path} is empty")),
            // An editor ends a file with a line break, which is part of no URL and of no secret.
            Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => Err(format!("{field}: the file {path} cannot be read: {error}")),
        },
    }
}

/// Reads a file, unless where it really is is forbidden. A pipe would wait for somebody to write, and a device has no end.
fn content(path: &Path, is_forbidden: impl Fn(&Path) -> bool) -> io::Result<String> {
    /// No token is that long.
    const LONGEST: u64 = 64 * 1024;
    let refused = |why: &str| Err(io::Error::other(why.to_owned()));
    let path = fs::canonicalize(path)?;
    if is_forbidden(&path) {
        return refused("it is of label-router's ServiceAccount, whose token goes to no sink");
    }
    if !fs::metadata(&path)?.is_file() {
        return refused("it is no regular file");
    }
    let mut text = String::new();
    File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return refused("it is longer than 64 KiB");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_short_regular_files_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let read = |name: &str| content(&at(name), |_| false).map_err(|error| error.to_string());
        fs::write(at("short"), "abc\n").unwrap();
        symlink(at("short"), at("link")).unwrap();
        fs::write(at("long"), "a".repeat(64 * 1024 + 1)).unwrap();
        fs::write(at("longest"), "a".repeat(64 * 1024)).unwrap();
        let made = std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap();
        assert!(made.success());
        symlink("/dev/zero", at("device")).unwrap();
        assert_eq!(read("short").as_deref(), Ok("abc\n"));
        assert_eq!(read("link").as_deref(), Ok("abc\n"));
        assert_eq!(read("longest").map(|text| text.len()), Ok(64 * 1024));
        assert_eq!(read("long").unwrap_err(), "it is longer than 64 KiB");
        for name in ["pipe", "device", "."] {
            assert_eq!(read(name).unwrap_err(), "it is no regular file", "{name}");
        }
    }

    #[test]
    fn no_link_leads_to_what_is_forbidden() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().canonicalize().unwrap();
        fs::create_dir(real.join("account")).unwrap();
        fs::write(real.join("account/token"), "abc").unwrap();
        symlink(real.join("account"), real.join("link")).unwrap();
        symlink(real.join("link/token"), real.join("url")).unwrap();
        for path in ["account/token", "link/token", "url", "link/../account/token"] {
            let read = content(&real.join(path), |path| path.starts_with(real.join("account")));
            let why = read.unwrap_err().to_string();
            assert!(why.contains("ServiceAccount"), "{path}: {why}");
        }
    }
}
