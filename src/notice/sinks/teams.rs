//! `teams`: A Microsoft Teams workflow that posts what a webhook receives.
//!
//! ```json
//! {"type": "message", "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": {"type": "AdaptiveCard", …}}]}
//! ```
//!
//! Sources: learn.microsoft.com, "Create incoming webhooks with Workflows"; "Text features in Adaptive Cards"; "Connectors:
//! Microsoft Teams" (28 KB). HTTP 202 says that the workflow runs, not that it posts: a card it does not like is lost unseen.

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::answer::{refused, strange};
use super::text::{self, UNSEEN};
use super::{HttpSink, SinkSettings, Url, Value};
use crate::notice::markup::Markup;
use crate::notice::message::{Credentials, HttpRequest, Message, Pace, Reply, Verdict, fit};
use crate::notice::severity::Severity;

/// The longest body of a request, in bytes: of the 28 KB that Teams speaks of, a sender found 21 000 to be safe.
const LIMIT: usize = 20_000;

/// A Microsoft Teams workflow that posts what a webhook receives.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Teams {
    /// The workflow's URL, which holds its signature.
    pub url: Value<Url>,
}

/// Marks of this sink's own, which become the pieces of a card: Teams' Markdown cannot be escaped on all its clients, so that
/// none is sent.
///
/// They are characters that Unicode keeps for the use within a program, and are left out of what is escaped.
mod mark {
    pub(super) const BOLD: char = '\u{fdd0}';
    pub(super) const CODE: char = '\u{fdd1}';
    pub(super) const PLAIN: char = '\u{fdd2}';
    pub(super) const LINK: char = '\u{fdd3}';
    pub(super) const URL: char = '\u{fdd4}';
    pub(super) const ALL: [char; 5] = [BOLD, CODE, PLAIN, LINK, URL];
}

const MARKUP: Markup = Markup {
    escape,
    bold: |text| marked(mark::BOLD, text),
    code: |text| marked(mark::CODE, &escape(&text.replace('\n', " "))),
    link: |text, url| {
        let url = text::url_in_markup(url);
        format!(
            "{}{}{}{}{}",
            mark::LINK,
            unmarked(text),
            mark::URL,
            unmarked(&url),
            mark::PLAIN
        )
    },
    bullet: "• ",
};

fn marked(mark: char, text: &str) -> String {
    format!("{mark}{text}{}", mark::PLAIN)
}

fn unmarked(text: &str) -> String {
    text.replace(mark::ALL, "")
}

fn escape(plain: &str) -> String {
    let out: String = plain
        .chars()
        .map(|character| if character == '\t' { ' ' } else { character })
        .filter(|character| *character == '\n' || !character.is_control())
        .collect();
    unmarked(&out)
}

/// One piece of a line.
fn run(text: &str) -> serde_json::Value {
    // Teams puts dates for `{{DATE(…)}}`.
    let text = text.replace("{{", &format!("{{{UNSEEN}{{"));
    json!({ "type": "TextRun", "text": text })
}

/// The pieces of a line.
fn runs(line: &str) -> Vec<serde_json::Value> {
    let mut runs = Vec::new();
    let mut mark = mark::PLAIN;
    let mut rest = line;
    loop {
        let end = rest.find(mark::ALL).unwrap_or(rest.len());
        let (text, behind) = rest.split_at(end);
        let mut behind = behind.chars();
        let next = behind.next();
        if !text.is_empty() {
            let mut piece = run(text);
            match mark {
                mark::BOLD => piece["weight"] = "Bolder".into(),
                mark::CODE => piece["fontType"] = "Monospace".into(),
                mark::LINK => {
                    // Cut off behind its text, it is no link.
                    let url = behind.as_str().split(mark::ALL).next().unwrap_or_default();
                    if next == Some(mark::URL) && !url.is_empty() {
                        piece["selectAction"] = json!({ "type": "Action.OpenUrl", "url": url });
                    }
                }
                _ => {}
            }
            // The text of a URL is not shown.
            if mark != mark::URL {
                runs.push(piece);
            }
        }
        let Some(next) = next else { return runs };
        mark = next;
        rest = behind.as_str();
    }
}

