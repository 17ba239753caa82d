//! `label-router doctor`: what is wrong with a running label-router, line by line, with a fix for each.
//!
//! `facts` reads the cluster once; each check judges what was read, without IO, and is a file with a line in the list below.

mod api;
mod ca_bundle;
mod certificate;
mod facts;
mod finding;
mod policy;
mod registration;
mod replicas;
mod rights;
mod rules;
mod service;
mod webhook;

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use tokio::runtime::Builder;

use super::Exit;
use super::output::{Output, Paint};
use facts::Facts;
use finding::{Finding, Status, count};

/// Judges one thing.
type Check = fn(&Facts) -> Vec<Finding>;

/// The checks, in the order in which they are told: what the later ones need comes first.
const CHECKS: [(&str, Check); 10] = [
    ("api", api::judge),
    ("policy", policy::judge),
    ("registration", registration::judge),
    ("caBundle", ca_bundle::judge),
    ("certificate", certificate::judge),
    ("service", service::judge),
    ("webhook", webhook::judge),
    ("rights", rights::judge),
    ("replicas", replicas::judge),
    ("rules", rules::judge),
];

/// Say what is wrong with label-router in a cluster, with a fix for each
///
/// Reads the cluster of the kubeconfig and changes nothing there: the one Pod that it creates is a dry run. Exits with 0
/// where nothing failed, warnings or not, with 1 where some check failed, and with 2 where the API server cannot be reached.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The namespace that label-router runs in
    #[arg(short, long, value_name = "NAME", default_value = "label-router")]
    namespace: String,
    /// The Service that the API server calls
    #[arg(long, value_name = "NAME", default_value = "label-router")]
    service: String,
    /// The MutatingWebhookConfiguration
    #[arg(long, value_name = "NAME", default_value = "label-router")]
    registration: String,
    /// The Secret with the serving certificate
    #[arg(long, value_name = "NAME", default_value = "label-router-tls")]
    secret: String,
    /// The ConfigMap with the policy
    #[arg(long, value_name = "NAME", default_value = "label-router-policy")]
    configmap: String,
    /// Files and directories of a policy to judge by instead of the ConfigMap's
    #[arg(long, value_name = "PATH")]
    policy: Vec<PathBuf>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// The answer for machines.
#[derive(Serialize)]
struct Report<'f> {
    failed: usize,
    warnings: usize,
    unknown: usize,
    findings: &'f [Finding],
}

impl Doctor {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let facts = Builder::new_current_thread()
            .enable_all()
            .build()
            .context("nothing can be asked of the API server")?
            .block_on(Facts::gather(&self))?;
        let findings = findings(&facts);
        let report = Report {
            failed: count(&findings, Status::Failed),
            warnings: count(&findings, Status::Warning),
            unknown: count(&findings, Status::Unknown),
            findings: &findings,
        };
        self.output
            .print(&report, |color| finding::text(&findings, Paint(color)))?;
        Ok(if report.failed > 0 { Exit::Wrong } else { Exit::Fine })
    }
}

fn findings(facts: &Facts) -> Vec<Finding> {
    CHECKS
        .into_iter()
        .flat_map(|(check, judge)| {
            let named = move |finding| Finding { check, ..finding };
            judge(facts).into_iter().map(named)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::facts::tests::facts;
    use super::*;

    #[test]
    fn where_all_is_well_every_line_says_so() {
        let mut facts = facts();
        facts.workloads = vec![json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "web" },
            "spec": { "template": { "metadata": {
                "labels": { "ab-build-different": "true" },
                "annotations": { "custom-node-selector": "{\"key\": \"name\", \"even\": \"a\", \"odd\": \"b\"}" },
            } } },
        })];
        let findings = findings(&facts);
        assert!(
            findings.iter().all(|finding| finding.status == Status::Ok),
            "{findings:?}"
        );
        // The call is not tried here, and nothing is said of it.
        let told: Vec<&str> = findings.iter().map(|finding| finding.check).collect();
        let untold: Vec<&str> = CHECKS
            .into_iter()
            .map(|(check, _)| check)
            .filter(|check| !told.contains(check))
            .collect();
        assert_eq!(untold, ["webhook"]);
    }
}
