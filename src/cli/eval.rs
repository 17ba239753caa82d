//! `label-router eval`: what the policy decides about a Pod, and why.

use std::fmt::Write;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use similar::TextDiff;

use super::Exit;
use super::output::{Output, Paint};
use crate::admission;
use crate::engine::node::Node;
use crate::engine::pod::Pod;
use crate::engine::{Decision, Outcome, Recorder, Request, Skip, Snapshot, Step, decide};
use crate::serve::{Policy, PolicyError};
use crate::source;

/// Decide about a Pod or AdmissionReview, and say why
///
/// The decision, its trace, and the change as a diff. Nothing is sent anywhere.
#[derive(Debug, Args)]
pub(super) struct Eval {
    /// Files and directories of the policy; the default policy without it
    #[arg(long, value_name = "PATH")]
    policy: Vec<PathBuf>,
    /// Pods and AdmissionReviews, as YAML or JSON; - is the standard input
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    filename: PathBuf,
    /// The namespace of a Pod that names none
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// The answer about one Pod.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    pod: String,
    decision: Decision,
    trace: Vec<Step>,
    /// The Pod as it would be admitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    patched: Option<Value>,
    #[serde(skip)]
    original: Value,
}

impl Eval {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let policy = match Policy::load(&self.policy) {
            Ok(policy) => policy,
            Err(PolicyError::Wrong(diagnostics)) => {
                eprintln!("{diagnostics}\n\nerror: the policy is wrong, so that nothing can be decided by it");
                return Ok(Exit::Wrong);
            }
            Err(error @ PolicyError::Source(_)) => return Err(error.into()),
        };
        let text = if self.filename == Path::new("-") {
            let mut text = String::new();
            io::stdin()
                .read_to_string(&mut text)
                .context("the standard input cannot be read")?;
            text
        } else {
            source::read_text(&self.filename)?.text
        };
        let objects = match objects(&text) {
            Ok(objects) => objects,
            Err(why) => {
                eprintln!("error: {}: {why}", self.filename.display());
                return Ok(Exit::Wrong);
            }
        };
        let mut answers = Vec::new();
        for object in objects {
            match answer(&policy.compiled.snapshot, object, &self.namespace) {
                Ok(answer) => answers.push(answer),
                Err(why) => {
                    eprintln!("error: {}: {why}", self.filename.display());
                    return Ok(Exit::Wrong);
                }
            }
        }
        let text = |color| {
            let texts: Vec<String> = answers.iter().map(|answer| answer.text(Paint(color))).collect();
            texts.join("\n")
        };
        match answers.as_slice() {
            [answer] => self.output.print(answer, text)?,
            several => self.output.print(&several, text)?,
        }
        Ok(Exit::Fine)
    }
}

/// The objects in a text: of several YAML documents, and of lists.
fn objects(text: &str) -> Result<Vec<Value>, String> {
    let mut objects = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value: Value = serde::Deserialize::deserialize(document)
            .map_err(|error| format!("this is neither YAML nor JSON: {error}"))?;
        match value.get("items").and_then(Value::as_array) {
            Some(items) => objects.extend(items.iter().cloned()),
            None if value.is_null() => {}
            None => objects.push(value),
        }
    }
    if objects.is_empty() {
        return Err("there is no object in it; a Pod or an AdmissionReview was expected".to_owned());
    }
    Ok(objects)
}

fn answer(snapshot: &Snapshot, object: Value, namespace: &str) -> Result<Answer, String> {
    let kind = object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let body;
    let request = match kind.as_str() {
        "Pod" => {
            let mut object = object;
            if object.get("spec").is_none_or(Value::is_null) {
                // The API server always sends one, and a patch goes into it.
                object["spec"] = serde_json::json!({});
            }
            let mut request = Request::create(Node::from(object));
            if request
                .pod
                .at(&["metadata", "namespace"])
                .and_then(Node::as_str)
                .is_none()
            {
                request.namespace = namespace.to_owned().into();
            }
            request
        }
        "AdmissionReview" => {
            body = object.to_string();
            // Everything is read, so that the diff shows the whole Pod.
            admission::decode(&body, &admission::Wanted::everything()).map_err(|error| error.to_string())?
        }
        "" => return Err("the object has no kind; a Pod or an AdmissionReview was expected".to_owned()),
        other => {
            return Err(format!(
                "the object is a {other}; a Pod or an AdmissionReview was expected (`kubectl get pod NAME -o yaml` shows one)"
            ));
        }
    };
    let mut trace = Recorder::default();
    let decision = decide(snapshot, &request, &mut trace);
    let original = Value::from(&request.pod);
    let patched = match decision.outcome {
        Outcome::Routed => Some(apply(&decision, &original)?),
        _ => None,
    };
    Ok(Answer {
        pod: Pod::new(&request.pod, &request.namespace).display_name(),
        decision,
        trace: trace.0,
        patched,
        original,
    })
}

