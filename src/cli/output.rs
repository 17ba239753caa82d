//! How commands answer: for people, or as JSON or YAML for machines.

use std::env;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    #[default]
    Text,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
}

impl Output {
    /// Prints `answer` for machines, or what `text` makes of it, with or without colour, for people.
    pub(super) fn print<T: Serialize>(self, answer: &T, text: impl FnOnce(bool) -> String) -> anyhow::Result<()> {
        let mut printed = match self {
            Self::Text => text(color()),
            Self::Json => serde_json::to_string_pretty(answer)?,
            Self::Yaml => serde_yaml::to_string(answer)?,
        };
        if !printed.is_empty() && !printed.ends_with('\n') {
            printed.push('\n');
        }
        match io::stdout().write_all(printed.as_bytes()) {
            // Whoever reads has seen enough, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            done => Ok(done?),
        }
    }
}

/// True where colours are seen and wanted (no-color.org).
fn color() -> bool {
    io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Colours of a terminal, or none.
#[derive(Clone, Copy)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    pub(super) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}
