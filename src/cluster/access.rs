//! What somebody may do, as the API server judges it.

use std::fmt;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

use super::ClusterError;

/// One verb on one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// `get`, `patch` …
    pub verb: &'static str,
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// `secrets` …
    pub resource: &'static str,
    /// The object's namespace; none where it has none.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
}

impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}/{}", self.verb, self.resource, self.name)
    }
}

/// Whether a user, by name, has a right.
pub async fn may(client: &Client, user: &str, right: &Right) -> Result<bool, ClusterError> {
    // A ServiceAccount is in these groups, and roles may be bound to them.
    let groups = match user
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'))
    {
        Some((namespace, _)) => vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ],
        None => vec!["system:authenticated".to_owned()],
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            groups: Some(groups),
            resource_attributes: Some(ResourceAttributes {
                verb: Some(right.verb.to_owned()),
                group: Some(right.group.to_owned()),
                resource: Some(right.resource.to_owned()),
                namespace: right.namespace.clone(),
                name: Some(right.name.clone()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    Api::<SubjectAccessReview>::all(client.clone())
        .create(&PostParams::default(), &review)
        .await
        .map(|review| review.status.is_some_and(|status| status.allowed))
        .map_err(|error| ClusterError::new(format!("ask whether {user} may {right}"), error))
}
