//! From the API server's request to the message: who is told of what, by a real server and real HTTP sinks.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a failure should stop a test"
)]

#[path = "support/sink.rs"]
mod sink;
mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use label_router::admission::{self, Wanted};
use label_router::engine::{NoTrace, decide};
use label_router::notice::{Telling, Told as Tells};
use label_router::policy::{self, PolicyText};
use serde_json::{Value, json};
use sink::{Received, Reply, SinkDouble, nobody};
use support::{Running, review};
use tempfile::TempDir;

const REVIEW: &str = "statefulset-web-0.json";

/// A server whose policy has a sink at the double.
struct Told {
    server: Running,
    sink: SinkDouble,
    directory: TempDir,
}

/// The default rule, told to a webhook at once; `more` goes to the sink.
fn policy_telling(url: &str, more: &str) -> String {
    format!(
        "apiVersion: label-router/v1\nkind: RoutingPolicy\ngate: {{ label: ab-build-different, value: \"true\" }}\n\
         notify: {{ sinks: [hook] }}\nrules:\n  - name: parity\n    match: {{ owner: {{ kinds: [StatefulSet] }} }}\n    \
         ordinal: {{ from: [podIndexLabel, podName] }}\n    document: {{ annotation: custom-node-selector }}\n    routes:\n      \
         - {{ when: even, nodeSelector: {{ \"${{$.document.key}}\": \"${{$.document.even}}\" }} }}\n      \
         - {{ when: odd, nodeSelector: {{ \"${{$.document.key}}\": \"${{$.document.odd}}\" }} }}\nsinks:\n  \
         - {{ name: hook, type: webhook, url: \"{url}\", groupWait: 200ms, groupInterval: 200ms{more} }}\n"
    )
}

impl Told {
    async fn start(more: &str) -> Self {
        let sink = SinkDouble::start(|_| Reply::status(204)).await;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.yaml");
        fs::write(&path, policy_telling(&sink.url("/hook"), more)).unwrap();
        let server = Running::start(|settings| settings.policy = vec![path]).await;
        Self {
            server,
            sink,
            directory,
        }
    }

