//! `label-router schema`.

use clap::Args;

use super::Exit;
use super::output::Output;
use crate::policy;

/// Print the JSON Schema of a policy, for editors
#[derive(Debug, Args)]
pub(super) struct Schema;

impl Schema {
    #[allow(clippy::unused_self, reason = "every command is run in this way")]
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        Output::Json.print(&policy::schema(), |_| String::new())?;
        Ok(Exit::Fine)
    }
}
