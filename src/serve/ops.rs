//! Health, metrics and the configuration, for probes, Prometheus and people.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::app::App;
use super::metrics::CONTENT_TYPE as METRICS_CONTENT_TYPE;
use super::reload::{Refusal, Reloaded};
use super::settings::{Settings, choices};
use crate::engine::Snapshot;
use crate::engine::rule::{Mode, Verdict};

/// It runs: a container that does not answer is to be restarted.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Requests should be sent here, or what is missing.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    match app.missing() {
        None => format!("ready: serves generation {}\n", app.serving().snapshot.generation()).into_response(),
        Some(missing) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {missing}\n")).into_response(),
    }
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    ([(CONTENT_TYPE, METRICS_CONTENT_TYPE)], app.metrics.render()).into_response()
}

/// Reads the policy again now. Without leave in the settings only this machine may ask: whoever may is told what is wrong
/// with the policy.
pub(super) async fn reload(
    State(app): State<Arc<App>>,
    client: Option<Extension<ConnectInfo<SocketAddr>>>,
) -> Response {
    let here = client.is_some_and(|Extension(ConnectInfo(client))| client.ip().to_canonical().is_loopback());
    if !here && !app.settings.reload.remote {
        let message = format!(
            "only this machine may ask for a reload; {} lets others\n",
            choices("reload.remote")
        );
        return (StatusCode::FORBIDDEN, message).into_response();
    }
    match app.reload().await {
        Some(Reloaded::Loaded { generation }) => format!("reloaded: serves generation {generation}\n").into_response(),
        Some(Reloaded::Unchanged { generation }) => {
            format!("unchanged: serves generation {generation}\n").into_response()
        }
        Some(Reloaded::Refused { generation, message }) => {
            let message = format!("refused: still serves generation {generation}\n{message}\n");
            (StatusCode::UNPROCESSABLE_ENTITY, message).into_response()
        }
        None => (StatusCode::SERVICE_UNAVAILABLE, "the policy is not reloaded now\n").into_response(),
    }
}

pub(super) async fn config(State(app): State<Arc<App>>) -> Response {
    let serving = app.serving();
    let shown = Shown {
        version: env!("CARGO_PKG_VERSION"),
        generation: serving.snapshot.generation(),
        files: &serving.files,
        policy: ShownPolicy::new(&serving.snapshot),
        refused: app.refusal(),
        settings: &app.settings,
    };
    // Plain structs with string keys always serialize.
    let mut json = serde_json::to_vec_pretty(&shown).unwrap_or_default();
    json.push(b'\n');
    ([(CONTENT_TYPE, "application/json")], json).into_response()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    version: &'static str,
    generation: &'a str,
    files: &'a [String],
    policy: ShownPolicy<'a>,
    /// Why the policy that lies there now is another one. Diagnostics mask what may be a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Arc<Refusal>>,
    settings: &'a Settings,
}

/// Of a policy, what holds no secret: sinks, their urls above all, are left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownPolicy<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<String>,
    unmatched: Verdict,
    rules: Vec<ShownRule<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRule<'a> {
    name: &'a str,
    mode: Mode,
    gate: String,
}

impl<'a> ShownPolicy<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let rules = snapshot.rules().iter().map(|rule| ShownRule {
            name: &rule.name,
            mode: rule.mode,
            gate: rule.gate.to_string(),
        });
        Self {
            gate: snapshot.gate.as_ref().map(ToString::to_string),
            unmatched: snapshot.unmatched,
            rules: rules.collect(),
        }
    }
}
