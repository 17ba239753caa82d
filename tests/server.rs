//! The server over real TLS: what it answers to what is no review, how long it waits, and how it starts and stops.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failure should stop a test"
)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use support::{Answer, Running, answer, patch, review};

const REVIEW: &str = "statefulset-web-0.json";

/// The recorded review, changed.
fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(&review(REVIEW)).unwrap();
    change(&mut value);
    value.to_string()
}

/// The recorded review with some text in place of another.
fn replaced(text: &str, with: &str) -> String {
    let review = review(REVIEW);
    assert!(review.contains(text), "{text}");
    review.replacen(text, with, 1)
}

/// A good review is still answered with its patch.
async fn still_works(server: &Running, after: &str) {
    let response = server.post(review(REVIEW)).await.response();
    assert!(patch(&response).is_some(), "after {after}: {response}");
}

#[tokio::test]
async fn what_is_no_review_is_a_client_error() {
    let server = Running::start(|_| {}).await;
    let good = review(REVIEW);
    let mut latin1 = good.clone().into_bytes();
    let at = good.find("web-0").unwrap();
    latin1[at] = 0xe9;
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("an empty body", vec![], 400, "the body is empty"),
        ("blanks", b" \n ".to_vec(), 400, "the body is empty"),
        ("no JSON", b"hello".to_vec(), 400, "cannot be read"),
        ("a list", b"[]".to_vec(), 400, "no JSON object"),
        (
            "a truncated review",
            good.as_bytes()[..good.len() / 2].to_vec(),
            400,
            "cannot be read",
        ),
        (
            "something after it",
            format!("{good}{{}}").into_bytes(),
            400,
            "cannot be read",
        ),
        (
            "another kind",
            changed(|review| review["kind"] = json!("ConversionReview")).into_bytes(),
            400,
            "ConversionReview",
        ),
        (
            "an old version",
            changed(|review| review["apiVersion"] = json!("admission.k8s.io/v1beta1")).into_bytes(),
            400,
            "admission.k8s.io/v1beta1",
        ),
        (
            "no request",
            changed(|review| review["request"] = json!(null)).into_bytes(),
            400,
            "no request",
        ),
        (
            "no UID",
            changed(|review| review["request"]["uid"] = json!("")).into_bytes(),
            400,
            "no request.uid",
        ),
        ("invalid UTF-8", latin1, 400, "not UTF-8"),
        ("8 MiB", vec![b' '; 8 << 20], 413, "longer than 7Mi bytes"),
    ];
    let mut bad = [0; 2];
    for (name, body, status, expected) in cases {
        let answer = server.post(body).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        assert!(
            answer.body.contains(expected) && answer.body.ends_with('\n'),
            "{name}: {}",
            answer.body
        );
        still_works(&server, name).await;
        bad[usize::from(status == 413)] += 1;
    }
    for content_type in [None, Some("text/plain"), Some("application/jsonp"), Some("")] {
        let answer = server.post_as(content_type, good.clone()).await;
        assert_eq!(answer.status, 415, "{content_type:?}");
        assert!(answer.body.contains("application/json"), "{}", answer.body);
        still_works(&server, "a wrong content-type").await;
    }
    for content_type in ["application/json; charset=utf-8", "Application/JSON"] {
        let answer = server.post_as(Some(content_type), good.clone()).await;
        assert_eq!(answer.status, 200, "{content_type}");
    }
    let get = answer(server.client.get(server.url("/mutate"))).await;
    assert_eq!(
        (get.status, get.body.as_str()),
        (405, "an AdmissionReview is sent by POST\n")
    );
    let elsewhere = answer(server.client.post(server.url("/")).body("")).await;
    assert_eq!(elsewhere.status, 404);

    let metrics = server.ops("/metrics").await.body;
    let [four_hundred, four_thirteen] = bad;
    for line in [
        format!("label_router_bad_reviews_total{{status=\"400\"}} {four_hundred}\n"),
        format!("label_router_bad_reviews_total{{status=\"413\"}} {four_thirteen}\n"),
        "label_router_bad_reviews_total{status=\"415\"} 4\n".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line} is missing in\n{metrics}");
    }
}

