//! A real HTTP server in the place of a vendor: it keeps what it gets, and answers as it is told.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test crate uses a part of this, and a failure should stop it"
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

/// How it answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Status(u16, Vec<(&'static str, String)>, String),
    /// After a while.
    Slow(Duration),
}

impl Reply {
    pub(crate) fn ok(body: &str) -> Self {
        Self::Status(200, Vec::new(), body.to_owned())
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Status(status, Vec::new(), String::new())
    }
}

/// What it got.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }
}

type Answering = Box<dyn FnMut(&Received) -> Reply + Send>;

struct Shared {
    received: Mutex<Vec<Received>>,
    answering: Mutex<Answering>,
}

/// The server. It ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct SinkDouble {
    shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
}

impl SinkDouble {
    pub(crate) async fn start(answer: impl FnMut(&Received) -> Reply + Send + 'static) -> Self {
        Self::start_at(TcpListener::bind("127.0.0.1:0").await.unwrap(), answer)
    }

    pub(crate) fn start_at(listener: TcpListener, answer: impl FnMut(&Received) -> Reply + Send + 'static) -> Self {
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            answering: Mutex::new(Box::new(answer)),
        });
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(handle).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { shared, address }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn answers(&self, answer: impl FnMut(&Received) -> Reply + Send + 'static) {
        *self.shared.answering.lock().unwrap() = Box::new(answer);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Waits until it got so many.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Received> {
        let start = Instant::now();
        loop {
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "waited for {count} requests, and got {}",
                received.len()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn handle(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let received = Received {
        at: Instant::now(),
        uri,
        headers,
        body,
    };
    let reply = (shared.answering.lock().unwrap())(&received);
    shared.received.lock().unwrap().push(received);
    match reply {
        Reply::Status(status, headers, body) => {
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Reply::Slow(time) => {
            tokio::time::sleep(time).await;
            StatusCode::OK.into_response()
        }
    }
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// One that reads a little of each request and breaks the connection.
pub(crate) async fn resetting() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 64]).await;
            let _ = stream.set_zero_linger();
        }
    });
    address
}
