//! What is wrong with a policy, and where: for people with a snippet, for machines as JSON.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::engine::problem::Problem;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policy cannot be used.
    Error,
    /// It can, and somebody should look.
    Warning,
}

/// One problem of a policy.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable word, documented in docs/diagnostics.md.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// The file, as it was given.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The line itself, with secrets masked.
    pub snippet: String,
    #[serde(skip)]
    place: Range<usize>,
    #[serde(skip)]
    text: Arc<str>,
}

/// All problems of a policy, in the order of the files and lines.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(Vec<Diagnostic>);

impl fmt::Debug for Diagnostic {
    /// Without the text, of which only what is shown in a snippet is anybody's business.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Diagnostic")
            .field("severity", &self.severity)
            .field("code", &self.code)
            .field("message", &self.message)
            .field("hint", &self.hint)
            .field("file", &self.file)
            .field("line", &self.line)
            .field("column", &self.column)
            .finish_non_exhaustive()
    }
}

impl Diagnostics {
    /// The first error with its place, and how many more there are: for where there is room for one line.
    pub fn summary(&self) -> String {
        let mut errors = self.0.iter().filter(|problem| problem.severity == Severity::Error);
        let Some(first) = errors.next() else {
            return String::new();
        };
        let more = match errors.count() {
            0 => String::new(),
            1 => " (and one more error)".to_owned(),
            more => format!(" (and {more} more errors)"),
        };
        let Diagnostic {
            file,
            line,
            column,
            message,
            hint,
            ..
        } = first;
        let hint = if hint.is_empty() {
            String::new()
        } else {
            format!("; {hint}")
        };
        format!("{file}:{line}:{column}: {message}{hint}{more}")
    }
}

impl Diagnostic {
    /// `text` is the file's, with secrets masked; `place` is in bytes of it.
    pub(super) fn new(severity: Severity, problem: Problem, file: &str, text: &Arc<str>, place: Range<usize>) -> Self {
        let start = floor(text, place.start);
        let end = floor(text, place.end.max(start));
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            severity,
            code: problem.code,
            message: problem.message,
            hint: problem.hint,
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            snippet: text[line_start..].lines().next().unwrap_or_default().to_owned(),
            place: start..end,
            text: text.clone(),
        }
    }

    fn render(&self, renderer: &Renderer) -> String {
        // The snippet shows the lines of the place, three at most.
        let from = self.text[..self.place.start].rfind('\n').map_or(0, |at| at + 1);
        let line_ends = self.text[from..].match_indices('\n').map(|(at, _)| from + at);
        let line_ends: Vec<usize> = line_ends.chain([self.text.len()]).take(3).collect();
        let to = line_ends
            .iter()
            .find(|end| **end >= self.place.end)
            .or(line_ends.last());
        let to = to.copied().unwrap_or(self.text.len());
        let source = &self.text[from..to];
        let start = self.place.start - from;
        let end = (self.place.end.min(to) - from).max(start);
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group: Group<'_> = level
            .primary_title(self.message.as_str())
            .id(self.code.as_str())
            .element(
                Snippet::source(source)
                    .path(self.file.as_str())
                    .line_start(self.line)
                    .annotation(AnnotationKind::Primary.span(start..end)),
            );
        if !self.hint.is_empty() {
            group = group.element(Level::HELP.message(self.hint.as_str()));
        }
        renderer.render(&[group])
    }
}

impl Diagnostics {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Sorts by severity only where two stand at one place; otherwise the order is that of the text.
    pub(super) fn sort(&mut self, files: &[String]) {
        let file = |diagnostic: &Diagnostic| files.iter().position(|file| *file == diagnostic.file);
        self.0
            .sort_by_key(|diagnostic| (file(diagnostic), diagnostic.place.start, diagnostic.severity));
    }

    /// Each problem.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// True where there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many make the policy unusable.
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many do not.
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.0
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count()
    }

    /// Each problem with its snippet and hint, with a blank line between two.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let renders: Vec<String> = self.0.iter().map(|diagnostic| diagnostic.render(&renderer)).collect();
        renders.join("\n\n")
    }
}

impl<'d> IntoIterator for &'d Diagnostics {
    type Item = &'d Diagnostic;
    type IntoIter = std::slice::Iter<'d, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// The start of the character that a byte belongs to.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