#[tokio::test]
async fn a_review_that_cannot_be_decided_about_is_refused_with_its_uid() {
    let server = Running::start(|_| {}).await;
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let cases = [
        (
            "no object",
            changed(|review| drop(review["request"].as_object_mut().unwrap().remove("object"))),
            "request.object is missing",
        ),
        (
            "an object that is none",
            changed(|review| review["request"]["object"] = json!("web-0")),
            "request.object is a string",
        ),
        (
            "labels that are a list",
            changed(|review| review["request"]["object"]["metadata"]["labels"] = json!(["ab-build-different"])),
            "metadata.labels",
        ),
        (
            "a label that is a boolean",
            changed(|review| review["request"]["object"]["metadata"]["labels"]["ab-build-different"] = json!(true)),
            "ab-build-different",
        ),
        (
            "a spec that is a number",
            changed(|review| review["request"]["object"]["spec"] = json!(7)),
            "spec is a number",
        ),
        (
            "an operation that is a list",
            changed(|review| review["request"]["operation"] = json!(["CREATE"])),
            "operation",
        ),
        (
            "a dryRun that is a string",
            changed(|review| review["request"]["dryRun"] = json!("false")),
            "dryRun",
        ),
        (
            "depth where a rule looks",
            replaced(
                r#""ownerReferences":["#,
                &format!(r#""ownerReferences":[{},"#, deep(10_000)),
            ),
            "nests deeper",
        ),
    ];
    for (name, body, expected) in cases {
        let response = server.post(body).await.response();
        assert_eq!(response["uid"], "f8c20aaa-7e3b-4529-88ae-382826652caf", "{name}");
        assert_eq!(response["allowed"], false, "{name}: {response}");
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{name}: {message}");
        still_works(&server, name).await;
    }
    let metrics = server.ops("/metrics").await.body;
    assert!(
        metrics.contains("label_router_bad_reviews_total{status=\"200\"} 8\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn what_no_rule_looks_at_is_not_judged() {
    let server = Running::start(|_| {}).await;
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    for (name, body) in [
        (
            "depth where no rule looks",
            replaced(r#""containers":["#, &format!(r#""containers":[{deep},"#)),
        ),
        (
            "a wrong type where no rule looks",
            changed(|review| review["request"]["object"]["spec"]["containers"] = json!(3)),
        ),
        (
            "a key twice where no rule looks",
            replaced(r#""containers":["#, r#""containers":[],"containers":["#),
        ),
    ] {
        let response = server.post(body).await.response();
        assert!(patch(&response).is_some(), "{name}: {response}");
        still_works(&server, name).await;
    }
}

/// Nobody can tell which of the two is meant.
#[tokio::test]
async fn a_key_twice_where_a_rule_looks_is_refused() {
    let server = Running::start(|_| {}).await;
    let labels = r#""labels":{"ab-build-different":"true","#;
    for (name, body) in [
        ("labels", replaced(labels, &format!(r#""labels":{{}},{labels}"#))),
        (
            "a label",
            replaced(
                labels,
                r#""labels":{"ab-build-different":"false","ab-build-different":"true","#,
            ),
        ),
    ] {
        let response = server.post(body).await.response();
        assert_eq!(response["uid"], "f8c20aaa-7e3b-4529-88ae-382826652caf", "{name}");
        assert_eq!(response["allowed"], false, "{name}: {response}");
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.contains("is repeated"), "{name}: {message}");
        still_works(&server, name).await;
    }
    let answer = server
        .post(replaced(r#""request":{"#, r#""request":{"uid":"another","#))
        .await;
    assert_eq!(answer.status, 400, "there is no UID to answer to: {}", answer.body);
    assert!(answer.body.contains("\"uid\" is repeated"), "{}", answer.body);
    still_works(&server, "two UIDs").await;
}

/// A TLS connection that is written by hand, so that it can be slow.
struct Slow(StreamOwned<ClientConnection, TcpStream>);

impl Slow {
    fn connect(address: SocketAddr, pem: &str, config: impl FnOnce(&mut ClientConfig)) -> Self {
        Self::connect_with(address, pem, &[&rustls::version::TLS13], config).unwrap()
    }

    fn connect_with(
        address: SocketAddr,
        pem: &str,
        versions: &[&'static rustls::SupportedProtocolVersion],
        change: impl FnOnce(&mut ClientConfig),
    ) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        change(&mut config);
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self(stream))
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
        self.0.flush().unwrap();
    }

    fn header(length: usize) -> String {
        format!(
            "POST /mutate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        )
    }

    /// One response with its body.
    fn receive(&mut self) -> Answer {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let head = head.to_ascii_lowercase();
                let length = head.split("content-length: ").nth(1).unwrap();
                let length: usize = length.lines().next().unwrap().parse().unwrap();
                if body.len() >= length {
                    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                    return Answer {
                        status,
                        body: body.to_owned(),
                    };
                }
            }
            let mut buffer = [0; 4096];
            let count = self.0.read(&mut buffer).unwrap();
            assert!(count > 0, "closed after {text:?}");
            bytes.extend_from_slice(&buffer[..count]);
        }
    }

    /// Waits until the server closes the connection, and says how long that took.
    fn wait_for_the_end(mut self) -> Duration {
        let start = Instant::now();
        let mut rest = Vec::new();
        // Either way the connection is over, unless the read timed out.
        match self.0.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_ne!(
                error.kind(),
                std::io::ErrorKind::WouldBlock,
                "the connection stays open"
            ),
        }
        start.elapsed()
    }
}

fn impatient(settings: &mut label_router::serve::Settings) {
    settings.timeouts.handshake = Duration::from_millis(400);
    settings.timeouts.header = Duration::from_millis(400);
    settings.timeouts.body = Duration::from_millis(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_cut() {
    let server = Running::start(impatient).await;
    let (address, pem) = (server.server.address(), server.certificate.pem.clone());
    tokio::task::spawn_blocking(move || {
        let mut slow_header = Slow::connect(address, &pem, |_| {});
        slow_header.send("POST /mutate HTTP/1.1\r\nhost: ");
        assert!(slow_header.wait_for_the_end() < Duration::from_secs(10));

        let mut slow_body = Slow::connect(address, &pem, |_| {});
        slow_body.send(&Slow::header(100));
        slow_body.send("{\"a\":");
        let answer = slow_body.receive();
        assert_eq!(answer.status, 408, "{}", answer.body);
        assert!(answer.body.contains("timeouts.body"), "{}", answer.body);
        assert!(slow_body.wait_for_the_end() < Duration::from_secs(10));

        let mut no_handshake = TcpStream::connect(address).unwrap();
        no_handshake.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let start = Instant::now();
        let _ = no_handshake.read(&mut [0; 16]);
        assert!(start.elapsed() < Duration::from_secs(10));
    })
    .await
    .unwrap();
    still_works(&server, "slow clients").await;
}

/// The API server keeps its connections; closing one under it would lose a review.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_stays_open() {
    let server = Running::start(impatient).await;
    let (address, pem) = (server.server.address(), server.certificate.pem.clone());
    tokio::task::spawn_blocking(move || {
        let mut connection = Slow::connect(address, &pem, |_| {});
        let review = review(REVIEW);
        for _ in 0..2 {
            connection.send(&Slow::header(review.len()));
            connection.send(&review);
            connection.receive().response();
            std::thread::sleep(Duration::from_millis(1200));
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_http_versions() {
    use label_router::serve::settings::MinVersion;
    use rustls::version::TLS12;

    let strict = Running::start(|_| {}).await;
    let lenient = Running::start(|settings| settings.tls.min_version = MinVersion::Tls12).await;
    let servers = [&strict, &lenient].map(|server| (server.server.address(), server.certificate.pem.clone()));
    tokio::task::spawn_blocking(move || {
        let [(strict, strict_pem), (lenient, lenient_pem)] = servers;
        assert!(Slow::connect_with(strict, &strict_pem, &[&TLS12], |_| {}).is_err());
        assert!(Slow::connect_with(lenient, &lenient_pem, &[&TLS12], |_| {}).is_ok());
        let both = Slow::connect(strict, &strict_pem, |config| {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        });
        assert_eq!(both.0.conn.alpn_protocol(), Some(b"http/1.1".as_slice()));
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_finishes_what_has_begun() {
    let running = Running::start(|settings| settings.shutdown.delay = Duration::from_millis(600)).await;
    let (address, pem) = (running.server.address(), running.certificate.pem.clone());
    let ready = running.ops("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.body);
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (finish, may_finish) = std::sync::mpsc::channel::<()>();
    let request = tokio::task::spawn_blocking(move || {
        let review = review(REVIEW);
        let mut connection = Slow::connect(address, &pem, |_| {});
        connection.send(&Slow::header(review.len()));
        connection.send(&review[..100]);
        begun.send(()).unwrap();
        may_finish.recv().unwrap();
        connection.send(&review[100..]);
        connection.receive().response()
    });
    tokio::task::spawn_blocking(move || has_begun.recv().unwrap())
        .await
        .unwrap();
    let Running { server, client, .. } = running;
    let readyz = format!("http://{}/readyz", server.ops_address());
    let mutate = format!("https://{address}/mutate");
    let stopping = tokio::spawn(server.shut_down());
    tokio::time::sleep(Duration::from_millis(200)).await;

    let ready = answer(client.get(readyz)).await;
    assert_eq!(ready.status, 503);
    assert_eq!(
        ready.body,
        "not ready: it is stopping, and finishes the requests it has\n"
    );
    let late = client
        .post(&mutate)
        .header("content-type", "application/json")
        .body(review(REVIEW));
    assert_eq!(answer(late).await.status, 200, "in the pause new requests are served");

    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(TcpStream::connect(address).is_err(), "after it no connection is taken");
    assert!(!stopping.is_finished());
    finish.send(()).unwrap();
    assert!(patch(&request.await.unwrap()).is_some());
    tokio::time::timeout(Duration::from_secs(10), stopping)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn operations_show_what_is_served_and_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let policy = label_router::policy::DEFAULT.replace(
        "{ env: DINGTALK_WEBHOOK_URL }",
        "https://oapi.dingtalk.com/robot/send?access_token=hunter2",
    );
    assert!(policy.contains("hunter2"));
    let file = directory.path().join("policy.yaml");
    std::fs::write(&file, policy).unwrap();
    let server = Running::start(|settings| settings.policy = vec![file.clone()]).await;
    still_works(&server, "the start").await;
    assert_eq!(server.ops("/healthz").await.body, "ok\n");

    let config = server.ops("/config").await.body;
    let shown: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(shown["files"], json!([file]));
    assert_eq!(shown["policy"]["gate"], "ab-build-different=true");
    assert_eq!(shown["policy"]["rules"][0]["name"], "statefulset-parity");
    assert_eq!(shown["policy"]["rules"][0]["mode"], "enforce");
    assert_eq!(shown["settings"]["limits"], json!({ "body": "7Mi", "concurrency": 64 }));
    let generation = shown["generation"].as_str().unwrap();
    assert!(server.ops("/readyz").await.body.contains(generation));

    let metrics = server.ops("/metrics").await.body;
    for line in [
        "label_router_requests_total{outcome=\"routed\",rule=\"statefulset-parity\",route=\"0\"} 1\n",
        "label_router_decision_duration_seconds_bucket{le=\"+Inf\"} 1\n",
        "label_router_decision_duration_seconds_count 1\n",
        "label_router_requests_in_flight 0\n",
        &format!("label_router_config_info{{generation=\"{generation}\"}} 1\n"),
        &format!(
            "label_router_build_info{{version=\"{}\"}} 1\n",
            env!("CARGO_PKG_VERSION")
        ),
        "label_router_panics_total 0\n",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    assert!(!config.contains("hunter2") && !metrics.contains("hunter2"));
}

/// A reload is one store: a request that comes after it sees the new generation.
#[tokio::test]
async fn another_policy_is_served_from_the_next_request_on() {
    use axum::body::Body;
    use axum::http::Request;
    use label_router::serve::app::{App, router};
    use label_router::serve::{Policy, Settings};
    use tower::ServiceExt;

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.yaml");
    std::fs::write(
        &file,
        label_router::policy::DEFAULT.replace("ab-build-different", "other-gate"),
    )
    .unwrap();
    let app = App::new(Settings::default(), Policy::load(&[]).unwrap()).unwrap();
    let router = router(&app);
    let outcome = async || {
        let request = Request::post("/mutate")
            .header("content-type", "application/json")
            .body(Body::from(review(REVIEW)))
            .unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let review: Value = serde_json::from_slice(&bytes).unwrap();
        review["response"]["auditAnnotations"]["outcome"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(outcome().await, "routed");
    app.swap(Policy::load(&[file]).unwrap());
    assert_eq!(outcome().await, "skipped");
}

/// A review of an object that somebody applies.
fn applied(kind: &str, object: &Value) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u1",
            "kind": { "group": "", "version": "v1", "kind": kind },
            "operation": "UPDATE",
            "namespace": "prod",
            "name": object["metadata"]["name"],
            "object": object,
        },
    })
    .to_string()
}

async fn validated(server: &Running, kind: &str, object: &Value) -> Value {
    let request = server.client.post(server.url("/validate"));
    let request = request.header("content-type", "application/json");
    let response = answer(request.body(applied(kind, object))).await.response();
    assert_eq!(response["uid"], "u1");
    response
}

fn warnings(response: &Value) -> Vec<&str> {
    let warnings = response["warnings"].as_array().into_iter().flatten();
    warnings.filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn a_policy_that_is_wrong_is_refused_when_it_is_applied() {
    let server = Running::start(|_| {}).await;
    let map = |text: &str| json!({ "metadata": { "name": "policy" }, "data": { "policy.yaml": text } });
    let response = validated(&server, "ConfigMap", &map(label_router::policy::DEFAULT)).await;
    assert_eq!(response["allowed"], true, "{response}");
    let wrong = label_router::policy::DEFAULT.replace("onConflict: override", "onConflict: overide");
    let response = validated(&server, "ConfigMap", &map(&wrong)).await;
    assert_eq!(
        (&response["allowed"], &response["status"]["code"]),
        (&json!(false), &json!(403))
    );
    let message = response["status"]["message"].as_str().unwrap();
    assert!(
        message.contains(" --> policy.yaml:18:17\n") && message.contains("did you mean override?"),
        "{message}"
    );
    let secret = wrong.replace("{ env: DINGTALK_WEBHOOK_URL }", "https://example.com/hush");
    let response = validated(&server, "ConfigMap", &map(&secret)).await;
    assert!(!response.to_string().contains("hush"), "{response}");
    let response = validated(
        &server,
        "ConfigMap",
        &json!({ "metadata": {}, "data": { "notes": "" } }),
    )
    .await;
    assert!(
        response["status"]["message"]
            .as_str()
            .unwrap()
            .contains("carries no policy"),
        "{response}"
    );
    let unused = format!("{}  - name: spare\n    type: log\n", label_router::policy::DEFAULT);
    let response = validated(&server, "ConfigMap", &map(&unused)).await;
    assert_eq!(response["allowed"], true, "{response}");
    assert!(warnings(&response)[0].contains("spare"), "{response}");
}

#[tokio::test]
async fn a_workload_with_pods_that_would_be_refused_is_told_of_when_it_is_applied() {
    let set = |annotation: &str| {
        json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": { "name": "web" },
            "spec": { "replicas": 3, "template": {
                "metadata": {
                    "labels": { "ab-build-different": "true" },
                    "annotations": { "custom-node-selector": annotation },
                },
                "spec": { "containers": [] },
            } },
        })
    };
    let good = set(r#"{"key": "name", "even": "node1", "odd": "node2"}"#);
    let bad = set(r#"{"key": "name", "even": "node1"}"#);
    let server = Running::start(|_| {}).await;
    let response = validated(&server, "StatefulSet", &good).await;
    assert_eq!((&response["allowed"], response.get("warnings")), (&json!(true), None));
    let response = validated(&server, "StatefulSet", &bad).await;
    assert_eq!(response["allowed"], true, "a warning is the default");
    let warning = warnings(&response)[0];
    assert!(
        warning.starts_with("label-router: Of its 3 Pods number 1 would be refused. Pod prod/web-1 carries the label"),
        "{warning}"
    );
    let service = json!({ "metadata": { "name": "web" }, "spec": {} });
    assert_eq!(
        validated(&server, "Service", &service).await["allowed"],
        true,
        "nobody asked about it"
    );

    let strict =
        Running::start(|settings| settings.workloads.unplaceable = label_router::serve::settings::Unplaceable::Refuse)
            .await;
    let response = validated(&strict, "StatefulSet", &bad).await;
    assert_eq!(response["allowed"], false, "{response}");
    assert!(
        response["status"]["message"]
            .as_str()
            .unwrap()
            .contains("selects nothing"),
        "{response}"
    );
    assert_eq!(validated(&strict, "StatefulSet", &good).await["allowed"], true);
}

#[tokio::test]
async fn what_is_no_review_is_a_client_error_there_too() {
    let server = Running::start(|_| {}).await;
    for (body, status) in [("", 400), ("{", 400), ("{\"kind\": \"Pod\"}", 400)] {
        let request = server.client.post(server.url("/validate"));
        let response = answer(request.header("content-type", "application/json").body(body)).await;
        assert_eq!(response.status, status, "{body}: {}", response.body);
    }
}
