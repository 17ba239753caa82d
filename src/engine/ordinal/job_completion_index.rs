//! `jobCompletionIndex`: the index that the Job controller gives Pods of an indexed Job.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Asked, Read, number_in};
use crate::engine::choice::Choice;

const KEY: &str = "batch.kubernetes.io/job-completion-index";

/// The label or annotation batch.kubernetes.io/job-completion-index of an indexed Job's Pods.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct JobCompletionIndex;

impl Choice for JobCompletionIndex {
    const BARE: bool = true;
}

impl Read for JobCompletionIndex {
    fn is_set_by_a_controller(&self) -> bool {
        true
    }

    fn read(&self, asked: &Asked<'_, '_, '_>) -> Result<u64, String> {
        // The annotation is older than the label (KEP-4017) and is still set.
        let value = asked.pod.labels.get(KEY).or_else(|| asked.pod.annotations.get(KEY));
        number_in("label or annotation", KEY, value)
    }

    fn label(&self) -> Option<&str> {
        Some(KEY)
    }

    fn annotation(&self) -> Option<&str> {
        Some(KEY)
    }
}
