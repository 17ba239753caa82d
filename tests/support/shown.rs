//! The certificate that a server shows.

use reqwest::tls::TlsInfo;

/// The certificate, in DER, that is shown to a new connection with this port of this machine.
pub(crate) async fn shown(port: u16) -> Vec<u8> {
    let client = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .tls_info(true)
        .no_proxy()
        .build()
        .unwrap();
    let answer = client.get(format!("https://127.0.0.1:{port}/")).send().await.unwrap();
    let info = answer.extensions().get::<TlsInfo>().unwrap();
    info.peer_certificate().unwrap().to_vec()
}
