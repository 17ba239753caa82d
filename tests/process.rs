//! `label-router` as a process: what it prints, which settings stand, and how it ends.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failure should stop a test"
)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use serde_json::Value;
use support::{Answer, Certificate, answer, patch};

const BINARY: &str = env!("CARGO_BIN_EXE_label-router");

/// The command, away from this machine's own environment.
fn label_router(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .env_clear()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A server that is killed when the test ends, however it ends.
struct Process {
    child: Child,
    stderr: Option<ChildStderr>,
    /// What it printed, up to the line to try it with.
    greeting: String,
}

impl Process {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take();
        let mut process = Self {
            child,
            stderr,
            greeting: String::new(),
        };
        let mut stdout = BufReader::new(process.child.stdout.take().unwrap());
        while !process.greeting.contains("\n  curl ") {
            let ended = stdout.read_line(&mut process.greeting).unwrap() == 0;
            assert!(!ended, "it ended: {}", process.log());
        }
        process
    }

    /// The line to try it with.
    fn curl(&self) -> &str {
        self.greeting.lines().last().unwrap().trim()
    }

    fn ops(&self) -> String {
        let line = self.greeting.lines().find(|line| line.contains("operations")).unwrap();
        let url = line.split_whitespace().nth(1).unwrap();
        url.to_owned()
    }

    fn stop(&mut self, signal: &str) -> ExitStatus {
        let kill = format!("kill -{signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        self.child.wait().unwrap()
    }

    /// All that it logged; it must have ended.
    fn log(&mut self) -> String {
        let mut log = String::new();
        self.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends what a curl line says. Such lines are one of two: `--data @FILE`, or `--data 'JSON'`.
async fn send(curl: &str) -> Answer {
    let url = curl
        .split_whitespace()
        .find(|word| word.starts_with("https://"))
        .unwrap();
    let (_, data) = curl.split_once("--data ").unwrap();
    let body = match data.strip_prefix('@') {
        Some(file) => fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap(),
        None => data.trim_matches('\'').to_owned(),
    };
    let (_, header) = curl.split_once("-H '").unwrap();
    let (name, value) = header.split_once('\'').unwrap().0.split_once(": ").unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([])
        .tls_danger_accept_invalid_certs(true)
        .no_proxy()
        .build()
        .unwrap();
    answer(client.post(url).header(name, value).body(body)).await
}

const FREE_PORTS: [&str; 4] = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];

#[tokio::test(flavor = "multi_thread")]
async fn the_line_it_prints_makes_a_first_decision() {
    let mut process = Process::start(label_router(&FREE_PORTS));
    for part in [
        "<default policy>",
        "statefulset-parity",
        "ab-build-different=true",
        "made in memory",
    ] {
        assert!(
            process.greeting.contains(part),
            "{part} is missing in {}",
            process.greeting
        );
    }
    assert!(
        process.curl().ends_with("--data @examples/first-review.json"),
        "{}",
        process.curl()
    );
    assert!(patch(&send(process.curl()).await.response()).is_some());
    if Command::new("curl")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok()
    {
        let output = Command::new("sh")
            .args(["-c", process.curl()])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let review: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(patch(&review["response"]).is_some(), "{review}");
    } else {
        // The log below has as many lines either way.
        send(process.curl()).await;
    }
    assert_eq!(process.stop("TERM").code(), Some(0));

    let log = process.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let decided: Vec<&Value> = lines.iter().filter(|line| line["message"] == "decided").collect();
    assert_eq!(decided.len(), 2, "one line for each decision: {log}");
    let line = decided[0];
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["uid"], "f8c20aaa-7e3b-4529-88ae-382826652caf");
    assert_eq!(line["pod"], "default/web-0");
    assert_eq!(line["rule"], "statefulset-parity");
    assert_eq!((&line["route"], &line["ordinal"]), (&0.into(), &0.into()));
    assert_eq!(line["outcome"], "routed");
    assert_eq!(line["dry_run"], false);
    assert!(line["duration_us"].is_u64());
    assert!(
        !log.contains("nginx") && !log.contains("node1"),
        "nothing of the Pod: {log}"
    );
    let sinks = lines.iter().filter(|line| line["sink"] == "ops");
    assert_eq!(sinks.count(), 1, "that nothing is sent is said: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn elsewhere_than_in_a_checkout_the_line_works_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = label_router(&FREE_PORTS);
    command.current_dir(directory.path());
    let mut process = Process::start(command);
    assert!(process.curl().contains("--data '{"), "{}", process.curl());
    assert!(patch(&send(process.curl()).await.response()).is_some());
    assert_eq!(process.stop("INT").code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_stand_over_the_environment_over_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("settings.yaml");
    fs::write(
        &file,
        "listen: 127.0.0.1:1\nopsListen: 127.0.0.1:0\nlog: { level: error, format: text }\n",
    )
    .unwrap();
    let mut command = label_router(&["--listen", "127.0.0.1:0"]);
    command
        .env("LABEL_ROUTER_SETTINGS", &file)
        .env("LABEL_ROUTER_LISTEN", "127.0.0.1:2")
        .env("LABEL_ROUTER_LOG_LEVEL", "warn")
        // What Kubernetes puts there for a Service named label-router.
        .env("LABEL_ROUTER_PORT", "tcp://10.0.0.1:443")
        .env("LABEL_ROUTER_SERVICE_HOST", "10.0.0.1");
    let process = Process::start(command);
    let config = reqwest::get(format!("{}/config", process.ops())).await.unwrap();
    let config: Value = serde_json::from_str(&config.text().await.unwrap()).unwrap();
    let settings = &config["settings"];
    assert_eq!(settings["listen"], "127.0.0.1:0", "the flag");
    assert_eq!(settings["log"]["level"], "warn", "the environment");
    assert_eq!(settings["log"]["format"], "text", "the file");
    assert_eq!(settings["timeouts"]["idle"], "120s", "the default");
}

/// Runs a command that must end by itself.
fn fails(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_is_wrong_at_the_start_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let policy = path(
        "policy.yaml",
        "apiVersion: label-router/v1\nkind: RoutingPolicy\nrulez: []\n",
    );
    let settings = path("settings.yaml", "listn: 127.0.0.1:0\n");
    let absent = directory.path().join("absent.yaml").display().to_string();
    let certificate = Certificate::new();
    let cert = certificate.cert().display().to_string();
    let cases: [(&[&str], i32, &[&str]); 7] = [
        (&["--policy", &policy], 1, &["rulez", "policy.yaml:3"]),
        (&["--policy", &absent], 2, &["absent.yaml", "check the path"]),
        (&["--settings", &settings], 1, &["listn", "did you mean listen?"]),
        (&["--settings", &absent], 2, &["absent.yaml", "LABEL_ROUTER_SETTINGS"]),
        (&["--listen", "8443"], 1, &["--listen", "0.0.0.0:8443"]),
        (&["--tls-cert", &cert], 1, &["--tls-cert", "--tls-key"]),
        (
            &["--tls-cert", &cert, "--tls-key", &cert],
            2,
            &["there is no private key in it"],
        ),
    ];
    for (arguments, code, parts) in cases {
        let (ended, said) = fails(label_router(arguments));
        assert_eq!(ended, Some(code), "{arguments:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{arguments:?}: {part} is missing in {said}");
        }
    }
}

#[test]
fn a_taken_port_names_the_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (arguments, setting) in [
        (
            ["--listen", &address, "--ops-listen", "127.0.0.1:0"],
            "--listen, LABEL_ROUTER_LISTEN",
        ),
        (
            ["--listen", "127.0.0.1:0", "--ops-listen", &address],
            "--ops-listen, LABEL_ROUTER_OPS_LISTEN",
        ),
    ] {
        let (code, said) = fails(label_router(&arguments));
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(&address) && said.contains(setting), "{said}");
    }
}

#[test]
fn in_a_cluster_a_certificate_must_be_configured() {
    let mut command = label_router(&FREE_PORTS);
    command.env("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    let (code, said) = fails(command);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("kubernetes.io/tls") && said.contains("LABEL_ROUTER_TLS_CERT"),
        "{said}"
    );
}
