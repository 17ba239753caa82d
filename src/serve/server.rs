//! The listeners, from binding to draining.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server as Listener};
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::delivery;
use crate::notice::sinks::SinkSpec;

use super::app::{App, ops_router, router};
use super::policy::Policy;
use super::reload::{self, Places, SettingsFile};
use super::renewal;
use super::self_managed::Followed;
use super::settings::{Settings, Timeouts, choices};
use super::tls::{Identity, Shown, server_config};

/// How long a scrape may still take once everything else is done.
const OPS_DRAIN: Duration = Duration::from_secs(1);

/// A running server. Dropping it leaves it running; [`Server::shut_down`] ends it.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    address: SocketAddr,
    ops_address: SocketAddr,
    certificate: String,
    handle: Handle<SocketAddr>,
    ops_handle: Handle<SocketAddr>,
    listener: JoinHandle<io::Result<()>>,
    ops_listener: JoinHandle<io::Result<()>>,
    /// What watches files and the cluster.
    watchers: JoinSet<()>,
}

impl Server {
    /// Binds the listeners and starts to answer. Port 0 takes any that is free. `policy` is what `places` holds; it is read
    /// again whenever that changes.
    pub async fn start(settings: Settings, policy: Policy, places: Places) -> anyhow::Result<Self> {
        let listener = bind(settings.listen, "listen").await?;
        let ops_listener = bind(settings.ops_listen, "opsListen").await?;
        let address = listener.local_addr()?;
        let ops_address = ops_listener.local_addr()?;
        let timeouts = settings.timeouts.clone();
        required_sinks(&policy.compiled.sinks)?;
        let app = App::new(settings, policy)?;

        // First, so that a probe is answered while a certificate is waited for.
        let ops_handle = Handle::new();
        let ops = listener_of(ops_listener, &ops_handle, &timeouts).acceptor(NoDelayAcceptor::new());
        let service = ops_router(&app).into_make_service_with_connect_info::<SocketAddr>();
        let ops_listener = tokio::spawn(ops.serve(service));

        let tls = &app.settings.tls;
        let (identity, followed) = if tls.self_managed {
            let (identity, followed) = Followed::start(tls).await?;
            (identity, Some(followed))
        } else {
            (Identity::find(tls, app.settings.in_cluster)?, None)
        };
        let shown = Shown::new(&identity);
        let config = server_config(Arc::clone(&shown), tls.min_version)
            .with_context(|| format!("the certificate ({}) cannot be used", identity.origin))?;
        app.metrics.shows(identity.validity.until);
        let certificate = identity.origin.clone();
        let mut watchers = JoinSet::new();
        if let Some(followed) = followed {
            watchers.spawn(followed.follow(Arc::clone(&app), shown));
        } else if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
            watchers.spawn(renewal::follow(
                Arc::clone(&app),
                shown,
                cert.clone(),
                key.clone(),
                identity,
            ));
        }
        watchers.spawn(reload::follow(Arc::clone(&app), places));

        let handle = Handle::new();
        let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(Arc::new(config)))
            .handshake_timeout(timeouts.handshake)
            .acceptor(NoDelayAcceptor::new());
        let failures = Arc::clone(&app);
        let server = listener_of(listener, &handle, &timeouts)
            .acceptor(acceptor)
            .accept_error_handler(move |client, error| failed_handshake(&failures, client, error));
        let service = router(&app).into_make_service();
        let listener = tokio::spawn(server.serve(service));

        app.now_listening();
        Ok(Self {
            app,
            address,
            ops_address,
            certificate,
            handle,
            ops_handle,
            listener,
            ops_listener,
            watchers,
        })
    }

    /// Where the API server is answered.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where health, metrics and the configuration are shown.
    pub fn ops_address(&self) -> SocketAddr {
        self.ops_address
    }

    /// Where the certificate came from, for people.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Says which settings of the file differ from those in force, when somebody changes it.
    pub fn watch_settings(&mut self, file: SettingsFile) {
        let settings = self.app.settings.clone();
        let poll = settings.reload.poll;
        self.watchers.spawn(file.watch(settings, poll));
    }

    /// What the server's requests share.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Serves until `stop` is ready, and shuts down then. It is an error where a listener ends by itself.
    pub async fn serve_until(mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let ended = |which: &str, result: Result<io::Result<()>, tokio::task::JoinError>| {
            let why = match result {
                Ok(Ok(())) => "without a reason".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            Err(anyhow!("the listener for {which} ended by itself: {why}"))
        };
        let ended = tokio::select! {
            () = stop => None,
            result = &mut self.listener => Some(ended("the API server", result)),
            result = &mut self.ops_listener => Some(ended("health and metrics", result)),
        };
        match ended {
            None => {
                self.shut_down().await;
                Ok(())
            }
            Some(error) => {
                self.app.delivery.flush(self.app.settings.shutdown.flush).await;
                error
            }
        }
    }

    /// Stops: not ready at once, no new connections after the delay, the end when running requests are done or the drain
    /// limit is over.
    pub async fn shut_down(mut self) {
        self.app.now_stopping();
        let shutdown = &self.app.settings.shutdown;
        tokio::time::sleep(shutdown.delay).await;
        self.handle.graceful_shutdown(Some(shutdown.drain));
        self.watchers.abort_all();
        if let Ok(Err(error)) = self.listener.await {
            tracing::warn!(%error, "the listener for the API server did not end well");
        }
        // What was decided until now is told, too.
        self.app.delivery.flush(shutdown.flush).await;
        // Last, so that probes and a scrape still see what happens.
        self.ops_handle.graceful_shutdown(Some(OPS_DRAIN));
        // How it ends no longer matters to anyone.
        let _ = self.ops_listener.await;
    }
}

async fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => "another process listens there".to_owned(),
            io::ErrorKind::PermissionDenied => "this user may not; ports from 1024 need no privilege".to_owned(),
            io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
            _ => error.to_string(),
        };
        anyhow!(
            "cannot listen on {address}: {why}. Choose another address with {}",
            choices(setting)
        )
    })
}

/// A listener that speaks HTTP/1.1 and cuts slow clients.
fn listener_of(listener: TcpListener, handle: &Handle<SocketAddr>, timeouts: &Timeouts) -> Listener<SocketAddr> {
    let mut server = Listener::from_listener(listener)
        .handle(handle.clone())
        .first_request_timeout(timeouts.header)
        .http1_only();
    // To hyper the time between two requests belongs to the second one's header.
    server
        .http_builder()
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.idle);
    server
}

/// A client that refuses our certificate says so, and whoever set up the caBundle must know; others just come and go.
fn failed_handshake(app: &App, client: Option<&SocketAddr>, error: &io::Error) {
    app.metrics.failed_handshakes.inc();
    let client = client.map(ToString::to_string);
    let alert = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(rustls::Error::AlertReceived(_)) = alert {
        tracing::warn!(
            client,
            %error,
            "a client refused the TLS handshake; does the registration's caBundle fit this certificate?"
        );
    } else {
        tracing::debug!(client, %error, "a connection ended before TLS was agreed on");
    }
}

/// A required sink whose URL, secret or headers are absent is an error.
fn required_sinks(sinks: &[SinkSpec]) -> anyhow::Result<()> {
    for sink in sinks.iter().filter(|sink| sink.common.required) {
        let absent = delivery::absent(sink).join("; ");
        if !absent.is_empty() {
            bail!("the sink {} is required, and cannot be used: {absent}", sink.name);
        }
    }
    Ok(())
}
