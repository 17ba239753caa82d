//! Holds alerts and dashboard against what the server exposes, and their copies against each other. What the alerts make of
//! what is scraped is checked by promtool: `just monitoring-test`.
//!
//! `just monitoring` writes the copies anew.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read files, and a failure should stop them"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use label_router::serve::app::{App, ops_router, router};
use label_router::serve::{Policy, Settings};
use regex::Regex;
use serde_json::{Value, json};
use tower::ServiceExt;

const RULES: &str = "deploy/monitoring/rules.yaml";
const DASHBOARD: &str = "deploy/monitoring/dashboard.json";
const ALERTS: &str = "docs/alerts.md";

/// Exposed, and neither in the dashboard nor in an alert, each with its reason.
const NOT_SHOWN: [(&str, &str); 0] = [];

/// What others expose: the API server.
const OF_OTHERS: [&str; 3] = [
    "apiserver_admission_webhook_rejection_count",
    "apiserver_admission_webhook_fail_open_count",
    "apiserver_admission_webhook_admission_duration_seconds_bucket",
];

/// What the server, or Prometheus when it scrapes, puts beside a metric.
const TARGET_LABELS: [&str; 5] = ["namespace", "job", "pod", "instance", "container"];

#[tokio::test]
async fn expressions_are_about_metrics_that_exist() {
    let exposed = Exposed::now().await;
    let recorded = recorded();
    let mut wrong = Vec::new();
    for (place, expression) in expressions() {
        for metric in metrics_in(&expression) {
            let known =
                exposed.series.contains(&metric) || recorded.contains(&metric) || OF_OTHERS.contains(&metric.as_str());
            if !known {
                wrong.push(format!("{place}: there is no {metric}"));
            }
        }
    }
    complain(&wrong);
}

/// A label that a metric does not have selects nothing, and nobody notices.
#[tokio::test]
async fn labels_in_expressions_exist() {
    let exposed = Exposed::now().await;
    let selector = Regex::new(r"\b(label_router_[a-z_]+)\{([^}]*)\}").unwrap();
    let matcher = Regex::new(r"([a-z_]+)\s*(?:=~|!~|!=|=)").unwrap();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (place, expression) in expressions() {
        for found in selector.captures_iter(&expression) {
            let Some(labels) = exposed.labels(&found[1]) else {
                continue;
            };
            for label in matcher.captures_iter(&found[2]) {
                seen += 1;
                if !labels.contains(&label[1]) && !TARGET_LABELS.contains(&&label[1]) {
                    wrong.push(format!("{place}: {} has no label {}", &found[1], &label[1]));
                }
            }
        }
    }
    assert!(seen > 20, "{seen} labels");
    complain(&wrong);
}

#[tokio::test]
async fn every_metric_is_shown_or_said_not_to_be() {
    let used: BTreeSet<String> = expressions()
        .iter()
        .flat_map(|(_, expression)| metrics_in(expression))
        .map(|metric| family(&metric).to_owned())
        .collect();
    let exposed = Exposed::now().await;
    let mut wrong = Vec::new();
    for metric in exposed.families.keys() {
        let said = NOT_SHOWN.iter().any(|(name, _)| name == metric);
        match (used.contains(metric), said) {
            (false, false) => wrong.push(format!("{metric} is in no panel, no alert and not in NOT_SHOWN")),
            (true, true) => wrong.push(format!("{metric} is shown, so take it out of NOT_SHOWN")),
            _ => {}
        }
    }
    complain(&wrong);
}

#[test]
fn every_alert_says_what_to_do() {
    let documented = headings();
    let mut names = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["warning", "critical"].contains(&severity), "{name}: {severity}");
        for annotation in ["summary", "description"] {
            let text = alert["annotations"][annotation].as_str().unwrap_or_default();
            assert!(text.len() > 20, "{name} has no {annotation}");
        }
        let anchor = format!("{ALERTS}#{}", name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook_url"], anchor, "{name}");
        names.insert(name.to_owned());
    }
    assert_eq!(
        names, documented,
        "{ALERTS} has a section for each alert, and no others"
    );
}

#[test]
fn every_panel_says_what_it_shows() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is taken");
        let place = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(x < 24 && taken.insert((x, y)), "{title} overlaps another panel");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        let description = panel["description"].as_str().unwrap_or_default();
        assert!(description.len() > 20, "{title} has no description");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    assert!(panels.len() > 15, "{} panels", panels.len());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(variables[0]["name"], "datasource");
    assert_eq!(variables[0]["type"], "datasource");
}

/// The webhooks of `deploy/`, by the names that the API server's metrics have.
#[test]
fn the_names_of_the_webhooks_are_found() {
    let expression = Regex::new("name=~\"([^\"]*)\"").unwrap();
    let webhooks = [
        ("deploy/base/registration.yaml", "pods.label-router.label-router.svc"),
        ("deploy/outside/registration.yaml", "pods.label-router.example.com"),
        (
            "deploy/overlays/sts-webhook/registration.yaml",
            "sts-webhook.custom-system.svc",
        ),
    ];
    for (file, name) in webhooks {
        assert!(read(file).contains(name), "{file} has no {name}");
    }
    let mut found = 0;
    for (place, text) in expressions() {
        for pattern in expression.captures_iter(&text) {
            let pattern = Regex::new(&format!("^(?:{})$", &pattern[1])).unwrap();
            for (_, name) in webhooks {
                assert!(pattern.is_match(name), "{place} does not find {name}");
                found += 1;
            }
        }
    }
    assert!(found > 10, "{found} names");
}

