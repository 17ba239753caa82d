//! A real control plane for tests: etcd, API server, controllers and scheduler on free ports of this machine, Nodes that
//! run Pods on paper, and label-router as the process that the API server calls.
//!
//! All tests share one [`Cluster`]. Each takes a namespace of its own ([`Cluster::namespace`]) and starts the webhook for
//! that namespace alone ([`Webhook`]), so that they run beside each other.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "each program uses a part of this, and a failure should stop a test"
)]

mod audit;
mod authority;
pub(crate) mod installed;
mod kubectl;
mod nodes;
mod process;
mod programs;
mod wait;
mod webhook;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::http::{Method, Request, Uri};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::PostParams;
use kube::client::Body;
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) use audit::Audited;
pub(crate) use authority::{Authority, Certificate};
pub(crate) use kubectl::Output;
pub(crate) use process::GUARDIAN;
use process::Process;
use programs::Programs;
pub(crate) use wait::wait_for;
pub(crate) use webhook::{LabelRouter, Webhook, metric, registration};

/// Who the tests are: a member of `system:masters`.
const ADMIN: &str = "admin";
const CONTROLLERS: &str = "system:kube-controller-manager";
const SCHEDULER: &str = "system:kube-scheduler";

const API_SERVER: &str = "kube-apiserver";

/// How much of a control plane is started.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Extent {
    /// All of it, with an audit log.
    Whole,
    /// etcd and the API server: what takes part in the creation of a Pod.
    ApiServer,
}

/// A running control plane.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) authority: Authority,
    directory: TempDir,
    programs: Programs,
    api_port: u16,
    running: Mutex<Vec<Running>>,
    names: AtomicUsize,
    peace: RwLock<()>,
    extent: Extent,
}

/// A program of the control plane, and how to start it again.
struct Running {
    name: &'static str,
    arguments: Vec<String>,
    process: Process,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// The runtime of all tests.
pub(crate) fn runtime() -> &'static Runtime {
    RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

/// Ports that nothing listens on.
pub(crate) fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    // All are held until all are known, so that they differ.
    let listeners = [(); COUNT].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

impl Cluster {
    pub(crate) async fn start(extent: Extent) -> Self {
        let programs = Programs::find();
        let directory = tempfile::Builder::new()
            .prefix("cluster-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .unwrap();
        let authority = Authority::new(&directory.path().join("certificates"));
        let [etcd_port, peer_port, api_port] = free_ports();
        let client = client(api_port, &authority, ADMIN);
        let cluster = Self {
            client,
            authority,
            programs,
            api_port,
            running: Mutex::default(),
            names: AtomicUsize::new(0),
            peace: RwLock::default(),
            extent,
            directory,
        };
        let etcd = format!("http://127.0.0.1:{etcd_port}");
        let peer = format!("http://127.0.0.1:{peer_port}");
        cluster.run(
            "etcd",
            vec![
                format!("--data-dir={}", cluster.file("etcd")),
                format!("--listen-client-urls={etcd}"),
                format!("--advertise-client-urls={etcd}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster=default={peer}"),
                "--unsafe-no-fsync".to_owned(),
                "--log-level=warn".to_owned(),
            ],
        );
        cluster.write_tokens();
        cluster.run(API_SERVER, cluster.api_server_arguments(&etcd, extent));
        cluster.wait_until_ready().await;
        if extent == Extent::Whole {
            cluster.start_controllers();
            cluster.start_scheduler();
            nodes::run_pods(cluster.client.clone());
        }
        cluster.ensure_service_account("default").await;
        cluster
    }

    fn api_server_arguments(&self, etcd: &str, extent: Extent) -> Vec<String> {
        let serving = self.authority.certificate(
            API_SERVER,
            &["localhost", "127.0.0.1", "10.0.0.1", "kubernetes.default.svc"],
        );
        let tokens = self.authority.keys("service-accounts");
        let mut arguments = vec![
            format!("--etcd-servers={etcd}"),
            format!("--secure-port={}", self.api_port),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            // Endpoints on loopback are refused; nothing here asks for the Service `kubernetes`.
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--tls-cert-file={}", serving.cert.display()),
            format!("--tls-private-key-file={}", serving.key.display()),
            format!("--client-ca-file={}", self.authority.files().cert.display()),
            format!("--token-auth-file={}", self.file("tokens.csv")),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--delete-collection-workers=8".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", tokens.cert.display()),
            format!("--service-account-signing-key-file={}", tokens.key.display()),
        ];
        if extent == Extent::Whole {
            let rules = json!({
                "apiVersion": "audit.k8s.io/v1",
                "kind": "Policy",
                "omitStages": ["RequestReceived"],
                "rules": [{ "level": "Metadata", "resources": [{ "group": "", "resources": ["pods"] }] }],
            });
            let file = self.directory.path().join("audit-policy.yaml");
            fs::write(&file, rules.to_string()).unwrap();
            arguments.extend([
                format!("--audit-policy-file={}", file.display()),
                format!("--audit-log-path={}", self.file("audit.log")),
            ]);
        }
        arguments
    }

