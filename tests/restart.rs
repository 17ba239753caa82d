//! Two replicas behind one address, restarted one after the other under load, as a Deployment's rolling update does it.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failure should stop a test"
)]

mod support;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::{Certificate, review};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(20);

/// A replica with the ports that it is to listen on.
struct Replica {
    process: Child,
    port: u16,
    ops_port: u16,
}

impl Replica {
    fn start(certificate: &Certificate) -> Self {
        // Held together, so that they differ.
        let free = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, ops_port] = free.each_ref().map(|listener| listener.local_addr().unwrap().port());
        drop(free);
        let process = Command::new(env!("CARGO_BIN_EXE_label-router"))
            .arg("serve")
            .arg(format!("--listen=127.0.0.1:{port}"))
            .arg(format!("--ops-listen=127.0.0.1:{ops_port}"))
            .arg("--tls-cert")
            .arg(certificate.cert())
            .arg("--tls-key")
            .arg(certificate.key())
            .arg("--shutdown-delay=1s")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            process,
            port,
            ops_port,
        }
    }

    /// Asks it to stop, and waits until it has.
    fn stop(&mut self) {
        let asked = Command::new("kill")
            .args(["-s", "TERM", &self.process.id().to_string()])
            .status()
            .unwrap();
        assert!(asked.success());
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The ports of replicas: of the reviews, and of the operations.
type Endpoints = Arc<Mutex<Vec<(u16, u16)>>>;

/// As a Service: a new connection goes to a replica that was ready a moment ago. That is looked at from time to time, so that
/// some connections still go to one that has just been asked to stop.
async fn service(endpoints: Endpoints) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ready: Arc<Mutex<Vec<u16>>> = Arc::default();
    let probed = Arc::clone(&ready);
    tokio::spawn(async move {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        loop {
            let all = endpoints.lock().unwrap().clone();
            let mut found = Vec::new();
            for (port, ops_port) in all {
                let answer = client.get(format!("http://127.0.0.1:{ops_port}/readyz")).send().await;
                if answer.is_ok_and(|answer| answer.status() == 200) {
                    found.push(port);
                }
            }
            *probed.lock().unwrap() = found;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    tokio::spawn(async move {
        for turn in 0_usize.. {
            let (mut client, _) = listener.accept().await.unwrap();
            let ready = ready.lock().unwrap().clone();
            let Some(port) = ready.get(turn % ready.len().max(1)).copied() else {
                continue;
            };
            tokio::spawn(async move {
                let Ok(mut replica) = TcpStream::connect(("127.0.0.1", port)).await else {
                    return;
                };
                let _ = copy_bidirectional(&mut client, &mut replica).await;
            });
        }
    });
    address
}

async fn is_ready(replica: &Replica) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let start = Instant::now();
    loop {
        let answer = client
            .get(format!("http://127.0.0.1:{}/readyz", replica.ops_port))
            .send()
            .await;
        if answer.is_ok_and(|answer| answer.status() == 200) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "a replica is not ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_loses_no_request() {
    let certificate = Certificate::new();
    let mut replicas = vec![Replica::start(&certificate), Replica::start(&certificate)];
    for replica in &replicas {
        is_ready(replica).await;
    }
    let endpoints: Endpoints = Arc::default();
    let tell = |replicas: &[Replica]| {
        *endpoints.lock().unwrap() = replicas
            .iter()
            .map(|replica| (replica.port, replica.ops_port))
            .collect();
    };
    tell(&replicas);
    let address = service(Arc::clone(&endpoints)).await;
    // Until the Service has seen them.
    tokio::time::timeout(PATIENCE, async {
        while certificate
            .client()
            .get(format!("https://{address}/"))
            .send()
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            // Half of them keep their connection, as the API server does; the others open one for each review.
            let kept = (number % 2 == 0).then(|| certificate.client());
            let pem = certificate.pem.clone();
            tokio::spawn(async move {
                let mut faults = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let client = kept.clone().unwrap_or_else(|| {
                        let certificate = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
                        reqwest::Client::builder()
                            .tls_certs_only([certificate])
                            .no_proxy()
                            .build()
                            .unwrap()
                    });
                    let request = client.post(format!("https://{address}/mutate"));
                    let request = request.header("content-type", "application/json");
                    match request.body(review("statefulset-web-0.json")).send().await {
                        Ok(answer) if answer.status() == 200 => _ = answered.fetch_add(1, Ordering::Relaxed),
                        other => faults.push(format!("{other:?}")),
                    }
                }
                faults
            })
        })
        .collect();

    // First another one, then one goes, as with maxSurge: 1 and maxUnavailable: 0.
    for _ in 0..2 {
        let new = Replica::start(&certificate);
        is_ready(&new).await;
        replicas.push(new);
        tell(&replicas);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut old = replicas.remove(0);
        tokio::task::spawn_blocking(move || old.stop()).await.unwrap();
        tell(&replicas);
    }
    stop.store(true, Ordering::Relaxed);
    let mut faults = Vec::new();
    for client in clients {
        faults.extend(client.await.unwrap());
    }
    let answered = answered.load(Ordering::Relaxed);
    assert!(
        faults.is_empty(),
        "{} of {answered} failed, such as {}",
        faults.len(),
        faults[0]
    );
    assert!(answered > 100, "{answered}");
}