#[test]
fn the_copies_are_equal() {
    let rules = read(RULES);
    let indented: Vec<String> = rules
        .lines()
        .map(|line| {
            if line.is_empty() {
                String::new()
            } else {
                format!("  {line}")
            }
        })
        .collect();
    let object = format!(
        "# Written by `just monitoring`, of rules.yaml.\n\
         apiVersion: monitoring.coreos.com/v1\n\
         kind: PrometheusRule\n\
         metadata:\n  name: label-router\n  namespace: label-router\n  labels:\n    app.kubernetes.io/name: label-router\n\
         spec:\n{}\n",
        indented.join("\n")
    );
    let read_back: Value = serde_yaml::from_str(&object).unwrap();
    assert_eq!(read_back["spec"], rules_file());
    let copies = [
        ("deploy/monitoring/prometheusrule.yaml", object),
        ("deploy/chart/label-router/monitoring/rules.yaml", rules),
        ("deploy/chart/label-router/monitoring/dashboard.json", read(DASHBOARD)),
    ];
    for (file, wanted) in copies {
        if std::env::var_os("UPDATE_MONITORING").is_some() {
            fs::create_dir_all(root().join(file).parent().unwrap()).unwrap();
            fs::write(root().join(file), &wanted).unwrap();
        }
        assert!(read(file) == wanted, "{file} is out of date: just monitoring");
    }
}

#[test]
#[ignore = "needs promtool: just monitoring-test"]
fn promtool_finds_nothing_wrong_with_the_rules() {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", RULES]);
}

#[test]
#[ignore = "needs promtool: just monitoring-test"]
fn the_alerts_fire_when_they_should() {
    promtool(&["test", "rules", "tests/monitoring/rules.test.yaml"]);
}

/// An alert that no test makes fire may be one that never does.
#[test]
fn every_alert_is_made_to_fire() {
    let tests = read("tests/monitoring/rules.test.yaml");
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let severity = alert["labels"]["severity"].as_str().unwrap();
        let fires = format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\",severity=\"{severity}\"");
        assert!(tests.contains(&fires), "no test makes {name} fire as {severity}");
    }
}

/// The expressions of the panels, as Prometheus gets them.
#[test]
#[ignore = "needs promtool: just monitoring-test"]
fn prometheus_reads_the_expressions_of_the_dashboard() {
    let mut rules = Vec::new();
    for (at, (place, expression)) in panel_expressions().into_iter().enumerate() {
        let expression = expression
            .replace("$__rate_interval", "5m")
            .replace("$__range", "6h")
            .replace("$namespace", "label-router");
        assert!(!expression.contains('$'), "{place}: {expression}");
        rules.push(json!({ "record": format!("panel:{at}"), "expr": expression }));
    }
    let file = json!({ "groups": [{ "name": "panels", "rules": rules }] });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("panels.yaml");
    fs::write(&path, serde_yaml::to_string(&file).unwrap()).unwrap();
    promtool(&["check", "rules", path.to_str().unwrap()]);
}

/// What a server exposes after a decision of each kind.
struct Exposed {
    /// Each family, as the type lines name it, with the labels of its series.
    families: BTreeMap<String, BTreeSet<String>>,
    /// The names of the series.
    series: BTreeSet<String>,
}

impl Exposed {
    async fn now() -> Self {
        let shown = scrape().await;
        let mut families: BTreeMap<String, BTreeSet<String>> = shown
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .map(|name| (name.to_owned(), BTreeSet::new()))
            .collect();
        let series = Regex::new(r"(?m)^(label_router_[a-z_]+)(?:\{([^}]*)\})? ").unwrap();
        let label = Regex::new("([a-z_]+)=\"").unwrap();
        let mut names = BTreeSet::new();
        for found in series.captures_iter(&shown) {
            names.insert(found[1].to_owned());
            let labels = families.get_mut(family(&found[1])).unwrap();
            let of_it = found.get(2).map_or("", |labels| labels.as_str());
            labels.extend(label.captures_iter(of_it).map(|label| label[1].to_owned()));
        }
        // A family without a series would pass for one without labels.
        for name in families.keys() {
            let counted = names.iter().any(|series| family(series) == name);
            assert!(counted, "{name} has no series: count something");
        }
        Self {
            families,
            series: names,
        }
    }

    fn labels(&self, metric: &str) -> Option<&BTreeSet<String>> {
        self.families.get(family(metric))
    }
}

/// A metric as its type line names it.
fn family(metric: &str) -> &str {
    let suffixes = ["_total", "_bucket", "_sum", "_count"];
    suffixes
        .iter()
        .find_map(|suffix| metric.strip_suffix(suffix))
        .unwrap_or(metric)
}

