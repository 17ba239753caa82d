//! The settings file, of which a change counts at the next start only: whoever edits it is told.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::serve::settings::Settings;
use crate::source::FileChanges;

/// The settings file, and how the settings come out of it and all else.
pub struct SettingsFile {
    /// Where it is.
    pub path: PathBuf,
    /// Reads the settings again; the error is for people.
    pub load: Box<dyn Fn() -> Result<Settings, String> + Send>,
}

impl SettingsFile {
    /// Says which settings differ from those that are in force, whenever the file changes.
    pub(in crate::serve) async fn watch(self, in_force: Settings, poll: Duration) {
        let mut changes = FileChanges::of(std::slice::from_ref(&self.path), poll);
        let mut told = Vec::new();
        loop {
            changes.next().await;
            let file = self.path.display();
            match (self.load)() {
                Ok(settings) => {
                    let differ = differences(&in_force, &settings);
                    if differ != told && !differ.is_empty() {
                        tracing::warn!(
                            settings = differ.join(", "),
                            "{file} changed: these settings come into force when the server is started again"
                        );
                    }
                    told = differ;
                }
                Err(error) => {
                    let said = vec![error];
                    if said != told {
                        tracing::error!(
                            "{file} changed, and the server would not start with it: {}",
                            said.concat()
                        );
                    }
                    told = said;
                }
            }
        }
    }
}

/// The names of the settings that differ.
fn differences(one: &Settings, other: &Settings) -> Vec<String> {
    fn compare(name: &str, one: &Value, other: &Value, differ: &mut Vec<String>) {
        match (one, other) {
            (Value::Object(one), Value::Object(other)) => {
                let names: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
                for member in names {
                    let name = if name.is_empty() {
                        member.clone()
                    } else {
                        format!("{name}.{member}")
                    };
                    let value =
                        |object: &serde_json::Map<String, Value>| object.get(member).cloned().unwrap_or_default();
                    compare(&name, &value(one), &value(other), differ);
                }
            }
            _ if one != other => differ.push(name.to_owned()),
            _ => {}
        }
    }
    let json = |settings| serde_json::to_value(settings).unwrap_or_default();
    let mut differ = Vec::new();
    compare("", &json(one), &json(other), &mut differ);
    differ
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_differ_are_named() {
        let one = Settings::default();
        let mut other = Settings::default();
        other.tls.cert = Some("cert".into());
        other.limits.concurrency = std::num::NonZeroUsize::MIN;
        assert_eq!(differences(&one, &other), ["limits.concurrency", "tls.cert"]);
        assert!(differences(&one, &one).is_empty());
    }
}
