//! One line of the log for each decision. It never holds the Pod or the review: those carry other people's secrets.

use std::time::Duration;

use tracing::{Level, enabled};

use crate::engine::pod::Pod;
use crate::engine::{Applied, Cause, Decision, Outcome, Request, Skip};

/// What a client writes must not fill the log, however long it is.
const LONGEST: usize = 1024;

/// The rule that decided; for a shadowed outcome, the rule that would have.
fn rule(decision: &Decision) -> Option<&str> {
    match &decision.rejection {
        Some(rejection) => rejection.rule.as_deref(),
        None => decisive(decision).map(|applied| applied.rule.as_ref()),
    }
}

/// What decided, as the log and the metrics tell it.
pub(super) fn decisive(decision: &Decision) -> Option<&Applied> {
    if decision
        .rejection
        .as_ref()
        .is_some_and(|rejection| rejection.rule.is_none())
    {
        // No rule decided.
        return None;
    }
    if decision.outcome == Outcome::Shadowed {
        let mut shadowed = decision.shadowed.iter();
        return shadowed
            .find(|shadowed| shadowed.differs)
            .map(|shadowed| &shadowed.applied);
    }
    decision.applied.last()
}

pub(super) fn decided(request: &Request<'_>, decision: &Decision, duration: Duration) {
    /// The same line at a level that the macros of tracing must know when they compile.
    macro_rules! line {
        ($level:expr) => {
            if enabled!($level) {
                let applied = decisive(decision);
                let rejection = decision.rejection.as_ref();
                let pod = Pod::new(&request.pod, &request.namespace).display_name();
                tracing::event!(
                    $level,
                    uid = cut(&request.uid),
                    pod = cut(&pod),
                    rule = rule(decision),
                    route = applied.and_then(|applied| applied.route),
                    ordinal = applied.and_then(|applied| applied.ordinal),
                    outcome = decision.outcome.name(),
                    duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
                    dry_run = request.dry_run,
                    reason = decision
                        .skipped
                        .map(Skip::reason)
                        .or(rejection.map(|rejection| rejection.cause))
                        .or(applied.and_then(|applied| applied.cause).map(Cause::name)),
                    detail = rejection.map(|rejection| cut(&rejection.message)),
                    "decided"
                );
            }
        };
    }
    match (decision.outcome, decision.skipped) {
        (Outcome::Rejected, _) => line!(Level::WARN),
        (_, Some(Skip::NotGated)) => line!(Level::DEBUG),
        _ => line!(Level::INFO),
    }
}

pub(super) fn bad_review(status: u16, uid: Option<&str>, message: &str) {
    tracing::warn!(
        status,
        uid = uid.map(cut),
        reason = cut(message),
        "no review to decide about"
    );
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = "ä".repeat(LONGEST);
        assert_eq!(cut(&long).len(), LONGEST);
        assert_eq!(cut(&format!("x{long}")).len(), LONGEST - 1);
        assert_eq!(cut("short"), "short");
    }
}
