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
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use harness::{Cluster, Extent, Webhook, runtime, wait_for};
use k8s_openapi::api::admissionregistration::v1::{MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding};
use k8s_openapi::api::core::v1::Pod;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};

/// Pods per second on a real API server: alone, with label-router, with a MutatingAdmissionPolicy
#[derive(Parser)]
struct Arguments {
    /// How many rounds; in each one all three are measured, in changing order
    #[arg(long, default_value_t = 6)]
    rounds: usize,
    /// How many Pods are created for one measurement
    #[arg(long, default_value_t = 3000)]
    pods: usize,
    /// What they are made of
    #[arg(long, value_enum, default_value_t = Template::Usual)]
    template: Template,
    /// How many clients create them
    #[arg(long, default_value_t = 20)]
    clients: usize,
    /// Whether it works at all, with a few Pods
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
    let rounds = runtime().block_on(measure_rounds(&arguments));
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
    /// What of that is label-router's.
    router_cpu_per_pod: f64,
}

/// The orders in which a round can go through the setups, so that none profits from its place.
const ORDERS: [[Setup; 3]; 6] = {
    use Setup::{LabelRouter, Nothing, Policy};
    [
        [Nothing, LabelRouter, Policy],
        [Policy, LabelRouter, Nothing],
        [LabelRouter, Policy, Nothing],
        [Nothing, Policy, LabelRouter],
        [Policy, Nothing, LabelRouter],
        [LabelRouter, Nothing, Policy],
    ]
};

/// What was measured, for each round and setup.
async fn measure_rounds(arguments: &Arguments) -> Vec<[Measured; 3]> {
    let mut rounds = Vec::new();
    for round in 0..arguments.rounds {
        let mut measured = [Measured::default(); 3];
        for setup in ORDERS[round % ORDERS.len()] {
            measured[setup as usize] = measure(setup, arguments).await;
        }
        if arguments.output == Format::Text {
            let shown = measured.map(|one| format!("{:.0}/s {:.2} ms", one.pods_per_second, one.cpu_per_pod));
            eprintln!("round {}: {}", round + 1, shown.join(", "));
        }
        rounds.push(measured);
    }
    rounds
}