fn apply(decision: &Decision, pod: &Value) -> Result<Value, String> {
    let mut patched = pod.clone();
    serde_json::to_value(&decision.patch)
        .and_then(serde_json::from_value)
        .map_err(|error| error.to_string())
        .and_then(|patch: json_patch::Patch| json_patch::patch(&mut patched, &patch).map_err(|error| error.to_string()))
        .map_err(|why| format!("the patch does not apply, which is a bug of label-router: {why}"))?;
    Ok(patched)
}

impl Answer {
    fn text(&self, paint: Paint) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = self.write(&mut text, paint);
        text
    }

    fn write(&self, text: &mut String, paint: Paint) -> std::fmt::Result {
        let decision = &self.decision;
        let outcome = match decision.outcome {
            Outcome::Routed => paint.good("routed"),
            Outcome::Rejected => paint.bad("rejected"),
            other => other.name().to_owned(),
        };
        writeln!(text, "{} {}: {outcome}", paint.strong("Pod"), paint.strong(&self.pod))?;
        for applied in &decision.applied {
            write!(text, "  by rule {}", applied.rule)?;
            if let Some(route) = applied.route {
                write!(text, ", routes[{route}]")?;
            }
            if let Some(ordinal) = applied.ordinal {
                write!(text, ", ordinal {ordinal}")?;
            }
            if let Some(spread) = &applied.spread {
                write!(text, ", spread {spread}")?;
            }
            writeln!(text)?;
        }
        if let Some(reason) = decision.skipped.map(Skip::reason) {
            writeln!(text, "  let through: {reason}")?;
        }
        if let Some(rejection) = &decision.rejection {
            writeln!(text, "  {}", rejection.message)?;
        }
        for warning in &decision.warnings {
            writeln!(text, "  Warning: {warning}")?;
        }
        if !self.trace.is_empty() {
            writeln!(text, "\n{}", paint.strong("Why"))?;
            for step in &self.trace {
                write_step(text, step, paint)?;
            }
        }
        if let Some(patched) = &self.patched {
            writeln!(text, "\n{}", paint.strong("Change"))?;
            write_diff(text, &self.original, patched, paint)?;
        }
        Ok(())
    }
}

fn write_step(text: &mut String, step: &Step, paint: Paint) -> std::fmt::Result {
    let mark = |held: bool| if held { paint.good("✓") } else { paint.bad("✗") };
    match step {
        Step::Rule { name } => writeln!(text, "  rule {name}"),
        Step::Predicate {
            name,
            wants,
            found,
            held,
        } => writeln!(text, "    {} {name:<13} wants {wants}; {found}", mark(*held)),
        Step::Ordinal {
            source,
            found: Ok(number),
        } => {
            writeln!(text, "    {} {:<13} {number} from {source}", mark(true), "ordinal")
        }
        Step::Ordinal {
            source,
            found: Err(why),
        } => {
            writeln!(text, "    {} {:<13} none from {source}: {why}", mark(false), "ordinal")
        }
        Step::Document { annotation, problem } => match problem {
            None => writeln!(
                text,
                "    {} {:<13} from annotation {annotation}",
                mark(true),
                "document"
            ),
            Some(problem) => writeln!(text, "    {} {:<13} {problem}", mark(false), "document"),
        },
        Step::Route { index, when, held } => {
            let route = format!("routes[{index}]");
            writeln!(text, "    {} {route:<13} when {when}", mark(*held))
        }
        Step::Spread { value } => writeln!(text, "    {} {:<13} {value}", mark(true), "spread"),
        Step::Placement { name, changed } => {
            let changed = if *changed {
                "changes the Pod"
            } else {
                "finds the Pod as it should be"
            };
            writeln!(text, "    {} {name:<13} {changed}", mark(true))
        }
        Step::Failure { message } => writeln!(text, "    {} {message}", mark(false)),
    }
}

fn write_diff(text: &mut String, old: &Value, new: &Value, paint: Paint) -> std::fmt::Result {
    let yaml = |value: &Value| serde_yaml::to_string(value).unwrap_or_default();
    let (old, new) = (yaml(old), yaml(new));
    let diff = TextDiff::from_lines(old.as_str(), new.as_str());
    let unified = diff.unified_diff().context_radius(3).to_string();
    for line in unified
        .lines()
        .filter(|line| !line.starts_with("--- ") && !line.starts_with("+++ "))
    {
        let line = match line.chars().next() {
            Some('+') => paint.good(line),
            Some('-') => paint.bad(line),
            Some('@') => paint.faint(line),
            _ => line.to_owned(),
        };
        writeln!(text, "  {line}")?;
    }
    Ok(())
}
