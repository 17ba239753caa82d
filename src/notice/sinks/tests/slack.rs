use insta::assert_json_snapshot;

use super::super::sample;
use super::*;

fn hook(settings: &str) -> Slack {
    sample::sink(&format!("url: https://hooks.slack.com/services/T/B/x\n{settings}"))
}

#[test]
fn what_is_sent() {
    let hook = hook("");
    assert_json_snapshot!("routed", sample::json(&hook, &sample::routed(&MARKUP)));
    assert_json_snapshot!("rejected", sample::json(&hook, &sample::rejected(&MARKUP)));
    assert_json_snapshot!("resolved", sample::json(&hook, &sample::resolved(&MARKUP)));
}

#[test]
fn words_and_times_stay_as_they_are() {
    for text in ["topology_zone", "10:30:00 ", "a:b c:d", "https://a.example.com:8080/"] {
        let shown = escape(text).replace(UNSEEN, "");
        assert_eq!(shown, text);
    }
    assert_eq!(escape("x:tada: _a_ *"), "x:\u{200b}tada: ˍaˍ ∗");
    assert_eq!(code("<!here> `a`\nb"), "`&lt;!here&gt; ˋaˋ b`");
}

#[test]
fn people_are_mentioned_from_a_severity_on() {
    let hook = hook("mentions: [U012AB, S9, here]");
    let sent = sample::json(&hook, &sample::rejected(&MARKUP));
    assert_eq!(sent["blocks"][1]["text"]["text"], "<@U012AB> <!subteam^S9> <!here>");
    assert!(
        sent["text"]
            .as_str()
            .unwrap()
            .starts_with("<@U012AB> <!subteam^S9> <!here> ∗1∗")
    );
    for message in [sample::routed(&MARKUP), sample::resolved(&MARKUP)] {
        assert!(!sample::request(&hook, &message).body.windows(2).any(|two| two == b"<@"));
    }
}

#[test]
fn a_mention_is_an_id_or_a_word() {
    for bad in ["zhang", "@here", "<!here>", "U", "u012", "C012", "U0-1", ""] {
        let read: Result<Mention, _> = serde_yaml::from_str(&format!("{bad:?}"));
        assert!(read.unwrap_err().to_string().starts_with("bad-mention"), "{bad}");
    }
}

#[test]
fn a_long_body_becomes_sections_and_is_cut_by_characters() {
    let mut message = sample::rejected(&MARKUP);
    // 3000 lines of 7 units each, where a body takes 10 000.
    message.body = "• 名字😀x\n".repeat(3000);
    let sent = sample::json(&hook(""), &message);
    let blocks = sent["blocks"].as_array().unwrap();
    let texts: Vec<&str> = blocks
        .iter()
        .filter_map(|block| block["text"]["text"].as_str())
        .skip(1)
        .collect();
    assert_eq!(texts.len(), 4);
    assert!(texts.iter().all(|text| text::utf16(text) <= SECTION));
    let all: usize = texts.iter().map(|text| text::utf16(text) + 1).sum();
    assert!((LIMIT - 20..=LIMIT + 1).contains(&all), "{all}");
    assert!(texts[3].ends_with("• 名字😀x\n…"), "{}", texts[3]);
    assert_eq!(blocks.last().unwrap()["type"], "context");
}

#[test]
fn a_long_line_is_divided_between_words() {
    assert_eq!(
        pieces(&format!("{} b", "a".repeat(2999))),
        ["a".repeat(2999).as_str(), "b"]
    );
    let line = format!("{}&amp;{}", "a".repeat(2997), "b".repeat(10));
    assert_eq!(pieces(&line)[0], "a".repeat(2997));
    assert!(
        pieces(&"名".repeat(7000))
            .iter()
            .all(|piece| text::utf16(piece) <= SECTION)
    );
}

#[test]
fn a_long_title_is_cut() {
    let mut message = sample::routed(&MARKUP);
    message.title = "名".repeat(200);
    let sent = sample::json(&hook(""), &message);
    assert_eq!(text::utf16(sent["blocks"][0]["text"]["text"].as_str().unwrap()), HEADER);
}

#[test]
fn answers() {
    sample::assert_answers(
        &hook(""),
        &[
            (200, "ok", "delivered", ""),
            (200, "ok\n", "delivered", ""),
            (200, "invalid_payload", "refused", "templates"),
            (200, "<html>please log in</html>", "retry", "no answer of Slack"),
            (200, r#"{"ok":true}"#, "retry", "no answer of Slack"),
            (200, "", "retry", "no answer of Slack"),
            (400, "invalid_payload", "refused", "templates"),
            (400, "invalid_blocks", "refused", "templates"),
            (400, "no_text", "refused", "templates"),
            (400, "user_not_found", "refused", "`mentions`"),
            (403, "action_prohibited", "refused", "administrator"),
            (403, "invalid_token", "refused", "make a new one"),
            (403, "posting_to_general_channel_denied", "refused", "administrator"),
            (404, "no_service", "refused", "make a new one"),
            (404, "no_team", "refused", "make a new one"),
            (404, "channel_not_found", "refused", "another one"),
            (410, "channel_is_archived", "refused", "another one"),
            (404, "new_word", "refused", "new_word"),
            (302, "", "refused", "redirect"),
            (408, "", "retry", "408"),
            (429, "rate_limited", "retry", "429"),
            (500, "rollup_error", "retry", "rollup_error"),
            (503, "ok", "retry", "503"),
        ],
    );
}
