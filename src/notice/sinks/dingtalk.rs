//! `dingtalk`: A DingTalk robot of a group.
//!
//! ```json
//! {"msgtype": "markdown", "markdown": {"title": "…", "text": "…"}, "at": {"atMobiles": ["138…"], "isAtAll": false}}
//! ```
//!
//! Source: open.dingtalk.com, "Custom robot access" (custom-robot-access): 20 messages a minute, then none for 10 minutes; a
//! body of 20 000 bytes; `errcode` 0 in an answer of HTTP 200.

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::answer::{Answer, advice, refused, retry, strange};
use super::text::{self, UNSEEN};
use super::{HttpSink, SinkSettings, Url, Value, mention};
use crate::notice::markup::{Markup, PLAIN};
use crate::notice::message::{Credentials, HttpRequest, Message, Pace, Reply, Verdict, fit, said, unix_time};
use crate::notice::severity::Severity;
use crate::notice::sign;

/// The longest body of a request, in bytes.
const LIMIT: usize = 20_000;
/// How long a robot that was too fast is barred.
const BARRED: Duration = Duration::from_mins(10);

/// A DingTalk robot of a group.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DingTalk {
    /// The robot's webhook URL, which holds its token.
    pub url: Value<Url>,
    /// The robot's signing secret, with the SEC it starts with, where it signs.
    pub secret: Option<Value<String>>,
    /// How messages are written.
    #[serde(default)]
    pub format: Format,
    /// Mobile numbers of people to mention.
    #[serde(default)]
    pub at_mobiles: Vec<String>,
    /// Whether everybody is mentioned.
    #[serde(default)]
    pub at_all: bool,
    /// From which severity on people are mentioned; critical unless said.
    #[serde(default = "mention::from_critical")]
    pub mention_from: Severity,
    /// The keyword without which the robot refuses a message, where it has one. It is added where a message lacks it.
    pub keyword: Option<String>,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As DingTalk's Markdown.
    #[default]
    Markdown,
    /// As plain text.
    Text,
}

/// DingTalk's Markdown: headings, quotes, bold, italics, links, lists. What its clients take for code differs.
///
/// A backslash before `` \ ` * _ `` and entities are known to work; anything else is kept from being markup by a character
/// that does not show.
const MARKUP: Markup = Markup {
    escape,
    bold: |text| text::wrapped(text, "**"),
    code: |text| escape(&text.replace('\n', " ")),
    link: text::markdown_link,
    bullet: "- ",
};

fn escape(plain: &str) -> String {
    text::escape(plain, |out, character, _| match character {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '\\' | '`' | '*' | '_' => out.extend(['\\', character]),
        '~' | ']' | '@' => out.extend([character, UNSEEN]),
        _ => out.push(character),
    })
}

impl DingTalk {
    fn markup_of_format(&self) -> &'static Markup {
        match self.format {
            Format::Markdown => &MARKUP,
            Format::Text => &PLAIN,
        }
    }

    /// All that is shown, around a body.
    fn text(&self, message: &Message, title: &str, body: &str, mentions: bool) -> String {
        let markup = self.markup_of_format();
        let is_markdown = self.format == Format::Markdown;
        let mut blocks = vec![if is_markdown {
            format!("#### {}", escape(title))
        } else {
            title.to_owned()
        }];
        if !body.is_empty() {
            blocks.push(if is_markdown {
                text::paragraphs(body)
            } else {
                body.to_owned()
            });
        }
        blocks.extend(
            message
                .links
                .iter()
                .map(|(text, url)| (markup.link)(&(markup.escape)(text), url)),
        );
        // Whoever is not named in the text is not told.
        if mentions && !self.at_mobiles.is_empty() {
            let names: Vec<String> = self.at_mobiles.iter().map(|mobile| format!("@{mobile}")).collect();
            blocks.push(names.join(" "));
        }
        let mut text = blocks.join(if is_markdown { "\n\n" } else { "\n" });
        if let Some(keyword) = &self.keyword
            && !text.contains(keyword.as_str())
        {
            text.push_str(if is_markdown { "\n\n" } else { "\n" });
            text.push_str(keyword);
        }
        text
    }
}

impl SinkSettings for DingTalk {
    fn http(&self) -> Option<&dyn HttpSink> {
        Some(self)
    }
}

impl HttpSink for DingTalk {
    fn url(&self) -> &Value<Url> {
        &self.url
    }

