//! The client, and its errors in words.

use std::fmt;

use kube::{Client, Config};

/// Why the Kubernetes API did not do what was asked, and what to do.
#[derive(Debug)]
pub struct ClusterError {
    what: String,
    cause: Box<kube::Error>,
}

impl ClusterError {
    pub(super) fn new(what: impl Into<String>, cause: kube::Error) -> Self {
        Self {
            what: what.into(),
            cause: Box::new(cause),
        }
    }

    /// True where somebody else wrote first.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// True where the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// True where a right is missing.
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// True where the namespace of what was to be made is gone, or goes away.
    pub fn is_gone(&self) -> bool {
        // NamespaceLifecycle says 403 of a namespace that goes away.
        self.is_not_found() || self.is_forbidden() && self.cause().contains("because it is being terminated")
    }

    /// True for what the API server takes in no case: wrong, or too much.
    pub fn is_invalid(&self) -> bool {
        matches!(self.code(), Some(400 | 413 | 422))
    }

    fn code(&self) -> Option<u16> {
        match self.cause.as_ref() {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        }
    }

    /// Why, without what was attempted and without advice: the API server's own words, which name the user, the verb and
    /// the object.
    pub fn cause(&self) -> String {
        match self.cause.as_ref() {
            kube::Error::Api(status) if status.message.is_empty() => format!("HTTP status {}", status.code),
            kube::Error::Api(status) => status.message.clone(),
            other => {
                let mut text = other.to_string();
                let mut source = std::error::Error::source(other);
                while let Some(error) = source {
                    let said = error.to_string();
                    // Some errors repeat what is below them.
                    if !text.contains(&said) {
                        text.push_str(": ");
                        text.push_str(&said);
                    }
                    source = error.source();
                }
                text
            }
        }
    }

    /// What was attempted, as it follows on "cannot".
    pub fn attempted(&self) -> &str {
        &self.what
    }
}

impl fmt::Display for ClusterError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot {}: {}", self.what, self.cause())?;
        if self.is_forbidden() && !self.is_gone() {
            let grants = grants(&self.cause());
            write!(
                formatter,
                ". Whoever asks lacks this right; {grants} grants it to the ServiceAccount"
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for ClusterError {}

/// The file of `deploy/` with the right whose lack the API server speaks of.
fn grants(said: &str) -> &'static str {
    if said.contains("resource \"events\"") {
        "deploy/components/events"
    } else if said.contains("resource \"configmaps\"") {
        "deploy/components/follow-config-map"
    } else {
        "deploy/overlays/self-managed/rbac.yaml"
    }
}

/// A client for the cluster of this Pod, or of the kubeconfig where there is one.
pub async fn client() -> anyhow::Result<Client> {
    Ok(Client::try_from(config().await?)?)
}

/// The certificates, in DER, of the CA that signs for the API server itself, as the kubeconfig or the Pod's token has them.
pub async fn cluster_ca() -> anyhow::Result<Vec<Vec<u8>>> {
    Ok(config().await?.root_cert.unwrap_or_default())
}

async fn config() -> anyhow::Result<Config> {
    // rustls takes no provider by itself where several are possible.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Config::infer().await.map_err(|error| {
        anyhow::anyhow!(
            "there is no way to the Kubernetes API: {error}. Outside a cluster, set KUBECONFIG to a kubeconfig; in a Pod, \
             automountServiceAccountToken must be true"
        )
    })
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn error(code: u16, message: &str) -> ClusterError {
        let status = Status::failure(message, "").with_code(code);
        ClusterError::new("do it", kube::Error::Api(status.boxed()))
    }

    #[test]
    fn the_file_is_named_that_grants_the_right() {
        let user = "User \"system:serviceaccount:label-router:label-router\" cannot";
        for (what, file) in [
            (
                "create resource \"events\" in API group \"events.k8s.io\"",
                "deploy/components/events grants",
            ),
            (
                "list resource \"configmaps\" in API group \"\"",
                "deploy/components/follow-config-map grants",
            ),
            (
                "get resource \"secrets\" in API group \"\"",
                "deploy/overlays/self-managed/rbac.yaml grants",
            ),
        ] {
            let said = error(403, &format!("it is forbidden: {user} {what}")).to_string();
            assert!(said.contains(file), "{said}");
        }
    }

    #[test]
    fn a_namespace_that_goes_away_is_no_lack_of_rights() {
        let going = error(
            403,
            "events.events.k8s.io \"web.1\" is forbidden: unable to create new content in namespace trial because it is \
             being terminated",
        );
        assert!(going.is_gone());
        assert!(!going.to_string().contains("lacks this right"), "{going}");
        assert!(error(404, "namespaces \"trial\" not found").is_gone());
        assert!(!error(403, "events is forbidden").is_gone());
    }
}
