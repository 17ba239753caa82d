//! Messages for the tests of sinks, with all that a markup must not take for its own.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::notice::digest::Digest;
use crate::notice::grouping::{By, Grouping};
use crate::notice::groups::Groups;
use crate::notice::markup::Markup;
use crate::notice::message::{Credentials, HttpRequest, Message, Reply, Verdict};
use crate::notice::notice::{Kind, Notice};
use crate::notice::samples;
use crate::notice::severity::Severity;
use crate::notice::sinks::HttpSink;

/// What a name or an error may hold, and what no markup may take for its own.
pub(super) const NASTY: &str =
    "a*b*c _d_ ~e~ `f` <g> &lt; [h](i) #j @all <!channel> <at id=all></at> :k: \\l |m| {{n}}\n# o\n1. p\n> q\u{1b}";

/// When all of it happens.
pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn notice(kind: Kind, severity: Severity) -> Notice {
    Notice {
        kind,
        severity,
        namespace: "prod".to_owned(),
        owner: Some(samples::stateful_set("web")),
        pod: "web-0".to_owned(),
        rule: Some(Arc::from("web-zones")),
        route: Some(0),
        place: String::new(),
        message: String::new(),
        generation: "1a2b3c".to_owned(),
        at: now() - Duration::from_secs(30),
    }
}

fn grouping() -> Grouping {
    Grouping {
        by: vec![By::Owner, By::Outcome],
        wait: Duration::ZERO,
        interval: Duration::ZERO,
        repeat: Duration::from_hours(1),
        resolve: Duration::from_hours(1),
    }
}

/// What is told of some notices, which are one group.
pub(super) fn digests(notices: &[Notice], are_over: bool) -> Vec<Digest> {
    let mut groups = Groups::new(grouping());
    for notice in notices {
        groups.add(&Arc::new(notice.clone()), Duration::ZERO);
    }
    if are_over {
        groups.flush(Duration::ZERO);
        for notice in notices {
            groups.end(notice, Duration::from_secs(10));
        }
        groups.end_policy("8c2e4d6f0a1b", SystemTime::UNIX_EPOCH, Duration::from_secs(10));
    }
    groups.flush(Duration::from_secs(10))
}

fn message(markup: &Markup, title: &str, digests: Vec<Digest>) -> Message {
    let (escape, bold, code, link) = (markup.escape, markup.bold, markup.code, markup.link);
    let body = format!(
        "{}: {}\n{bullet}{}\n{bullet}{}\nsee {}",
        bold(&escape("web-0")),
        escape(NASTY),
        code("pool=a`b<c>"),
        escape("second"),
        link(&escape("runbook"), "https://run.example.com/x?a=1&b=(2)"),
        bullet = markup.bullet,
    );
    Message {
        title: title.to_owned(),
        body,
        links: vec![("Grafana [1]".to_owned(), "https://g.example.com/d/1?a=1&b=2".to_owned())],
        severity: digests.iter().map(|digest| digest.severity).max().unwrap_or_default(),
        resolved: digests.iter().all(|digest| digest.resolved),
        digests,
        cluster: Some("eu 1".to_owned()),
        id: "b3f2-1".to_owned(),
        is_test: false,
    }
}

/// Pods were placed.
pub(super) fn routed(markup: &Markup) -> Message {
    let notices: Vec<Notice> = [("web-0", "zone-a"), ("web-1", "zone-b")]
        .into_iter()
        .map(|(pod, place)| Notice {
            pod: pod.to_owned(),
            place: place.to_owned(),
            ..notice(Kind::Routed, Severity::Info)
        })
        .collect();
    message(
        markup,
        "eu 1: StatefulSet prod/web: 2 replicas routed",
        digests(&notices, false),
    )
}

fn rejection() -> Notice {
    Notice {
        message: NASTY.to_owned(),
        ..notice(Kind::Rejected, Severity::Critical)
    }
}

/// A Pod was refused.
pub(super) fn rejected(markup: &Markup) -> Message {
    message(
        markup,
        "*1* replica of <web> & `co` rejected @all",
        digests(&[rejection()], false),
    )
}

/// A Pod is no longer refused.
pub(super) fn resolved(markup: &Markup) -> Message {
    message(
        markup,
        "eu 1: 1 replica no longer rejected",
        digests(&[rejection()], true),
    )
}

/// The policy cannot be served.
pub(super) fn policy(markup: &Markup) -> Message {
    let notice = Notice::policy_refused("policy.yaml:3: no", "1a2b3c", now());
    message(markup, "the policy cannot be served", digests(&[notice], false))
}

/// A sink from its settings, as a policy writes them.
pub(super) fn sink<T: serde::de::DeserializeOwned>(settings: &str) -> T {
    serde_yaml::from_str(settings).unwrap()
}

/// Credentials with nothing but a URL.
pub(super) fn at(url: &str) -> Credentials {
    Credentials {
        url: url.to_owned(),
        ..Credentials::default()
    }
}

/// What is sent.
pub(super) fn request(sink: &impl HttpSink, message: &Message) -> HttpRequest {
    sink.render(message, &at("https://a.example.com/robot"), now())
}

/// The JSON that is sent.
pub(super) fn json(sink: &impl HttpSink, message: &Message) -> Value {
    serde_json::from_slice(&request(sink, message).body).unwrap()
}

/// What a sink makes of a status and a body: the name of the verdict, and its words.
pub(super) fn verdict(sink: &impl HttpSink, status: u16, body: &str) -> (&'static str, String) {
    let reply = Reply {
        status,
        retry_after: Some(Duration::from_secs(7)),
        body,
        shown: body,
    };
    match sink.classify(&reply) {
        Verdict::Delivered => ("delivered", String::new()),
        Verdict::Retry { after, why } => {
            assert_eq!(after, reply.retry_after, "{status} {body}");
            ("retry", why)
        }
        Verdict::Barred { wait, why } => ("barred", format!("{} s: {why}", wait.as_secs())),
        Verdict::Refused { why } => ("refused", why),
    }
}

/// Checks a table of statuses, bodies, verdicts and something of their words.
pub(super) fn assert_answers(sink: &impl HttpSink, table: &[(u16, &str, &str, &str)]) {
    for (status, body, wanted, words) in table {
        let (found, why) = verdict(sink, *status, body);
        assert_eq!(found, *wanted, "{status} {body}: {why}");
        assert!(why.contains(words), "{status} {body}: {why}");
    }
}