    fn secret(&self) -> Option<&Value<String>> {
        self.secret.as_ref()
    }

    fn markup(&self) -> &'static Markup {
        self.markup_of_format()
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace {
            messages: 20,
            per: Duration::from_mins(1),
        })
    }

    fn room(&self) -> Option<usize> {
        // Escapes take two bytes for one in JSON, and the title, the links and the mentions need room, too.
        Some(8000)
    }

    fn render(&self, message: &Message, credentials: &Credentials, now: SystemTime) -> HttpRequest {
        let title = text::short_title(&message.title);
        let mentions = mention::is_due(message, self.mention_from);
        let mobiles = if mentions { self.at_mobiles.as_slice() } else { &[] };
        let body = fit(&message.body, LIMIT, |body| {
            let text = self.text(message, &title, body, mentions);
            let at = json!({ "atMobiles": mobiles, "isAtAll": mentions && self.at_all });
            let sent = match self.format {
                Format::Markdown => {
                    json!({ "msgtype": "markdown", "markdown": { "title": title, "text": text }, "at": at })
                }
                Format::Text => json!({ "msgtype": "text", "text": { "content": text }, "at": at }),
            };
            sent.to_string().into_bytes()
        });
        let url = match &credentials.secret {
            Some(secret) => signed(&credentials.url, secret, now),
            None => credentials.url.clone(),
        };
        HttpRequest::json(url, body)
    }

    fn classify(&self, reply: &Reply<'_>) -> Verdict {
        if !(200..300).contains(&reply.status) {
            return Verdict::of_status(reply);
        }
        let Some(answer) = Answer::read(reply.body, &["errcode"], &["errmsg"]) else {
            return strange(reply, "DingTalk");
        };
        match answer.code {
            0 => Verdict::Delivered,
            -1 => retry(reply),
            130_101 | 410_100 => Verdict::Barred {
                wait: BARRED,
                why: said(reply),
            },
            310_000 => refused(reply, security(&answer)),
            code => refused(reply, advice(ADVICE, code)),
        }
    }
}

/// The robot's three checks have one code.
fn security(answer: &Answer) -> Option<&'static str> {
    const CHECKS: &[(&[&str], &str)] = &[
        (
            &["keyword", "关键词"],
            "the robot takes only messages with its keyword: write the same one as `keyword`",
        ),
        (
            &["whitelist", "白名单"],
            "the robot takes messages only from some addresses: add that of the cluster to its list",
        ),
        (
            &["sign", "签名", "timestamp", "时间戳"],
            "the signature is wrong: is `secret` that of this robot, with the SEC it starts with, and this machine's clock right?",
        ),
    ];
    let (_, advice) = CHECKS.iter().find(|(words, _)| answer.says(words))?;
    Some(advice)
}

/// Codes of which DingTalk's page says what they mean; what is none of them is refused all the same.
const ADVICE: &[(&[i64], &str)] = &[
    (
        &[300_001, 300_005, 400_101],
        "no robot has this access_token: copy its whole webhook URL once more",
    ),
    (&[400_013], "the group was dissolved: make a robot in another one"),
    (&[400_102], "the robot is off: turn it on in the group's settings"),
    (&[400_106], "the robot was removed: make a new one"),
    (
        &[460_101, 101_002],
        "the message is longer than DingTalk takes: shorten the templates `title` and `body`",
    ),
    (
        &[430_101, 430_102, 430_103, 430_104],
        "DingTalk takes the words or a link for improper",
    ),
];

/// The URL with a time and a signature, which hold for an hour.
fn signed(url: &str, secret: &str, now: SystemTime) -> String {
    let timestamp = unix_time(now).as_millis();
    let mac = sign::hmac_sha256(secret.as_bytes(), format!("{timestamp}\n{secret}").as_bytes());
    // Base64 has no other characters that mean something in a query; unescaped, `+` would be a blank.
    let sign = sign::base64(&mac)
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    let (url, fragment) = url.split_once('#').unwrap_or((url, ""));
    let joint = match url.find('?') {
        None => "?",
        Some(_) if url.ends_with(['?', '&']) => "",
        Some(_) => "&",
    };
    let fragment = if fragment.is_empty() {
        String::new()
    } else {
        format!("#{fragment}")
    };
    format!("{url}{joint}timestamp={timestamp}&sign={sign}{fragment}")
}

#[cfg(test)]
#[path = "tests/dingtalk.rs"]
mod tests;
