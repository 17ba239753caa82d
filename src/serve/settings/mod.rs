//! The settings: what a restart changes. Defaults, then the settings file, then the environment, then flags: the later one
//! stands.

mod layer;
mod leaf;

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use figment::Figment;
use figment::providers::Serialized;
use figment::value::Value;
use serde::{Deserialize, Serialize};

use crate::delivery::DeliverySettings;
use crate::source::{ConfigMapName, SourceText};
use layer::Layer;
pub use leaf::{ByteSize, LogFormat, LogLevel, MinVersion, Unplaceable};

/// Every setting, by its place in the settings file. Its name in the environment follows from that, and so does that of its
/// flag, where it has one: `tls.minVersion` is `LABEL_ROUTER_TLS_MIN_VERSION` and `--tls-min-version`.
pub const NAMES: &[&str] = &[
    "policy",
    "policyFallback",
    "listen",
    "opsListen",
    "tls.cert",
    "tls.key",
    "tls.minVersion",
    "tls.selfManaged",
    "tls.secret",
    "tls.service",
    "tls.registration",
    "log.format",
    "log.level",
    "timeouts.handshake",
    "timeouts.header",
    "timeouts.idle",
    "timeouts.body",
    "limits.body",
    "limits.concurrency",
    "reload.poll",
    "reload.remote",
    "workloads.unplaceable",
    "workloads.replicas",
    "cluster",
    "sinks.queue",
    "sinks.replicas",
    "sinks.timeout",
    "sinks.giveUp",
    "sinks.caFile",
    "sinks.linkLocal",
    "shutdown.delay",
    "shutdown.drain",
    "shutdown.flush",
];

/// The settings of the server.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Files, directories and ConfigMaps (`configmap://NAMESPACE/NAME`) of the policy; with none the default policy is served.
    #[serde(deserialize_with = "leaf::paths")]
    pub policy: Vec<PathBuf>,
    /// What is served while the ConfigMap that `policy` names cannot be had at the start: a file or a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_fallback: Option<PathBuf>,
    /// Where the API server is answered, by TLS.
    #[serde(with = "leaf")]
    pub listen: SocketAddr,
    /// Where health, metrics and the configuration are shown, in plain HTTP.
    #[serde(with = "leaf")]
    pub ops_listen: SocketAddr,
    /// The certificate.
    pub tls: TlsSettings,
    /// The log.
    pub log: LogSettings,
    /// How long a client may take.
    pub timeouts: Timeouts,
    /// How much a client may ask.
    pub limits: Limits,
    /// How the policy and the certificate are read again while it serves.
    pub reload: ReloadSettings,
    /// What is said about a workload when it is applied.
    pub workloads: WorkloadSettings,
    /// What the cluster is called in messages: people are told of several in one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// How sinks are told.
    pub sinks: SinkSettings,
    /// How it stops.
    pub shutdown: ShutdownSettings,
    /// True in a cluster's Pod. No setting, but some defaults differ, and a certificate must be configured.
    #[serde(skip)]
    pub in_cluster: bool,
}

/// The certificate and what is spoken with it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsSettings {
    /// The PEM file with the certificate, the server's own first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// The PEM file with its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The oldest version that is spoken.
    #[serde(with = "leaf")]
    pub min_version: MinVersion,
    /// Whether a CA and a certificate are made and kept in a Secret, and the CA in the registration.
    #[serde(with = "leaf")]
    pub self_managed: bool,
    /// The Secret of self-managed certificates, in label-router's own namespace.
    pub secret: String,
    /// The Service that the API server calls: the certificate is for its name.
    pub service: String,
    /// The registration whose caBundle is kept.
    pub registration: String,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            cert: None,
            key: None,
            min_version: MinVersion::default(),
            self_managed: false,
            secret: "label-router-tls".to_owned(),
            service: "label-router".to_owned(),
            registration: "label-router".to_owned(),
        }
    }
}

