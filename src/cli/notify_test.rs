//! `label-router notify-test`: one message of each kind to a sink, and what came back in words.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{anyhow, bail};
use clap::Args;
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::Exit;
use super::output::{Output, Paint};
use crate::delivery::{Delivery, DeliveryMetrics, absent};
use crate::engine::suggest;
use crate::notice::digest::Digest;
use crate::notice::message::{Credentials, Message, Verdict};
use crate::notice::samples;
use crate::notice::sinks::SinkSpec;
use crate::notice::template::Templates;
use crate::notice::{Interval, Language};
use crate::serve::Policy;
use crate::serve::logging;
use crate::serve::settings::Settings;

/// Send one message of each kind to a sink, and say what came back
///
/// Messages say that they are a test, except for a body that a template writes as JSON. Settings of the server, such as LABEL_ROUTER_SINKS_CA_FILE, are read from the
/// environment. Exits with 0 where all arrived, with 1 where some did not, and with 2 where none could be sent.
#[derive(Debug, Args)]
pub(super) struct NotifyTest {
    /// The sink's name in the policy
    #[arg(value_name = "SINK")]
    sink: String,
    /// Files and directories of the policy; LABEL_ROUTER_POLICY or the default policy unless said
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// Print the messages instead of sending them; that needs neither URL nor secret
    #[arg(long)]
    print: bool,
    /// Only this kind of message, such as rejected
    #[arg(long, value_name = "KIND", value_parser = kinds())]
    kind: Option<String>,
    /// The language, in place of the sink's own
    #[arg(long, value_parser = ["en", "zh"])]
    language: Option<String>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

fn kinds() -> Vec<&'static str> {
    samples::named().into_iter().map(|(kind, _)| kind).collect()
}

