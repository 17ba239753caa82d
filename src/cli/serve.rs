//! `label-router serve`: starts the server, says what it serves, and stops on a signal.

use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use tokio::runtime::Builder;

use super::Exit;
use crate::engine::rule::Mode;
use crate::serve::reload::{Places, SettingsFile};
use crate::serve::{Policy, PolicyError, Server, Settings, logging};
use crate::source;

/// A review to try the server with, in a checkout.
const FIRST_REVIEW: &str = "examples/first-review.json";

/// One that stands on the command line, elsewhere: the first replica of a StatefulSet, as the default policy takes it.
const SHORT_REVIEW: &str = concat!(
    r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"first","operation":"CREATE","#,
    r#""resource":{"group":"","version":"v1","resource":"pods"},"namespace":"default","name":"web-0","object":{"#,
    r#""apiVersion":"v1","kind":"Pod","metadata":{"name":"web-0","labels":{"ab-build-different":"true"},"annotations":{"#,
    r#""custom-node-selector":"{\"key\":\"name\",\"even\":\"node1\",\"odd\":\"node2\"}"},"ownerReferences":[{"#,
    r#""apiVersion":"apps/v1","kind":"StatefulSet","name":"web","uid":"1","controller":true}]},"#,
    r#""spec":{"containers":[{"name":"web","image":"nginx"}]}}}}"#,
);

/// Serve a policy to the API server
///
/// Settings come from flags, from variables such as `LABEL_ROUTER_OPS_LISTEN`, and from the settings file, in this order.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// A file or directory of the policy, or configmap://NAMESPACE/NAME; repeat it for several. The default policy is served
    /// without it
    #[arg(long, value_name = "PATH")]
    policy: Vec<String>,
    /// What is served while a ConfigMap of the policy cannot be had at the start: a file or a directory
    #[arg(long, value_name = "PATH")]
    policy_fallback: Option<String>,
    /// The settings file (YAML)
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Where the API server is answered [default: 0.0.0.0:8443]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where /healthz, /readyz, /metrics and /config are shown [default: 0.0.0.0:8080]
    #[arg(long, value_name = "ADDRESS")]
    ops_listen: Option<String>,
    /// The certificate (PEM). Outside a cluster one is made in memory without it
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// Make a CA and a certificate, keep them in a Secret that all replicas share, and the CA in the registration
    #[arg(long)]
    tls_self_managed: bool,
    /// The Secret of self-managed certificates [default: label-router-tls]
    #[arg(long, value_name = "NAME")]
    tls_secret: Option<String>,
    /// The Service that the API server calls: the certificate is for its name [default: label-router]
    #[arg(long, value_name = "NAME")]
    tls_service: Option<String>,
    /// The registration whose caBundle is kept [default: label-router]
    #[arg(long, value_name = "NAME")]
    tls_registration: Option<String>,
    /// The oldest TLS version, 1.2 or 1.3 [default: 1.3]
    #[arg(long, value_name = "VERSION")]
    tls_min_version: Option<String>,
    /// How long it goes on serving, not ready, once it was asked to stop [default: 5s in a cluster, 0s elsewhere]
    #[arg(long, value_name = "DURATION")]
    shutdown_delay: Option<String>,
    /// auto, text or json [default: auto]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let path = self.settings_file();
        let settings = match self.load()? {
            Ok(settings) => settings,
            Err(error) => {
                eprintln!("error: the settings cannot be used\n{error}");
                return Ok(Exit::Wrong);
            }
        };
        logging::start(&settings.log);
        let color = io::stderr().is_terminal();
        Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("the server's threads cannot be started")?
            .block_on(async {
                let places = Places::open(&settings).await?;
                let texts = places.read().map_err(PolicyError::Source)?;
                let policy = match Policy::compile(texts) {
                    Ok(policy) => policy,
                    Err(PolicyError::Wrong(diagnostics)) => {
                        eprint!("{}", diagnostics.render(color));
                        return Ok(Exit::Wrong);
                    }
                    Err(error @ PolicyError::Source(_)) => return Err(error.into()),
                };
                if !policy.compiled.warnings.is_empty() {
                    eprint!("{}", policy.compiled.warnings.render(color));
                }
                let file = path.map(|path| SettingsFile {
                    path,
                    load: Box::new(move || match self.load() {
                        Ok(Ok(settings)) => Ok(settings),
                        Ok(Err(error)) => Err(error.to_string()),
                        Err(error) => Err(format!("{error:#}")),
                    }),
                });
                serve(settings, policy, places, file).await?;
                Ok(Exit::Fine)
            })
    }

    /// Where the settings file is, where there is one.
    fn settings_file(&self) -> Option<PathBuf> {
        self.settings.clone().or_else(|| {
            let path = variable("LABEL_ROUTER_SETTINGS").filter(|path| !path.is_empty())?;
            Some(PathBuf::from(path))
        })
    }

    /// The outer error is a file that cannot be read, the inner one is in the settings.
    fn load(&self) -> anyhow::Result<Result<Settings, crate::serve::settings::SettingsError>> {
        let file = self
            .settings_file()
            .map(|path| source::read_text(&path))
            .transpose()
            .context("the settings file (--settings, LABEL_ROUTER_SETTINGS) cannot be used")?;
        let one = |value: &Option<String>| value.iter().cloned().collect::<Vec<_>>();
        let flags = [
            ("policy", self.policy.clone()),
            ("policyFallback", one(&self.policy_fallback)),
            ("listen", one(&self.listen)),
            ("opsListen", one(&self.ops_listen)),
            ("tls.cert", one(&self.tls_cert)),
            ("tls.key", one(&self.tls_key)),
            (
                "tls.selfManaged",
                one(&self.tls_self_managed.then(|| "true".to_owned())),
            ),
            ("tls.secret", one(&self.tls_secret)),
            ("tls.service", one(&self.tls_service)),
            ("tls.registration", one(&self.tls_registration)),
            ("tls.minVersion", one(&self.tls_min_version)),
            ("shutdown.delay", one(&self.shutdown_delay)),
            ("log.format", one(&self.log_format)),
            ("log.level", one(&self.log_level)),
        ];
        // The kubelet puts this into every container.
        let in_cluster = env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        Ok(Settings::load(
            &Settings::defaults(in_cluster),
            file.as_ref(),
            variable,
            &flags,
        ))
    }
}

