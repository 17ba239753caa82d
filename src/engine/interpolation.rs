//! Text with `${path}` in it: a [`Template`] compiles when the policy loads and renders against the context of a Pod.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::context::Context;
use super::context::Root;
use super::failure::{Cause, Failure};
use super::node::Node;
use super::path::{Path, Selected};
use super::problem::Problem;

/// A compiled text. `$${` stands for a `${` that is meant as itself.
#[derive(Clone, Debug)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    Path(Path),
}

impl Template {
    /// Compiles a text.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                literal.push_str(&rest[..at - 1]);
                literal.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            literal.push_str(&rest[..at]);
            let inner = &rest[at + 2..];
            let end = closing_brace(inner).ok_or_else(|| {
                Problem::new(
                    "bad-interpolation",
                    format!("{text:?} opens ${{ and does not close it"),
                    "write ${path}; $${ stands for a literal ${",
                )
            })?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Path(Path::parse(inner[..end].trim())?));
            rest = &inner[end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() || parts.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text itself, where it holds no path.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The paths in it.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().filter_map(|part| match part {
            Part::Path(path) => Some(path),
            Part::Literal(_) => None,
        })
    }

    /// The text for this Pod. Every path must select exactly one string, number or boolean.
    pub(crate) fn render<'a>(&'a self, context: &Context<'a>) -> Result<Cow<'a, str>, Failure> {
        if let [part] = self.parts.as_slice() {
            return match part {
                Part::Literal(text) => Ok(Cow::Borrowed(text)),
                Part::Path(path) => scalar(path, context),
            };
        }
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Path(path) => text.push_str(&scalar(path, context)?),
            }
        }
        Ok(Cow::Owned(text))
    }

    /// The value for this Pod: a text that is one `${path}` and nothing else keeps the type of what it selects.
    pub(crate) fn value<'a>(&'a self, context: &Context<'a>) -> Result<Node<'a>, Failure> {
        if let [Part::Path(path)] = self.parts.as_slice() {
            return one(path, context);
        }
        self.render(context).map(Node::String)
    }
}

/// Where the path ends: the first brace outside quotes.
fn closing_brace(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, '}') => return Some(at),
            (Some(_) | None, _) => {}
        }
    }
    None
}

fn scalar<'a>(path: &Path, context: &Context<'a>) -> Result<Cow<'a, str>, Failure> {
    Ok(match one(path, context)? {
        Node::String(text) => text,
        Node::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
        Node::Number(value) => Cow::Owned(value.to_string()),
        // `one` lets nothing else through.
        Node::Null | Node::Array(_) | Node::Object(_) => Cow::Borrowed(""),
    })
}

fn one<'a>(path: &Path, context: &Context<'a>) -> Result<Node<'a>, Failure> {
    match path.select(context) {
        Selected::None => Err(Failure::new(Cause::MissingPath, nothing_at(path, context))),
        Selected::Many(found) => Err(Failure::new(
            Cause::InvalidValue,
            format!("{path} selects {} values where one is wanted", found.len()),
        )),
        Selected::One(node) => match node.as_ref() {
            Node::String(_) | Node::Bool(_) | Node::Number(_) => Ok(node.into_owned()),
            other => Err(Failure::new(
                Cause::InvalidValue,
                format!("{path} is {} where a string, number or boolean is wanted", other.kind()),
            )),
        },
    }
}

fn nothing_at(path: &Path, context: &Context<'_>) -> String {
    if path.root() == Root::Document {
        let names: Vec<&str> = context
            .root(Root::Document)
            .map(|document| document.members().iter().map(|(name, _)| name.as_ref()).collect())
            .unwrap_or_default();
        let held = match names.as_slice() {
            [] => "no member".to_owned(),
            few if few.len() <= 8 => few.join(", "),
            many => format!("{} and {} more", many[..8].join(", "), many.len() - 8),
        };
        return format!("{path} selects nothing: the document in the annotation holds {held}");
    }
    format!("{path} selects nothing")
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Template;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Template, E> {
                Template::parse(text).map_err(Problem::into_error)
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Template, E> {
                Err(unquoted(&value).into_error())
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Template, E> {
                Err(unquoted(&value).into_error())
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Template, E> {
                Err(unquoted(&value).into_error())
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Template, E> {
                Err(unquoted(&value).into_error())
            }
        }
        deserializer.deserialize_any(Text)
    }
}

fn unquoted(value: &dyn fmt::Display) -> Problem {
    Problem::new(
        "wrong-type",
        format!("{value} is no string, and Kubernetes wants one here"),
        format!("quote it: \"{value}\""),
    )
}

impl JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Text in which ${path} stands for the one string, number or boolean that the JSONPath selects.",
        })
    }
}
