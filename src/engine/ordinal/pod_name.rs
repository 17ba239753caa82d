//! `podName`: the number after the owner's name and a dash, as in web-3.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Asked, Read, number};
use crate::engine::choice::Choice;

/// The number after the owner's name and a dash in the Pod's name.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct PodName;

impl Choice for PodName {
    const BARE: bool = true;
}

impl Read for PodName {
    fn is_set_by_a_controller(&self) -> bool {
        true
    }

    fn read(&self, asked: &Asked<'_, '_, '_>) -> Result<u64, String> {
        let name = asked.pod.name;
        if asked.pod.name_is_prefix {
            return Err(format!("its name {name}* is yet to be made"));
        }
        let owner = asked
            .owner_name
            .ok_or_else(|| format!("its name {name} has no owner's name in front"))?;
        name.strip_prefix(owner)
            .and_then(|rest| rest.strip_prefix('-'))
            .and_then(number)
            .ok_or_else(|| format!("its name {name} is not {owner}-NUMBER"))
    }
}