/// The log.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogSettings {
    /// What its lines look like.
    #[serde(with = "leaf")]
    pub format: LogFormat,
    /// How much is logged.
    #[serde(with = "leaf")]
    pub level: LogLevel,
}

/// How long a client may take before its connection is closed.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// For the TLS handshake.
    #[serde(with = "leaf")]
    pub handshake: Duration,
    /// For the header of the first request of a connection.
    #[serde(with = "leaf")]
    pub header: Duration,
    /// From one request of a connection to the end of the next one's header. The API server drops an idle connection after
    /// 90 seconds; whoever drops it first must not be us, or a review that is just being sent is lost.
    #[serde(with = "leaf")]
    pub idle: Duration,
    /// For the body of a request.
    #[serde(with = "leaf")]
    pub body: Duration,
}

/// How much a client may ask.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// The longest body. The API server takes objects up to 3 MiB, and a review may hold an object twice.
    #[serde(with = "leaf")]
    pub body: ByteSize,
    /// How many requests are worked on at a time; more wait. A decision takes microseconds, so that what this bounds is the
    /// memory that bodies take.
    #[serde(with = "leaf")]
    pub concurrency: NonZeroUsize,
}

/// How the policy and the certificate are read again.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReloadSettings {
    /// How often files are looked at without an event, for file systems that have none.
    #[serde(with = "leaf")]
    pub poll: Duration,
    /// Whether others than this machine may ask for a reload by `POST /-/reload`.
    #[serde(with = "leaf")]
    pub remote: bool,
}

/// What is said about a workload when it is applied.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSettings {
    /// What becomes of one with Pods that would be refused.
    #[serde(with = "leaf")]
    pub unplaceable: Unplaceable,
    /// How many of its Pods are looked at.
    #[serde(with = "leaf")]
    pub replicas: NonZeroUsize,
}

/// How sinks are told.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkSettings {
    /// How many notices of a sink wait to be looked at; more are dropped, and counted.
    #[serde(with = "leaf")]
    pub queue: NonZeroUsize,
    /// How many replicas share the limits that vendors set.
    #[serde(with = "leaf")]
    pub replicas: NonZeroUsize,
    /// How long one attempt may take.
    #[serde(with = "leaf")]
    pub timeout: Duration,
    /// How long a message is tried.
    #[serde(with = "leaf")]
    pub give_up: Duration,
    /// A PEM file with CA certificates that are trusted beside the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Whether a sink may be at a link-local address, where clouds keep the credentials of their machines.
    #[serde(with = "leaf")]
    pub link_local: bool,
}

/// How the server stops.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShutdownSettings {
    /// How long it goes on serving, not ready, before it stops taking connections: a cluster needs seconds to learn that an
    /// endpoint is gone.
    #[serde(with = "leaf")]
    pub delay: Duration,
    /// How long running requests then have.
    #[serde(with = "leaf")]
    pub drain: Duration,
    /// How long sinks then have for what waits.
    #[serde(with = "leaf")]
    pub flush: Duration,
}

impl Settings {
    /// The defaults, which in a cluster give its endpoints the time to change when the server stops.
    pub fn defaults(in_cluster: bool) -> Self {
        let delivery = DeliverySettings::default();
        Self {
            policy: Vec::new(),
            policy_fallback: None,
            listen: SocketAddr::from(([0, 0, 0, 0], 8443)),
            ops_listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            tls: TlsSettings::default(),
            log: LogSettings::default(),
            timeouts: Timeouts {
                handshake: Duration::from_secs(5),
                header: Duration::from_secs(5),
                idle: Duration::from_mins(2),
                body: Duration::from_secs(5),
            },
            limits: Limits {
                body: ByteSize(7 << 20),
                concurrency: NonZeroUsize::MIN.saturating_add(63),
            },
            reload: ReloadSettings {
                poll: Duration::from_mins(1),
                remote: false,
            },
            workloads: WorkloadSettings {
                unplaceable: Unplaceable::Warn,
                replicas: NonZeroUsize::MIN.saturating_add(199),
            },
            shutdown: ShutdownSettings {
                delay: Duration::from_secs(if in_cluster { 5 } else { 0 }),
                drain: Duration::from_secs(20),
                flush: Duration::from_secs(3),
            },
            cluster: delivery.cluster,
            sinks: SinkSettings {
                queue: delivery.queue,
                replicas: NonZeroUsize::MIN,
                timeout: delivery.timeout,
                give_up: delivery.give_up,
                ca_file: delivery.ca_file,
                link_local: delivery.link_local,
            },
            in_cluster,
        }
    }

