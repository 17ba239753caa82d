//! Globs over names: `*` and `?` within a name, `[a-z]`, `{a,b}`, always anchored at both ends.

use std::borrow::Cow;
use std::fmt;

use globset::{GlobBuilder, GlobMatcher};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::problem::Problem;

/// Limits that keep a compiled glob small: beyond them globset panics, or its parser runs out of stack.
const MOST_BYTES: usize = 512;
const MOST_NESTED: usize = 8;

/// A compiled glob. One without a wildcard is compared directly, and found by index.
#[derive(Clone, Debug)]
pub struct Glob {
    text: String,
    matcher: Option<GlobMatcher>,
}

impl Glob {
    /// Compiles a glob.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(Problem::new(
                "bad-glob",
                "an empty glob matches nothing",
                "write a name, or '*' for any",
            ));
        }
        if text.len() > MOST_BYTES || nested(text) > MOST_NESTED {
            return Err(Problem::new(
                "bad-glob",
                format!("a glob has at most {MOST_BYTES} bytes, and braces at most {MOST_NESTED} deep"),
                "write several globs instead",
            ));
        }
        if !text.contains(['*', '?', '[', ']', '{', '}', '\\']) {
            return Ok(Self {
                text: text.to_owned(),
                matcher: None,
            });
        }
        let glob = GlobBuilder::new(text)
            .literal_separator(false)
            .backslash_escape(true)
            .build()
            .map_err(|error| {
                Problem::new(
                    "bad-glob",
                    format!("{text:?} is no glob: {}", error.kind()),
                    "a glob has *, ?, [a-z] and {a,b}; put a backslash before one that is meant as itself",
                )
            })?;
        Ok(Self {
            text: text.to_owned(),
            matcher: Some(glob.compile_matcher()),
        })
    }

    /// True where the whole of `name` fits.
    pub fn matches(&self, name: &str) -> bool {
        match &self.matcher {
            None => self.text == name,
            Some(_) if self.text == "*" => true,
            Some(matcher) => matcher.is_match(name),
        }
    }

    /// The name itself, where the glob has no wildcard.
    pub fn literal(&self) -> Option<&str> {
        self.matcher.is_none().then_some(self.text.as_str())
    }
}

/// How deep its braces stand in each other.
fn nested(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => _ = characters.next(),
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

impl fmt::Display for Glob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(Problem::into_error::<D::Error>)
    }
}

impl JsonSchema for Glob {
    fn schema_name() -> Cow<'static, str> {
        "Glob".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "description": "A name with wildcards: *, ?, [a-z], {a,b}; it must fit the whole name. Quote one that starts with *.",
        })
    }
}

/// Names to match: a list of globs, or `{include, exclude}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Globs {
    include: Vec<Glob>,
    exclude: Vec<Glob>,
}

impl Globs {
    /// True where some included glob fits (or none is given) and no excluded one does.
    pub fn matches(&self, name: &str) -> bool {
        (self.include.is_empty() || self.include.iter().any(|glob| glob.matches(name)))
            && !self.exclude.iter().any(|glob| glob.matches(name))
    }

    /// The names themselves, where only literal names are included: what an index is made of.
    pub fn literals(&self) -> Option<Vec<&str>> {
        if self.include.is_empty() {
            return None;
        }
        self.include.iter().map(Glob::literal).collect()
    }
}

impl fmt::Display for Globs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |globs: &[Glob]| {
            globs
                .iter()
                .map(|glob| glob.text.as_str())
                .collect::<Vec<_>>()
                .join(" or ")
        };
        match (self.include.is_empty(), self.exclude.is_empty()) {
            (true, true) => formatter.write_str("any"),
            (false, true) => formatter.write_str(&list(&self.include)),
            (true, false) => write!(formatter, "any but {}", list(&self.exclude)),
            (false, false) => write!(formatter, "{} but not {}", list(&self.include), list(&self.exclude)),
        }
    }
}

/// The two-sided way to write [`Globs`].
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct IncludeExclude {
    /// Globs of which one must fit; without any, every name fits.
    #[serde(default)]
    include: Vec<Glob>,
    /// Globs of which none may fit.
    #[serde(default)]
    exclude: Vec<Glob>,
}

impl<'de> Deserialize<'de> for Globs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListOrSides;
        impl<'de> de::Visitor<'de> for ListOrSides {
            type Value = Globs;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of globs or {include: […], exclude: […]}")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Globs, A::Error> {
                let mut include = Vec::new();
                while let Some(glob) = items.next_element()? {
                    include.push(glob);
                }
                if include.is_empty() {
                    return Err(Problem::new(
                        "empty-list",
                        "an empty list of names",
                        "leave the field out to match any name",
                    )
                    .into_error());
                }
                Ok(Globs {
                    include,
                    exclude: Vec::new(),
                })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Globs, A::Error> {
                let IncludeExclude { include, exclude } =
                    IncludeExclude::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Globs { include, exclude })
            }
        }
        deserializer.deserialize_any(ListOrSides)
    }
}

impl JsonSchema for Globs {
    fn schema_name() -> Cow<'static, str> {
        "Globs".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let list = generator.subschema_for::<Vec<Glob>>();
        let sides = generator.subschema_for::<IncludeExclude>();
        json_schema!({
            "description": "A list of globs of which one must fit, or {include, exclude}.",
            "anyOf": [list, sides],
        })
    }
}
