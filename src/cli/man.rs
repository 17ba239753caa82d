//! `label-router man`: the manual page.

use std::io;

use clap::Args;

use super::Exit;

/// Print the manual page
#[derive(Debug, Args)]
pub(super) struct Man;

impl Man {
    #[allow(clippy::unused_self, reason = "every command is run in this way")]
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        clap_mangen::Man::new(super::command()).render(&mut io::stdout())?;
        Ok(Exit::Fine)
    }
}