    fn start_controllers(&self) {
        let signer = self.authority.files();
        let tokens_key = self.directory.path().join("certificates/service-accounts.key");
        let kubeconfig = self.kubeconfig("kube-controller-manager", CONTROLLERS, "kube-system");
        self.run(
            "kube-controller-manager",
            vec![
                format!("--kubeconfig={}", kubeconfig.display()),
                // No kubelet renews a lease here, so that one would take all Nodes for dead.
                "--controllers=*,-node-lifecycle-controller".to_owned(),
                "--leader-elect=false".to_owned(),
                "--secure-port=0".to_owned(),
                "--use-service-account-credentials".to_owned(),
                format!("--service-account-private-key-file={}", tokens_key.display()),
                format!("--root-ca-file={}", signer.cert.display()),
                format!("--cluster-signing-cert-file={}", signer.cert.display()),
                format!("--cluster-signing-key-file={}", signer.key.display()),
                // All tests at once are a busy cluster.
                "--kube-api-qps=300".to_owned(),
                "--kube-api-burst=600".to_owned(),
            ],
        );
    }

    fn start_scheduler(&self) {
        let kubeconfig = self.kubeconfig("kube-scheduler", SCHEDULER, "kube-system");
        self.run(
            "kube-scheduler",
            vec![
                format!("--kubeconfig={}", kubeconfig.display()),
                "--leader-elect=false".to_owned(),
                "--secure-port=0".to_owned(),
                "--kube-api-qps=300".to_owned(),
                "--kube-api-burst=600".to_owned(),
            ],
        );
    }

    fn run(&self, name: &'static str, arguments: Vec<String>) {
        let home = ("HOME", self.directory.path().display().to_string());
        let log = self.directory.path().join(format!("{name}.log"));
        let process = Process::start(name, &self.programs.path(name), &arguments, &[home], &log);
        self.running().push(Running {
            name,
            arguments,
            process,
        });
    }

    fn running(&self) -> MutexGuard<'_, Vec<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path of a file in the cluster's folder, as an argument.
    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Stops the API server, does something, and starts it again at the same address with the same etcd.
    pub(crate) async fn restart_api_server(&self, meanwhile: impl AsyncFnOnce()) {
        let stopped = {
            let mut running = self.running();
            let at = running.iter().position(|running| running.name == API_SERVER).unwrap();
            running.remove(at)
        };
        stopped.process.stop();
        meanwhile().await;
        self.run(API_SERVER, stopped.arguments);
        self.wait_until_ready().await;
    }

    async fn wait_until_ready(&self) {
        wait_for("the API server to be ready", async || {
            for running in self.running().iter_mut() {
                running.process.must_run();
            }
            let answer = self.send(Method::GET, "/readyz", None).await?;
            (answer.status == 200).then_some(()).ok_or(answer.text)
        })
        .await;
    }

    /// Held by each test, so that none is disturbed by one that stops a part of the control plane.
    pub(crate) async fn peace(&self) -> RwLockReadGuard<'_, ()> {
        self.peace.read().await
    }