fn card(message: &Message, title: &str, body: &str) -> serde_json::Value {
    let colour = match message.severity {
        _ if message.resolved => "Good",
        Severity::Critical => "Attention",
        Severity::Warning => "Warning",
        Severity::Info => "Accent",
    };
    let mut heading = run(title);
    heading["size"] = "Medium".into();
    heading["weight"] = "Bolder".into();
    heading["color"] = colour.into();
    let lines = body.lines().map(runs).filter(|runs| !runs.is_empty());
    let mut blocks = vec![json!({ "type": "RichTextBlock", "inlines": [heading] })];
    blocks.extend(lines.map(|runs| json!({ "type": "RichTextBlock", "spacing": "Small", "inlines": runs })));
    let actions: Vec<serde_json::Value> = message
        .links
        .iter()
        .map(|(text, url)| json!({ "type": "Action.OpenUrl", "title": text, "url": text::url_in_markup(url) }))
        .collect();
    json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        // What is newer is not shown, and no error is told.
        "version": "1.4",
        "msteams": { "width": "Full" },
        "fallbackText": title,
        "body": blocks,
        "actions": actions,
    })
}

impl SinkSettings for Teams {
    fn http(&self) -> Option<&dyn HttpSink> {
        Some(self)
    }
}

impl HttpSink for Teams {
    fn url(&self) -> &Value<Url> {
        &self.url
    }

    fn markup(&self) -> &'static Markup {
        &MARKUP
    }

    fn pace(&self) -> Option<Pace> {
        // What a workflow takes depends on its licence. A connector, which it replaces, took 60 in 30 seconds and 100 an hour.
        Some(Pace {
            messages: 1,
            per: Duration::from_secs(1),
        })
    }

    fn room(&self) -> Option<usize> {
        // A line of three pieces takes 200 bytes more than its text.
        Some(2500)
    }

    fn render(&self, message: &Message, credentials: &Credentials, _now: SystemTime) -> HttpRequest {
        let title = text::short_title(&message.title);
        let body = fit(&message.body, LIMIT, |body| {
            let attachment = json!({
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": null,
                "content": card(message, &title, body),
            });
            json!({ "type": "message", "attachments": [attachment] })
                .to_string()
                .into_bytes()
        });
        HttpRequest::json(&credentials.url, body)
    }

    fn classify(&self, reply: &Reply<'_>) -> Verdict {
        let body = reply.body.trim();
        match reply.status {
            202 => Verdict::Delivered,
            // A workflow may have a step that answers: with nothing, or with some JSON. `1` is what a connector answered.
            200..=299 if body.is_empty() || body == "1" || body.starts_with('{') => Verdict::Delivered,
            200..=299 if body.contains("HTTP error 429") || body.contains("HTTP error 5") => Verdict::Retry {
                after: reply.retry_after,
                why: crate::notice::message::said(reply),
            },
            200..=299 if body.contains("failed") && !body.starts_with('<') => refused(reply, None),
            200..=299 => strange(reply, "a workflow"),
            400 => refused(
                reply,
                Some("the workflow does not take the message: does it start when a Teams webhook request is received?"),
            ),
            401 | 403 => refused(
                reply,
                Some(
                    "the workflow does not know the URL's signature, or lets nobody but its owners in: copy the URL once more, \
                      and let anyone trigger it",
                ),
            ),
            404 | 410 => refused(
                reply,
                Some("the workflow is off or was removed: turn it on, or make a new one and write its URL"),
            ),
            413 => refused(
                reply,
                Some("the message is longer than Teams takes: shorten the templates `title` and `body`"),
            ),
            _ => Verdict::of_status(reply),
        }
    }
}

#[cfg(test)]
#[path = "tests/teams.rs"]
mod tests;
