//! `label-router completions`: what a shell needs to complete the command line.

use std::io::{self, Write};

use clap::Args;
use clap_complete::Shell;

use super::Exit;

/// Print shell completions
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "label-router", &mut script);
        io::stdout().write_all(&script)?;
        Ok(Exit::Fine)
    }
}
