//! What is known of a policy's sinks before anything is sent.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests write files, and a failure should stop them"
)]

use label_router::delivery::absent;
use label_router::policy::{self, PolicyText};

fn absences(text: &str) -> Vec<String> {
    let texts = [PolicyText {
        file: "policy.yaml".to_owned(),
        text: text.to_owned(),
    }];
    absent(&policy::load(&texts).unwrap().sinks[0])
}

#[test]
fn the_sink_of_the_default_policy_is_left_out_without_its_robot() {
    let absent = absences(policy::DEFAULT);
    assert_eq!(absent.len(), 2, "{absent:?}");
    assert_eq!(
        absent[0],
        "url: the environment variable DINGTALK_WEBHOOK_URL is not set"
    );
    assert!(absent[1].contains("/etc/label-router/secrets/dingtalk"), "{absent:?}");
}

#[test]
fn a_sink_whose_url_and_secret_are_there_can_be_used() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "s3cr3t\n").unwrap();
    let text = policy::DEFAULT
        .replace("{ env: DINGTALK_WEBHOOK_URL }", "https://127.0.0.1/robot")
        .replace(
            "/etc/label-router/secrets/dingtalk",
            &secret.path().display().to_string(),
        );
    assert_eq!(absences(&text), Vec::<String>::new());
    std::fs::write(secret.path(), "\n").unwrap();
    assert!(absences(&text)[0].ends_with("is empty"));
}