    /// Waits for all other tests, for one that disturbs them.
    pub(crate) async fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.peace.write().await
    }

    /// The CPU time of its programs.
    pub(crate) fn cpu(&self) -> Duration {
        self.running().iter().map(|running| running.process.cpu()).sum()
    }

    /// Stops everything. The logs are kept where `keep` is set, and it says where.
    pub(crate) fn stop(&self, keep: bool) {
        // The last one started goes first. Nothing is to be saved, so that nothing has to be asked to stop.
        while let Some(last) = { self.running().pop() } {
            drop(last);
        }
        if keep {
            eprintln!("the logs are in {}", self.directory().display());
        } else {
            let _ = fs::remove_dir_all(self.directory());
        }
    }

    /// A folder for files; it goes with the cluster.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_port)
    }

    /// A number that no other caller gets.
    fn number(&self) -> usize {
        self.names.fetch_add(1, Ordering::Relaxed)
    }

    /// A new namespace, in which Pods can be created.
    pub(crate) async fn namespace(&self, name: &str) -> String {
        let name = format!("{name}-{}", self.number());
        self.ensure_namespace(&name).await;
        name
    }

    /// A namespace of this very name, made unless it is there.
    pub(crate) async fn ensure_namespace(&self, name: &str) {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        if namespaces.get_opt(name).await.unwrap().is_none() {
            let namespace = json!({ "metadata": { "name": name } });
            self.create_in_cluster::<Namespace>(namespace).await.unwrap();
        }
        self.ensure_service_account(name).await;
    }

    /// Every Pod needs it. A controller makes it, where there is one.
    async fn ensure_service_account(&self, namespace: &str) {
        if self.extent == Extent::ApiServer {
            let account = json!({ "metadata": { "name": "default" } });
            self.create::<ServiceAccount>(namespace, account).await.unwrap();
        }
        wait_for(&format!("the ServiceAccount of {namespace}"), async || {
            let found = self.api::<ServiceAccount>(namespace).get_opt("default").await;
            match found {
                Ok(Some(_)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    pub(crate) fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Creates what the JSON says in a namespace.
    pub(crate) async fn create<K>(&self, namespace: &str, value: Value) -> kube::Result<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Object,
        K::DynamicType: Default,
    {
        let object: K = serde_json::from_value(value).unwrap();
        self.api(namespace).create(&PostParams::default(), &object).await
    }

    /// Creates what the JSON says, outside namespaces.
    pub(crate) async fn create_in_cluster<K>(&self, value: Value) -> kube::Result<K>
    where
        K: Resource<Scope = k8s_openapi::ClusterResourceScope> + Object,
        K::DynamicType: Default,
    {
        let object: K = serde_json::from_value(value).unwrap();
        Api::all(self.client.clone())
            .create(&PostParams::default(), &object)
            .await
    }

    /// One request as it is: for Warnings, which typed calls drop, and for fields that no type has.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, String> {
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(Body::from(bytes))
            .unwrap();
        let response = self.client.send(request).await.map_err(|error| format!("{error:?}"))?;
        let warnings = response.headers().get_all("warning").iter();
        let warnings = warnings.map(|value| unquoted(value.to_str().unwrap())).collect();
        let status = response.status().as_u16();
        let bytes = response
            .into_body()
            .collect()
            .await
            .map_err(|error| error.to_string())?;
        Ok(Answer {
            status,
            warnings,
            text: String::from_utf8_lossy(&bytes.to_bytes()).into_owned(),
        })
    }

    /// A kubeconfig for who has this token, at home in a namespace.
    fn kubeconfig(&self, name: &str, token: &str, namespace: &str) -> PathBuf {
        let path = self.directory.path().join(format!("{name}.kubeconfig"));
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{ "name": "test", "cluster": {
                "server": self.url(),
                "certificate-authority": self.authority.files().cert,
            } }],
            "users": [{ "name": "test", "user": { "token": token } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test", "namespace": namespace } }],
        });
        fs::write(&path, config.to_string()).unwrap();
        path
    }

    fn write_tokens(&self) {
        // Each one's name is its token, too: the cluster listens on loopback only, for minutes.
        let tokens = format!(
            "{ADMIN},{ADMIN},{ADMIN},\"system:masters\"\n{CONTROLLERS},{CONTROLLERS},{CONTROLLERS}\n{SCHEDULER},{SCHEDULER},{SCHEDULER}\n"
        );
        fs::write(self.directory.path().join("tokens.csv"), tokens).unwrap();
        self.kubeconfig(ADMIN, ADMIN, "default");
    }

    /// A kubeconfig with a fresh token of a ServiceAccount, as a Pod of it would have one.
    pub(crate) fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> PathBuf {
        let output = self.kubectl(&["create", "token", name, "--namespace", namespace]);
        self.kubeconfig(&format!("{namespace}-{name}"), output.success().trim(), namespace)
    }
}

/// What can be sent and read.
pub(crate) trait Object: Clone + std::fmt::Debug + DeserializeOwned + serde::Serialize {}

impl<T: Clone + std::fmt::Debug + DeserializeOwned + serde::Serialize> Object for T {}

/// An answer of the API server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) warnings: Vec<String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The message of a refusal.
    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// The text in a Warning header: `299 - "text"`.
fn unquoted(header: &str) -> String {
    let text = header.splitn(3, ' ').nth(2).unwrap_or(header);
    text.trim_matches('"').replace("\\\"", "\"").replace("\\\\", "\\")
}

fn client(port: u16, authority: &Authority, token: &str) -> Client {
    let url: Uri = format!("https://127.0.0.1:{port}").parse().unwrap();
    let mut config = Config::new(url);
    config.root_cert_file = Some(authority.files().cert);
    config.auth_info.token = Some(token.to_owned().into());
    config.read_timeout = Some(Duration::from_mins(1));
    // A test wants to see what happens, not what happens at the third try.
    config.default_retry = false;
    let _in_runtime = runtime().enter();
    Client::try_from(config).unwrap()
}
