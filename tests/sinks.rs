//! Each type of sink against a real HTTP server: what it sends, how that is signed, and what it makes of answers. And what is
//! known of a sink before anything is sent.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests write files, and a failure should stop them"
)]

#[path = "support/sink.rs"]
mod sink;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use label_router::delivery::{Delivery, DeliveryMetrics, DeliverySettings, absent};
use label_router::notice::message::{Message, Verdict};
use label_router::notice::samples;
use label_router::notice::sinks::SinkSpec;
use label_router::notice::template::Templates;
use label_router::policy::{self, PolicyText};
use sink::{Received, Reply, SinkDouble, nobody, resetting};

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
        "file: /var/run/secrets/kubernetes.io/serviceaccount/t0ken",
        "file: /run/secrets//kubernetes.io/./serviceaccount/t0ken",
        "file: /etc/../run/secrets/kubernetes.io/serviceaccount/t0ken",
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

/// A sink of a type, at a URL, in a policy.
fn sink_at(kind: &str, url: &str, more: &str) -> SinkSpec {
    let text = policy_with(&format!("type: {kind}, url: \"{url}\"{more}"));
    let texts = [PolicyText {
        file: "policy.yaml".to_owned(),
        text,
    }];
    policy::load(&texts).unwrap().sinks.remove(0)
}

fn delivery(change: impl FnOnce(&mut DeliverySettings)) -> Delivery {
    let mut settings = DeliverySettings {
        timeout: Duration::from_millis(300),
        ..DeliverySettings::default()
    };
    change(&mut settings);
    Delivery::new(settings, DeliveryMetrics::default()).unwrap()
}

/// A message of a kind, as it is sent.
fn message(sink: &SinkSpec, kind: &str) -> Message {
    let (_, digest) = samples::named().into_iter().find(|(name, _)| *name == kind).unwrap();
    let templates = Templates::new(&sink.common, sink.settings.markup()).unwrap();
    let (written, _) = templates.write(std::slice::from_ref(&digest), None);
    Message::new(written, vec![digest], None, "message-1".to_owned())
}

/// What an attempt comes to, in a word.
async fn tried(kind: &str, url: &str, more: &str) -> String {
    let sink = sink_at(kind, url, more);
    match delivery(|_| {}).try_once(&sink, &message(&sink, "rejected")).await {
        Verdict::Delivered => "delivered".to_owned(),
        Verdict::Retry { after: None, .. } => "retry".to_owned(),
        Verdict::Retry { after: Some(after), .. } => format!("retry after {}s", after.as_secs()),
        Verdict::Barred { wait, .. } => format!("barred for {}s", wait.as_secs()),
        Verdict::Refused { .. } => "refused".to_owned(),
    }
}

