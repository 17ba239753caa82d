//! Digests in words: templates (Jinja) for the title, the body and the URLs of links, with defaults in two languages.
//!
//! What a template prints is escaped for the sink's markup, unless it comes from `bold`, `code` or `link`, which write that
//! markup. A title and a URL have none.

use std::ops::Range;

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, context};

use super::digest::{Digest, Tally};
use super::language::Language;
use super::markup::{Markup, PLAIN};
use super::samples;
use super::sinks::Common;
use crate::engine::problem::Problem;

/// What the default templates and those of a policy are made of.
const WORDS: &str = "words";
const EN: &str = include_str!("templates/en.jinja");
const ZH: &str = include_str!("templates/zh.jinja");

/// Goes before a template, in its first line, so that the macros are there and lines keep their numbers.
const PRELUDE: &str =
    "{% from \"words\" import title, body, headline, lines, line, subject, tally, pods, count, origin %}";

const DEFAULT_TITLE: &str = "{{ title(digests, tallies, cluster) }}";
const DEFAULT_BODY: &str = "{{ body(digests) }}";

/// Steps that a template may take: a loop over a million ends here, and not with the memory.
const FUEL: u64 = 1_000_000;

/// The templates of one sink, compiled.
#[derive(Debug)]
pub struct Templates {
    /// For the title and the links.
    plain: Environment<'static>,
    /// For the body.
    marked: Environment<'static>,
    /// What the links are called.
    links: Vec<String>,
}

/// What templates made of digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// One line, without markup.
    pub title: String,
    /// Any number of lines, in the sink's markup.
    pub body: String,
    /// Text and URL of each link.
    pub links: Vec<(String, String)>,
}

/// A template that cannot be used.
#[derive(Clone, Debug)]
pub struct BadTemplate {
    /// The field of the sink: `title`, `body` or, for a link, its name.
    pub field: Field,
    /// Where in its text, in bytes.
    pub at: Range<usize>,
    /// What is wrong.
    pub problem: Problem,
}

/// A field that holds a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// `title`
    Title,
    /// `body`
    Body,
    /// One of `links`.
    Link(
        /// What it is called.
        String,
    ),
}

impl Templates {
    /// Compiles a sink's templates, and tries them with a digest of each kind: every one that fails.
    pub fn new(common: &Common, markup: &'static Markup) -> Result<Self, Vec<BadTemplate>> {
        let mut templates = Self::of(common, markup);
        let mut bad = Vec::new();
        let own = [
            (Field::Title, common.title.as_deref()),
            (Field::Body, common.body.as_deref()),
        ];
        let links = common
            .links
            .iter()
            .map(|(name, url)| (Field::Link(name.clone()), Some(url.as_str())));
        for (field, source) in own.into_iter().chain(links) {
            let Some(source) = source else { continue };
            let name = field.template();
            let env = if field == Field::Body {
                &mut templates.marked
            } else {
                &mut templates.plain
            };
            let added = env.add_template_owned(name.clone(), format!("{PRELUDE}{source}"));
            let tried = added.and_then(|()| {
                samples::digests().iter().try_for_each(|digest| {
                    let digests = std::slice::from_ref(digest);
                    env.get_template(&name)?
                        .render(context_of(digests, Some("cluster")))
                        .map(drop)
                })
            });
            if let Err(error) = tried {
                bad.push(BadTemplate::new(field, source, &error));
            }
        }
        if bad.is_empty() { Ok(templates) } else { Err(bad) }
    }

    /// The default ones, in the sink's language.
    fn of(common: &Common, markup: &'static Markup) -> Self {
        let words = match common.language {
            Language::En => EN,
            Language::Zh => ZH,
        };
        Self {
            plain: environment(&PLAIN, words),
            marked: environment(markup, words),
            links: common.links.keys().cloned().collect(),
        }
    }

    /// Writes digests. What a sink's own template cannot do with them, the default one does; the error is for the log.
    pub fn write(&self, digests: &[Digest], cluster: Option<&str>) -> (Written, Option<String>) {
        let context = context_of(digests, cluster);
        let mut problem = None;
        let mut write = |env: &Environment<'_>, name: &str, default: &str| {
            let rendered = env.get_template(name).and_then(|template| template.render(&context));
            rendered.unwrap_or_else(|error| {
                problem = Some(format!("the template for the {name}: {}", words_of(&error)));
                env.render_str(&format!("{PRELUDE}{default}"), &context)
                    .unwrap_or_default()
            })
        };
        let title = write(&self.plain, "title", DEFAULT_TITLE);
        let body = write(&self.marked, "body", DEFAULT_BODY);
        let links = self.links.iter().map(|name| {
            let url = write(&self.plain, &Field::Link(name.clone()).template(), "");
            (name.clone(), url.trim().to_owned())
        });
        let links: Vec<(String, String)> = links.filter(|(_, url)| !url.is_empty()).collect();
        let written = Written {
            // A title has one line, whatever is in it.
            title: title.split_whitespace().collect::<Vec<_>>().join(" "),
            body: body.trim().to_owned(),
            links,
        };
        (written, problem)
    }
}

