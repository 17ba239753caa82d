//! A certificate from the cluster's own signers, through the CertificateSigningRequest API.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};

use super::ClusterError;

/// What is asked of a signer.
#[derive(Clone, Debug)]
pub struct SigningRequest {
    /// The object's name.
    pub name: String,
    /// Who is to sign, such as `beta.eks.amazonaws.com/app-serving`.
    pub signer: String,
    /// The request itself, as PEM.
    pub pem: String,
}

fn api(client: &Client) -> Api<CertificateSigningRequest> {
    Api::all(client.clone())
}

/// Approves a request, where this user may.
pub async fn approve(client: &Client, name: &str) -> Result<(), ClusterError> {
    let what = || format!("approve the CertificateSigningRequest {name}");
    let mut request = api(client)
        .get(name)
        .await
        .map_err(|error| ClusterError::new(what(), error))?;
    let condition = CertificateSigningRequestCondition {
        type_: "Approved".to_owned(),
        status: "True".to_owned(),
        reason: Some("LabelRouter".to_owned()),
        message: Some("approved by label-router certs csr --approve".to_owned()),
        ..CertificateSigningRequestCondition::default()
    };
    request
        .status
        .get_or_insert_default()
        .conditions
        .get_or_insert_default()
        .push(condition);
    api(client)
        .replace_subresource("approval", name, &PostParams::default(), &request)
        .await
        .map(|_| ())
        .map_err(|error| ClusterError::new(what(), error))
}

/// Creates a request. One of the same name that was there before is replaced: it was for another key.
pub async fn create(client: &Client, request: &SigningRequest) -> Result<(), ClusterError> {
    let what = || format!("create the CertificateSigningRequest {}", request.name);
    let object = CertificateSigningRequest {
        metadata: ObjectMeta {
            name: Some(request.name.clone()),
            labels: Some(BTreeMap::from([(
                "app.kubernetes.io/name".to_owned(),
                "label-router".to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            request: ByteString(request.pem.as_bytes().to_vec()),
            signer_name: request.signer.clone(),
            usages: Some(vec!["digital signature".to_owned(), "server auth".to_owned()]),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    };
    match api(client)
        .delete(&request.name, &kube::api::DeleteParams::default())
        .await
    {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => return Err(ClusterError::new(what(), error)),
    }
    api(client)
        .create(&PostParams::default(), &object)
        .await
        .map(|_| ())
        .map_err(|error| ClusterError::new(what(), error))
}

/// Waits until a request is signed, denied or failed. The certificate, as PEM; or in words why there is none.
pub async fn signed(client: &Client, name: &str) -> Result<Result<String, String>, ClusterError> {
    let ended = |request: Option<&CertificateSigningRequest>| request.is_some_and(|request| outcome(request).is_some());
    let request = await_condition(api(client), name, ended).await.map_err(|error| {
        let text = error.to_string();
        ClusterError::new(
            format!("wait for the CertificateSigningRequest {name}"),
            kube::Error::Service(text.into()),
        )
    })?;
    Ok(request
        .as_ref()
        .and_then(outcome)
        .unwrap_or_else(|| Err("the request was deleted".to_owned())))
}

fn outcome(request: &CertificateSigningRequest) -> Option<Result<String, String>> {
    let status = request.status.as_ref()?;
    for condition in status.conditions.iter().flatten() {
        if condition.type_ == "Denied" || condition.type_ == "Failed" {
            let message = condition
                .message
                .as_deref()
                .or(condition.reason.as_deref())
                .unwrap_or("no reason given");
            return Some(Err(format!("{}: {message}", condition.type_.to_lowercase())));
        }
    }
    let certificate = status.certificate.as_ref()?;
    (!certificate.0.is_empty()).then(|| Ok(String::from_utf8_lossy(&certificate.0).into_owned()))
}
