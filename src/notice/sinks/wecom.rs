//! `wecom`: A WeCom robot of a group.
//!
//! ```json
//! {"msgtype": "markdown", "markdown": {"content": "**…**\n… <@userid>"}}
//! ```
//!
//! Source: developer.work.weixin.qq.com, "Group robots" (path/99110) and "Global error codes": 20 messages a minute; 4096
//! bytes of content, over which the message is refused; `errcode` 0 in an answer of HTTP 200.

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::answer::{Answer, advice, refused, retry, strange};
use super::text::{self, UNSEEN};
use super::{HttpSink, SinkSettings, Url, Value, mention};
use crate::notice::markup::Markup;
use crate::notice::message::{Credentials, HttpRequest, Message, Pace, Reply, Verdict, fit, said};
use crate::notice::severity::Severity;

/// The longest content, in bytes of UTF-8, not of JSON.
const LIMIT: usize = 4096;
/// The minute within which a robot may be too fast.
const BARRED: Duration = Duration::from_mins(1);

/// A WeCom robot of a group.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WeCom {
    /// The robot's webhook URL, which holds its key.
    pub url: Value<Url>,
    /// The userid of people to mention.
    #[serde(default)]
    pub at_users: Vec<String>,
    /// From which severity on people are mentioned; critical unless said.
    #[serde(default = "mention::from_critical")]
    pub mention_from: Severity,
}

/// WeCom's Markdown: headings, bold, links, code, quotes, colours and mentions, and no lists.
///
/// It has no escapes, so that a character that does not show keeps text from being markup. `markdown_v2` has more markup, but
/// neither colours nor mentions, and older clients show it as plain text.
const MARKUP: Markup = Markup {
    escape,
    bold: |text| text::wrapped(text, "**"),
    code: text::inline_code,
    link: text::markdown_link,
    bullet: "• ",
};

fn escape(plain: &str) -> String {
    text::escape(plain, |out, character, _| match character {
        '*' => out.extend([UNSEEN, '*', UNSEEN]),
        '<' | ']' | '&' | '@' => out.extend([character, UNSEEN]),
        // Nothing keeps two backticks from being code.
        '`' => out.push('ˋ'),
        _ => out.push(character),
    })
}

impl WeCom {
    /// The content, around a body.
    fn content(&self, message: &Message, title: &str, body: &str) -> String {
        let title = escape(title);
        let mut lines = vec![match message.severity {
            _ if message.resolved => format!("<font color=\"info\">{title}</font>"),
            Severity::Critical | Severity::Warning => format!("<font color=\"warning\">{title}</font>"),
            Severity::Info => text::wrapped(&title, "**"),
        }];
        if !body.is_empty() {
            lines.push(body.to_owned());
        }
        lines.extend(
            message
                .links
                .iter()
                .map(|(text, url)| (MARKUP.link)(&escape(text), url)),
        );
        if mention::is_due(message, self.mention_from) && !self.at_users.is_empty() {
            let mentions: Vec<String> = self.at_users.iter().map(|id| format!("<@{id}>")).collect();
            lines.push(mentions.join(" "));
        }
        // JSON can write a control character as \uXXXX only, which WeCom refuses.
        lines
            .join("\n")
            .replace(|character: char| character.is_control() && character != '\n', "")
    }
}

impl SinkSettings for WeCom {
    fn http(&self) -> Option<&dyn HttpSink> {
        Some(self)
    }
}

impl HttpSink for WeCom {
    fn url(&self) -> &Value<Url> {
        &self.url
    }

    fn markup(&self) -> &'static Markup {
        &MARKUP
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace {
            messages: 20,
            per: Duration::from_mins(1),
        })
    }

    fn room(&self) -> Option<usize> {
        Some(2800)
    }

    fn render(&self, message: &Message, credentials: &Credentials, _now: SystemTime) -> HttpRequest {
        let title = text::short_title(&message.title);
        let content = fit(&message.body, LIMIT, |body| {
            self.content(message, &title, body).into_bytes()
        });
        let content = String::from_utf8_lossy(&content);
        let sent = json!({ "msgtype": "markdown", "markdown": { "content": content } });
        HttpRequest::json(&credentials.url, sent.to_string().into_bytes())
    }

    fn classify(&self, reply: &Reply<'_>) -> Verdict {
        if !(200..300).contains(&reply.status) {
            return Verdict::of_status(reply);
        }
        let Some(answer) = Answer::read(reply.body, &["errcode"], &["errmsg"]) else {
            return strange(reply, "WeCom");
        };
        match answer.code {
            0 => Verdict::Delivered,
            -1 | 45_033 => retry(reply),
            45_009 => Verdict::Barred {
                wait: BARRED,
                why: said(reply),
            },
            code => refused(reply, advice(ADVICE, code)),
        }
    }
}

/// Codes of which WeCom's page says what they mean; what is none of them is refused all the same.
const ADVICE: &[(&[i64], &str)] = &[
    (
        &[93_000],
        "no robot has this URL, or it was removed from its group: copy the URL once more, or make a new robot",
    ),
    (
        &[93_001, 93_004],
        "the group or the company forbids what robots send: ask its owner",
    ),
    (&[93_008], "the robot is not in the group: add it again"),
    (
        &[44_004, 93_017],
        "the message is empty: look at the templates `title` and `body`",
    ),
    (
        &[40_008, 40_033],
        "WeCom does not take a character of the message: look at the template `body`",
    ),
    (
        &[40_058, 45_002],
        "the message is longer than WeCom takes: shorten the templates `title` and `body`, and the links",
    ),
];

#[cfg(test)]
#[path = "tests/wecom.rs"]
mod tests;