impl Field {
    fn template(&self) -> String {
        match self {
            Self::Title => "title".to_owned(),
            Self::Body => "body".to_owned(),
            Self::Link(name) => format!("link {name}"),
        }
    }
}

impl BadTemplate {
    fn new(field: Field, source: &str, error: &Error) -> Self {
        // What a macro of ours complains of was called wrongly from the template: the outermost place is the template's own.
        let at = error
            .range()
            .filter(|_| error.name().is_some_and(|name| name == field.template()))
            .map_or(0..source.len(), |range| {
                let shift = |at: usize| source.floor_char_boundary(at.saturating_sub(PRELUDE.len()).min(source.len()));
                shift(range.start)..shift(range.end)
            });
        let before = &source[..at.start];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|character| *character != '\n').count() + 1;
        Self {
            field,
            problem: Problem::new(
                "bad-template",
                format!(
                    "this template fails at line {line}, column {column}: {}",
                    words_of(error)
                ),
                "see docs/sinks.md for what a template can say; `label-router notify-test SINK --print` shows what it makes",
            ),
            at,
        }
    }
}

/// What is wrong, without where.
fn words_of(error: &Error) -> String {
    let mut said = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<Error>() {
            said = format!(
                "{said}: {}",
                cause.detail().map_or_else(|| cause.kind().to_string(), str::to_owned)
            );
        }
        source = cause.source();
    }
    if error.kind() == ErrorKind::OutOfFuel {
        said.push_str(": it loops too long");
    }
    said
}

/// What a template sees.
fn context_of(digests: &[Digest], cluster: Option<&str>) -> Value {
    let severity = digests.iter().map(|digest| digest.severity).max().unwrap_or_default();
    context! {
        digests => Value::from(Serde(digests)),
        tallies => Value::from(Serde(all_tallies(digests))),
        severity => severity.name(),
        resolved => digests.iter().all(|digest| digest.resolved),
        replicas => digests.iter().map(|digest| digest.replicas).sum::<usize>(),
        cluster => cluster.unwrap_or_default(),
    }
}

/// What happened in all of them, in numbers.
fn all_tallies(digests: &[Digest]) -> Vec<Tally> {
    let mut all: Vec<Tally> = Vec::new();
    for tally in digests.iter().flat_map(|digest| &digest.tallies) {
        match all
            .iter_mut()
            .find(|one| (one.outcome, one.resolved, one.expired) == (tally.outcome, tally.resolved, tally.expired))
        {
            Some(one) => one.replicas += tally.replicas,
            None => all.push(Tally {
                places: Vec::new(),
                ..tally.clone()
            }),
        }
    }
    all
}

fn environment(markup: &'static Markup, words: &'static str) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_debug(true);
    env.set_fuel(Some(FUEL));
    // Not None: what a macro makes is then taken for escaped.
    env.set_auto_escape_callback(|_| AutoEscape::Custom("markup".into()));
    env.set_formatter(move |out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value| {
        if value.is_undefined() {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        let text = text_of(value);
        let written = if value.is_safe() { text } else { (markup.escape)(&text) };
        out.write_str(&written).map_err(Error::from)
    });
    let escaped = move |value: &Value| {
        let text = text_of(value);
        if value.is_safe() { text } else { (markup.escape)(&text) }
    };
    env.add_function("bold", move |text: Value| {
        Value::from_safe_string((markup.bold)(&escaped(&text)))
    });
    env.add_function("code", move |text: Value| {
        Value::from_safe_string((markup.code)(&text_of(&text)))
    });
    env.add_function("link", move |text: Value, url: String| {
        Value::from_safe_string((markup.link)(&escaped(&text), &url))
    });
    env.add_global("bullet", Value::from_safe_string(markup.bullet.to_owned()));
    // The tests render each of them, in both languages.
    let _ = env.add_template(WORDS, words);
    let _ = env.add_template_owned("title", format!("{PRELUDE}{DEFAULT_TITLE}"));
    let _ = env.add_template_owned("body", format!("{PRELUDE}{DEFAULT_BODY}"));
    env
}

fn text_of(value: &Value) -> String {
    if value.is_none() {
        String::new()
    } else {
        value.to_string()
    }
}
