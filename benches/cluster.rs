//! Pods per second that a real API server creates, and the CPU time that each takes: alone, with label-router, and with the
//! same rule as a MutatingAdmissionPolicy, which the API server evaluates itself. `just bench-cluster` runs it.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a failure should stop it, and no count here comes near 2^52"
)]

#[path = "../tests/cluster/harness/mod.rs"]
mod harness;

use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use harness::{Cluster, Extent, Webhook, runtime, wait_for};
use k8s_openapi::api::admissionregistration::v1::{MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};

/// Pods per second on a real API server: alone, with label-router, with a MutatingAdmissionPolicy
#[derive(Parser)]
struct Arguments {
    /// How many rounds; in each one all three are measured, every time in another order
    #[arg(long, default_value_t = 31)]
    rounds: usize,
    /// How many Pods are created for one measurement
    #[arg(long, default_value_t = 500)]
    pods: usize,
    /// How many clients create them
    #[arg(long, default_value_t = 20)]
    clients: usize,
    /// Whether it works at all, in a few seconds
    #[arg(long)]
    smoke: bool,
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// What Cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// What stands between a client and etcd.
#[derive(Clone, Copy)]
enum Setup {
    Nothing,
    LabelRouter,
    Policy,
}

const SETUPS: [Setup; 3] = [Setup::Nothing, Setup::LabelRouter, Setup::Policy];

impl Setup {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no admission",
            Self::LabelRouter => "label-router",
            Self::Policy => "MutatingAdmissionPolicy",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::LabelRouter => "labelRouter",
            Self::Policy => "mutatingAdmissionPolicy",
        }
    }
}

/// The same for both: even numbers to one Node, odd ones to another. The values stand in the rule, since a
/// MutatingAdmissionPolicy cannot read JSON from an annotation.
const RULE: &str = r#"apiVersion: label-router/v1
kind: RoutingPolicy
gate: { label: ab-build-different, value: "true" }
unmatched: admit
rules:
  - name: parity
    match: { owner: { kinds: [StatefulSet] } }
    ordinal: { from: [podIndexLabel] }
    routes:
      - { when: even, nodeSelector: { name: node1 } }
      - { when: odd, nodeSelector: { name: node2 } }
"#;

const CONDITION: &str = "has(object.metadata.ownerReferences) && object.metadata.ownerReferences.exists(owner, \
                         has(owner.controller) && owner.controller && owner.kind == 'StatefulSet')";

const NODE: &str = "int(object.metadata.labels['apps.kubernetes.io/pod-index']) % 2 == 0 ? 'node1' : 'node2'";

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    if arguments.smoke {
        arguments.rounds = 1;
        arguments.pods = 100;
    }
    let rounds = runtime().block_on(measure(&arguments));
    match arguments.output {
        Format::Text => print!("{}", table(&arguments, &rounds)),
        Format::Json => println!("{}", report(&arguments, &rounds)),
    }
    ExitCode::SUCCESS
}

/// What one measurement gave.
#[derive(Clone, Copy, Default)]
struct Measured {
    pods_per_second: f64,
    /// CPU time of etcd, API server and label-router, in milliseconds.
    cpu_per_pod: f64,
}

/// What was measured, for each round and setup.
async fn measure(arguments: &Arguments) -> Vec<[Measured; 3]> {
    let cluster = Cluster::start(Extent::ApiServer).await;
    let mut namespaces = Vec::new();
    for name in ["none", "router", "policy"] {
        namespaces.push(cluster.namespace(name).await);
    }
    let webhook = Webhook::start_with(&cluster, &namespaces[1], Some(RULE), |hook| {
        hook["objectSelector"] = json!({ "matchLabels": { "ab-build-different": "true" } });
    })
    .await;
    install_policy(&cluster, &namespaces[2]).await;
    let mut rounds = Vec::new();
    // The first round warms up caches and connections, and is not counted.
    for round in 0..=arguments.rounds {
        let mut measured = [Measured::default(); 3];
        for turn in 0..SETUPS.len() {
            let at = (round + turn) % SETUPS.len();
            let cpu = || cluster.cpu() + webhook.router().cpu();
            measured[at] = create_pods(&cluster, SETUPS[at], &namespaces[at], cpu, arguments).await;
        }
        if arguments.output == Format::Text {
            let round = if round == 0 {
                "warm-up".to_owned()
            } else {
                format!("round {round}")
            };
            let shown = measured.map(|one| format!("{:.0}/s {:.2} ms", one.pods_per_second, one.cpu_per_pod));
            eprintln!("{round}: {}", shown.join(", "));
        }
        if round > 0 {
            rounds.push(measured);
        }
    }
    drop(webhook);
    cluster.stop(false);
    rounds
}

