use insta::assert_json_snapshot;

use super::super::sample::{self, NASTY};
use super::*;

const URL: &str = "url: https://oapi.dingtalk.com/robot/send?access_token=t\n";

fn robot(settings: &str) -> DingTalk {
    sample::sink(&format!("{URL}{settings}"))
}

#[test]
fn what_is_sent() {
    let robot = robot("");
    assert_json_snapshot!("routed", sample::json(&robot, &sample::routed(&MARKUP)));
    assert_json_snapshot!("rejected", sample::json(&robot, &sample::rejected(&MARKUP)));
    assert_json_snapshot!("resolved", sample::json(&robot, &sample::resolved(&MARKUP)));
}

#[test]
fn plain_text_shows_all_as_it_is() {
    let robot = robot("format: text\natMobiles: ['138']\natAll: true");
    let sent = sample::json(&robot, &sample::rejected(robot.markup()));
    let content = sent["text"]["content"].as_str().unwrap();
    assert!(content.contains(NASTY), "{content}");
    assert!(
        content.ends_with("Grafana [1]: https://g.example.com/d/1?a=1&b=2\n@138"),
        "{content}"
    );
    assert_eq!(sent["at"], json!({ "atMobiles": ["138"], "isAtAll": true }));
}

#[test]
fn people_are_mentioned_from_a_severity_on_and_in_the_text() {
    let settings = "atMobiles: ['138', '139']\natAll: true\n";
    let nobody = json!({ "atMobiles": [], "isAtAll": false });
    let both = json!({ "atMobiles": ["138", "139"], "isAtAll": true });
    for (from, message, at) in [
        ("critical", sample::routed(&MARKUP), &nobody),
        ("critical", sample::rejected(&MARKUP), &both),
        ("info", sample::routed(&MARKUP), &both),
        ("info", sample::resolved(&MARKUP), &nobody),
    ] {
        let sent = sample::json(&robot(&format!("{settings}mentionFrom: {from}")), &message);
        let text = sent["markdown"]["text"].as_str().unwrap();
        assert_eq!(&sent["at"], at, "{from} {}", message.title);
        assert_eq!(text.ends_with("\n\n@138 @139"), at == &both, "{text}");
    }
}

#[test]
fn the_keyword_is_added_where_it_is_not() {
    let text = |keyword: &str| {
        let sent = sample::json(&robot(&format!("keyword: {keyword}")), &sample::routed(&MARKUP));
        sent["markdown"]["text"].as_str().unwrap().to_owned()
    };
    assert!(text("label_router").ends_with("\n\nlabel_router"));
    assert!(!text("StatefulSet").ends_with("StatefulSet"));
    // It counts as it is written in the text, not as it shows.
    assert!(text("_d_").ends_with("\n\n_d_"));
}

#[test]
fn a_long_body_is_cut_and_keeps_what_stands_below_it() {
    let mut message = sample::rejected(&MARKUP);
    message.body = "- 名字\"名字\"\n".repeat(3000);
    let robot = robot("keyword: label_router\natMobiles: ['138']");
    let sent = sample::request(&robot, &message);
    assert!(
        sent.body.len() <= LIMIT && sent.body.len() > LIMIT - 100,
        "{}",
        sent.body.len()
    );
    let sent = sample::json(&robot, &message);
    let text = sent["markdown"]["text"].as_str().unwrap();
    assert!(text.contains("名字\"\n\n…\n\n["), "{text}");
    assert!(text.ends_with("@138\n\nlabel_router"), "{text}");
    let room = message.body.floor_char_boundary(robot.room().unwrap());
    message.body.truncate(room);
    assert!(
        !String::from_utf8(sample::request(&robot, &message).body)
            .unwrap()
            .contains('…')
    );
}

/// `printf '%s\n%s' $T $K | openssl dgst -sha256 -hmac "$K" -binary | openssl base64 -A`, with `+`, `/` and `=` as
/// `%2B`, `%2F` and `%3D`.
#[test]
fn the_signature_is_that_of_openssl() {
    let sign = "timestamp=1700000000000&sign=TSZbRFUuvaSQaRKUpF970OPCb2%2FLcQAP3wOvwZIzBZk%3D";
    for (url, wanted) in [
        (
            "https://a/send?access_token=t",
            format!("https://a/send?access_token=t&{sign}"),
        ),
        ("https://a/send", format!("https://a/send?{sign}")),
        ("https://a/send?", format!("https://a/send?{sign}")),
        ("https://a/send?a=b&#c", format!("https://a/send?a=b&{sign}#c")),
    ] {
        let credentials = Credentials {
            secret: Some("SEC0123456789abcdef".to_owned()),
            ..sample::at(url)
        };
        let sent = robot("").render(&sample::routed(&MARKUP), &credentials, sample::now());
        assert_eq!(sent.url, wanted);
    }
}

#[test]
fn answers() {
    sample::assert_answers(
        &robot(""),
        &[
            (200, r#"{"errcode":0,"errmsg":"ok"}"#, "delivered", ""),
            (200, r#"{"errcode":"0","errmsg":"ok"}"#, "delivered", ""),
            (200, r#"{"errcode":-1,"errmsg":"系统繁忙"}"#, "retry", "系统繁忙"),
            (
                200,
                r#"{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}"#,
                "barred",
                "600 s: ",
            ),
            (
                200,
                r#"{"errcode":410100,"errmsg":"发送速度太快而限流"}"#,
                "barred",
                "600 s: ",
            ),
            (
                200,
                r#"{"errcode":310000,"errmsg":"keywords not in content"}"#,
                "refused",
                "as `keyword`",
            ),
            (
                200,
                r#"{"errcode":310000,"errmsg":"description:关键词不匹配;solution:…"}"#,
                "refused",
                "as `keyword`",
            ),
            (
                200,
                r#"{"errcode":310000,"errmsg":"sign not match"}"#,
                "refused",
                "clock right?",
            ),
            (
                200,
                r#"{"errcode":310000,"errmsg":"invalid timestamp"}"#,
                "refused",
                "clock right?",
            ),
            (
                200,
                r#"{"errcode":310000,"errmsg":"ip 1.2.3.4 not in whitelist"}"#,
                "refused",
                "add that of the cluster",
            ),
            (200, r#"{"errcode":310000,"errmsg":"else"}"#, "refused", "else"),
            (
                200,
                r#"{"errcode":300001,"errmsg":"token is not exist"}"#,
                "refused",
                "access_token",
            ),
            (
                200,
                r#"{"errcode":300005,"errmsg":"token is not exist"}"#,
                "refused",
                "access_token",
            ),
            (200, r#"{"errcode":400013}"#, "refused", "dissolved"),
            (200, r#"{"errcode":400102}"#, "refused", "off"),
            (200, r#"{"errcode":400106}"#, "refused", "removed"),
            (200, r#"{"errcode":460101}"#, "refused", "shorten"),
            (200, r#"{"errcode":101002}"#, "refused", "shorten"),
            (200, r#"{"errcode":430102}"#, "refused", "improper"),
            (200, r#"{"errcode":40035,"errmsg":"参数错误"}"#, "refused", "参数错误"),
            (200, "<html>please log in</html>", "retry", "no answer of DingTalk"),
            (200, "", "retry", "no answer of DingTalk"),
            (302, "", "refused", "redirect"),
            (404, "", "refused", "404"),
            (429, "", "retry", "429"),
            (502, r#"{"errcode":0}"#, "retry", "502"),
        ],
    );
}
