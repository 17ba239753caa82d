use insta::assert_json_snapshot;

use super::super::sample;
use super::*;

fn robot(settings: &str) -> Feishu {
    sample::sink(&format!(
        "url: https://open.feishu.cn/open-apis/bot/v2/hook/t\n{settings}"
    ))
}

#[test]
fn what_is_sent() {
    let robot = robot("");
    assert_json_snapshot!("routed", sample::json(&robot, &sample::routed(&MARKUP)));
    assert_json_snapshot!("rejected", sample::json(&robot, &sample::rejected(&MARKUP)));
    assert_json_snapshot!("resolved", sample::json(&robot, &sample::resolved(&MARKUP)));
}

fn contents(robot: &Feishu, message: &Message) -> Vec<String> {
    let sent = sample::json(robot, message);
    let elements = sent["card"]["body"]["elements"].as_array().unwrap();
    let content = |element: &serde_json::Value| element["content"].as_str().unwrap().to_owned();
    elements.iter().map(content).collect()
}

#[test]
fn people_are_mentioned_from_a_severity_on() {
    let robot = robot("atUsers: [ou_a, ou_b]\natAll: true");
    let last = |message| contents(&robot, &message).pop().unwrap();
    let mentions = "<at id=ou_a></at> <at id=ou_b></at> <at id=all></at>";
    assert!(last(sample::rejected(&MARKUP)).ends_with(mentions));
    assert!(!last(sample::resolved(&MARKUP)).contains("<at"));
    assert!(!last(sample::routed(&MARKUP)).contains("<at"));
}

#[test]
fn the_keyword_is_added_where_it_is_not() {
    let last = |keyword: &str| contents(&robot(&format!("keyword: {keyword}")), &sample::routed(&MARKUP)).pop();
    assert_eq!(last("label_router").unwrap(), "label_router");
    assert!(last("StatefulSet").unwrap().starts_with("[Grafana"));
}

#[test]
fn a_long_body_is_cut_and_keeps_what_stands_below_it() {
    let mut message = sample::rejected(&MARKUP);
    message.body = "- 名字\"名字\"\n".repeat(3000);
    let robot = robot("keyword: label_router");
    let sent = sample::request(&robot, &message);
    assert!(
        sent.body.len() <= LIMIT && sent.body.len() > LIMIT - 100,
        "{}",
        sent.body.len()
    );
    let contents = contents(&robot, &message);
    assert!(contents[0].ends_with("名字\"\n\n…"), "{contents:?}");
    assert_eq!(contents[2], "label_router");
    let room = message.body.floor_char_boundary(robot.room().unwrap());
    message.body.truncate(room);
    assert!(
        !String::from_utf8(sample::request(&robot, &message).body)
            .unwrap()
            .contains('…')
    );
}

/// `printf '' | openssl dgst -sha256 -hmac "$(printf '1700000000\nfeishu-secret')" -binary | openssl base64 -A`
#[test]
fn the_signature_is_that_of_openssl() {
    let credentials = Credentials {
        secret: Some("feishu-secret".to_owned()),
        ..sample::at("https://a.example.com/")
    };
    let sent = robot("").render(&sample::routed(&MARKUP), &credentials, sample::now());
    let sent: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(sent["timestamp"], "1700000000");
    assert_eq!(sent["sign"], "OrBzY1Y01Gq+HgJsl+7OfWcMVwc7YocohQm5iiZwjhU=");
}

#[test]
fn answers() {
    sample::assert_answers(
        &robot(""),
        &[
            (200, r#"{"code":0,"msg":"success","data":{}}"#, "delivered", ""),
            (
                200,
                r#"{"StatusCode":0,"StatusMessage":"success","code":0,"msg":"success"}"#,
                "delivered",
                "",
            ),
            (200, r#"{"StatusCode":0,"StatusMessage":"success"}"#, "delivered", ""),
            (
                200,
                r#"{"code":11232,"msg":"frequency limited psm[…]appID[1500]"}"#,
                "retry",
                "11232",
            ),
            (200, r#"{"code":11233,"msg":"…"}"#, "retry", "11233"),
            (
                400,
                r#"{"code":99991400,"msg":"request trigger frequency limit"}"#,
                "retry",
                "99991400",
            ),
            (
                429,
                r#"{"code":99991400,"msg":"request trigger frequency limit"}"#,
                "retry",
                "99991400",
            ),
            (200, r#"{"code":9499,"msg":"too many request"}"#, "retry", "9499"),
            (
                400,
                r#"{"code":9499,"msg":"Bad Request","data":{}}"#,
                "refused",
                "shorten",
            ),
            (
                200,
                r#"{"code":19001,"msg":"param invalid: incoming webhook access token invalid"}"#,
                "refused",
                "copy it",
            ),
            (
                200,
                r#"{"code":19002,"msg":"can't find msg_type"}"#,
                "refused",
                "does not understand",
            ),
            (
                200,
                r#"{"code":19021,"msg":"sign match fail"}"#,
                "refused",
                "clock right?",
            ),
            (
                200,
                r#"{"code":19022,"msg":"Ip Not Allowed"}"#,
                "refused",
                "add that of the cluster",
            ),
            (
                200,
                r#"{"code":19024,"msg":"Key Words Not Found"}"#,
                "refused",
                "as `keyword`",
            ),
            (
                200,
                r#"{"code":19036,"msg":"exceeds the size limit"}"#,
                "refused",
                "shorten",
            ),
            (
                200,
                r#"{"code":11246,"msg":"parse card json err"}"#,
                "refused",
                "the card",
            ),
            (
                400,
                r#"{"code":230099,"msg":"Failed to create card content"}"#,
                "refused",
                "the card",
            ),
            (200, r#"{"code":12345,"msg":"new"}"#, "refused", "new"),
            // Nothing is there where HTTP says so.
            (400, r#"{"code":0}"#, "refused", "400"),
            (503, r#"{"code":0}"#, "retry", "503"),
            (500, r#"{"code":19024}"#, "retry", "500"),
            (200, "<html>please log in</html>", "retry", "no answer of Feishu"),
            (200, "", "retry", "no answer of Feishu"),
            (301, "", "refused", "redirect"),
            (404, "404 page not found", "refused", "404"),
        ],
    );
}
