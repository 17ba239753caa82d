//! What is wrong with a value in a policy, said by the piece that reads it.
//!
//! Every piece of the policy language (a path, a glob, a range, a label key …) checks itself while it is deserialized.
//! serde's errors carry nothing but text, so a [`Problem`] travels through them in one line of it, and the `policy` room,
//! which knows file, line and column, takes it apart again.

use std::fmt;

use serde::de;

/// Separates code, message and hint inside a serde error. A control character, which YAML refuses in plain text.
const SEPARATOR: char = '\u{1f}';

/// A fault in a value: a stable code, what is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A stable word such as `bad-path`, documented in docs/diagnostics.md.
    pub code: String,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What to write instead; may be empty.
    pub hint: String,
}

impl Problem {
    pub(crate) fn new(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// This problem as an error of any serde deserializer.
    pub(crate) fn into_error<E: de::Error>(self) -> E {
        E::custom(self)
    }

    /// Takes apart what a serde error says, where a problem speaks through it.
    pub(crate) fn from_error(text: &str) -> Option<Self> {
        let mut parts = text.split(SEPARATOR);
        let (code, message, hint) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self::new(code, message, hint))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}{SEPARATOR}{}{SEPARATOR}{}{SEPARATOR}",
            self.code, self.message, self.hint
        )
    }
}
