//! A real server on free ports, and a client that trusts its certificate.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "each test crate uses a part of this, and a failure should stop it"
)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use label_router::serve::reload::Places;
use label_router::serve::{Policy, Server, Settings};
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use tempfile::TempDir;

/// A certificate for localhost, in files.
pub(crate) struct Certificate {
    directory: TempDir,
    pub(crate) pem: String,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("tls.crt"), made.cert.pem()).unwrap();
        fs::write(directory.path().join("tls.key"), made.signing_key.serialize_pem()).unwrap();
        Self {
            directory,
            pem: made.cert.pem(),
        }
    }

    pub(crate) fn cert(&self) -> PathBuf {
        self.directory.path().join("tls.crt")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.directory.path().join("tls.key")
    }

    /// A client that trusts this certificate and no other.
    pub(crate) fn client(&self) -> reqwest::Client {
        let certificate = reqwest::Certificate::from_pem(self.pem.as_bytes()).unwrap();
        reqwest::Client::builder()
            .tls_certs_only([certificate])
            .no_proxy()
            .build()
            .unwrap()
    }
}

/// A server and a client for it.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) certificate: Certificate,
    pub(crate) client: reqwest::Client,
}

/// An answer: the status, and the body as text.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// The response of the AdmissionReview that the body is.
    pub(crate) fn response(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        let review: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(review["kind"], "AdmissionReview");
        review["response"].clone()
    }
}

impl Running {
    /// The default policy under settings that `change` makes of the defaults.
    pub(crate) async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let certificate = Certificate::new();
        let mut settings = Settings::default();
        settings.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        settings.ops_listen = settings.listen;
        settings.tls.cert = Some(certificate.cert());
        settings.tls.key = Some(certificate.key());
        change(&mut settings);
        let places = Places::open(&settings).await.unwrap();
        let policy = Policy::compile(places.read().unwrap()).unwrap();
        let server = Server::start(settings, policy, places).await.unwrap();
        Self {
            client: certificate.client(),
            server,
            certificate,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.server.address())
    }

    pub(crate) async fn post(&self, body: impl Into<reqwest::Body>) -> Answer {
        self.post_as(Some("application/json"), body).await
    }

    pub(crate) async fn post_as(&self, content_type: Option<&str>, body: impl Into<reqwest::Body>) -> Answer {
        let mut request = self.client.post(self.url("/mutate")).body(body);
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        answer(request).await
    }

    /// What is shown at a path of the operations' listener.
    pub(crate) async fn ops(&self, path: &str) -> Answer {
        let url = format!("http://{}{path}", self.server.ops_address());
        answer(self.client.get(url)).await
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        body: response.text().await.unwrap(),
    }
}

/// A review that a real API server sent.
pub(crate) fn review(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reviews").join(name);
    fs::read_to_string(path).unwrap()
}

/// The operations of a response's patch; none where it has no patch.
pub(crate) fn patch(response: &Value) -> Option<json_patch::Patch> {
    use base64::Engine;
    let patch = response.get("patch")?.as_str().unwrap();
    assert_eq!(response["patchType"], "JSONPatch");
    let bytes = base64::engine::general_purpose::STANDARD.decode(patch).unwrap();
    Some(serde_json::from_slice(&bytes).unwrap())
}