fn variable(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

async fn serve(settings: Settings, policy: Policy, places: Places, file: Option<SettingsFile>) -> anyhow::Result<()> {
    let on_a_laptop = !settings.in_cluster;
    let rules = policy.compiled.snapshot.rules();
    let rules: Vec<String> = rules
        .iter()
        .map(|rule| match rule.mode {
            Mode::Enforce => rule.name.to_string(),
            Mode::Shadow => format!("{} (shadow)", rule.name),
        })
        .collect();
    let about = About {
        files: policy.files.join(", "),
        rules: rules.join(", "),
        gate: policy.compiled.snapshot.gate.as_ref().map(ToString::to_string),
        generation: policy.compiled.snapshot.generation().to_owned(),
    };
    // Before the listeners, so that a signal during the start is not lost.
    let stop = stop_signal()?;
    let mut server = Server::start(settings, policy, places).await?;
    if let Some(file) = file {
        server.watch_settings(file);
    }
    tracing::info!(
        files = about.files,
        rules = about.rules,
        gate = about.gate,
        generation = about.generation,
        listen = %server.address(),
        ops_listen = %server.ops_address(),
        certificate = server.certificate(),
        "serving"
    );
    if on_a_laptop {
        // A closed standard output is no reason not to serve.
        let _ = io::stdout().write_all(about.greeting(&server).as_bytes());
    }
    server
        .serve_until(async {
            let signal = stop.await;
            tracing::info!(signal, "stopping: running requests are finished first");
            tokio::spawn(stop_at_once());
        })
        .await?;
    tracing::info!("stopped");
    Ok(())
}

/// Whoever asks a second time does not want to wait for what still runs.
async fn stop_at_once() {
    if let Ok(again) = stop_signal() {
        let signal = again.await;
        tracing::warn!(signal, "stopping at once: running requests are dropped");
        std::process::exit(Exit::CouldNotRun as i32);
    }
}

/// What is served, for people.
struct About {
    files: String,
    rules: String,
    gate: Option<String>,
    generation: String,
}

impl About {
    fn greeting(&self, server: &Server) -> String {
        let gate = self.gate.as_deref().unwrap_or("each rule's own");
        let mut text = format!(
            "label-router {} serves {}\n  rules       {}\n  gate        {gate}\n  generation  {}\n  reviews     https://{}/mutate (certificate: \
             {})\n  operations  http://{} (/healthz /readyz /metrics /config)\n\n",
            env!("CARGO_PKG_VERSION"),
            self.files,
            self.rules,
            self.generation,
            reachable(server.address()),
            server.certificate(),
            reachable(server.ops_address()),
        );
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "A first decision, from another terminal:\n  {}",
            curl(server.address(), Path::new(FIRST_REVIEW).is_file())
        );
        text
    }
}

fn curl(address: SocketAddr, in_checkout: bool) -> String {
    let data = if in_checkout {
        format!("@{FIRST_REVIEW}")
    } else {
        format!("'{SHORT_REVIEW}'")
    };
    format!(
        "curl -sk https://{}/mutate -H 'content-type: application/json' --data {data}",
        reachable(address)
    )
}

/// The address by which this machine reaches itself.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Ready with the name of the signal that asks to stop.
#[cfg(unix)]
fn stop_signal() -> anyhow::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be listened for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be listened for")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

/// Ready with the name of what asks to stop.
#[cfg(not(unix))]
fn stop_signal() -> anyhow::Result<impl Future<Output = &'static str>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "ctrl-c"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_to_try_it_with() {
        let anywhere: SocketAddr = "0.0.0.0:8443".parse().unwrap();
        assert_eq!(
            curl(anywhere, true),
            "curl -sk https://127.0.0.1:8443/mutate -H 'content-type: application/json' --data @examples/first-review.json"
        );
        assert!(curl("[::]:1".parse().unwrap(), false).starts_with("curl -sk https://[::1]:1/mutate "));
        assert!(!SHORT_REVIEW.contains('\''), "it stands between such quotes");
        serde_json::from_str::<serde_json::Value>(SHORT_REVIEW).unwrap();
    }
}
