//! Rules and certificates change while it serves, through the swap of links by which Kubernetes changes a mounted ConfigMap.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failure should stop a test"
)]

#[path = "support/shown.rs"]
mod shown;
mod support;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use label_router::policy::{self, PolicyText};
use reqwest::tls::TlsInfo;
use serde_json::Value;
use shown::shown;
use support::{Answer, Running, answer, patch, review};
use tempfile::TempDir;

const REVIEW: &str = "statefulset-web-0.json";
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory as the kubelet mounts a ConfigMap or Secret: each version in a folder of its own, and a link that is swapped.
struct Mounted {
    directory: TempDir,
    version: usize,
}

impl Mounted {
    fn new(files: &[(&str, &str)]) -> Self {
        let mut mounted = Self {
            directory: tempfile::tempdir().unwrap(),
            version: 0,
        };
        mounted.swap(files);
        for (name, _) in files {
            symlink(Path::new("..data").join(name), mounted.directory.path().join(name)).unwrap();
        }
        mounted
    }

    /// Puts other files in the place of those that are there, all at once.
    fn swap(&mut self, files: &[(&str, &str)]) {
        let at = |name: &str| self.directory.path().join(name);
        let old = at(&format!("..version_{}", self.version));
        self.version += 1;
        let new = format!("..version_{}", self.version);
        fs::create_dir(at(&new)).unwrap();
        for (name, text) in files {
            fs::write(at(&new).join(name), text).unwrap();
        }
        symlink(&new, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        let _ = fs::remove_dir_all(old);
    }

    fn path(&self) -> PathBuf {
        self.directory.path().to_owned()
    }
}

/// A policy that routes the recorded Pod to a pool of its own.
fn good(number: usize) -> String {
    format!(
        "apiVersion: label-router/v1\nkind: RoutingPolicy\ngate: {{ label: ab-build-different }}\nrules:\n  \
         - name: pool\n    routes: [{{ nodeSelector: {{ pool: \"p{number}\" }} }}]\n"
    )
}

/// One that is wrong, each time in another way.
fn broken(number: usize) -> String {
    let text = good(number);
    match number % 10 {
        0 => String::new(),
        1 => text.replace("rules:", "rulez:"),
        2 => text[..text.len() - 20].to_owned(),
        3 => text.replace("pool: \"p", "\"po ol\": \"p"),
        4 => text.replace("gate:", "gate: {}\ngate:"),
        5 => format!("{text}  - name: pool\n    routes: [{{ nodeSelector: {{ a: b }} }}]\n"),
        6 => text.replace("routes:", "when: odd\n    routes:"),
        7 => text.replace("v1", "v9"),
        8 => text.replace("routes:", "match: { names: [\"[\"] }\n    routes:"),
        _ => format!("{text}---\n{text}"),
    }
}

fn generation(text: &str) -> String {
    let text = PolicyText {
        file: "policy.yaml".to_owned(),
        text: text.to_owned(),
    };
    policy::load(&[text]).unwrap().snapshot.generation().to_owned()
}

async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(seen) if start.elapsed() > PATIENCE => panic!("waited for {what}; last seen: {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

async fn serves(server: &Running, generation: &str) {
    until(generation, async || {
        let ready = server.ops("/readyz").await.body;
        ready.contains(generation).then_some(()).ok_or(ready)
    })
    .await;
}

async fn metric(server: &Running, line: &str) {
    until(line, async || {
        let metrics = server.ops("/metrics").await.body;
        metrics.lines().any(|found| found == line).then_some(()).ok_or(metrics)
    })
    .await;
}

async fn with_policy(text: &str) -> (Running, Mounted) {
    let mounted = Mounted::new(&[("policy.yaml", text)]);
    let path = mounted.path();
    (Running::start(|settings| settings.policy = vec![path]).await, mounted)
}

/// The pool that a response routes to, and the generation that it says it is of.
fn routed(response: &Value) -> (String, String) {
    let patch = serde_json::to_value(patch(response).unwrap()).unwrap();
    let pool = patch[0]["value"]["pool"].as_str().unwrap().to_owned();
    (
        pool,
        response["auditAnnotations"]["generation"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test]
async fn an_edit_counts_and_a_bad_one_changes_nothing() {
    let (server, mut mounted) = with_policy(&good(1)).await;
    serves(&server, &generation(&good(1))).await;
    metric(&server, "label_router_config_last_reload_successful 1").await;

    mounted.swap(&[("policy.yaml", &broken(1))]);
    metric(&server, "label_router_config_last_reload_successful 0").await;
    let config: Value = serde_json::from_str(&server.ops("/config").await.body).unwrap();
    assert_eq!(config["generation"], generation(&good(1)));
    let problem = &config["refused"]["diagnostics"][0];
    assert_eq!(problem["code"], "unknown-field", "{config}");
    assert!(
        problem["hint"].as_str().unwrap().contains("did you mean rules?"),
        "{problem}"
    );
    assert_eq!(routed(&server.post(review(REVIEW)).await.response()).0, "p1");

    mounted.swap(&[("policy.yaml", &good(2))]);
    serves(&server, &generation(&good(2))).await;
    metric(&server, "label_router_config_last_reload_successful 1").await;
    let config: Value = serde_json::from_str(&server.ops("/config").await.body).unwrap();
    assert!(config.get("refused").is_none(), "{config}");
    assert_eq!(routed(&server.post(review(REVIEW)).await.response()).0, "p2");
    let metrics = server.ops("/metrics").await.body;
    assert!(!metrics.contains(&generation(&good(1))), "{metrics}");
}

#[tokio::test]
async fn a_policy_that_goes_away_is_served_on() {
    let (server, mounted) = with_policy(&good(1)).await;
    fs::remove_file(mounted.path().join("..data")).unwrap();
    metric(&server, "label_router_config_last_reload_successful 0").await;
    let config = server.ops("/config").await.body;
    assert!(
        config.contains("cannot read") && config.contains("policy.yaml"),
        "{config}"
    );
    assert_eq!(routed(&server.post(review(REVIEW)).await.response()).0, "p1");
}

#[tokio::test]
async fn whoever_asks_for_a_reload_is_told_what_came_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.yaml");
    fs::write(&file, good(1)).unwrap();
    let policy = file.clone();
    let server = Running::start(|settings| {
        settings.policy = vec![policy];
        settings.reload.poll = Duration::from_hours(1);
    })
    .await;
    let reload = async || {
        let url = format!("http://{}/-/reload", server.server.ops_address());
        answer(server.client.post(url)).await
    };
    let Answer { status, body } = reload().await;
    assert_eq!(
        (status, body.starts_with("unchanged: serves generation")),
        (200, true),
        "{body}"
    );
    fs::write(&file, broken(1)).unwrap();
    let Answer { status, body } = reload().await;
    assert_eq!(status, 422, "{body}");
    let file = file.display();
    assert!(
        body.contains(&format!("refused: still serves generation {}", generation(&good(1))))
            && body.contains(&format!("{file}:4:1"))
            && body.contains("did you mean rules?"),
        "{body}"
    );
    fs::write(format!("{file}"), good(2)).unwrap();
    let Answer { status, body } = reload().await;
    assert_eq!(status, 200, "{body}");
    serves(&server, &generation(&good(2))).await;
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_and_a_broken_one_is_not() {
    let pair = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (
            made.cert.pem(),
            made.signing_key.serialize_pem(),
            made.cert.der().to_vec(),
        )
    };
    let (cert, key, der) = pair();
    let mut mounted = Mounted::new(&[("tls.crt", &cert), ("tls.key", &key)]);
    let path = mounted.path();
    let server = Running::start(|settings| {
        settings.tls.cert = Some(path.join("tls.crt"));
        settings.tls.key = Some(path.join("tls.key"));
    })
    .await;
    let port = server.server.address().port();
    assert_eq!(shown(port).await, der);
    // Certificate and key of two different pairs.
    let (other, _, _) = pair();
    mounted.swap(&[("tls.crt", &other), ("tls.key", &key)]);
    metric(&server, "label_router_certificate_last_reload_successful 0").await;
    assert_eq!(shown(port).await, der, "the old one is shown on");
    let (cert, key, der) = pair();
    mounted.swap(&[("tls.crt", &cert), ("tls.key", &key)]);
    until("the new certificate", async || {
        (shown(port).await == der).then_some(()).ok_or("the old one".to_owned())
    })
    .await;
    metric(&server, "label_router_certificate_last_reload_successful 1").await;
}

/// Clients that send reviews all the time, on connections that they keep or open anew.
struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    faults: Arc<Mutex<Vec<String>>>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    /// `check` says what is wrong with a response.
    fn start(
        server: &Running,
        clients: usize,
        client: impl Fn() -> reqwest::Client + Clone + Send + 'static,
        fresh: bool,
        check: impl Fn(&Value) -> Result<(), String> + Clone + Send + 'static,
    ) -> Self {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let faults = Arc::new(Mutex::new(Vec::new()));
        let url = server.url("/mutate");
        let clients = (0..clients)
            .map(|_| {
                let (stop, answers, faults) = (Arc::clone(&stop), Arc::clone(&answers), Arc::clone(&faults));
                let (url, make, check) = (url.clone(), client.clone(), check.clone());
                tokio::spawn(async move {
                    let mut client = make();
                    while !stop.load(Ordering::Relaxed) {
                        let request = client.post(&url).header("content-type", "application/json");
                        let result = match request.body(review(REVIEW)).send().await {
                            Ok(answer) => match answer.text().await {
                                Ok(text) => match serde_json::from_str::<Value>(&text) {
                                    Ok(review) => check(&review["response"]),
                                    Err(_) => Err(text),
                                },
                                Err(error) => Err(format!("{error:?}")),
                            },
                            Err(error) => Err(format!("{error:?}")),
                        };
                        answers.fetch_add(1, Ordering::Relaxed);
                        if let Err(fault) = result {
                            faults.lock().unwrap().push(fault);
                        }
                        if fresh {
                            client = make();
                        }
                    }
                })
            })
            .collect();
        Self {
            stop,
            answers,
            faults,
            clients,
        }
    }

    /// How many answers there were; panics where one was wrong.
    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        let faults = self.faults.lock().unwrap();
        assert!(faults.is_empty(), "{} faults, such as {}", faults.len(), faults[0]);
        self.answers.load(Ordering::Relaxed)
    }
}

/// The memory of this process, in KiB.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Swaps policies under load, every second one broken. No request fails, each answer is of exactly one generation, and each
/// good policy comes to serve.
async fn swaps(count: usize) {
    let (server, mut mounted) = with_policy(&good(0)).await;
    let pools: HashMap<String, String> = (0..=count)
        .map(|number| (generation(&good(number)), format!("p{number}")))
        .collect();
    let pools = Arc::new(pools);
    let consistent = move |response: &Value| {
        let (pool, generation) = routed(response);
        match pools.get(&generation) {
            Some(expected) if *expected == pool => Ok(()),
            expected => Err(format!("{generation} routes to {pool}, and {expected:?} is expected")),
        }
    };
    let certificate = server.certificate.pem.clone();
    let client = move || {
        let certificate = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
        reqwest::Client::builder()
            .tls_certs_only([certificate])
            .no_proxy()
            .build()
            .unwrap()
    };
    let load = Load::start(&server, 4, client, false, consistent);
    let mut early = 0;
    for number in 1..=count {
        if number % 2 == 0 {
            mounted.swap(&[("policy.yaml", &good(number))]);
            serves(&server, &generation(&good(number))).await;
        } else {
            mounted.swap(&[("policy.yaml", &broken(number / 2))]);
            metric(&server, "label_router_config_last_reload_successful 0").await;
        }
        if number == count / 4 {
            early = resident();
        }
    }
    let late = resident();
    let answers = load.end().await;
    assert!(answers > count, "{answers} answers to {count} swaps");
    assert!(late < early + 16 * 1024, "memory grew from {early} to {late} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_swapped_under_load_lose_no_request() {
    swaps(20).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: just nightly"]
async fn a_thousand_policies_swapped_under_load_lose_no_request() {
    swaps(1000).await;
}

/// Renews the certificate under load of new connections. No handshake fails.
async fn rotations(count: usize) {
    let authority = label_router::pki::Authority::make(std::time::SystemTime::now()).unwrap();
    let issue = || {
        authority
            .issue(
                &["localhost".to_owned(), "127.0.0.1".to_owned()],
                std::time::SystemTime::now(),
            )
            .unwrap()
    };
    let first = issue();
    let mut mounted = Mounted::new(&[("tls.crt", &first.certificate), ("tls.key", &first.key)]);
    let path = mounted.path();
    let server = Running::start(|settings| {
        settings.tls.cert = Some(path.join("tls.crt"));
        settings.tls.key = Some(path.join("tls.key"));
    })
    .await;
    let ca = authority.pair().certificate.clone();
    let client = move || {
        let ca = reqwest::Certificate::from_pem(ca.as_bytes()).unwrap();
        reqwest::Client::builder()
            .tls_certs_only([ca])
            .tls_info(true)
            .no_proxy()
            .build()
            .unwrap()
    };
    let load = Load::start(&server, 4, client.clone(), true, |response| {
        response.get("patch").map(|_| ()).ok_or(format!("{response}"))
    });
    for _ in 0..count {
        let renewed = issue();
        mounted.swap(&[("tls.crt", &renewed.certificate), ("tls.key", &renewed.key)]);
        let wanted = label_router::pki::certificates(&renewed.certificate).unwrap();
        until("the renewed certificate", async || {
            let answer = client()
                .get(server.url("/"))
                .send()
                .await
                .map_err(|error| format!("{error:?}"))?;
            let shown = answer
                .extensions()
                .get::<TlsInfo>()
                .unwrap()
                .peer_certificate()
                .unwrap()
                .to_vec();
            (shown == wanted[0].as_ref())
                .then_some(())
                .ok_or("another one".to_owned())
        })
        .await;
    }
    assert!(load.end().await > count);
    let metrics = server.ops("/metrics").await.body;
    assert!(metrics.contains("label_router_failed_handshakes_total 0"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_renewed_under_load_lose_no_handshake() {
    rotations(5).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: just nightly"]
async fn a_hundred_certificates_renewed_under_load_lose_no_handshake() {
    rotations(100).await;
}

/// A policy of a thousand rules, of which the last one is for the recorded Pod.
fn thousand(number: usize) -> String {
    let mut text =
        "apiVersion: label-router/v1\nkind: RoutingPolicy\ngate: { label: ab-build-different }\nrules:\n".to_owned();
    for rule in 0..1000 {
        let name = if rule == 999 {
            "web".to_owned()
        } else {
            format!("db-{rule}-{number}")
        };
        let line = format!(
            "  - {{ name: r{rule}, match: {{ owner: {{ names: [{name}] }} }}, routes: [{{ nodeSelector: {{ pool: p{number} }} }}] }}\n"
        );
        text.push_str(&line);
    }
    text
}

/// How long reviews take that one client sends for a while, sorted.
async fn latencies(server: &Running, client: &reqwest::Client, how_long: Duration) -> Vec<Duration> {
    let (start, url) = (Instant::now(), server.url("/mutate"));
    let mut latencies = Vec::new();
    while start.elapsed() < how_long {
        let sent = Instant::now();
        let request = client.post(&url).header("content-type", "application/json");
        let answer = request.body(review(REVIEW)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
        latencies.push(sent.elapsed());
        // A rollout, and no benchmark: the machine has room for a reload.
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    latencies.sort_unstable();
    latencies
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, so that nothing else may run: just nightly"]
async fn reloading_a_thousand_rules_delays_no_review() {
    const ROUND: Duration = Duration::from_secs(4);
    let (server, mounted) = with_policy(&thousand(0)).await;
    let mounted = Arc::new(Mutex::new(mounted));
    let p99 = |latencies: &[Duration]| latencies[latencies.len() * 99 / 100];
    latencies(&server, &server.client, ROUND).await;
    let (mut calm, mut busy) = (Vec::new(), Vec::new());
    for round in 0..5 {
        calm.push(p99(&latencies(&server, &server.client, ROUND).await));
        let stop = Arc::new(AtomicBool::new(false));
        let swapping = {
            let (stop, mounted) = (Arc::clone(&stop), Arc::clone(&mounted));
            std::thread::spawn(move || {
                let mut number = round * 1000;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    mounted.lock().unwrap().swap(&[("policy.yaml", &thousand(number))]);
                    std::thread::sleep(Duration::from_secs(1));
                }
            })
        };
        busy.push(p99(&latencies(&server, &server.client, ROUND).await));
        stop.store(true, Ordering::Relaxed);
        swapping.join().unwrap();
    }
    calm.sort_unstable();
    busy.sort_unstable();
    let (calm, busy) = (calm[2], busy[2]);
    println!("p99 of a review: {calm:?} without reloads, {busy:?} with one of 1,000 rules each second");
    assert!(busy.as_secs_f64() <= calm.as_secs_f64() * 1.2, "{calm:?} and {busy:?}");
}
