use insta::assert_json_snapshot;

use super::super::sample;
use super::*;

fn robot(settings: &str) -> WeCom {
    sample::sink(&format!(
        "url: https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=k\n{settings}"
    ))
}

fn content(robot: &WeCom, message: &Message) -> String {
    let sent = sample::json(robot, message);
    sent["markdown"]["content"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_sent() {
    let robot = robot("");
    assert_json_snapshot!("routed", sample::json(&robot, &sample::routed(&MARKUP)));
    assert_json_snapshot!("rejected", sample::json(&robot, &sample::rejected(&MARKUP)));
    assert_json_snapshot!("resolved", sample::json(&robot, &sample::resolved(&MARKUP)));
}

#[test]
fn people_are_mentioned_from_a_severity_on() {
    let robot = robot("atUsers: [zhangsan, lisi]\nmentionFrom: warning");
    assert!(content(&robot, &sample::rejected(&MARKUP)).ends_with("\n<@zhangsan> <@lisi>"));
    assert!(!content(&robot, &sample::routed(&MARKUP)).contains("<@"));
    assert!(!content(&robot, &sample::resolved(&MARKUP)).contains("<@"));
}

#[test]
fn the_limit_is_one_of_bytes_of_the_content() {
    let mut message = sample::rejected(&MARKUP);
    // Three bytes each; JSON would take two bytes for a quote, which do not count.
    message.body = "• 名字\"名字\"\n".repeat(400);
    let robot = robot("atUsers: [lisi]");
    let cut = content(&robot, &message);
    assert!(cut.len() <= LIMIT && cut.len() > LIMIT - 30, "{}", cut.len());
    assert!(cut.contains("名字\"\n…\n[Grafana") && cut.ends_with("<@lisi>"), "{cut}");
    message.body = "名".repeat(LIMIT);
    let cut = content(&robot, &message);
    assert!(
        cut.len() <= LIMIT && cut.len() > LIMIT - 30 && cut.contains("名…\n"),
        "{cut}"
    );
    message.body = "a".repeat(robot.room().unwrap());
    assert!(!content(&robot, &message).contains('…'));
}

#[test]
fn no_character_is_written_as_a_number() {
    let mut message = sample::rejected(&MARKUP);
    message.body.push_str("\u{1b}[1m\tcolour 颜色 😀\u{0}");
    let sent = String::from_utf8(sample::request(&robot(""), &message).body).unwrap();
    assert!(!sent.contains("\\u") && sent.contains("[1mcolour 颜色 😀"), "{sent}");
}

#[test]
fn answers() {
    sample::assert_answers(
        &robot(""),
        &[
            (200, r#"{"errcode":0,"errmsg":"ok"}"#, "delivered", ""),
            (200, r#"{"errcode":-1,"errmsg":"system busy"}"#, "retry", "busy"),
            (200, r#"{"errcode":45033,"errmsg":"concurrency"}"#, "retry", "45033"),
            (
                200,
                r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#,
                "barred",
                "60 s: ",
            ),
            (
                200,
                r#"{"errcode":93000,"errmsg":"invalid webhook url, hint: […]"}"#,
                "refused",
                "make a new robot",
            ),
            (200, r#"{"errcode":93001}"#, "refused", "forbids"),
            (200, r#"{"errcode":93004}"#, "refused", "forbids"),
            (200, r#"{"errcode":93008}"#, "refused", "not in the group"),
            (200, r#"{"errcode":93017}"#, "refused", "empty"),
            (200, r#"{"errcode":44004}"#, "refused", "empty"),
            (200, r#"{"errcode":40008}"#, "refused", "character"),
            (200, r#"{"errcode":40033}"#, "refused", "character"),
            (
                200,
                r#"{"errcode":40058,"errmsg":"markdown.content exceed max length 4096"}"#,
                "refused",
                "shorten",
            ),
            (200, r#"{"errcode":45002}"#, "refused", "shorten"),
            (200, r#"{"errcode":1,"errmsg":"new"}"#, "refused", "new"),
            (200, "<html>please log in</html>", "retry", "no answer of WeCom"),
            (200, "", "retry", "no answer of WeCom"),
            (302, "", "refused", "redirect"),
            (403, "", "refused", "403"),
            (429, "", "retry", "429"),
            (503, r#"{"errcode":0}"#, "retry", "503"),
        ],
    );
}
