//! `label-router check`, also `--check-config`: the server's own loader, and every problem at once.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::Exit;
use super::output::{Output, Paint};
use crate::policy::{Compiled, Diagnostics};
use crate::serve::{Policy, PolicyError};

/// Check a policy: every problem at once
///
/// Exits with 0 where the policy can be served, warnings or not, with 1 where it cannot, and with 2 where a file cannot be
/// read.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Files and directories of one policy, or ConfigMap manifests that carry it: they add up
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// The answer for machines.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'c> {
    errors: usize,
    warnings: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<&'c str>,
    diagnostics: &'c Diagnostics,
}

impl Check {
    /// The check that `--check-config` asks for.
    pub(super) fn of(files: Vec<PathBuf>) -> Self {
        Self {
            files,
            output: Output::Text,
        }
    }

    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let (diagnostics, compiled) = match Policy::load(&self.files) {
            Ok(policy) => (policy.compiled.warnings.clone(), Some(policy.compiled)),
            Err(PolicyError::Wrong(diagnostics)) => (diagnostics, None),
            Err(error @ PolicyError::Source(_)) => return Err(error.into()),
        };
        let report = Report {
            errors: diagnostics.errors(),
            warnings: diagnostics.warnings(),
            generation: compiled.as_ref().map(|compiled| compiled.snapshot.generation()),
            diagnostics: &diagnostics,
        };
        self.output.print(&report, |color| {
            let mut text = diagnostics.render(color);
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            text.push_str(&summary(&diagnostics, compiled.as_ref(), Paint(color)));
            text
        })?;
        Ok(if diagnostics.errors() > 0 {
            Exit::Wrong
        } else {
            Exit::Fine
        })
    }
}

fn summary(diagnostics: &Diagnostics, compiled: Option<&Compiled>, paint: Paint) -> String {
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    match compiled {
        None => format!(
            "{}: {}, {}; it would not be served",
            paint.bad("wrong"),
            count(diagnostics.errors(), "error"),
            count(diagnostics.warnings(), "warning")
        ),
        Some(compiled) => format!(
            "{}: {}, {}, {}, generation {}",
            paint.good("fine"),
            count(compiled.snapshot.rules().len(), "rule"),
            count(compiled.sinks.len(), "sink"),
            count(diagnostics.warnings(), "warning"),
            compiled.snapshot.generation()
        ),
    }
}
