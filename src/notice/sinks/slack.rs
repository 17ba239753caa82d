//! `slack`: A Slack incoming webhook.
//!
//! ```json
//! {"text": "…", "blocks": [{"type": "header", "text": {…}}, {"type": "section", "text": {…}}, {"type": "context", "elements": […]}]}
//! ```
//!
//! Sources: docs.slack.dev, "Sending messages using incoming webhooks", "Text object" (3000 characters), "Header block" (150),
//! "Blocks" (50), "Rate limits" (a message a second, `retry-after`); the text `ok` in an answer of HTTP 200.

use std::time::{Duration, SystemTime};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::answer::{refused, strange};
use super::text::{self, UNSEEN};
use super::{HttpSink, SinkSettings, Url, Value, mention};
use crate::engine::problem::Problem;
use crate::notice::markup::Markup;
use crate::notice::message::{Credentials, HttpRequest, Message, Pace, Reply, Verdict};
use crate::notice::severity::Severity;

/// The longest title.
const HEADER: usize = 150;
/// The longest text of a section.
const SECTION: usize = 3000;
/// The longest body: Slack was seen to refuse blocks of 13 200 characters together.
const LIMIT: usize = 10_000;

/// A Slack incoming webhook.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slack {
    /// The webhook's URL, which holds its token.
    pub url: Value<Url>,
    /// Whom to mention: the ID of a person (U…) or of a user group (S…), or here, channel, everyone.
    #[serde(default)]
    pub mentions: Vec<Mention>,
    /// From which severity on they are mentioned; critical unless said.
    #[serde(default = "mention::from_critical")]
    pub mention_from: Severity,
}

/// Slack's own markup, mrkdwn.
///
/// Only `& < >` have an escape. What else would be markup is written by its look-alike, as jsx-slack does.
const MARKUP: Markup = Markup {
    escape,
    bold: |text| text::wrapped(text, "*"),
    code,
    link,
    bullet: "• ",
};

fn escape(plain: &str) -> String {
    text::escape(plain, |out, character, rest| match character {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '*' => out.push('∗'),
        '~' => out.push('∼'),
        '`' => out.push('ˋ'),
        // Within a word it is none.
        '_' if !(out.ends_with(char::is_alphanumeric) && rest.starts_with(char::is_alphanumeric)) => out.push('ˍ'),
        ':' if starts_an_emoji(rest) => out.extend([':', UNSEEN]),
        _ => out.push(character),
    })
}

fn starts_an_emoji(rest: &str) -> bool {
    let behind = rest.trim_start_matches(|character: char| character.is_alphanumeric() || "_+'-".contains(character));
    behind.len() < rest.len() && behind.starts_with(':')
}

fn code(plain: &str) -> String {
    let code = text::one_line(plain, |out, character| match character {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '`' => out.push('ˋ'),
        _ => out.push(character),
    });
    text::quoted(&code)
}

fn link(text: &str, url: &str) -> String {
    let url = text::url_in_markup(url).replace('&', "&amp;");
    format!("<{url}|{}>", text.replace('\n', " "))
}

/// The body in texts that fit into a section each, divided between lines where possible.
fn sections(body: &str) -> Vec<String> {
    let mut sections: Vec<String> = Vec::new();
    for line in body.lines().flat_map(pieces) {
        match sections.last_mut() {
            Some(section) if text::utf16(section) + 1 + text::utf16(line) <= SECTION => {
                section.push('\n');
                section.push_str(line);
            }
            _ => sections.push(line.to_owned()),
        }
    }
    // A text of nothing but blanks is refused.
    sections.retain(|section| !section.trim().is_empty());
    sections
}

/// A line in pieces that fit into a section each.
fn pieces(mut line: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    while text::utf16(line) > SECTION {
        let piece = &line[..text::end_of_units(line, SECTION)];
        // Between words where possible, and never within `&amp;`.
        let entity = piece.rfind('&').filter(|at| !piece[*at..].contains(';'));
        let end = piece.rfind(' ').or(entity).filter(|at| *at > 0).unwrap_or(piece.len());
        pieces.push(&line[..end]);
        line = line[end..].trim_start_matches(' ');
    }
    pieces.push(line);
    pieces
}