async fn install_policy(cluster: &Cluster, namespace: &str) {
    let expression = format!(
        "has(object.spec.nodeSelector) ? [JSONPatch{{op: 'add', path: '/spec/nodeSelector/name', value: {NODE}}}] : \
         [JSONPatch{{op: 'add', path: '/spec/nodeSelector', value: {{'name': {NODE}}}}}]"
    );
    let policy = json!({
        "metadata": { "name": "parity" },
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "IfNeeded",
            "matchConstraints": {
                "objectSelector": { "matchLabels": { "ab-build-different": "true" } },
                "resourceRules": [{
                    "operations": ["CREATE"],
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "resources": ["pods"],
                }],
            },
            "matchConditions": [{ "name": "owner", "expression": CONDITION }],
            "mutations": [{ "patchType": "JSONPatch", "jsonPatch": { "expression": expression } }],
        },
    });
    cluster
        .create_in_cluster::<MutatingAdmissionPolicy>(policy)
        .await
        .unwrap();
    let binding = json!({
        "metadata": { "name": "parity" },
        "spec": {
            "policyName": "parity",
            "matchResources": {
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
            },
        },
    });
    cluster
        .create_in_cluster::<MutatingAdmissionPolicyBinding>(binding)
        .await
        .unwrap();
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    wait_for("the MutatingAdmissionPolicy to be obeyed", async || {
        let answer = cluster.send(axum::http::Method::POST, &path, Some(&pod(0))).await?;
        let obeyed = answer.status == 201 && answer.json()["spec"]["nodeSelector"] == json!({ "name": "node1" });
        obeyed.then_some(()).ok_or(answer.text)
    })
    .await;
}

/// A Pod as the StatefulSet controller creates it.
fn pod(index: usize) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("web-{index}"),
            "generateName": "web-",
            "labels": {
                "ab-build-different": "true",
                "app": "web",
                "apps.kubernetes.io/pod-index": index.to_string(),
                "controller-revision-hash": "web-769f77b9c9",
                "statefulset.kubernetes.io/pod-name": format!("web-{index}"),
            },
            "ownerReferences": [{
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "name": "web",
                "uid": "97b05165-ecb9-4df7-ad0e-f08869239b7d",
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "containers": [{
                "name": "web",
                "image": "nginx:1.31",
                "ports": [{ "name": "http", "containerPort": 80 }],
                "env": [{ "name": "A", "value": "b" }],
                "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } },
            }],
            "hostname": format!("web-{index}"),
            "subdomain": "web",
        },
    })
}

