//! Why a decision came out as it did: every rule, every predicate, every source, when somebody asks. A request does not ask,
//! and [`NoTrace`] costs it nothing.

use serde::Serialize;

/// Where the steps of a decision go.
pub trait Trace {
    /// False where nobody listens: building the steps is skipped.
    const ON: bool;

    /// Takes one step.
    fn step(&mut self, step: Step);
}

/// Nobody listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTrace;

impl Trace for NoTrace {
    const ON: bool = false;

    fn step(&mut self, _: Step) {}
}

/// Keeps every step.
#[derive(Clone, Debug, Default)]
pub struct Recorder(
    /// The steps so far.
    pub Vec<Step>,
);

impl Trace for Recorder {
    const ON: bool = true;

    fn step(&mut self, step: Step) {
        self.0.push(step);
    }
}

/// One step of a decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "step")]
pub enum Step {
    /// A rule is looked at; the steps up to the next rule are its own.
    Rule {
        /// Its name.
        name: String,
    },
    /// Something that must hold for the rule to match.
    Predicate {
        /// `gate`, `namespaces`, `labels` …
        name: &'static str,
        /// What the rule wants.
        wants: String,
        /// What the Pod has.
        found: String,
        /// Whether it holds.
        held: bool,
    },
    /// A source of the ordinal was asked.
    Ordinal {
        /// Its name.
        source: &'static str,
        /// What it answered, or why it did not.
        found: Result<u64, String>,
    },
    /// The document was read.
    Document {
        /// The annotation's key.
        annotation: String,
        /// Why it could not be read.
        problem: Option<String>,
    },
    /// A route was tried.
    Route {
        /// Its place in the rule, from 0.
        index: usize,
        /// Its condition.
        when: String,
        /// Whether it holds.
        held: bool,
    },
    /// The route's spread chose a value.
    Spread {
        /// The value.
        value: String,
    },
    /// A placement changed the draft, or had nothing to change.
    Placement {
        /// `nodeSelector`, `tolerations` …
        name: &'static str,
        /// Whether the draft changed.
        changed: bool,
    },
    /// The rule could not place the Pod.
    Failure {
        /// Why.
        message: String,
    },
}