/// The metrics of a server with an enforcing and a shadowed rule, after a request of each kind.
async fn scrape() -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.yaml");
    let shadowed = "\nrules:
  - name: trial
    mode: shadow
    match: { owner: { kinds: [StatefulSet] } }
    routes: [{ labels: { trial: \"yes\" } }]
";
    // A sink that can be used, as the one of the default policy cannot without its robot.
    let policy = label_router::policy::DEFAULT
        .replace("\nrules:\n", shadowed)
        .replace("sinks: [ops]", "sinks: [ops, lines]")
        + "  - { name: lines, type: log, groupWait: 0s }\n";
    fs::write(&file, policy).unwrap();
    let app = App::new(Settings::default(), Policy::load(&[file]).unwrap()).unwrap();
    let review: Value = serde_json::from_str(&read("examples/first-review.json")).unwrap();
    let mut without_document = review.clone();
    without_document["request"]["object"]["metadata"]["annotations"] = json!({});
    let mut ungated = review.clone();
    ungated["request"]["object"]["metadata"]["labels"] = json!({});
    for review in [review, without_document, ungated, json!({})] {
        post(&app, review.to_string()).await;
    }
    app.saw_registration("label-router", Some(0));
    let scrape = Request::get("/metrics").body(Body::empty()).unwrap();
    let body = ops_router(&app).oneshot(scrape).await.unwrap().into_body();
    let shown = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    for counted in [
        "label_router_requests_total{outcome=\"routed\",rule=\"statefulset-parity\",route=\"0\"} 1",
        "label_router_requests_total{outcome=\"rejected\",rule=\"statefulset-parity\",route=\"\"} 1",
        "label_router_requests_total{outcome=\"skipped\",rule=\"\",route=\"\"} 1",
        "label_router_rule_failures_total{rule=\"statefulset-parity\",cause=\"missingDocument\"} 1",
        "label_router_shadowed_total{rule=\"trial\"} 2",
        "label_router_notices_total{sink=\"lines\"} 2",
    ] {
        assert!(shown.contains(&format!("{counted}\n")), "no {counted} in\n{shown}");
    }
    shown
}

async fn post(app: &Arc<App>, body: String) {
    let request = Request::post("/mutate").header("content-type", "application/json");
    let request = request.body(Body::from(body)).unwrap();
    router(app).oneshot(request).await.unwrap();
}

/// The metrics in an expression.
fn metrics_in(expression: &str) -> Vec<String> {
    let quoted = Regex::new("\"[^\"]*\"").unwrap();
    let expression = quoted.replace_all(expression, "");
    let word = Regex::new(r"[a-zA-Z_:][a-zA-Z0-9_:]*").unwrap();
    let words = word.find_iter(&expression).map(|found| found.as_str().to_owned());
    words
        .filter(|word| word.contains("label_router_") || word.starts_with("apiserver_") || word.contains(':'))
        .collect()
}

/// The expressions of rules and panels, each with its place.
fn expressions() -> Vec<(String, String)> {
    let rules = rules().into_iter().map(|rule| {
        let name = rule["alert"].as_str().or(rule["record"].as_str()).unwrap();
        (name.to_owned(), rule["expr"].as_str().unwrap().to_owned())
    });
    rules.chain(panel_expressions()).collect()
}

fn panel_expressions() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let of_panels = panels.flat_map(|panel| {
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.map(|target| (panel["title"].to_string(), &target["expr"]))
    });
    let annotations = dashboard["annotations"]["list"].as_array().unwrap().iter();
    let of_annotations = annotations
        .filter(|annotation| annotation["expr"].is_string())
        .map(|annotation| (annotation["name"].to_string(), &annotation["expr"]));
    of_panels
        .chain(of_annotations)
        .map(|(place, expression)| (place, expression.as_str().unwrap().to_owned()))
        .collect()
}

fn recorded() -> BTreeSet<String> {
    let rules = rules();
    rules
        .iter()
        .filter_map(|rule| rule["record"].as_str())
        .map(str::to_owned)
        .collect()
}

fn alerts() -> Vec<Value> {
    let alerts: Vec<Value> = rules().into_iter().filter(|rule| rule["alert"].is_string()).collect();
    assert!(alerts.len() > 10, "{} alerts", alerts.len());
    alerts
}

fn rules() -> Vec<Value> {
    let file = rules_file();
    let groups = file["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    rules.cloned().collect()
}

fn rules_file() -> Value {
    serde_yaml::from_str(&read(RULES)).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&read(DASHBOARD)).unwrap()
}

/// The alerts that have a section.
fn headings() -> BTreeSet<String> {
    let text = read(ALERTS);
    let headings = text.lines().filter_map(|line| line.strip_prefix("## LabelRouter"));
    headings.map(|name| format!("LabelRouter{name}")).collect()
}

fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool")
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("promtool: {error}"));
    let told = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "promtool {arguments:?}\n{told}");
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn complain(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
