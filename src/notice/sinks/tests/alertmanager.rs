use insta::assert_json_snapshot;

use super::super::sample::{self, json};
use super::*;

fn sink() -> Alertmanager {
    sample::sink("url: http://alertmanager.monitoring:9093")
}

#[test]
fn what_is_sent() {
    let sink = sink();
    assert_json_snapshot!("routed", json(&sink, &sample::routed(&PLAIN)));
    assert_json_snapshot!("rejected", json(&sink, &sample::rejected(&PLAIN)));
    assert_json_snapshot!("resolved", json(&sink, &sample::resolved(&PLAIN)));
    assert_json_snapshot!("policy", json(&sink, &sample::policy(&PLAIN)));
}

#[test]
fn what_has_ended_is_what_began() {
    let sink = sink();
    let (began, ended) = (sample::rejected(&PLAIN), sample::resolved(&PLAIN));
    assert_eq!(json(&sink, &began)[0]["labels"], json(&sink, &ended)[0]["labels"]);
    assert_eq!(json(&sink, &ended)[0]["endsAt"], rfc3339(sample::now()));
}

#[test]
fn an_alert_goes_on_while_one_of_its_lines_does() {
    let mut message = sample::rejected(&PLAIN);
    let mut other = message.digests[0].lines[0].clone();
    other.resolved = true;
    other.pods = vec!["web-9".to_owned()];
    message.digests[0].lines.push(other.clone());
    other.outcome = Kind::Unchanged;
    other.resolved = false;
    message.digests[0].lines.push(other);
    let sent = json(&sink(), &message);
    assert_eq!(sent.as_array().unwrap().len(), 2);
    assert_eq!(sent[0]["endsAt"], rfc3339(sample::now() + message.digests[0].lasts));
    let described = |at: usize| sent[at]["annotations"]["description"].as_str().unwrap();
    assert!(described(0).starts_with("web-0: a*b*c"), "{}", described(0));
    assert!(described(1).starts_with("web-9: "), "{}", described(1));
}

#[test]
fn an_alert_ends_that_began_and_ended_in_one_digest() {
    for mut message in [sample::rejected(&PLAIN), sample::policy(&PLAIN)] {
        let digest = &mut message.digests[0];
        let mut end = digest.lines[0].clone();
        end.resolved = true;
        digest.lines.push(end);
        digest.still = 0;
        let sent = json(&sink(), &message);
        assert_eq!(sent.as_array().unwrap().len(), 1);
        assert_eq!(sent[0]["endsAt"], rfc3339(sample::now()));
        // Another Pod is rejected still, or the same one again.
        message.digests[0].still = 1;
        assert_ne!(json(&sink(), &message)[0]["endsAt"], rfc3339(sample::now()));
    }
}

#[test]
fn what_a_test_fires_is_told_from_others_and_ends_soon() {
    for mut message in [sample::rejected(&PLAIN), sample::policy(&PLAIN)] {
        assert_eq!(json(&sink(), &message)[0]["labels"]["test"], serde_json::Value::Null);
        message.is_test = true;
        let sent = json(&sink(), &message);
        assert_eq!(sent[0]["labels"]["test"], "true");
        assert_eq!(sent[0]["endsAt"], rfc3339(sample::now() + PASSING));
    }
}

#[test]
fn an_alert_goes_on_while_another_pod_is_rejected() {
    let mut message = sample::resolved(&PLAIN);
    message.digests[0].still = 1;
    message.digests[0].lasts = Duration::from_hours(1);
    let ends = sample::now() + Duration::from_hours(1);
    assert_eq!(json(&sink(), &message)[0]["endsAt"], rfc3339(ends));
}

#[test]
fn the_path_is_added_once_and_before_a_query() {
    for (url, wanted) in [
        ("http://a:9093", "http://a:9093/api/v2/alerts"),
        ("http://a:9093/", "http://a:9093/api/v2/alerts"),
        ("https://a/am/?b=c/", "https://a/am/api/v2/alerts?b=c/"),
        ("https://a/api/v2/alerts", "https://a/api/v2/alerts"),
    ] {
        assert_eq!(endpoint(url), wanted);
    }
}

#[test]
fn headers_are_sent() {
    let credentials = Credentials {
        headers: vec![("Authorization".to_owned(), "Basic x".to_owned())],
        ..sample::at("http://a")
    };
    let sent = sink().render(&sample::routed(&PLAIN), &credentials, sample::now());
    assert!(sent.headers.contains(&credentials.headers[0]));
}

#[test]
fn answers() {
    sample::assert_answers(
        &sink(),
        &[
            (200, "", "delivered", ""),
            (200, r#"{"status":"success"}"#, "delivered", ""),
            (
                200,
                "<html>please log in</html>",
                "retry",
                "no answer of an Alertmanager",
            ),
            (302, "", "refused", "redirect"),
            (400, r#""bad labels""#, "refused", "bad labels"),
            (401, "", "refused", "`headers`"),
            (403, "", "refused", "`headers`"),
            (404, "404 page not found", "refused", "prefix"),
            (405, "", "refused", "prefix"),
            (429, "", "retry", "429"),
            (500, "", "retry", "500"),
            (503, "", "retry", "503"),
        ],
    );
}