    /// Admits the Pod of an ordinal, under a UID of its own.
    async fn admit(&self, ordinal: usize, change: impl FnOnce(&mut Value)) {
        let mut review: Value = serde_json::from_str(&review(REVIEW)).unwrap();
        let request = &mut review["request"];
        let name = format!("web-{ordinal}");
        request["name"] = json!(name);
        request["object"]["metadata"]["name"] = json!(name);
        request["object"]["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = json!(ordinal.to_string());
        request["object"]["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = json!(name);
        change(&mut review);
        let answer = self.server.post(review.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// The messages so far, when `condition` holds of them.
    async fn messages(&self, what: &str, condition: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let start = Instant::now();
        loop {
            let messages: Vec<Value> = self.sink.received().iter().map(Received::json).collect();
            if condition(&messages) {
                return messages;
            }
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "waited for {what}: {messages:#?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn rewrite(&self, change: impl FnOnce(String) -> String) {
        let path = self.directory.path().join("policy.yaml");
        let text = change(fs::read_to_string(&path).unwrap());
        fs::write(path, text).unwrap();
    }
}

fn title(message: &Value) -> &str {
    message["data"]["title"].as_str().unwrap()
}

fn broken(review: &mut Value) {
    review["request"]["object"]["metadata"]["annotations"]["custom-node-selector"] = json!("{");
}

#[tokio::test]
async fn six_replicas_are_one_message() {
    let told = Told::start("").await;
    for ordinal in 0..6 {
        told.admit(ordinal, |_| {}).await;
    }
    let messages = told.messages("one", |messages| !messages.is_empty()).await;
    let namespace = serde_json::from_str::<Value>(&review(REVIEW)).unwrap()["request"]["namespace"].clone();
    let namespace = namespace.as_str().unwrap();
    assert_eq!(
        title(&messages[0]),
        format!("StatefulSet {namespace}/web: 6 replicas routed: 3 → node1, 3 → node2")
    );
}

#[tokio::test]
async fn nobody_is_told_of_a_dry_run_and_a_reinvoked_pod_is_told_once() {
    let told = Told::start("").await;
    told.admit(0, |review| review["request"]["dryRun"] = json!(true)).await;
    told.admit(1, |_| {}).await;
    // The API server asks again, with the patched Pod and a UID of its own, when a later webhook changes the Pod.
    told.admit(1, |review| {
        review["request"]["uid"] = json!("another");
        review["request"]["object"]["spec"]["nodeSelector"] = json!({ "name": "node2" });
    })
    .await;
    told.admit(3, |_| {}).await;
    let messages = told.messages("one", |messages| !messages.is_empty()).await;
    assert!(
        title(&messages[0]).ends_with("2 replicas routed: 2 → node2"),
        "{}",
        title(&messages[0])
    );
    let metrics = told.server.ops("/metrics").await.body;
    assert!(
        metrics.contains("label_router_notices_total{sink=\"hook\"} 2\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_rejection_is_told_and_its_end_too() {
    let told = Told::start("").await;
    told.admit(1, broken).await;
    told.admit(3, broken).await;
    let messages = told.messages("the rejection", |messages| !messages.is_empty()).await;
    assert!(
        title(&messages[0]).ends_with("2 replicas rejected"),
        "{}",
        title(&messages[0])
    );
    let line = &messages[0]["data"]["digests"][0]["lines"][0];
    assert_eq!(line["pods"], json!(["web-1", "web-3"]));
    assert!(
        line["message"].as_str().unwrap().contains("custom-node-selector"),
        "{line}"
    );
    // The controller tries again: no news.
    told.admit(1, broken).await;
    told.admit(1, |_| {}).await;
    let ended = |messages: &[Value]| {
        messages
            .iter()
            .any(|message| title(message).ends_with("1 replica no longer rejected; 1 replica still rejected"))
    };
    let messages = told.messages("its end", ended).await;
    let rejections = messages
        .iter()
        .filter(|message| title(message).ends_with("replicas rejected"));
    assert_eq!(rejections.count(), 1);
}

#[tokio::test]
async fn a_pod_that_no_rule_matches_is_told_of_by_the_file() {
    let told = Told::start("").await;
    told.admit(0, |review| {
        review["request"]["object"]["metadata"]["ownerReferences"][0]["kind"] = json!("CloneSet");
    })
    .await;
    let messages = told.messages("the rejection", |messages| !messages.is_empty()).await;
    assert!(title(&messages[0]).contains("CloneSet"), "{}", title(&messages[0]));
    assert_eq!(messages[0]["data"]["digests"][0]["lines"][0]["rule"], Value::Null);
}

#[tokio::test]
async fn what_matters_less_is_left_out() {
    let told = Told::start(", minSeverity: critical").await;
    told.admit(0, |_| {}).await;
    told.admit(1, broken).await;
    let messages = told.messages("the rejection", |messages| !messages.is_empty()).await;
    assert_eq!(messages.len(), 1);
    assert!(title(&messages[0]).ends_with("rejected"));
}

#[tokio::test]
async fn a_sink_whose_secret_is_made_later_is_told_from_then_on() {
    let sink = SinkDouble::start(|_| Reply::status(204)).await;
    let directory = tempfile::tempdir().unwrap();
    let (path, url) = (directory.path().join("policy.yaml"), directory.path().join("url"));
    let by_file = format!("{{ file: \"{}\" }}", url.display());
    fs::write(&path, policy_telling("URL", "").replace("\"URL\"", &by_file)).unwrap();
    let server = Running::start(|settings| {
        settings.policy = vec![path];
        settings.reload.poll = Duration::from_millis(50);
    })
    .await;
    let told = Told {
        server,
        sink,
        directory,
    };
    told.admit(0, |_| {}).await;
    fs::write(&url, told.sink.url("/hook")).unwrap();
    let start = Instant::now();
    // From some Pod on it is told; of those before, nobody is.
    for ordinal in 1.. {
        told.admit(ordinal, |_| {}).await;
        if !told.sink.received().is_empty() {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "the sink is still left out");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let messages = told.messages("one", |messages| !messages.is_empty()).await;
    assert!(!messages[0].to_string().contains("web-0"), "{messages:#?}");
}

#[tokio::test]
async fn a_policy_that_cannot_be_served_is_told_of_and_that_it_is_mended() {
    let told = Told::start("").await;
    told.rewrite(|text| text.replace("when: even", "when: evn"));
    let messages = told.messages("the refusal", |messages| !messages.is_empty()).await;
    assert_eq!(title(&messages[0]), "the policy was changed and cannot be served");
    let line = messages[0]["data"]["digests"][0]["lines"][0]["message"]
        .as_str()
        .unwrap();
    assert!(line.contains("evn") && line.contains("policy.yaml:"), "{line}");
    told.rewrite(|text| text.replace("when: evn", "when: even"));
    let mended = |messages: &[Value]| {
        messages
            .iter()
            .any(|message| title(message) == "the changed policy is served")
    };
    told.messages("the end", mended).await;
}

#[tokio::test]
async fn what_waits_is_sent_before_the_server_ends() {
    let told = Told::start("").await;
    told.rewrite(|text| text.replace("groupWait: 200ms", "groupWait: 1h"));
    let reload = told
        .server
        .client
        .post(format!("http://{}/-/reload", told.server.server.ops_address()));
    support::answer(reload).await;
    told.admit(0, |_| {}).await;
    let Told { server, sink, .. } = told;
    server.server.shut_down().await;
    assert_eq!(sink.received().len(), 1);
}

/// What the policy below names. The last is `somebody:s3cr3t` in base64.
const ENVIRONMENT: [(&str, &str); 3] = [
    ("SECRET", "s3cr3t-of-the-environment"),
    ("BEARER", "Bearer t0ken-of-the-header"),
    ("BASIC", "Basic c29tZWJvZHk6czNjcjN0"),
];

/// The worst vendor: it repeats all it got, tokens without their scheme, and the words of a password. What is logged of it
/// ends in the midst of some of it.
fn echoed(received: &Received) -> Reply {
    let headers = received.headers.values();
    let headers = headers.map(|value| value.to_str().unwrap_or_default());
    let words = headers.flat_map(str::split_whitespace).map(|word| {
        let decoded = base64::engine::general_purpose::STANDARD.decode(word);
        let decoded = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        format!("{word} {}\n", decoded.unwrap_or_default())
    });
    let (words, uri) = (words.collect::<String>(), received.uri.to_string());
    let slashes = uri.replace('/', "\\/");
    Reply::Status(
        400,
        Vec::new(),
        format!("{words}{uri} {slashes} {words}{uri} {}", received.text()),
    )
}

/// Names and sinks at a vendor, with their secret neither in a path nor alone in a header.
fn sinks_with_secrets_elsewhere(vendor: &SinkDouble) -> Vec<(&'static str, String)> {
    let host = vendor.address;
    let header = |variable: &str| format!(", headers: {{ Authorization: {{ env: {variable} }} }}");
    [
        ("scheme", format!("http://{host}/"), header("BEARER")),
        ("basic", format!("http://{host}/"), header("BASIC")),
        ("user", format!("http://somebody:s3cr3t@{host}/"), String::new()),
        ("query", format!("http://{host}?key=t0ken-in-the-query"), String::new()),
    ]
    .into_iter()
    .map(|(name, url, more)| {
        let sink = format!("  - {{ name: {name}, type: webhook, url: \"{url}\"{more}, groupWait: 0s }}\n");
        (name, sink)
    })
    .collect()
}

/// Every place where a secret may show: the log, the metrics, the configuration, and what a command says.
#[test]
fn no_output_holds_a_secret_whatever_a_sink_answers() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let echo = runtime.block_on(SinkDouble::start(echoed));
    let fickle = runtime.block_on(SinkDouble::start(|received| {
        let status = if received.text().len() % 2 == 0 { 200 } else { 503 };
        Reply::Status(status, Vec::new(), format!("{} {}", received.uri, received.text()))
    }));
    let dead = runtime.block_on(nobody());
    let resetting = runtime.block_on(sink::resetting());
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("secret"), "s3cr3t-of-the-file\n").unwrap();
    let answers = [
        format!("http://{}", echo.address),
        format!("http://{dead}"),
        format!("http://{resetting}"),
        format!("https://{}", echo.address),
        "http://169.254.169.254".to_owned(),
        "http://no-such-host.invalid".to_owned(),
        format!("http://{}", fickle.address),
    ];
    let mut sinks: Vec<String> = Vec::new();
    let mut names = Vec::new();
    for (number, host) in answers.iter().enumerate() {
        for kind in [
            "dingtalk",
            "feishu",
            "wecom",
            "slack",
            "teams",
            "webhook",
            "alertmanager",
        ] {
            let name = format!("{kind}{number}");
            let secret = match kind {
                "dingtalk" | "feishu" => format!(", secret: {{ file: {} }}", at("secret").display()),
                "webhook" => ", secret: { env: SECRET }, headers: { Authorization: { env: SECRET } }".to_owned(),
                _ => String::new(),
            };
            let url = format!("{host}/t0ken-in-the-path/send?access_token=t0ken-in-the-query&key=t0ken-in-the-key");
            sinks.push(format!(
                "  - {{ name: {name}, type: {kind}, url: \"{url}\"{secret}, groupWait: 0s, required: true }}\n"
            ));
            names.push(name);
        }
    }
    for (name, sink) in sinks_with_secrets_elsewhere(&echo) {
        sinks.push(sink);
        names.push(name.to_owned());
    }
    let head = policy_telling("http://127.0.0.1/", "")
        .split("sinks:\n")
        .next()
        .unwrap()
        .to_owned();
    let text = head.replace(
        "notify: { sinks: [hook] }",
        &format!("notify: {{ sinks: [{}] }}", names.join(", ")),
    );
    fs::write(at("policy.yaml"), format!("{text}sinks:\n{}", sinks.concat())).unwrap();
    let mut outputs = Vec::new();
    let run = |arguments: &[&str]| {
        let output = assert_cmd::Command::cargo_bin("label-router")
            .unwrap()
            .args(arguments)
            .envs(ENVIRONMENT)
            .env("LABEL_ROUTER_LOG_LEVEL", "debug")
            .env("LABEL_ROUTER_SINKS_TIMEOUT", "2s")
            .output()
            .unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let file = at("policy.yaml").display().to_string();
    for name in names.iter().filter(|name| !name.ends_with('5')) {
        outputs.push(run(&["notify-test", name, "--policy", &file, "--kind", "rejected"]));
        outputs.push(run(&["notify-test", name, "--policy", &file, "--print"]));
    }
    outputs.push(run(&["check", &file]));
    outputs.extend(served(Path::new(&file)));
    let said = outputs.join("\n");
    for kind in ["refused", "failed"] {
        assert!(said.contains(kind), "{kind} is missing in\n{said}");
    }
    // The last is base64 of the name and the password of a user.
    for secret in ["s3cr3t", "t0ken", "c29tZWJvZHk6"] {
        let line = said.lines().find(|line| line.contains(secret));
        assert_eq!(line, None);
    }
    assert!(!echo.received().is_empty());
}

/// What a server process prints and shows that decides about a Pod and tells all of its sinks.
fn served(policy: &Path) -> Vec<String> {
    use std::process::{Command, Stdio};
    let log = policy.with_file_name("log");
    let mut process = Command::new(env!("CARGO_BIN_EXE_label-router"))
        .args(["serve", "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0"])
        .arg(format!("--policy={}", policy.display()))
        .envs(ENVIRONMENT)
        .env("LABEL_ROUTER_LOG_LEVEL", "debug")
        .env("LABEL_ROUTER_SHUTDOWN_FLUSH", "500ms")
        .stdout(Stdio::from(fs::File::create(&log).unwrap()))
        .stderr(Stdio::from(fs::File::options().append(true).open(&log).unwrap()))
        .spawn()
        .unwrap();
    let read = || fs::read_to_string(&log).unwrap();
    let after = |text: &str, word: &str, end: char| Some(text.split_once(word)?.1.split_once(end)?.0.to_owned());
    let wait = |what: &str, condition: &dyn Fn(&str) -> bool| {
        let start = Instant::now();
        while !condition(&read()) {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "waited for {what}\n{}",
                read()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    wait("the addresses", &|text| {
        text.contains("  operations  ") && text.contains("  reviews     https://")
    });
    let reviews = after(&read(), "  reviews     https://", '/').unwrap();
    let ops = after(&read(), "  operations  ", ' ').unwrap();
    let shown = runtime.block_on(async {
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .no_proxy()
            .build()
            .unwrap();
        let request = client
            .post(format!("https://{reviews}/mutate"))
            .header("content-type", "application/json");
        request.body(review(REVIEW)).send().await.unwrap();
        let mut shown = Vec::new();
        let start = Instant::now();
        loop {
            let metrics = client
                .get(format!("{ops}/metrics"))
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap();
            let refused = metrics
                .lines()
                .filter(|line| line.contains("result=\"refused\"") && line.ends_with(" 1"));
            if refused.count() >= 14 || start.elapsed() > Duration::from_secs(20) {
                shown.push(metrics);
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for path in ["/config", "/readyz"] {
            shown.push(
                client
                    .get(format!("{ops}{path}"))
                    .send()
                    .await
                    .unwrap()
                    .text()
                    .await
                    .unwrap(),
            );
        }
        shown
    });
    let killed = Command::new("kill").arg(process.id().to_string()).status().unwrap();
    assert!(killed.success());
    process.wait().unwrap();
    assert!(read().contains("shutdown"), "{}", read());
    shown.into_iter().chain([read()]).collect()
}

/// How long reviews take that 20 clients send for a while, sorted.
async fn latencies(server: &Running, how_long: Duration) -> Vec<Duration> {
    let clients: Vec<_> = (0..20)
        .map(|client| {
            let (http, url) = (server.client.clone(), server.url("/mutate"));
            tokio::spawn(async move {
                let (start, mut latencies) = (Instant::now(), Vec::new());
                let mut pod = 0;
                while start.elapsed() < how_long {
                    // Each Pod is another one, so that each is told of.
                    pod += 1;
                    let body = review(REVIEW).replace("web-0", &format!("web-{client}-{pod}"));
                    let sent = Instant::now();
                    let request = http.post(&url).header("content-type", "application/json").body(body);
                    let answer = request.send().await.unwrap();
                    assert_eq!(answer.status(), 200);
                    answer.bytes().await.unwrap();
                    latencies.push(sent.elapsed());
                    // A rollout, and no benchmark.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                latencies
            })
        })
        .collect();
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.await.unwrap());
    }
    all.sort_unstable();
    all
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, so that nothing else may run: just nightly"]
async fn dead_and_slow_sinks_delay_no_review() {
    const ROUND: Duration = Duration::from_secs(4);
    let directory = tempfile::tempdir().unwrap();
    let slow = SinkDouble::start(|_| Reply::Slow(Duration::from_mins(1))).await;
    let dead = nobody().await;
    let head = policy_telling("http://127.0.0.1/", "")
        .split("sinks:\n")
        .next()
        .unwrap()
        .to_owned();
    let (mut names, mut sinks) = (Vec::new(), Vec::new());
    for (number, kind) in [
        "dingtalk",
        "feishu",
        "wecom",
        "slack",
        "teams",
        "webhook",
        "alertmanager",
    ]
    .into_iter()
    .enumerate()
    {
        let host = if number % 2 == 0 { dead } else { slow.address };
        names.push(kind);
        sinks.push(format!(
            "  - {{ name: {kind}, type: {kind}, url: \"http://{host}/x\", groupWait: 0s, groupInterval: 1s }}\n"
        ));
    }
    let told = head.replace("[hook]", &format!("[{}]", names.join(", "))) + "sinks:\n" + &sinks.concat();
    let untold = head.replace("notify: { sinks: [hook] }\n", "");
    let mut servers = Vec::new();
    for (name, text) in [("untold", &untold), ("told", &told)] {
        let path = directory.path().join(format!("{name}.yaml"));
        fs::write(&path, text).unwrap();
        servers.push(Running::start(|settings| settings.policy = vec![path]).await);
    }
    let p99 = |latencies: &[Duration]| latencies[latencies.len() * 99 / 100];
    for server in &servers {
        latencies(server, ROUND).await;
    }
    let mut ratios = Vec::new();
    let mut shown = Vec::new();
    for round in 0..7 {
        let mut measured = [Duration::ZERO; 2];
        for turn in 0..2 {
            let which = (round + turn) % 2;
            measured[which] = p99(&latencies(&servers[which], ROUND).await);
        }
        let [untold, told] = measured;
        ratios.push(told.as_secs_f64() / untold.as_secs_f64());
        shown.push(measured);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "p99 of a review without sinks and with seven dead ones, by round: {shown:?}; median ratio {:.2}",
        ratios[3]
    );
    assert!(ratios[3] <= 1.1, "{ratios:?}");
    let metrics = servers[1].ops("/metrics").await.body;
    let waiting = metrics
        .lines()
        .filter(|line| line.starts_with("label_router_notices_waiting"));
    for line in waiting {
        // Bounded: groups, one message, and the queue.
        let count: u64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
        assert!(count > 0, "{line}");
    }
}

/// Two rules of which the first goes on, and a shadowed one between them.
const SEVERAL: &str = "apiVersion: label-router/v1
kind: RoutingPolicy
gate: { label: ab-build-different }
notify: { sinks: [all] }
rules:
  - { name: first, continue: true, routes: [{ nodeSelector: { a: b } }], notify: { sinks: [one, two] } }
  - { name: tried, mode: shadow, routes: [{ nodeSelector: { c: e } }], notify: { sinks: [two] } }
  - { name: second, routes: [{ nodeSelector: { c: d } }], notify: { sinks: [one], outcomes: [routed] } }
sinks:
  - { name: one, type: log }
  - { name: two, type: log }
  - { name: all, type: log }
";

#[test]
fn a_sink_is_told_of_a_pod_once_for_each_outcome() {
    let file = "policy.yaml".to_owned();
    let text = SEVERAL.to_owned();
    let compiled = policy::load(&[PolicyText { file, text }]).unwrap();
    let told = |telling: &Telling, dry_run: bool| {
        let review = review(REVIEW);
        let mut request = admission::decode(&review, &Wanted::by(&compiled.snapshot)).unwrap();
        request.dry_run = dry_run;
        let decision = decide(&compiled.snapshot, &request, &mut NoTrace);
        let at = || SystemTime::UNIX_EPOCH;
        let notices = telling.notices(&request, &decision, "abc", at, |_| false);
        let shown = |told: Tells| {
            let rule = told.notice.rule.as_deref().unwrap_or_default().to_owned();
            format!("{} {} by {rule}", told.sink, told.notice.kind.name())
        };
        notices.into_iter().map(shown).collect::<Vec<_>>()
    };
    let mut telling = compiled.telling.clone();
    assert_eq!(
        told(&telling, false),
        ["0 routed by first", "1 routed by first", "1 shadowed by tried"]
    );
    assert!(told(&telling, true).is_empty());
    telling.retain(|sink| sink == 0);
    assert_eq!(told(&telling, false), ["0 routed by first"]);
}