/// One message, and what came of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tried {
    kind: &'static str,
    title: String,
    body: String,
    /// The body of the POST, where it is printed and not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// Why a template of the sink's own was not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl NotifyTest {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let variable = |name: &str| env::var(name).ok();
        let settings = Settings::load(&Settings::default(), None, variable, &[])
            .map_err(|error| anyhow!("the settings cannot be used\n{error}"))?;
        let paths = if self.policy.is_empty() {
            &settings.policy
        } else {
            &self.policy
        };
        let policy = Policy::load(paths)?;
        let mut sink = find(&policy, &self.sink)?;
        match self.language.as_deref() {
            Some("zh") => sink.common.language = Language::Zh,
            Some(_) => sink.common.language = Language::En,
            None => {}
        }
        let templates = Templates::new(&sink.common, sink.settings.markup()).map_err(|bad| {
            let problems: Vec<String> = bad.into_iter().map(|bad| bad.problem.message).collect();
            anyhow!("{}", problems.join("; "))
        })?;
        let samples = samples::named();
        let wanted = samples
            .into_iter()
            .filter(|(kind, _)| self.kind.as_deref().is_none_or(|only| only == *kind));
        let wanted: Vec<(&'static str, Digest)> = wanted.collect();
        if self.print {
            let tried: Vec<Tried> = wanted
                .into_iter()
                .map(|sample| printed(&sink, &templates, &settings, sample))
                .collect();
            self.output.print(&tried, |color| {
                tried.iter().map(|tried| shown(tried, Paint(color))).collect()
            })?;
            return Ok(Exit::Fine);
        }
        let absent = absent(&sink);
        if !absent.is_empty() {
            bail!("the sink {} cannot be used: {}", sink.name, absent.join("; "));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // A sink of type log writes there.
        logging::start(&settings.log);
        let tried = runtime.block_on(self.send(&sink, &templates, &settings, wanted))?;
        if self.output != Output::Text {
            self.output.print(&tried, |_| String::new())?;
        }
        let all = tried.iter().all(|tried| tried.result == Some("delivered"));
        Ok(if all { Exit::Fine } else { Exit::Wrong })
    }

    async fn send(
        &self,
        sink: &SinkSpec,
        templates: &Templates,
        settings: &Settings,
        samples: Vec<(&'static str, Digest)>,
    ) -> anyhow::Result<Vec<Tried>> {
        let delivery = Delivery::new(settings.delivery(), DeliveryMetrics::default())?;
        let pace = sink.settings.http().and_then(crate::notice::sinks::HttpSink::pace);
        let pause = pace.map_or(Duration::ZERO, |pace| pace.per / pace.messages.max(1));
        let mut tried = Vec::new();
        for (kind, digest) in samples {
            if !tried.is_empty() {
                // All of them are fewer than what any vendor takes in a minute, but not in a second.
                tokio::time::sleep(pause.min(Duration::from_secs(1))).await;
            }
            let (mut message, problem) = message(templates, settings, kind, digest);
            mark(&mut message, sink);
            let (result, why) = in_words(delivery.try_once(sink, &message).await);
            if self.output == Output::Text {
                let why = why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
                // Whoever reads may have seen enough.
                let _ = writeln!(io::stdout(), "{kind}: {result}{why}");
                if let Some(problem) = &problem {
                    let _ = writeln!(io::stdout(), "{}", default_used(problem));
                }
            }
            tried.push(Tried {
                kind,
                title: message.title,
                body: message.body,
                request: None,
                result: Some(result),
                why,
                problem,
            });
        }
        Ok(tried)
    }
}

fn find(policy: &Policy, name: &str) -> anyhow::Result<SinkSpec> {
    let sinks = &policy.compiled.sinks;
    sinks.iter().find(|sink| sink.name == name).cloned().ok_or_else(|| {
        let names: Vec<&str> = sinks.iter().map(|sink| sink.name.as_str()).collect();
        match suggest::closest(name, names.iter().copied()) {
            Some(near) => anyhow!("no sink of this policy is called {name}; did you mean {near}?"),
            None if names.is_empty() => anyhow!("this policy has no sinks"),
            None => anyhow!("no sink of this policy is called {name}; it has {}", names.join(", ")),
        }
    })
}

/// A message, and why a template of the sink's own was not used for it.
fn message(templates: &Templates, settings: &Settings, kind: &str, digest: Digest) -> (Message, Option<String>) {
    let digests = vec![digest];
    let (written, problem) = templates.write(&digests, settings.cluster.as_deref());
    let id = format!("test-{}", kind.replace(' ', "-"));
    (Message::new(written, digests, settings.cluster.clone(), id), problem)
}

fn default_used(problem: &str) -> String {
    format!("the default template is used in place of the sink's own: {problem}")
}

/// Says in a message that it is a test, for people and for machines.
fn mark(message: &mut Message, sink: &SinkSpec) {
    let (title, line) = match sink.common.language {
        Language::En => ("Test: ", "This is a test."),
        Language::Zh => ("测试：", "这是一条测试消息。"),
    };
    message.title.insert_str(0, title);
    // Not every sink sends the title. A line more in what a template writes for a machine would be no JSON any more.
    if serde_json::from_str::<IgnoredAny>(&message.body).is_err() {
        let markup = sink.settings.markup();
        let line = (markup.bold)(&(markup.escape)(line));
        message.body = format!("{line}\n{}", message.body);
    }
    message.is_test = true;
    // A receiver that takes the same message but once takes the next run's, too.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    message.id = format!("{}-{}", message.id, now.unwrap_or_default().as_millis());
}

fn printed(
    sink: &SinkSpec,
    templates: &Templates,
    settings: &Settings,
    (kind, digest): (&'static str, Digest),
) -> Tried {
    let now = digest.since;
    let (message, problem) = message(templates, settings, kind, digest);
    let request = sink.settings.http().map(|http| {
        // What is printed holds no secret, and needs none.
        let credentials = Credentials {
            url: "https://example.com/".to_owned(),
            ..Credentials::default()
        };
        let body = http.render(&message, &credentials, now).body;
        serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into())
    });
    Tried {
        kind,
        title: message.title,
        body: message.body,
        request,
        result: None,
        why: None,
        problem,
    }
}

fn shown(tried: &Tried, paint: Paint) -> String {
    let request = match &tried.request {
        Some(Value::String(text)) => format!("{}\n", paint.faint(text)),
        Some(request) => format!("{}\n", paint.faint(&format!("{request:#}"))),
        None => String::new(),
    };
    let problem = tried.problem.as_deref().map(|problem| default_used(problem) + "\n");
    format!(
        "{}{}\n{}\n{}\n{request}\n",
        problem.unwrap_or_default(),
        paint.faint(&format!("--- {}", tried.kind)),
        paint.strong(&tried.title),
        tried.body
    )
}

fn in_words(verdict: Verdict) -> (&'static str, Option<String>) {
    match verdict {
        Verdict::Delivered => ("delivered", None),
        Verdict::Retry { after, why } => {
            let after = after
                .map(|after| format!(" in {}", Interval(after)))
                .unwrap_or_default();
            ("failed", Some(format!("{why} (the server would try again{after})")))
        }
        Verdict::Barred { wait, why } => (
            "barred",
            Some(format!(
                "{why} (the server would send nothing more for {})",
                Interval(wait)
            )),
        ),
        Verdict::Refused { why } => ("refused", Some(why)),
    }
}
