//! One line of the answer, and the whole of it as text.

use std::fmt::Write;

use serde::Serialize;

use crate::cli::output::Paint;

/// What was found by one look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) status: Status,
    pub(super) message: String,
    /// What to do; none where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// It works, and somebody should look.
    Warning,
    /// It does not work.
    Failed,
    /// It could not be seen.
    Unknown,
}

/// Why something could not be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unseen {
    /// A sentence without its full stop.
    pub(super) why: String,
    /// True where a right is missing.
    pub(super) forbidden: bool,
}

/// What was read in the cluster, or why it was not.
pub(super) type Seen<T> = Result<T, Unseen>;

impl From<crate::cluster::ClusterError> for Unseen {
    fn from(error: crate::cluster::ClusterError) -> Self {
        Self {
            why: format!("cannot {}: {}", error.attempted(), error.cause()),
            forbidden: error.is_forbidden(),
        }
    }
}

impl Finding {
    pub(super) fn ok(message: impl Into<String>) -> Self {
        Self::new(Status::Ok, message, None)
    }

    pub(super) fn warning(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(Status::Warning, message, Some(fix.into()))
    }

    pub(super) fn failed(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(Status::Failed, message, Some(fix.into()))
    }

    pub(super) fn unknown(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(Status::Unknown, message, Some(fix.into()))
    }

    /// For what could not be seen.
    pub(super) fn unseen(unseen: &Unseen) -> Self {
        let fix = if unseen.forbidden {
            "run doctor as a user who has this right"
        } else {
            "run doctor again; if it stays, ask whoever runs the API server"
        };
        Self::unknown(unseen.why.clone(), fix)
    }

    fn new(status: Status, message: impl Into<String>, fix: Option<String>) -> Self {
        Self {
            // Filled in by who runs the checks.
            check: "",
            status,
            message: message.into(),
            fix,
        }
    }
}

impl Status {
    const ALL: [Self; 4] = [Self::Failed, Self::Warning, Self::Unknown, Self::Ok];

    fn mark(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "!",
            Self::Failed => "x",
            Self::Unknown => "?",
        }
    }

    fn paint(self, paint: Paint, text: &str) -> String {
        match self {
            Self::Ok => paint.good(text),
            Self::Failed => paint.bad(text),
            Self::Warning | Self::Unknown => paint.strong(text),
        }
    }
}

/// How many findings there are of a status.
pub(super) fn count(findings: &[Finding], status: Status) -> usize {
    findings.iter().filter(|finding| finding.status == status).count()
}

/// One aligned line for each finding, with the fix below it, and a summary.
pub(super) fn text(findings: &[Finding], paint: Paint) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = write(&mut text, findings, paint);
    text
}

fn write(text: &mut String, findings: &[Finding], paint: Paint) -> std::fmt::Result {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    for finding in findings {
        let mark = finding.status.paint(paint, &format!("{:<2}", finding.status.mark()));
        writeln!(text, "{mark}  {:<width$}  {}", finding.check, finding.message)?;
        for line in finding.fix.iter().flat_map(|fix| fix.lines()) {
            writeln!(text, "    {:<width$}  {}", "", paint.faint(&format!("→ {line}")))?;
        }
    }
    let has = |status| count(findings, status) > 0;
    let word = if has(Status::Failed) {
        paint.bad("failed")
    } else if has(Status::Unknown) {
        paint.strong("not sure")
    } else {
        paint.good("fine")
    };
    let counts: Vec<String> = Status::ALL
        .into_iter()
        .filter_map(|status| {
            let number = count(findings, status);
            let word = match status {
                Status::Ok => "ok",
                Status::Warning if number == 1 => "warning",
                Status::Warning => "warnings",
                Status::Failed => "failed",
                Status::Unknown => "unknown",
            };
            (number > 0).then(|| format!("{number} {word}"))
        })
        .collect();
    writeln!(text, "\n{word}: {}", counts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_aligned_and_ends_with_a_summary() {
        let mut findings = [
            Finding::ok("it is there"),
            Finding::failed("nobody answers", "start it"),
            Finding::warning("one replica", "run two"),
        ];
        for (finding, check) in findings.iter_mut().zip(["policy", "webhook", "rule"]) {
            finding.check = check;
        }
        let wanted = "\
ok  policy   it is there
x   webhook  nobody answers
             → start it
!   rule     one replica
             → run two

failed: 1 failed, 1 warning, 1 ok
";
        assert_eq!(text(&findings, Paint(false)), wanted);
    }

    #[test]
    fn what_could_not_be_seen_is_not_called_fine() {
        let unseen = Finding::unknown("it could not be seen", "ask");
        assert!(text(&[unseen], Paint(false)).ends_with("\nnot sure: 1 unknown\n"));
        let seen = Finding::ok("it is there");
        assert!(text(&[seen], Paint(false)).ends_with("\nfine: 1 ok\n"));
    }
}