fn mrkdwn(text: &str) -> serde_json::Value {
    // What looks like a URL, a channel or a name in plain text stays plain.
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

impl SinkSettings for Slack {
    fn http(&self) -> Option<&dyn HttpSink> {
        Some(self)
    }
}

impl HttpSink for Slack {
    fn url(&self) -> &Value<Url> {
        &self.url
    }

    fn markup(&self) -> &'static Markup {
        &MARKUP
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace {
            messages: 1,
            per: Duration::from_secs(1),
        })
    }

    fn room(&self) -> Option<usize> {
        Some(LIMIT)
    }

    fn render(&self, message: &Message, credentials: &Credentials, _now: SystemTime) -> HttpRequest {
        let mut mentions = String::new();
        if mention::is_due(message, self.mention_from) {
            let written: Vec<&str> = self.mentions.iter().map(|mention| mention.0.as_str()).collect();
            mentions = written.join(" ");
        }
        let body = text::clip_lines(&message.body, LIMIT);
        let mut blocks = Vec::new();
        let header = text::clip(&message.title, HEADER);
        if !header.is_empty() {
            blocks.push(json!({
                "type": "header",
                "text": { "type": "plain_text", "text": header, "emoji": false },
            }));
        }
        let texts = [mentions.clone()].into_iter().chain(sections(&body));
        blocks.extend(
            texts
                .filter(|text| !text.is_empty())
                .map(|text| json!({ "type": "section", "text": mrkdwn(&text) })),
        );
        // A context takes ten elements.
        blocks.extend(message.links.chunks(10).map(|links| {
            let links: Vec<serde_json::Value> = links
                .iter()
                .map(|(text, url)| mrkdwn(&link(&escape(text), url)))
                .collect();
            json!({ "type": "context", "elements": links })
        }));
        // What a notification shows.
        let fallback = [mentions, escape(&text::short_title(&message.title))].join(" ");
        let sent = json!({ "text": fallback.trim(), "blocks": blocks });
        HttpRequest::json(&credentials.url, sent.to_string().into_bytes())
    }

    fn classify(&self, reply: &Reply<'_>) -> Verdict {
        let body = reply.body.trim();
        match (reply.status, body) {
            (200..=299, "ok") => Verdict::Delivered,
            (200..=299, _) if !is_word(body) => strange(reply, "Slack"),
            (200..=299 | 400..=407 | 409..=424, _) => refused(reply, advice(body)),
            _ => Verdict::of_status(reply),
        }
    }
}

/// True for what Slack's errors look like.
fn is_word(body: &str) -> bool {
    !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// What to do about an error of Slack's.
fn advice(body: &str) -> Option<&'static str> {
    let advice = match body {
        "no_service" | "no_service_id" | "no_team" | "no_active_hooks" | "invalid_token" | "team_disabled" => {
            "the webhook is not there any more, or is off: make a new one and write its URL"
        }
        "channel_not_found" | "channel_is_archived" => {
            "the webhook's channel is not there any more: make a webhook for another one"
        }
        "action_prohibited" | "posting_to_general_channel_denied" => {
            "an administrator of the workspace forbids it: ask one, or choose another channel"
        }
        "user_not_found" => "nobody has an ID that stands in `mentions`",
        "invalid_payload"
        | "invalid_blocks"
        | "no_text"
        | "too_many_attachments"
        | "msg_too_long"
        | "msg_blocks_too_long" => {
            "Slack does not take the message: look at the templates `title` and `body`, and the links"
        }
        _ => return None,
    };
    Some(advice)
}

/// Somebody to mention, as Slack's markup writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention(String);

impl<'de> Deserialize<'de> for Mention {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_id = text.len() > 1
            && text
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        match text.as_str() {
            "here" | "channel" | "everyone" => Ok(Self(format!("<!{text}>"))),
            id if is_id && id.starts_with(['U', 'W']) => Ok(Self(format!("<@{id}>"))),
            id if is_id && id.starts_with('S') => Ok(Self(format!("<!subteam^{id}>"))),
            _ => Err(Problem::new(
                "bad-mention",
                "this is nobody whom Slack can mention",
                "write the ID of a person (U…) or of a user group (S…), which stand in their profiles, or here, channel, everyone",
            )
            .into_error()),
        }
    }
}

impl JsonSchema for Mention {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Mention".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(here|channel|everyone|[UWS][A-Z0-9]+)$" })
    }
}

#[cfg(test)]
#[path = "tests/slack.rs"]
mod tests;
