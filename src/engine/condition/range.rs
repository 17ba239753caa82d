//! `{range: "0-3,7,10-"}`

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::{Asked, Condition, Ordinals};
use crate::engine::choice::Choice;
use crate::engine::problem::Problem;

/// Holds for the ordinals in these ranges, both ends included: 0-3,7,10- (the last one has no end).
#[derive(Clone, Debug)]
pub struct Ranges(Vec<(u64, u64)>);

impl Choice for Ranges {}

impl Ranges {
    fn parse(text: &str) -> Result<Self, Problem> {
        let bad = |message: String| {
            Problem::new(
                "bad-range",
                message,
                "write ordinals and ranges with commas between them, such as \"0-3,7,10-\"",
            )
        };
        text.split(',')
            .map(str::trim)
            .map(|part| {
                let number = |digits: &str| {
                    digits.trim().parse::<u64>().map_err(|_| match part {
                        "" => bad(format!("{text:?} has nothing where a range should be")),
                        part if part == text => bad(format!("{text:?} is no range")),
                        part => bad(format!("{part:?} in {text:?} is no range")),
                    })
                };
                match part.split_once('-') {
                    None => number(part).map(|only| (only, only)),
                    Some((first, last)) if last.trim().is_empty() => number(first).map(|first| (first, u64::MAX)),
                    Some((first, last)) => {
                        let (first, last) = (number(first)?, number(last)?);
                        if first > last {
                            return Err(Problem::new(
                                "bad-range",
                                format!("the range {part} runs backwards"),
                                format!("write {last}-{first}"),
                            ));
                        }
                        Ok((first, last))
                    }
                }
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn contains(&self, ordinal: u64) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&ordinal))
    }
}

impl Condition for Ranges {
    fn holds(&self, asked: &Asked<'_, '_>) -> bool {
        asked.ordinal.is_some_and(|ordinal| self.contains(ordinal))
    }

    fn details(&self) -> String {
        let ranges: Vec<String> = self
            .0
            .iter()
            .map(|(first, last)| match *last {
                u64::MAX => format!("{first}-"),
                last if last == *first => first.to_string(),
                last => format!("{first}-{last}"),
            })
            .collect();
        ranges.join(",")
    }

    fn ordinals(&self) -> Option<Ordinals<'_>> {
        Some(Ordinals {
            period: 1,
            bounds: self
                .0
                .iter()
                .flat_map(|(first, last)| [Some(*first), last.checked_add(1)])
                .flatten()
                .collect(),
            holds: Box::new(|ordinal| self.contains(ordinal)),
        })
    }
}

impl<'de> Deserialize<'de> for Ranges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Ranges;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("ranges such as \"0-3,7,10-\"")
            }

            fn visit_u64<E>(self, only: u64) -> Result<Ranges, E> {
                Ok(Ranges(vec![(only, only)]))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Ranges, E> {
                Ranges::parse(text).map_err(Problem::into_error)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for Ranges {
    fn schema_name() -> Cow<'static, str> {
        "Ranges".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Holds for the ordinals in these ranges, both ends included: 0-3,7,10- (the last one has no end).",
            "anyOf": [
                { "type": "string", "pattern": r"^\s*\d+\s*(-\s*\d*)?\s*(,\s*\d+\s*(-\s*\d*)?\s*)*$" },
                { "type": "integer", "minimum": 0 },
            ],
        })
    }
}
