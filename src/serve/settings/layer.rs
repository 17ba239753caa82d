//! Where settings come from, as figment takes them: each layer knows how a setting is called in it, and its
//! name says where that is, as a person would: `in the environment`.

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};
use serde_yaml::Value as Yaml;

use super::{NAMES, SettingsError, flag_name, variable_name};
use crate::engine::suggest::closest;
use crate::source::SourceText;

/// Some settings that came from one place.
pub(super) struct Layer {
    metadata: Metadata,
    settings: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.settings.clone()))
    }
}

impl Layer {
    /// A YAML file. Names that are no setting's are all reported.
    pub(super) fn file(file: &SourceText) -> Result<Self, SettingsError> {
        let wrong = |problem: String| SettingsError(vec![format!("{}: {problem}", file.name)]);
        let value: Yaml = serde_yaml::from_str(&file.text).map_err(|error| wrong(error.to_string()))?;
        let settings = match &value {
            Yaml::Null => Dict::new(),
            Yaml::Mapping(_) => {
                let problems = unknown(&value, "");
                if !problems.is_empty() {
                    let problems = problems.into_iter().map(|problem| format!("{}: {problem}", file.name));
                    return Err(SettingsError(problems.collect()));
                }
                Value::serialize(&value)
                    .map_err(|error| wrong(error.to_string()))?
                    .into_dict()
                    .unwrap_or_default()
            }
            _ => {
                return Err(wrong(
                    "a mapping of settings is expected, such as `listen: 0.0.0.0:8443`".to_owned(),
                ));
            }
        };
        Ok(Self {
            metadata: Metadata::named(format!("in the settings file {}", file.name))
                .interpolater(|_: &Profile, path: &[&str]| path.join(".")),
            settings,
        })
    }

    /// Variables of the environment, by the names of settings.
    pub(super) fn environment(values: impl Iterator<Item = (&'static str, Value)>) -> Self {
        Self {
            metadata: Metadata::named("in the environment")
                .interpolater(|_: &Profile, path: &[&str]| variable_name(&path.join("."))),
            settings: nested(values),
        }
    }

    /// Flags, by the names of settings.
    pub(super) fn flags(values: impl Iterator<Item = (&'static str, Value)>) -> Self {
        Self {
            metadata: Metadata::named("on the command line")
                .interpolater(|_: &Profile, path: &[&str]| flag_name(&path.join("."))),
            settings: nested(values),
        }
    }
}

/// `tls.cert` as the member `cert` of `tls`.
fn nested(values: impl Iterator<Item = (&'static str, Value)>) -> Dict {
    let mut settings = Dict::new();
    for (name, value) in values {
        match name.split_once('.') {
            None => {
                settings.insert(name.to_owned(), value);
            }
            Some((group, member)) => {
                let group = settings
                    .entry(group.to_owned())
                    .or_insert_with(|| Value::from(Dict::new()));
                if let Value::Dict(_, members) = group {
                    members.insert(member.to_owned(), value);
                }
            }
        }
    }
    settings
}

/// What is wrong with the names of a mapping that stands at `group` (empty, or with a dot at its end).
fn unknown(value: &Yaml, group: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let Yaml::Mapping(members) = value else { return problems };
    let known: Vec<&str> = NAMES.iter().copied().filter(|name| name.starts_with(group)).collect();
    for (key, value) in members {
        let Some(key) = key.as_str() else {
            problems.push(format!("a setting's name is a text, and {key:?} is none"));
            continue;
        };
        let name = format!("{group}{key}");
        let inner = format!("{name}.");
        let inside: Vec<&str> = known
            .iter()
            .copied()
            .filter(|known| known.starts_with(&inner))
            .collect();
        if known.contains(&name.as_str()) {
            continue;
        }
        if !inside.is_empty() {
            match value {
                Yaml::Mapping(_) => problems.extend(unknown(value, &inner)),
                _ => problems.push(format!("{name} is a group of settings: {}", inside.join(", "))),
            }
            continue;
        }
        let here = known
            .iter()
            .map(|known| known[group.len()..].split('.').next().unwrap_or_default());
        problems.push(match closest(key, here) {
            Some(meant) => format!("there is no setting {name}; did you mean {group}{meant}?"),
            None => format!("there is no setting {name}; there are {}", known.join(", ")),
        });
    }
    problems
}
