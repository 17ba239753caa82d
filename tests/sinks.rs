//! What is known of a policy's sinks before anything is sent.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests write files, and a failure should stop them"
)]

use label_router::delivery::absent;
use label_router::policy::{self, PolicyText};

fn policy_with(sink: &str) -> String {
    format!(
        "apiVersion: label-router/v1\nkind: RoutingPolicy\ngate: {{ label: routed }}\nrules:\n  - name: web\n    \
         routes: [{{ nodeSelector: {{ pool: a }} }}]\n    notify: {{ sinks: [ops] }}\nsinks: [{{ name: ops, {sink} }}]\n"
    )
}

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

#[test]
fn a_header_that_is_not_there_is_absent_and_said_without_its_value() {
    let headers =
        "headers: { X-Here: abc, Authorization: { env: LABEL_ROUTER_NO_SUCH }, X-Key: { file: /no/such/key } }";
    let absent = absences(&policy_with(&format!(
        "type: webhook, url: https://127.0.0.1/, {headers}"
    )));
    assert_eq!(absent.len(), 2, "{absent:?}");
    assert_eq!(
        absent[0],
        "headers.Authorization: the environment variable LABEL_ROUTER_NO_SUCH is not set"
    );
    assert!(
        absent[1].starts_with("headers.X-Key: the file /no/such/key cannot be read"),
        "{absent:?}"
    );
}

/// `serve` says which variable or file is absent, so that neither can be a URL that was pasted there.
#[test]
fn what_is_no_variable_and_no_file_is_refused_and_not_repeated() {
    for place in [
        "env: https://a.example.com/t0ken",
        "env: ''",
        "env: 'Bearer t0ken'",
        "env: 0t0ken",
        "file: https://a.example.com/t0ken",
        "file: ''",
    ] {
        let text = policy_with(&format!("type: slack, url: {{ {place} }}"));
        let file = "policy.yaml".to_owned();
        let problems = policy::load(&[PolicyText { file, text }]).unwrap_err();
        let codes: Vec<&str> = problems.iter().map(|problem| problem.code.as_str()).collect();
        assert_eq!(codes, ["bad-place"], "{place}");
        let said = format!("{problems}{problems:?}");
        assert!(!said.contains("t0ken"), "{said}");
    }
}
