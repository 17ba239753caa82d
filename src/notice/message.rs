//! What is sent, and what came back: all that a sink's `render` and `classify` see. Pure, so that every answer of a vendor is
//! a line in a table of tests.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::digest::Digest;
use super::redact;
use super::severity::Severity;
use super::template::Written;

/// A message to be sent, written in the sink's markup.
#[derive(Clone, Debug)]
pub struct Message {
    /// One line.
    pub title: String,
    /// Any number of lines, separated by `\n`.
    pub body: String,
    /// Links to show below it: text and URL.
    pub links: Vec<(String, String)>,
    /// What it tells, for sinks that are read by machines.
    pub digests: Vec<Digest>,
    /// The worst of what it tells.
    pub severity: Severity,
    /// True where all that it tells is that something ended.
    pub resolved: bool,
    /// The cluster's name, where it has one.
    pub cluster: Option<String>,
    /// Tells this message from every other, in all replicas; the same for each attempt.
    pub id: String,
    /// True where nothing of it happened: somebody tries a sink.
    pub is_test: bool,
}

impl Message {
    /// What templates made of digests.
    pub fn new(written: Written, digests: Vec<Digest>, cluster: Option<String>, id: String) -> Self {
        Self {
            title: written.title,
            body: written.body,
            links: written.links,
            severity: digests.iter().map(|digest| digest.severity).max().unwrap_or_default(),
            resolved: digests.iter().all(|digest| digest.resolved),
            digests,
            cluster,
            id,
            is_test: false,
        }
    }
}

/// What a sink is reached by, resolved. Its `Debug` prints none of it.
#[derive(Clone, Default)]
pub struct Credentials {
    /// Where to send; most chat robots have their token in it.
    pub url: String,
    /// What to sign with.
    pub secret: Option<String>,
    /// Headers to send.
    pub headers: Vec<(String, String)>,
}

impl Credentials {
    /// A text of somebody else's, without the credentials that it may repeat.
    pub fn redact(&self, text: &str) -> String {
        redact::redacted(self, text)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("<credentials>")
    }
}

/// A POST to make. Its `Debug` leaves out the URL and the headers, which may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Where to.
    pub url: String,
    /// Headers, `content-type` among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl HttpRequest {
    /// A POST of JSON.
    pub fn json(url: impl Into<String>, body: Vec<u8>) -> Self {
        Self {
            url: url.into(),
            headers: vec![("content-type".to_owned(), "application/json; charset=utf-8".to_owned())],
            body,
        }
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpRequest")
            .field("body", &String::from_utf8_lossy(&self.body))
            .finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'r> {
    /// The HTTP status.
    pub status: u16,
    /// The header `retry-after`, where it was there and could be read.
    pub retry_after: Option<Duration>,
    /// The start of the body, to see what the answer means.
    pub body: &'r str,
    /// The same without the credentials that it may repeat, to be shown. It is another text, since a piece of a URL may be
    /// one of the words by which an answer is known.
    pub shown: &'r str,
}

/// What came of an attempt. The words are for whoever runs label-router, and hold what the vendor said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is there.
    Delivered,
    /// It is not there, and the same message may get there later.
    Retry {
        /// How long the vendor wants to be left alone, where it says so.
        after: Option<Duration>,
        /// What it said.
        why: String,
    },
    /// The vendor takes no message for a time: sending goes on then, with this message.
    Barred {
        /// How long.
        wait: Duration,
        /// What it said.
        why: String,
    },
    /// It is not there and never will be: sending the same again is of no use.
    Refused {
        /// What it said, and what to do.
        why: String,
    },
}

impl Verdict {
    /// What HTTP itself says of an answer, for the answers of which the vendor says nothing else.
    ///
    /// Source: RFC 9110, section 15; RFC 6585 for 429.
    pub fn of_status(reply: &Reply<'_>) -> Self {
        let said = said(reply);
        match reply.status {
            200..=299 => Self::Delivered,
            300..=399 => Self::Refused {
                why: format!(
                    "{said}: a redirect is not followed, since it would carry the message and its secrets to another address; \
                     write the final URL"
                ),
            },
            408 | 425 | 429 | 500..=599 => Self::Retry {
                after: reply.retry_after,
                why: said,
            },
            _ => Self::Refused { why: said },
        }
    }
}

/// The status and the start of the body, as one line. It is cut after credentials are redacted: half of a token would be
/// found no more.
pub fn said(reply: &Reply<'_>) -> String {
    const LONGEST: usize = 200;
    let body: String = reply.shown.split_whitespace().collect::<Vec<_>>().join(" ");
    if body.is_empty() {
        format!("HTTP {}", reply.status)
    } else {
        format!("HTTP {}: {}", reply.status, clipped(&body, LONGEST))
    }
}

/// The start of a text, `most` bytes long at most, and dots where that is not all: what somebody sends must not fill the memory.
pub(super) fn clipped(text: &str, most: usize) -> String {
    let end = text.floor_char_boundary(most);
    if end < text.len() {
        format!("{}…", &text[..end])
    } else {
        text.to_owned()
    }
}

/// How much a vendor takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How many messages.
    pub messages: u32,
    /// In which time.
    pub per: Duration,
}

/// Builds a request's body around a text that is cut where the whole would be longer than a limit: between lines where
/// possible, so that no markup is torn apart, and never within a character.
pub fn fit(text: &str, limit: usize, build: impl Fn(&str) -> Vec<u8>) -> Vec<u8> {
    const DOTS: &str = "…";
    let whole = build(text);
    if whole.len() <= limit {
        return whole;
    }
    let start = |room: usize| {
        let end = text.floor_char_boundary(room);
        match text[..end].rfind('\n') {
            Some(line) if line > 0 => format!("{}\n{DOTS}", &text[..line]),
            _ => format!("{}{DOTS}", &text[..end]),
        }
    };
    // How much longer a sink makes a line is its own business, so that the longest start that fits is searched.
    let (mut fits, mut too_long) = (0, text.len());
    while fits + 1 < too_long {
        let middle = usize::midpoint(fits, too_long);
        if build(&start(middle)).len() <= limit {
            fits = middle;
        } else {
            too_long = middle;
        }
    }
    build(&start(fits))
}

/// Seconds since 1970.
pub(crate) fn unix_time(at: SystemTime) -> Duration {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// A time in RFC 3339, to the second, in UTC.
pub(crate) fn rfc3339(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(|_| String::new(), |at| format!("{at:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_start_that_fits_is_kept() {
        // A sink that makes each line ten bytes longer, and has a frame of two.
        let build = |text: &str| format!("[{}]", text.replace('\n', "\n0123456789")).into_bytes();
        let fitted = |text: &str, limit| String::from_utf8(fit(text, limit, build)).unwrap();
        assert_eq!(fitted("ab\ncd", 17), "[ab\n0123456789cd]");
        assert_eq!(fitted("ab\ncd", 16), "[ab…]");
        let long = "ab\n".repeat(1000);
        let kept = fitted(&long, 1000);
        assert!(kept.len() <= 1000 && kept.len() > 1000 - 14, "{}", kept.len());
        assert!(kept.ends_with("\n0123456789ab\n0123456789…]"), "{kept}");
        // A line that is too long is cut between characters; a frame that is too long stays.
        assert_eq!(fitted("名名名", 8), "[名…]");
        assert_eq!(fitted("名名名", 1), "[…]");
    }
}