/// Each type that is told by HTTP, with what it answers where all is well.
const VENDORS: [(&str, u16, &str); 7] = [
    ("dingtalk", 200, r#"{"errcode":0,"errmsg":"ok"}"#),
    ("feishu", 200, r#"{"code":0,"data":{},"msg":"success"}"#),
    ("wecom", 200, r#"{"errcode":0,"errmsg":"ok"}"#),
    ("slack", 200, "ok"),
    ("teams", 202, ""),
    ("webhook", 204, ""),
    ("alertmanager", 200, ""),
];

#[tokio::test]
async fn what_is_tried_again_and_what_is_not() {
    let plain = SinkDouble::start(|_| Reply::status(200)).await;
    let slow = SinkDouble::start(|_| Reply::Slow(Duration::from_secs(5))).await;
    let (dead, resetting) = (nobody().await, resetting().await);
    let mut wrong = Vec::new();
    for (kind, status, body) in VENDORS {
        let server = SinkDouble::start(|_| Reply::status(500)).await;
        let cases = [
            (
                "as it should be",
                Reply::Status(status, vec![], body.to_owned()),
                "delivered",
            ),
            ("400", Reply::status(400), "refused"),
            ("401", Reply::status(401), "refused"),
            ("404", Reply::status(404), "refused"),
            ("429", Reply::status(429), "retry"),
            (
                "429 with a time",
                Reply::Status(429, vec![("retry-after", "7".to_owned())], String::new()),
                "retry after 7s",
            ),
            ("500", Reply::status(500), "retry"),
            (
                "503 with a time",
                Reply::Status(503, vec![("retry-after", "9".to_owned())], String::new()),
                "retry after 9s",
            ),
            (
                "a redirect",
                Reply::Status(302, vec![("location", plain.url("/"))], String::new()),
                "refused",
            ),
        ];
        for (name, reply, wanted) in cases {
            server.answers(move |_| reply.clone());
            let came = tried(kind, &server.url("/x?key=abc"), "").await;
            if came != wanted {
                wrong.push(format!("{kind}, {name}: {came}, and {wanted} is wanted"));
            }
        }
        for (name, url, wanted) in [
            ("nobody there", format!("http://{dead}/"), "retry"),
            ("a reset", format!("http://{resetting}/"), "retry"),
            ("no answer", slow.url("/"), "retry"),
            ("no TLS", format!("https://{}/", plain.address), "retry"),
            (
                "the metadata of a cloud",
                "http://169.254.169.254/".to_owned(),
                "refused",
            ),
        ] {
            let came = tried(kind, &url, "").await;
            if came != wanted {
                wrong.push(format!("{kind}, {name}: {came}, and {wanted} is wanted"));
            }
        }
    }
    assert!(plain.received().is_empty(), "a redirect was followed");
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[tokio::test]
async fn an_error_within_a_200_is_no_success() {
    let mut wrong = Vec::new();
    for (kind, body, wanted) in [
        (
            "dingtalk",
            r#"{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}"#,
            "barred for 600s",
        ),
        (
            "dingtalk",
            r#"{"errcode":310000,"errmsg":"keywords not in content"}"#,
            "refused",
        ),
        ("dingtalk", r#"{"errcode":310000,"errmsg":"sign not match"}"#, "refused"),
        (
            "dingtalk",
            r#"{"errcode":300001,"errmsg":"token is not exist"}"#,
            "refused",
        ),
        ("dingtalk", r#"{"errcode":-1,"errmsg":"system busy"}"#, "retry"),
        (
            "feishu",
            r#"{"code":19021,"msg":"sign match fail or timestamp is not within one hour"}"#,
            "refused",
        ),
        (
            "feishu",
            r#"{"code":19001,"msg":"param invalid: incoming webhook access token invalid"}"#,
            "refused",
        ),
        ("feishu", r#"{"code":11232,"msg":"frequency limited"}"#, "retry"),
        (
            "wecom",
            r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#,
            "barred for 60s",
        ),
        (
            "wecom",
            r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#,
            "refused",
        ),
        ("wecom", r#"{"errcode":-1,"errmsg":"system busy"}"#, "retry"),
        ("slack", "invalid_payload", "refused"),
        ("slack", "<html>a proxy</html>", "retry"),
        ("dingtalk", "<html>a proxy</html>", "retry"),
        ("feishu", "", "retry"),
        ("wecom", "", "retry"),
        ("alertmanager", "<html>a proxy</html>", "retry"),
    ] {
        let server = SinkDouble::start(move |_| Reply::ok(body)).await;
        let came = tried(kind, &server.url("/x?key=abc"), "").await;
        if came != wanted {
            wrong.push(format!("{kind}, {body}: {came}, and {wanted} is wanted"));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// HMAC-SHA256 by another library than the one that signs.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec()
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A request as the vendor got it: every attempt is signed anew.
async fn received(kind: &str, answer: &'static str, more: &str) -> Received {
    let server = SinkDouble::start(move |_| Reply::ok(answer)).await;
    assert_eq!(
        tried(kind, &server.url("/robot/send?access_token=abc"), more).await,
        "delivered"
    );
    server.received().remove(0)
}

#[tokio::test]
async fn signatures_are_what_the_vendor_works_out() {
    let secret = ", secret: SEC0123456789abcdef";
    let ok = r#"{"errcode":0,"code":0}"#;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();

    let got = received("dingtalk", ok, secret).await;
    let url = reqwest::Url::parse(&format!("http://a{}", got.uri)).unwrap();
    let query: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(query["access_token"], "abc");
    let timestamp = &query["timestamp"];
    assert!(timestamp.parse::<u128>().unwrap() >= now.as_millis());
    let signed = format!("{timestamp}\nSEC0123456789abcdef");
    assert_eq!(query["sign"], base64(&hmac(b"SEC0123456789abcdef", signed.as_bytes())));

    let got = received("feishu", ok, secret).await.json();
    let timestamp = got["timestamp"].as_str().unwrap();
    assert!(timestamp.parse::<u64>().unwrap() >= now.as_secs());
    let key = format!("{timestamp}\nSEC0123456789abcdef");
    assert_eq!(got["sign"], base64(&hmac(key.as_bytes(), b"")));

    let got = received("webhook", "", secret).await;
    let header = |name: &str| got.headers[name].to_str().unwrap();
    let signed = [
        format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes(),
        &got.body,
    ]
    .concat();
    let signature = format!("v1,{}", base64(&hmac(b"SEC0123456789abcdef", &signed)));
    assert_eq!(header("webhook-signature"), signature);
    assert_eq!(header("content-type"), "application/cloudevents+json; charset=utf-8");

    let got = received("webhook", "", &format!("{secret}, signature: hub")).await;
    let mac = got.headers["x-hub-signature-256"].to_str().unwrap();
    let mac = mac.strip_prefix("sha256=").unwrap();
    let bytes = (0..mac.len() / 2).map(|at| u8::from_str_radix(&mac[2 * at..2 * at + 2], 16).unwrap());
    assert_eq!(bytes.collect::<Vec<u8>>(), hmac(b"SEC0123456789abcdef", &got.body));
}

#[tokio::test]
async fn nothing_of_ours_goes_along() {
    for (kind, status, body) in VENDORS {
        let server =
            SinkDouble::start(move |_| Reply::Status(status, vec![("set-cookie", "a=b".to_owned())], body.to_owned()))
                .await;
        let sink = sink_at(kind, &server.url("/x"), "");
        let delivery = delivery(|_| {});
        for _ in 0..2 {
            delivery.try_once(&sink, &message(&sink, "routed")).await;
        }
        for received in server.received() {
            for name in ["authorization", "cookie", "referer", "proxy-authorization"] {
                assert!(!received.headers.contains_key(name), "{kind}: {name}");
            }
            assert!(
                received.headers["user-agent"]
                    .to_str()
                    .unwrap()
                    .starts_with("label-router/")
            );
        }
    }
}

/// A sink behind a certificate that only the file of the settings vouches for.
#[tokio::test]
async fn a_ca_of_ones_own_is_trusted() {
    use std::io::Write;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certs = vec![made.cert.der().clone()];
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .unwrap();
    let app = axum::Router::new().fallback(async || axum::http::StatusCode::NO_CONTENT);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = axum_server::tls_rustls::RustlsConfig::from_config(Arc::new(config));
    tokio::spawn(
        axum_server::from_tcp_rustls(listener, tls)
            .unwrap()
            .serve(app.into_make_service()),
    );
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(made.cert.pem().as_bytes()).unwrap();

    let sink = sink_at("webhook", &format!("https://localhost:{port}/"), "");
    let message = message(&sink, "routed");
    let distrusting = delivery(|_| {}).try_once(&sink, &message).await;
    assert!(
        matches!(&distrusting, Verdict::Retry { why, .. } if why.contains("certificate")),
        "{distrusting:?}"
    );
    let trusting = delivery(|settings| settings.ca_file = Some(file.path().to_owned()));
    assert_eq!(trusting.try_once(&sink, &message).await, Verdict::Delivered);
}

#[test]
fn a_ca_file_that_cannot_be_used_is_said_at_the_start() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "no certificate").unwrap();
    for (path, wanted) in [
        (file.path(), "hold no certificate"),
        (std::path::Path::new("/no/such/file"), "cannot be read"),
    ] {
        let settings = DeliverySettings {
            ca_file: Some(path.to_owned()),
            ..DeliverySettings::default()
        };
        let error = Delivery::new(settings, DeliveryMetrics::default()).unwrap_err();
        let said = format!("{error:#}");
        assert!(said.contains(wanted) && said.contains("sinks.caFile"), "{said}");
    }
}

#[test]
fn the_proxy_of_the_environment_is_used() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let proxy = runtime.block_on(SinkDouble::start(|_| Reply::status(204)));
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("policy.yaml");
    std::fs::write(
        &policy,
        policy_with("type: webhook, url: http://hook.example.invalid/x"),
    )
    .unwrap();
    let notify_test = |no_proxy: &str| {
        let mut command = assert_cmd::Command::cargo_bin("label-router").unwrap();
        command
            .args(["notify-test", "ops", "--kind", "routed", "--policy"])
            .arg(&policy);
        command.env("HTTP_PROXY", proxy.url("")).env("NO_PROXY", no_proxy);
        command.env("LABEL_ROUTER_SINKS_TIMEOUT", "2s").assert()
    };
    notify_test("").success().stdout("routed: delivered\n");
    assert_eq!(proxy.received()[0].uri, "http://hook.example.invalid/x");
    notify_test("example.invalid").code(1);
    assert_eq!(proxy.received().len(), 1);
}

#[test]
fn whoever_receives_a_test_can_tell() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("policy.yaml");
    // What each of two runs sends.
    let sent = |kind: &str, more: &str| -> Vec<Received> {
        let server = runtime.block_on(SinkDouble::start(|_| Reply::status(200)));
        let sink = format!("type: {kind}, url: \"{}\"{more}", server.url("/x"));
        std::fs::write(&policy, policy_with(&sink)).unwrap();
        for _ in 0..2 {
            let mut command = assert_cmd::Command::cargo_bin("label-router").unwrap();
            command.args(["notify-test", "ops", "--kind", "rejected", "--policy"]);
            command.arg(&policy).assert().success();
        }
        server.received()
    };

    let events = sent("webhook", "");
    let [first, second] = [events[0].json(), events[1].json()];
    assert_eq!(first["data"]["test"], true);
    assert!(first["data"]["title"].as_str().unwrap().starts_with("Test: "));
    assert!(
        first["data"]["body"]
            .as_str()
            .unwrap()
            .starts_with("This is a test.\n- ")
    );
    assert_ne!(first["id"], second["id"]);

    let plain = ", payload: body, contentType: text/plain, body: \"see {{ subject(digests[0]) }}\"";
    assert_eq!(
        sent("webhook", plain)[0].text(),
        "This is a test.\nsee StatefulSet prod/web"
    );
    let chinese = format!("{plain}, language: zh");
    assert!(
        sent("webhook", &chinese)[0]
            .text()
            .starts_with("这是一条测试消息。\nsee ")
    );
    let json = ", payload: body, body: '{\"on\": {{ subject(digests[0]) | tojson }}}'";
    assert_eq!(sent("webhook", json)[0].text(), "{\"on\": \"StatefulSet prod/web\"}");

    let alert = sent("alertmanager", "")[0].json();
    assert_eq!(alert[0]["labels"]["test"], "true");
}
