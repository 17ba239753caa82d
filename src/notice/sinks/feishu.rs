//! `feishu`: A Feishu or Lark robot of a group.
//!
//! ```json
//! {"timestamp": "1700000000", "sign": "…", "msg_type": "interactive", "card": {"schema": "2.0", "header": {…}, "body": {…}}}
//! ```
//!
//! Sources: open.feishu.cn, "Use bots in groups" (add-custom-bot): 100 messages a minute and 5 a second, a body of 20 KB,
//! `code` 0 in an answer; "Card JSON 2.0", the pages on rich text and on the title.

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::answer::{Answer, advice, refused, retry, strange};
use super::{HttpSink, SinkSettings, Url, Value, mention, text};
use crate::notice::markup::Markup;
use crate::notice::message::{Credentials, HttpRequest, Message, Pace, Reply, Verdict, fit, unix_time};
use crate::notice::severity::Severity;
use crate::notice::sign;

/// The longest body of a request, in bytes.
const LIMIT: usize = 20_000;

/// A Feishu or Lark robot of a group.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Feishu {
    /// The robot's webhook URL, which holds its token.
    pub url: Value<Url>,
    /// The robot's signing secret, where it signs.
    pub secret: Option<Value<String>>,
    /// The open_id or user_id of people to mention.
    #[serde(default)]
    pub at_users: Vec<String>,
    /// Whether everybody is mentioned. Where the group forbids that, Feishu refuses the message.
    #[serde(default)]
    pub at_all: bool,
    /// From which severity on people are mentioned; critical unless said.
    #[serde(default = "mention::from_critical")]
    pub mention_from: Severity,
    /// The keyword without which the robot refuses a message, where it has one. It is added where a message lacks it.
    pub keyword: Option<String>,
}

/// The Markdown of cards. What must not be markup is written as an entity, as Feishu's page says.
const MARKUP: Markup = Markup {
    escape,
    bold: |text| text::wrapped(text, "**"),
    code: text::inline_code,
    link: text::markdown_link,
    bullet: "- ",
};

fn escape(plain: &str) -> String {
    text::escape(plain, |out, character, _| match character {
        // A colon starts and ends the name of an emoji.
        '&' | '<' | '>' | '~' | '*' | '_' | '`' | '[' | ']' | '\\' | '$' | '|' | ':' => {
            use std::fmt::Write;
            // Writing to a String cannot fail.
            let _ = write!(out, "&#{};", u32::from(character));
        }
        _ => out.push(character),
    })
}

/// The colour of a card's title.
fn colour(message: &Message) -> &'static str {
    match message.severity {
        _ if message.resolved => "green",
        Severity::Critical => "red",
        Severity::Warning => "orange",
        Severity::Info => "blue",
    }
}

impl Feishu {
    /// The card, around a body.
    fn card(&self, message: &Message, title: &str, body: &str) -> serde_json::Value {
        let mut below: Vec<String> = message
            .links
            .iter()
            .map(|(text, url)| (MARKUP.link)(&escape(text), url))
            .collect();
        if mention::is_due(message, self.mention_from) {
            let all = self.at_all.then_some("all");
            let ids = self.at_users.iter().map(String::as_str).chain(all);
            let mentions: Vec<String> = ids.map(|id| format!("<at id={id}></at>")).collect();
            below.extend((!mentions.is_empty()).then(|| mentions.join(" ")));
        }
        let mut elements = vec![text::paragraphs(body), below.join("\n\n")];
        if let Some(keyword) = &self.keyword
            && ![title, &elements[0]].iter().any(|text| text.contains(keyword.as_str()))
        {
            elements.push(keyword.clone());
        }
        let elements: Vec<serde_json::Value> = elements
            .into_iter()
            .filter(|content| !content.is_empty())
            .map(|content| json!({ "tag": "markdown", "content": content }))
            .collect();
        json!({
            "schema": "2.0",
            "config": { "update_multi": true, "width_mode": "fill", "summary": { "content": title } },
            "header": { "template": colour(message), "title": { "tag": "plain_text", "content": title } },
            "body": { "direction": "vertical", "elements": elements },
        })
    }
}

impl SinkSettings for Feishu {
    fn http(&self) -> Option<&dyn HttpSink> {
        Some(self)
    }
}

impl HttpSink for Feishu {
    fn url(&self) -> &Value<Url> {
        &self.url
    }

    fn secret(&self) -> Option<&Value<String>> {
        self.secret.as_ref()
    }

    fn markup(&self) -> &'static Markup {
        &MARKUP
    }

    fn pace(&self) -> Option<Pace> {
        // 100 a minute, and never more than 5 in a second.
        Some(Pace {
            messages: 5,
            per: Duration::from_secs(3),
        })
    }

    fn room(&self) -> Option<usize> {
        Some(8000)
    }

    fn render(&self, message: &Message, credentials: &Credentials, now: SystemTime) -> HttpRequest {
        let title = text::short_title(&message.title);
        let timestamp = unix_time(now).as_secs();
        let body = fit(&message.body, LIMIT, |body| {
            let mut sent = json!({ "msg_type": "interactive", "card": self.card(message, &title, body) });
            if let Some(secret) = &credentials.secret {
                sent["timestamp"] = timestamp.to_string().into();
                sent["sign"] = signature(secret, timestamp).into();
            }
            sent.to_string().into_bytes()
        });
        HttpRequest::json(&credentials.url, body)
    }

    fn classify(&self, reply: &Reply<'_>) -> Verdict {
        let answer = Answer::read(reply.body, &["code", "StatusCode"], &["msg", "StatusMessage"]);
        let is_success = (200..300).contains(&reply.status);
        match answer {
            // What refuses for good comes with HTTP 400 or 200; anything else is told by the status.
            Some(answer) if is_success || reply.status == 400 => match answer.code {
                0 if is_success => Verdict::Delivered,
                11_232 | 11_233 | 99_991_400 => retry(reply),
                _ if answer.says(&["frequency limit", "too many request"]) => retry(reply),
                code => refused(reply, advice(ADVICE, code)),
            },
            None if is_success => strange(reply, "Feishu"),
            _ => Verdict::of_status(reply),
        }
    }
}

/// Codes of which Feishu's pages say what they mean; what is none of them is refused all the same.
const ADVICE: &[(&[i64], &str)] = &[
    (
        &[19_001],
        "no robot has this URL: copy it once more, and mind that Feishu and Lark have hosts of their own",
    ),
    (
        &[19_021],
        "the signature is wrong: is `secret` that of this robot, and this machine's clock right?",
    ),
    (
        &[19_022],
        "the robot takes messages only from some addresses: add that of the cluster to its list",
    ),
    (
        &[19_024],
        "the robot takes only messages with its keyword: write the same one as `keyword`",
    ),
    (
        &[19_036],
        "the message is longer than Feishu takes: shorten the templates `title` and `body`",
    ),
    (
        &[9499, 19_002],
        "Feishu does not understand the message, or it is too long: shorten the templates `title` and `body`",
    ),
    (
        &[11_246, 230_099, 200_621],
        "Feishu does not take the card: look at the template `body`, and at `atUsers`",
    ),
];

/// The key is what others sign, and the message is empty.
fn signature(secret: &str, timestamp: u64) -> String {
    sign::base64(&sign::hmac_sha256(format!("{timestamp}\n{secret}").as_bytes(), b""))
}

#[cfg(test)]
#[path = "tests/feishu.rs"]
mod tests;
