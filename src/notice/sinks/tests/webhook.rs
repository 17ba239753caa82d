use insta::assert_json_snapshot;

use super::super::sample;
use super::*;

fn hook(settings: &str) -> Webhook {
    sample::sink(&format!("url: https://events.example.com/x\n{settings}"))
}

#[test]
fn what_is_sent() {
    let hook = hook("");
    assert_json_snapshot!("routed", sample::json(&hook, &sample::routed(&PLAIN)));
    assert_json_snapshot!("rejected", sample::json(&hook, &sample::rejected(&PLAIN)));
    assert_json_snapshot!("resolved", sample::json(&hook, &sample::resolved(&PLAIN)));
}

fn sent(settings: &str, credentials: &Credentials, body: &str) -> HttpRequest {
    let mut message = sample::rejected(&PLAIN);
    message.id = "msg_1".to_owned();
    message.body = body.to_owned();
    hook(settings).render(&message, credentials, sample::now())
}

fn header<'r>(request: &'r HttpRequest, name: &str) -> &'r str {
    let mut values = request.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
    let (_, value) = values.next().unwrap();
    assert!(values.next().is_none(), "{name} twice");
    value
}

fn signing(secret: &str) -> Credentials {
    Credentials {
        secret: Some(secret.to_owned()),
        ..sample::at("https://a.example.com/")
    }
}

#[test]
fn what_an_event_is_about() {
    let hook = hook("");
    let subject = |message| sample::json(&hook, &message)["subject"].clone();
    assert_eq!(subject(sample::routed(&PLAIN)), "prod/StatefulSet/web");
    assert_eq!(subject(sample::policy(&PLAIN)), "policy");
    let mut several = sample::routed(&PLAIN);
    several.digests.extend(several.digests.clone());
    several.cluster = None;
    assert_eq!(subject(several.clone()), serde_json::Value::Null);
    assert_eq!(sample::json(&hook, &several)["source"], "/label-router");
}

#[test]
fn an_event_is_the_same_at_each_attempt() {
    let at = |seconds| {
        let now = sample::now() + std::time::Duration::from_secs(seconds);
        let sent = hook("").render(&sample::rejected(&PLAIN), &signing("s"), now);
        (header(&sent, "webhook-id").to_owned(), sent.body)
    };
    assert_eq!(at(0), at(60));
}

#[test]
fn a_body_of_the_users_is_sent_as_it_is() {
    let plain = sample::at("https://a.example.com/");
    let request = sent("payload: body", &plain, "{\"a\": 1}\n");
    assert_eq!(request.body, b"{\"a\": 1}\n");
    assert_eq!(header(&request, "content-type"), "application/json");
    let request = sent("payload: body\ncontentType: text/plain; charset=utf-8", &plain, "a");
    assert_eq!(header(&request, "content-type"), "text/plain; charset=utf-8");
    let own = Credentials {
        headers: vec![
            ("Content-Type".to_owned(), "text/x".to_owned()),
            ("X-Key".to_owned(), "k".to_owned()),
        ],
        ..plain.clone()
    };
    let request = sent("", &own, "a");
    assert_eq!(
        (header(&request, "content-type"), header(&request, "x-key")),
        ("text/x", "k")
    );
    let request = sent("", &plain, "a");
    assert!(header(&request, "content-type").starts_with("application/cloudevents+json"));
}

/// `printf '%s' 'msg_1.1700000000.{"a":1}' | openssl dgst -sha256 -hmac 'webhook-secret' -binary | openssl base64 -A`,
/// and of the body alone with `-hex`; `whsec_` with `printf webhook-secret | openssl base64 -A`.
#[test]
fn the_signatures_are_those_of_openssl() {
    for secret in ["webhook-secret", "whsec_d2ViaG9vay1zZWNyZXQ="] {
        let request = sent("payload: body", &signing(secret), r#"{"a":1}"#);
        assert_eq!(header(&request, "webhook-id"), "msg_1");
        assert_eq!(header(&request, "webhook-timestamp"), "1700000000");
        assert_eq!(
            header(&request, "webhook-signature"),
            "v1,g51BLmE6cHq4rq5rgZ9Geut4Y6D9AN4S1NijuK5YlAI="
        );
    }
    let request = sent(
        "payload: body\nsignature: hub",
        &signing("webhook-secret"),
        r#"{"a":1}"#,
    );
    assert_eq!(
        header(&request, "x-hub-signature-256"),
        "sha256=7636aa12ed84a427b685e3c629daaa79b2732c8f15c200a639978d3b48f509f0"
    );
    assert!(!request.headers.iter().any(|(name, _)| name.starts_with("webhook-")));
}

#[test]
fn a_content_type_is_one() {
    for bad in ["json", "text/", "text/plain\r\nX-Y: z", "text/plain; a=\nb", ""] {
        let read: Result<ContentType, _> = serde_yaml::from_str(&serde_json::json!(bad).to_string());
        assert!(read.unwrap_err().to_string().starts_with("bad-content-type"), "{bad}");
    }
}

#[test]
fn answers() {
    sample::assert_answers(
        &hook(""),
        &[
            (200, "", "delivered", ""),
            (200, "<html>", "delivered", ""),
            (202, "", "delivered", ""),
            (204, "", "delivered", ""),
            (301, "", "refused", "redirect"),
            (400, "no", "refused", "HTTP 400: no"),
            (401, "", "refused", "`signature`"),
            (403, "", "refused", "`headers`"),
            (404, "", "refused", "this URL"),
            (408, "", "retry", "408"),
            (410, "", "refused", "remove the sink"),
            (413, "", "refused", "longer"),
            (415, "", "refused", "`contentType`"),
            (425, "", "retry", "425"),
            (429, "", "retry", "429"),
            (503, "", "retry", "503"),
        ],
    );
}