/// Creates Pods by several clients at once, looks at two of them, and deletes all.
async fn create_pods(
    cluster: &Cluster,
    setup: Setup,
    namespace: &str,
    cpu: impl Fn() -> Duration,
    arguments: &Arguments,
) -> Measured {
    let bodies: Arc<Vec<String>> = Arc::new((0..arguments.pods).map(|index| pod(index).to_string()).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let url = format!("{}/api/v1/namespaces/{namespace}/pods", cluster.url());
    let authority = reqwest::Certificate::from_pem(cluster.authority.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([authority])
        .no_proxy()
        .build()
        .unwrap();
    let (start, cpu_before) = (Instant::now(), cpu());
    let clients: Vec<_> = (0..arguments.clients)
        .map(|_| {
            let (bodies, next, url, client) = (bodies.clone(), next.clone(), url.clone(), client.clone());
            tokio::spawn(async move {
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let request = client.post(&url).body(body.clone());
                    let request = request
                        .header(CONTENT_TYPE, "application/json")
                        .header(AUTHORIZATION, "Bearer admin");
                    let response = request.send().await.unwrap();
                    let status = response.status();
                    let text = response.text().await.unwrap();
                    assert_eq!(status, 201, "{text}");
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let (elapsed, cpu) = (start.elapsed(), cpu() - cpu_before);

    let pods = cluster.api::<Pod>(namespace);
    for (name, node) in [("web-0", "node1"), ("web-1", "node2")] {
        let selector = pods.get(name).await.unwrap().spec.unwrap().node_selector;
        let placed = selector.is_some_and(|selector| selector["name"] == node);
        assert_eq!(placed, !matches!(setup, Setup::Nothing), "{}: {name}", setup.name());
    }
    let at_once = DeleteParams::default().grace_period(0);
    pods.delete_collection(&at_once, &ListParams::default()).await.unwrap();
    wait_for("the Pods to be gone", async || {
        let left = pods.list(&ListParams::default().limit(1)).await;
        let left = left.map_err(|error| error.to_string())?.items.len();
        (left == 0).then_some(()).ok_or_else(|| "some are left".to_owned())
    })
    .await;
    let pods = arguments.pods as f64;
    Measured {
        pods_per_second: pods / elapsed.as_secs_f64(),
        cpu_per_pod: cpu.as_secs_f64() * 1e3 / pods,
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// The median of a setup.
fn middle(rounds: &[[Measured; 3]], setup: Setup, value: fn(&Measured) -> f64) -> f64 {
    median(rounds.iter().map(|round| value(&round[setup as usize])).collect())
}

/// The median of what a setup creates for each Pod under the policy, round by round.
fn beside_policy(rounds: &[[Measured; 3]], setup: Setup) -> f64 {
    let rate = |round: &[Measured; 3], setup: Setup| round[setup as usize].pods_per_second;
    let ratios = rounds
        .iter()
        .map(|round| rate(round, setup) / rate(round, Setup::Policy));
    median(ratios.collect())
}

fn table(arguments: &Arguments, rounds: &[[Measured; 3]]) -> String {
    let mut text = format!(
        "{} clients, {} Pods a measurement, medians of {} rounds\n\n",
        arguments.clients, arguments.pods, arguments.rounds
    );
    // Writing into a String cannot fail.
    let _ = writeln!(
        text,
        "{:<25}{:>8}{:>20}{:>16}",
        "", "Pods/s", "beside the policy", "CPU per Pod"
    );
    for setup in SETUPS {
        let _ = writeln!(
            text,
            "{:<25}{:>8.0}{:>20.2}{:>13.2} ms",
            setup.name(),
            middle(rounds, setup, |measured| measured.pods_per_second),
            beside_policy(rounds, setup),
            middle(rounds, setup, |measured| measured.cpu_per_pod),
        );
    }
    text
}

fn report(arguments: &Arguments, rounds: &[[Measured; 3]]) -> Value {
    let by_key = |value: &dyn Fn(Setup) -> Value| -> Value {
        let pairs = SETUPS.map(|setup| (setup.key().to_owned(), value(setup)));
        Value::Object(pairs.into_iter().collect())
    };
    let shown = |measured: &Measured| json!({ "podsPerSecond": measured.pods_per_second, "cpuMillisecondsPerPod": measured.cpu_per_pod });
    json!({
        "clients": arguments.clients,
        "pods": arguments.pods,
        "medians": by_key(&|setup| json!({
            "podsPerSecond": middle(rounds, setup, |measured| measured.pods_per_second),
            "cpuMillisecondsPerPod": middle(rounds, setup, |measured| measured.cpu_per_pod),
            "besidePolicy": beside_policy(rounds, setup),
        })),
        "rounds": rounds
            .iter()
            .map(|round| by_key(&|setup| shown(&round[setup as usize])))
            .collect::<Vec<_>>(),
    })
}