/// Measures a setup on a control plane of its own: what an API server remembers of earlier Pods makes each of its garbage
/// collections cost more, so that a measurement would depend on those before it.
async fn measure(setup: Setup, arguments: &Arguments) -> Measured {
    let cluster = Cluster::start(Extent::ApiServer).await;
    let namespace = cluster.namespace("bench").await;
    let mut webhook = None;
    match setup {
        Setup::Nothing => {}
        Setup::LabelRouter => {
            let started = Webhook::start_with(&cluster, &namespace, Some(RULE), |hook| {
                hook["objectSelector"] = json!({ "matchLabels": { "ab-build-different": "true" } });
            });
            webhook = Some(started.await);
        }
        Setup::Policy => install_policy(&cluster, &namespace).await,
    }
    wait_until_quiet(&cluster).await;
    let authority = reqwest::Certificate::from_pem(cluster.authority.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([authority])
        .no_proxy()
        .build()
        .unwrap();
    // Those that are not counted fill caches and open connections.
    let uncounted = arguments.pods / 3;
    let all = uncounted + arguments.pods;
    let pods = arguments.template.replicas(0..uncounted);
    create_pods(&client, &cluster, &namespace, pods, arguments.clients).await;
    let pods = arguments.template.replicas(uncounted..all);
    let cpu = || {
        let router = webhook.as_ref().map(|webhook| webhook.router().cpu());
        (cluster.cpu(), router.unwrap_or_default())
    };
    let (start, before) = (Instant::now(), cpu());
    create_pods(&client, &cluster, &namespace, pods, arguments.clients).await;
    let (elapsed, after) = (start.elapsed(), cpu());

    let pods = cluster.api::<Pod>(&namespace);
    for ordinal in [all - 2, all - 1] {
        let (name, node) = (format!("web-{ordinal}"), ["node1", "node2"][ordinal % 2]);
        let selector = pods.get(&name).await.unwrap().spec.unwrap().node_selector;
        let placed = selector.is_some_and(|selector| selector["name"] == node);
        assert_eq!(placed, !matches!(setup, Setup::Nothing), "{}: {name}", setup.name());
    }
    drop(webhook);
    cluster.stop(false);
    let pods = arguments.pods as f64;
    let per_pod = |time: Duration| time.as_secs_f64() * 1e3 / pods;
    let router = after.1 - before.1;
    Measured {
        pods_per_second: pods / elapsed.as_secs_f64(),
        cpu_per_pod: per_pod(after.0 - before.0 + router),
        router_cpu_per_pod: per_pod(router),
    }
}

/// An API server goes on with its own start after it has said that it is ready.
async fn wait_until_quiet(cluster: &Cluster) {
    const WINDOW: Duration = Duration::from_millis(250);
    wait_for("the control plane to be quiet", async || {
        let before = cluster.cpu();
        tokio::time::sleep(WINDOW).await;
        let busy = cluster.cpu() - before;
        (busy < WINDOW / 4)
            .then_some(())
            .ok_or_else(|| format!("it took {busy:?} of CPU in {WINDOW:?}"))
    })
    .await;
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
    let probe = serde_json::from_str(&Template::Small.replicas(0..1)[0]).unwrap();
    wait_for("the MutatingAdmissionPolicy to be obeyed", async || {
        let answer = cluster.send(axum::http::Method::POST, &path, Some(&probe)).await?;
        let obeyed = answer.status == 201 && answer.json()["spec"]["nodeSelector"] == json!({ "name": "node1" });
        obeyed.then_some(()).ok_or(answer.text)
    })
    .await;
}

/// What replicas are made of, and replica 0 of it as the StatefulSet controller creates it.
#[derive(Clone, Copy, ValueEnum)]
enum Template {
    /// One container and next to nothing else
    Small,
    /// As charts make them: two containers and one before them, probes, volumes, anti-affinity
    Usual,
}

impl Template {
    fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Usual => "usual",
        }
    }

    /// Replicas of these ordinals, as JSON.
    fn replicas(self, ordinals: Range<usize>) -> Vec<String> {
        let first = match self {
            Self::Small => include_str!("pods/small.yaml"),
            Self::Usual => include_str!("pods/usual.yaml"),
        };
        let first = serde_yaml::from_str::<Value>(first).unwrap().to_string();
        let replica = |ordinal: usize| {
            let renamed = first.replace("web-0", &format!("web-{ordinal}"));
            renamed.replace("pod-index\":\"0\"", &format!("pod-index\":\"{ordinal}\""))
        };
        ordinals.map(replica).collect()
    }
}

/// Creates Pods by several clients at once.
async fn create_pods(client: &reqwest::Client, cluster: &Cluster, namespace: &str, pods: Vec<String>, clients: usize) {
    let bodies = Arc::new(pods);
    let next = Arc::new(AtomicUsize::new(0));
    let url = format!("{}/api/v1/namespaces/{namespace}/pods", cluster.url());
    let clients: Vec<_> = (0..clients)
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
        "{} clients, {} {} Pods a measurement, medians of {} rounds\n\n",
        arguments.clients,
        arguments.pods,
        arguments.template.name(),
        arguments.rounds
    );
    // Writing into a String cannot fail.
    let _ = writeln!(
        text,
        "{:<25}{:>8}{:>20}{:>16}{:>26}",
        "", "Pods/s", "beside the policy", "CPU per Pod", "of that label-router's"
    );
    for setup in SETUPS {
        let _ = writeln!(
            text,
            "{:<25}{:>8.0}{:>20.2}{:>13.2} ms{:>23.2} ms",
            setup.name(),
            middle(rounds, setup, |measured| measured.pods_per_second),
            beside_policy(rounds, setup),
            middle(rounds, setup, |measured| measured.cpu_per_pod),
            middle(rounds, setup, |measured| measured.router_cpu_per_pod),
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
        "template": arguments.template.name(),
        "medians": by_key(&|setup| json!({
            "podsPerSecond": middle(rounds, setup, |measured| measured.pods_per_second),
            "cpuMillisecondsPerPod": middle(rounds, setup, |measured| measured.cpu_per_pod),
            "labelRouterCpuMillisecondsPerPod": middle(rounds, setup, |measured| measured.router_cpu_per_pod),
            "besidePolicy": beside_policy(rounds, setup),
        })),
        "rounds": rounds
            .iter()
            .map(|round| by_key(&|setup| shown(&round[setup as usize])))
            .collect::<Vec<_>>(),
    })
}