    /// Puts the settings together. `variable` looks into the environment, and is asked for known names only: Kubernetes puts
    /// `LABEL_ROUTER_PORT` and `LABEL_ROUTER_SERVICE_HOST` there for a Service of that name. `flags` are names and values.
    pub fn load(
        defaults: &Self,
        file: Option<&SourceText>,
        variable: impl Fn(&str) -> Option<String>,
        flags: &[(&'static str, Vec<String>)],
    ) -> Result<Self, SettingsError> {
        let mut figment = Figment::from(Serialized::defaults(defaults));
        if let Some(file) = file {
            figment = figment.merge(Layer::file(file)?);
        }
        let environment = NAMES.iter().filter_map(|name| {
            let value = variable(&variable_name(name)).filter(|value| !value.is_empty())?;
            Some((*name, Value::from(value)))
        });
        figment = figment.merge(Layer::environment(environment));
        let flags = flags
            .iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(name, values)| {
                let value = match values.as_slice() {
                    [one] if *name != "policy" => Value::from(one.as_str()),
                    several => Value::from(several.to_vec()),
                };
                (*name, value)
            });
        figment = figment.merge(Layer::flags(flags));
        let mut settings: Self = figment.extract().map_err(|error| {
            let problems = error.into_iter().map(|error| describe(&error));
            SettingsError(problems.collect())
        })?;
        settings.in_cluster = defaults.in_cluster;
        let problems = settings.contradictions(&figment);
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError(problems))
        }
    }

    /// How messages are sent.
    pub fn delivery(&self) -> DeliverySettings {
        /// Nobody means more, and it would overflow where it is added up.
        const LONGEST: Duration = Duration::from_hours(24 * 365);
        const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1_000_000);
        let sinks = &self.sinks;
        DeliverySettings {
            queue: sinks.queue.min(MOST),
            replicas: NonZeroU32::try_from(sinks.replicas).unwrap_or(NonZeroU32::MAX),
            timeout: sinks.timeout.min(LONGEST),
            give_up: sinks.give_up.min(LONGEST),
            ca_file: sinks.ca_file.clone(),
            link_local: sinks.link_local,
            cluster: self.cluster.clone().filter(|cluster| !cluster.is_empty()),
        }
    }

    /// What no value says alone.
    fn contradictions(&self, figment: &Figment) -> Vec<String> {
        let mut problems = Vec::new();
        for (set, other, missing) in [
            ("tls.cert", "tls.key", self.tls.cert.is_some() && self.tls.key.is_none()),
            ("tls.key", "tls.cert", self.tls.key.is_some() && self.tls.cert.is_none()),
        ] {
            if missing {
                problems.push(format!(
                    "{} stands alone: a certificate needs its key. Set {}, too",
                    origin(figment, set),
                    choices(other)
                ));
            }
        }
        if self.tls.self_managed && (self.tls.cert.is_some() || self.tls.key.is_some()) {
            problems.push(format!(
                "{} and {} exclude each other: either label-router makes the certificate, or it reads one",
                origin(figment, "tls.selfManaged"),
                origin(figment, if self.tls.cert.is_some() { "tls.cert" } else { "tls.key" }),
            ));
        }
        for path in &self.policy {
            if let Some(Err(error)) = ConfigMapName::of(path) {
                problems.push(format!("{}: {error}", origin(figment, "policy")));
            }
        }
        for (name, value) in [
            ("timeouts.handshake", self.timeouts.handshake),
            ("timeouts.header", self.timeouts.header),
            ("timeouts.idle", self.timeouts.idle),
            ("timeouts.body", self.timeouts.body),
            ("reload.poll", self.reload.poll),
            ("sinks.timeout", self.sinks.timeout),
        ] {
            if value.is_zero() {
                problems.push(format!("{} is 0, which leaves no time at all", origin(figment, name)));
            }
        }
        problems
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::defaults(false)
    }
}

