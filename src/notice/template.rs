//! Digests in words: templates (Jinja) for the title, the body and the URLs of links, with defaults in two languages.
//!
//! What a template prints is escaped for the sink's markup, unless it comes from `bold`, `code` or `link`, which write that
//! markup. A title and a URL have none.

use std::borrow::Cow;
use std::fmt::{self, Write};
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

/// What a sink's own template may take, in steps of minijinja, which counts 64 bytes of each text that is made as one more: a
/// loop over a million ends here, and so does `"x" * 100000000` before it is made. It is enough for 50 digests of 50 lines.
///
/// What is not counted, until it is printed, is a text that a list holds many times over: whoever writes a template is trusted
/// as far as whoever writes a policy.
const FUEL: u64 = 600_000;

/// Lists and maps are printed up to this, in bytes. A text can be longer: it was counted when it was made.
const LONGEST_PRINTED: usize = 256 * 1024;

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
            env.set_fuel(Some(FUEL));
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
                // Ours ends, however much there is to tell.
                let mut env = env.clone();
                env.set_fuel(None);
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
        said.push_str(": it loops too long, or makes too long a text");
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
    // Not None: what a macro makes is then taken for escaped.
    env.set_auto_escape_callback(|_| AutoEscape::Custom("markup".into()));
    env.set_formatter(move |out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value| {
        if value.is_undefined() {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        out.write_str(&escaped(value, markup)?).map_err(Error::from)
    });
    env.add_function("bold", move |text: Value| {
        Ok::<_, Error>(Value::from_safe_string((markup.bold)(&escaped(&text, markup)?)))
    });
    env.add_function("code", move |text: Value| {
        Ok::<_, Error>(Value::from_safe_string((markup.code)(&text_of(&text)?)))
    });
    env.add_function("link", move |text: Value, url: String| {
        Ok::<_, Error>(Value::from_safe_string((markup.link)(&escaped(&text, markup)?, &url)))
    });
    env.add_global("bullet", Value::from_safe_string(markup.bullet.to_owned()));
    // The tests render each of them, in both languages.
    let _ = env.add_template(WORDS, words);
    let _ = env.add_template_owned("title", format!("{PRELUDE}{DEFAULT_TITLE}"));
    let _ = env.add_template_owned("body", format!("{PRELUDE}{DEFAULT_BODY}"));
    env
}

fn escaped<'v>(value: &'v Value, markup: &Markup) -> Result<Cow<'v, str>, Error> {
    let text = text_of(value)?;
    Ok(if value.is_safe() {
        text
    } else {
        (markup.escape)(&text).into()
    })
}

fn text_of(value: &Value) -> Result<Cow<'_, str>, Error> {
    if value.is_none() {
        return Ok("".into());
    }
    if let Some(text) = value.as_str() {
        return Ok(text.into());
    }
    let mut printed = Printed(String::new());
    write!(printed, "{value}")
        .map_err(|_| Error::new(ErrorKind::InvalidOperation, "a list or map is too long to be printed"))?;
    Ok(printed.0.into())
}

/// A text that grows to `LONGEST_PRINTED` and not beyond.
struct Printed(String);

impl fmt::Write for Printed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > LONGEST_PRINTED {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(body: &str) -> Common {
        serde_json::from_value(serde_json::json!({ "body": body })).unwrap()
    }

    /// What is wrong with a body, and how it would be written otherwise.
    fn tried(body: &str) -> Result<Templates, String> {
        Templates::new(&common(body), &PLAIN).map_err(|bad| bad[0].problem.message.clone())
    }

    #[test]
    fn a_template_that_would_fill_the_memory_is_refused() {
        for body in [
            "{{ 'x' * 100000000 }}",
            "{% set x = 'x' * 20000000 %}{{ x }}{{ x }}",
            &format!(
                "{{% set x = 'xxxxxxxx' %}}{}{{{{ x }}}}",
                "{% set x = x ~ x %}".repeat(27)
            ),
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        ] {
            let why = tried(body).unwrap_err();
            assert!(
                why.ends_with("it loops too long, or makes too long a text"),
                "{body}: {why}"
            );
        }
        // Each a few bytes for the engine, and gigabytes when they are printed.
        for print in ["{{ l }}", "{{ bold(l) }}", "{{ code(l) }}", "{{ link(l, 'a') }}"] {
            let body = format!("{{% set x = 'x' * 100000 %}}{{% set l = [x] * 10000 %}}{print}");
            let why = tried(&body).unwrap_err();
            assert!(
                why.ends_with("a list or map is too long to be printed"),
                "{print}: {why}"
            );
        }
    }

    #[test]
    fn the_most_that_is_told_at_once_is_written() {
        let mut digest = samples::digests().swap_remove(4);
        let mut line = digest.lines[0].clone();
        line.message = "m".repeat(500);
        line.pods = (0..10)
            .map(|pod| format!("a-workload-with-a-long-name-{pod}"))
            .collect();
        digest.lines = vec![line; 50];
        let digests = vec![digest; 50];
        for body in [None, Some("{{ body(digests) }}")] {
            let common = Common {
                body: body.map(str::to_owned),
                ..common("")
            };
            let (written, problem) = Templates::new(&common, &PLAIN).unwrap().write(&digests, None);
            assert_eq!(problem, None);
            assert!(written.body.len() > 2500 * 800, "{}", written.body.len());
        }
    }

    #[test]
    fn what_is_too_much_for_a_template_is_written_by_the_default_one() {
        let mut digest = samples::digests().swap_remove(4);
        digest.lines[0].message = "m".repeat(200_000);
        digest.lines = vec![digest.lines[0].clone(); 50];
        let templates = tried("{% for _ in range(10) %}{{ body(digests) }}{% endfor %}").unwrap();
        let (written, problem) = templates.write(&[digest], None);
        assert!(problem.unwrap().contains("makes too long a text"));
        assert!(written.body.len() > 10_000_000, "{}", written.body.len());
    }

    #[test]
    fn the_subject_of_the_policy_is_the_policy() {
        for (language, policy, workload) in [
            (Language::En, "the policy", "StatefulSet prod/web"),
            (Language::Zh, "策略", "StatefulSet prod/web"),
        ] {
            let common = Common {
                language,
                ..common("{{ subject(digests[0]) }}")
            };
            let templates = Templates::new(&common, &PLAIN).unwrap();
            for digest in samples::digests() {
                let wanted = if digest.is_policy { policy } else { workload };
                let (written, problem) = templates.write(&[digest], None);
                assert_eq!((written.body.as_str(), problem), (wanted, None));
            }
        }
    }
}
