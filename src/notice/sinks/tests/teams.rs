use insta::assert_json_snapshot;

use super::super::sample;
use super::*;

fn workflow() -> Teams {
    sample::sink("url: https://prod-1.westeurope.logic.azure.com/workflows/1?sp=%2Ftriggers%2Fmanual%2Frun&sig=s")
}

#[test]
fn what_is_sent() {
    let workflow = workflow();
    assert_json_snapshot!("routed", sample::json(&workflow, &sample::routed(&MARKUP)));
    assert_json_snapshot!("rejected", sample::json(&workflow, &sample::rejected(&MARKUP)));
    assert_json_snapshot!("resolved", sample::json(&workflow, &sample::resolved(&MARKUP)));
}

#[test]
fn the_query_of_the_url_stays_as_it_is() {
    let url = "https://a.example.com/x?sp=%2Ftriggers%2Fmanual%2Frun&sig=a%2Bb";
    let sent = workflow().render(&sample::routed(&MARKUP), &sample::at(url), sample::now());
    assert_eq!(sent.url, url);
}

#[test]
fn marks_become_pieces_and_cannot_be_forged() {
    let texts = |line: &str| -> Vec<String> {
        runs(line)
            .iter()
            .map(|run| {
                let more: Vec<&String> = run.as_object().unwrap().keys().filter(|key| *key != "type").collect();
                format!("{} {more:?}", run["text"].as_str().unwrap())
            })
            .collect()
    };
    let link = (MARKUP.link)("t", "https://a.example.com/");
    assert_eq!(
        texts(&format!("a{}c{}", (MARKUP.bold)("b"), (MARKUP.code)("d"))),
        [
            r#"a ["text"]"#,
            r#"b ["text", "weight"]"#,
            r#"c ["text"]"#,
            r#"d ["fontType", "text"]"#,
        ]
    );
    assert_eq!(
        texts(&format!("{link}e")),
        [r#"t ["selectAction", "text"]"#, r#"e ["text"]"#]
    );
    // Cut within the link.
    assert_eq!(texts(&link[..=link.find('t').unwrap()]), [r#"t ["text"]"#]);
    assert_eq!(escape("a\u{fdd0}b\u{fdd4}\u{7}"), "ab");
    assert_eq!(texts(""), Vec::<String>::new());
    assert_eq!(run("{{{DATE(x)}}}")["text"], "{\u{200b}{{DATE(x)}}}");
}

#[test]
fn a_long_body_is_cut() {
    let mut message = sample::rejected(&MARKUP);
    message.body = format!("• {}: 名字\"名字\"\n", (MARKUP.bold)("web-0")).repeat(300);
    let sent = sample::request(&workflow(), &message);
    assert!(
        sent.body.len() <= LIMIT && sent.body.len() > LIMIT - 400,
        "{}",
        sent.body.len()
    );
    let sent = sample::json(&workflow(), &message);
    let blocks = sent["attachments"][0]["content"]["body"].as_array().unwrap();
    assert_eq!(blocks.last().unwrap()["inlines"][0]["text"], "…");
    let room = message.body.floor_char_boundary(workflow().room().unwrap());
    message.body.truncate(room);
    assert!(
        !String::from_utf8(sample::request(&workflow(), &message).body)
            .unwrap()
            .contains('…')
    );
}

#[test]
fn answers() {
    sample::assert_answers(
        &workflow(),
        &[
            (202, "", "delivered", ""),
            (200, "", "delivered", ""),
            (200, r#"{"status":"done"}"#, "delivered", ""),
            (200, "1", "delivered", ""),
            (
                200,
                "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId …",
                "retry",
                "429",
            ),
            (
                200,
                "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 413 with ContextId …",
                "refused",
                "413",
            ),
            (
                200,
                "<html>the log in failed</html>",
                "retry",
                "no answer of a workflow",
            ),
            (
                400,
                r#"{"error":{"code":"TriggerInputSchemaMismatch","message":"…"}}"#,
                "refused",
                "webhook request",
            ),
            (
                401,
                r#"{"error":{"code":"DirectApiAuthorizationRequired"}}"#,
                "refused",
                "let anyone trigger it",
            ),
            (
                403,
                r#"{"error":{"code":"AuthorizationFailed"}}"#,
                "refused",
                "signature",
            ),
            (
                404,
                r#"{"error":{"code":"WorkflowNotFound"}}"#,
                "refused",
                "make a new one",
            ),
            (413, "", "refused", "shorten"),
            (302, "", "refused", "redirect"),
            (408, "", "retry", "408"),
            (429, r#"{"error":{"code":"429"}}"#, "retry", "429"),
            (502, "", "retry", "502"),
        ],
    );
}