/// What is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(
    /// One sentence for each problem.
    pub Vec<String>,
);

impl fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for SettingsError {}

/// The three ways to set something, for advice.
pub fn choices(name: &str) -> String {
    format!(
        "{}, {} or {name} in the settings file",
        flag_name(name),
        variable_name(name)
    )
}

/// A setting's name in the environment.
pub fn variable_name(name: &str) -> String {
    let mut variable = "LABEL_ROUTER_".to_owned();
    for character in name.chars() {
        match character {
            '.' => variable.push('_'),
            upper if upper.is_ascii_uppercase() => variable.extend(['_', upper]),
            lower => variable.push(lower.to_ascii_uppercase()),
        }
    }
    variable
}

fn flag_name(name: &str) -> String {
    let variable = variable_name(name);
    let name = variable.trim_start_matches("LABEL_ROUTER_");
    format!("--{}", name.to_ascii_lowercase().replace('_', "-"))
}

/// A value that cannot be used, with where it came from.
fn describe(error: &figment::Error) -> String {
    let name = error.path.join(".");
    match &error.metadata {
        Some(metadata) => {
            let profile = error.profile.clone().unwrap_or_default();
            format!(
                "{} {}: {}",
                metadata.interpolate(&profile, &error.path),
                metadata.name,
                error.kind
            )
        }
        None => format!("{name}: {}", error.kind),
    }
}

