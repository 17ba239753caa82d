//! Where a Pod's ordinal comes from. A new source is one file here and one line in the list below.

mod annotation;
mod hash;
mod job_completion_index;
mod label;
mod path;
mod pod_index_label;
mod pod_name;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::choice::choices;
use super::context::Context;
use super::failure::{Cause, Failure};
use super::path::Path;
use super::pod::Pod;
use super::problem::Problem;
use super::trace::{Step, Trace};

choices! {
    /// A source of ordinals.
    Source, "an ordinal source", reader -> Read, {
        "podIndexLabel" => pod_index_label::PodIndexLabel,
        "podName" => pod_name::PodName,
        "jobCompletionIndex" => job_completion_index::JobCompletionIndex,
        "label" => label::Label,
        "annotation" => annotation::Annotation,
        "path" => path::PathSource,
        "hash" => hash::Hash,
    }
}

/// What a source needs to answer.
pub(crate) struct Asked<'p, 'n, 'a> {
    pub(crate) pod: &'p Pod<'n, 'a>,
    /// The owner's name: the controller's, or the one that the rule assumes.
    pub(crate) owner_name: Option<&'p str>,
    pub(crate) context: &'p Context<'a>,
}

/// A source answers with a number, or says why it has none.
pub(crate) trait Read {
    fn read(&self, asked: &Asked<'_, '_, '_>) -> Result<u64, String>;

    /// True where a controller numbers its Pods there; otherwise the Pod's author or a team does.
    fn is_set_by_a_controller(&self) -> bool {
        false
    }

    /// The label key that it reads.
    fn label(&self) -> Option<&str> {
        None
    }

    /// The annotation key that it reads.
    fn annotation(&self) -> Option<&str> {
        None
    }

    /// The path that it reads.
    fn path(&self) -> Option<&Path> {
        None
    }

    /// What a policy's author should know of it.
    fn warning(&self) -> Option<Problem> {
        None
    }
}

/// How a rule finds the ordinal: the first source that answers, less `start`.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ordinal {
    /// The sources, asked in this order.
    #[schemars(length(min = 1))]
    pub from: Vec<Source>,
    /// Subtracted from what the source says; a Pod below it has no ordinal. As a StatefulSet's `spec.ordinals.start`.
    #[serde(default)]
    pub start: u64,
}

impl Ordinal {
    pub(crate) fn find<T: Trace>(&self, asked: &Asked<'_, '_, '_>, trace: &mut T) -> Result<u64, Failure> {
        let mut reasons = Vec::new();
        for source in &self.from {
            match source.reader().read(asked) {
                Ok(number) => {
                    let ordinal = number.checked_sub(self.start);
                    if T::ON {
                        trace.step(Step::Ordinal {
                            source: source.name(),
                            found: Ok(number),
                        });
                    }
                    return ordinal.ok_or_else(|| {
                        Failure::new(
                            Cause::MissingOrdinal,
                            format!(
                                "its number {number} (from {}) lies below start: {}",
                                source.name(),
                                self.start
                            ),
                        )
                    });
                }
                Err(why) => {
                    if T::ON {
                        trace.step(Step::Ordinal {
                            source: source.name(),
                            found: Err(why.clone()),
                        });
                    }
                    reasons.push(why);
                }
            }
        }
        Err(Failure::new(
            Cause::MissingOrdinal,
            format!("no ordinal was found: {}", reasons.join("; ")),
        ))
    }
}

impl<'de> Deserialize<'de> for Ordinal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            from: Vec<Source>,
            #[serde(default)]
            start: u64,
        }
        let Written { from, start } = Written::deserialize(deserializer)?;
        if from.is_empty() {
            return Err(Problem::new(
                "empty-list",
                "`from` names no source",
                format!("name one of {}", Source::NAMES.join(", ")),
            )
            .into_error());
        }
        Ok(Self { from, start })
    }
}

/// A number as a controller writes it: digits alone, without leading zeros.
pub(crate) fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (text.len() == 1 || !text.starts_with('0')))
        .then(|| text.parse().ok())
        .flatten()
}

/// The number in a label or annotation.
fn number_in(place: &str, key: &str, value: Option<&str>) -> Result<u64, String> {
    let value = value.ok_or_else(|| format!("it has no {place} {key}"))?;
    number(value).ok_or_else(|| format!("its {place} {key} is {value:?}, which is no number"))
}
