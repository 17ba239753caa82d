//! `podIndexLabel`: the label that the StatefulSet controller sets since Kubernetes 1.28 (KEP-4017).

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Asked, Read, number_in};
use crate::engine::choice::Choice;

const KEY: &str = "apps.kubernetes.io/pod-index";

/// The label apps.kubernetes.io/pod-index, which Pods of a StatefulSet carry.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct PodIndexLabel;

impl Choice for PodIndexLabel {
    const BARE: bool = true;
}

impl Read for PodIndexLabel {
    fn is_set_by_a_controller(&self) -> bool {
        true
    }

    fn read(&self, asked: &Asked<'_, '_, '_>) -> Result<u64, String> {
        number_in("label", KEY, asked.pod.labels.get(KEY))
    }

    fn label(&self) -> Option<&str> {
        Some(KEY)
    }
}