/// A setting, as it is called where its value came from.
fn origin(figment: &Figment, name: &str) -> String {
    match figment.find_metadata(name) {
        Some(metadata) => {
            let path: Vec<&str> = name.split('.').collect();
            format!("{} {}", metadata.interpolate(figment.profile(), &path), metadata.name)
        }
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: fn(&str) -> Option<String> = |_| None;

    fn file(text: &str) -> SourceText {
        SourceText {
            name: "settings.yaml".to_owned(),
            text: text.to_owned(),
        }
    }

    fn wrong(text: &str) -> String {
        Settings::load(&Settings::default(), Some(&file(text)), NOTHING, &[])
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn every_setting_has_a_name() {
        let mut settings = Settings::default();
        settings.tls.cert = Some("cert".into());
        settings.tls.key = Some("key".into());
        settings.policy_fallback = Some("policy".into());
        settings.cluster = Some("prod".to_owned());
        settings.sinks.ca_file = Some("ca".into());
        let value = serde_json::to_value(&settings).unwrap();
        let mut names = Vec::new();
        for (name, value) in value.as_object().unwrap() {
            match value.as_object() {
                Some(members) => names.extend(members.keys().map(|member| format!("{name}.{member}"))),
                None => names.push(name.clone()),
            }
        }
        names.sort();
        let mut known = NAMES.to_vec();
        known.sort_unstable();
        assert_eq!(names, known);
    }

    #[test]
    fn the_later_layer_stands() {
        let file = file(
            "listen: 127.0.0.1:1\nopsListen: 127.0.0.1:2\nlimits: {concurrency: 3, body: 1Mi}\ntls: {minVersion: 1.2}\n",
        );
        let environment = |name: &str| match name {
            "LABEL_ROUTER_OPS_LISTEN" => Some("127.0.0.1:20".to_owned()),
            "LABEL_ROUTER_LIMITS_CONCURRENCY" => Some("30".to_owned()),
            "LABEL_ROUTER_POLICY" => Some("a.yaml, b".to_owned()),
            "LABEL_ROUTER_LOG_LEVEL" => Some(String::new()),
            other => panic_unless_known(other),
        };
        let flags = [("opsListen", vec!["127.0.0.1:200".to_owned()]), ("log.format", vec![])];
        let settings = Settings::load(&Settings::defaults(true), Some(&file), environment, &flags).unwrap();
        assert_eq!(settings.listen.port(), 1, "the file over the default");
        assert_eq!(settings.limits.concurrency.get(), 30, "the environment over the file");
        assert_eq!(settings.ops_listen.port(), 200, "a flag over all");
        assert_eq!(settings.limits.body, ByteSize(1 << 20));
        assert_eq!(settings.tls.min_version, MinVersion::Tls12);
        assert_eq!(settings.policy, [PathBuf::from("a.yaml"), PathBuf::from("b")]);
        assert_eq!(settings.log.level, LogLevel::Info, "an empty variable is none");
        assert_eq!(settings.timeouts, Settings::default().timeouts, "the default stays");
        assert_eq!(settings.shutdown.delay, Duration::from_secs(5), "in a cluster");
    }

    /// What Kubernetes puts into the environment for a Service must not even be looked at.
    fn panic_unless_known(variable: &str) -> Option<String> {
        assert!(
            NAMES.iter().any(|name| variable_name(name) == variable),
            "{variable} was looked up"
        );
        assert!(
            !variable.ends_with("_PORT") && !variable.ends_with("_SERVICE_HOST"),
            "{variable}"
        );
        None
    }

    #[test]
    fn unknown_names_are_all_reported_with_what_was_meant() {
        let error = wrong("listn: 1\ntls: {minversion: '1.3'}\nlimits: {zzz: 1}\nlog: text\n");
        assert_eq!(
            error,
            "settings.yaml: there is no setting listn; did you mean listen?\n\
             settings.yaml: there is no setting tls.minversion; did you mean tls.minVersion?\n\
             settings.yaml: there is no setting limits.zzz; there are limits.body, limits.concurrency\n\
             settings.yaml: log is a group of settings: log.format, log.level"
        );
        let error = wrong("[]");
        assert!(
            error.contains("settings.yaml: a mapping of settings is expected"),
            "{error}"
        );
        assert!(wrong("listen: [").starts_with("settings.yaml: "));
        let empty = Settings::load(&Settings::default(), Some(&file("# nothing\n")), NOTHING, &[]).unwrap();
        assert_eq!(empty, Settings::default());
    }

    #[test]
    fn a_bad_value_names_its_origin() {
        let error = wrong("limits: {concurrency: 0}");
        assert_eq!(
            error,
            "limits.concurrency in the settings file settings.yaml: \"0\" is not a whole number from 1"
        );
        let bad = |name: &str| (name == "LABEL_ROUTER_TLS_MIN_VERSION").then(|| "1.1".to_owned());
        let error = Settings::load(&Settings::default(), None, bad, &[])
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "LABEL_ROUTER_TLS_MIN_VERSION in the environment: \"1.1\" is not 1.2 or 1.3"
        );
        let flags = [("opsListen", vec!["8080".to_owned()])];
        let error = Settings::load(&Settings::default(), None, NOTHING, &flags)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("--ops-listen on the command line: \"8080\" is not an IP address"),
            "{error}"
        );
    }

    #[test]
    fn what_no_value_says_alone() {
        let flags = [("tls.cert", vec!["tls.crt".to_owned()])];
        let error = Settings::load(&Settings::default(), None, NOTHING, &flags)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("--tls-cert on the command line stands alone")
                && error.contains("Set --tls-key, LABEL_ROUTER_TLS_KEY"),
            "{error}"
        );
        let error = wrong("tls: {selfManaged: true, cert: a, key: b}");
        assert!(
            error.contains("tls.selfManaged in the settings file settings.yaml and tls.cert"),
            "{error}"
        );
        assert!(wrong("tls: {selfManaged: maybe}").contains("is not true or false"));
        assert!(wrong("timeouts: {body: 0s}").starts_with("timeouts.body in the settings file settings.yaml is 0"));
    }
}
