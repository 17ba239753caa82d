//! Whether the API server answers. Where it does not, nothing else is looked at.

use super::facts::Facts;
use super::finding::Finding;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    vec![match &facts.version {
        Ok(version) => Finding::ok(format!("Kubernetes {version} answers")),
        Err(unseen) => Finding::unseen(unseen),
    }]
}
