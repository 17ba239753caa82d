//! Holds the documentation against what it tells of: every YAML block is part of a file that loads, every message comes from
//! a case that gives it, every link, path, command, flag, variable and metric exists.
//!
//! A comment before a code block says where its text comes from:
//! `<!-- FILE -->` where it is a part of a file, in whole lines;
//! `<!-- case: FOLDER: NAME -->` where it is what a case of an example's `cases.yaml` is told;
//! `<!-- answer: FILE -->` where it is the answer to an AdmissionReview under the default policy;
//! `<!-- output: label-router ARGUMENTS -->` where it is what that command prints at the root of the repository.

#![cfg(feature = "server")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read files, and a failure should stop them"
)]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, to_bytes};
use axum::http::Request as HttpRequest;
use label_router::admission;
use label_router::engine::node::Node;
use label_router::engine::{self, NoTrace, Request};
use label_router::notice::groups::{Added, Groups};
use label_router::notice::template::Templates;
use label_router::notice::{Interval, Kind, Notice, Severity, samples};
use label_router::policy::{self, PolicyText};
use label_router::serve::app::{App, ops_router, router};
use label_router::serve::settings::{NAMES, variable_name};
use label_router::serve::{Policy, Settings};
use label_router::source::SourceText;
use regex::Regex;
use serde_json::Value;
use tower::ServiceExt;

/// Where YAML must come from files.
const HELD: [&str; 5] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "deploy/", "docs/"];
/// Shows faults, a line or two of each; `tests/check/` holds them whole.
const FAULTS: &str = "docs/diagnostics.md";

#[test]
fn yaml_blocks_are_parts_of_files() {
    let mut wrong = Vec::new();
    for document in documents() {
        let held = HELD.iter().any(|held| document.name.starts_with(held)) && document.name != FAULTS;
        for block in document.blocks() {
            let file = block.comment.filter(|comment| !comment.contains(": "));
            match file {
                None if held && ["yaml", "yml"].contains(&block.language) => {
                    wrong.push(format!(
                        "{}:{}: no comment names the YAML's file",
                        document.name, block.line
                    ));
                }
                None => {}
                Some(file) => match fs::read_to_string(root().join(file)) {
                    Err(error) => wrong.push(format!("{}:{}: {file}: {error}", document.name, block.line)),
                    Ok(text) if !format!("\n{text}").contains(&format!("\n{}", block.text)) => {
                        wrong.push(format!("{}:{}: this is no part of {file}", document.name, block.line));
                    }
                    Ok(_) => {}
                },
            }
        }
    }
    complain(&wrong);
}

/// Whoever copies a policy from the documentation must be able to use it.
#[test]
fn policies_that_are_shown_load() {
    let mut files: BTreeSet<String> = BTreeSet::new();
    for document in documents() {
        let blocks = document.blocks();
        let named = blocks
            .iter()
            .filter_map(|block| block.comment)
            .filter(|comment| !comment.contains(": "));
        files.extend(named.map(str::to_owned));
    }
    files.extend(
        files_below(&root().join("docs/snippets"))
            .iter()
            .map(|path| name_of(path)),
    );
    let mut wrong = Vec::new();
    // What tests/check holds is faulty on purpose.
    for file in files.into_iter().filter(|file| !file.starts_with("tests/check/")) {
        let text = fs::read_to_string(root().join(&file)).unwrap_or_default();
        if text.contains("kind: RoutingPolicy") {
            match policy::load(&[PolicyText { file, text }]) {
                Err(problems) => wrong.push(problems.to_string()),
                Ok(compiled) if compiled.warnings.is_empty() => {}
                Ok(compiled) => wrong.push(compiled.warnings.to_string()),
            }
        }
    }
    complain(&wrong);
}

#[test]
fn the_settings_shown_are_all_of_them_with_their_defaults() {
    let name = "docs/snippets/settings.yaml".to_owned();
    let text = read(&name);
    let file = SourceText { name, text };
    let shown = Settings::load(&Settings::default(), Some(&file), |_| None, &[]).unwrap();
    let mut wanted = Settings::default();
    wanted.policy.clone_from(&shown.policy);
    wanted.policy_fallback.clone_from(&shown.policy_fallback);
    wanted.tls.cert.clone_from(&shown.tls.cert);
    wanted.tls.key.clone_from(&shown.tls.key);
    wanted.cluster.clone_from(&shown.cluster);
    wanted.sinks.ca_file.clone_from(&shown.sinks.ca_file);
    assert_eq!(shown, wanted);
    let operations = read("docs/operations.md");
    let untold = |name: &&&str| {
        let last = name.rsplit('.').next().unwrap_or_default();
        !file.text.contains(&format!("{last}:")) || !operations.contains(&format!("`{}`", variable_name(name)))
    };
    let untold: Vec<&&str> = NAMES.iter().filter(untold).collect();
    assert!(untold.is_empty(), "docs/operations.md leaves out {untold:?}");
}

#[test]
fn messages_are_what_the_cases_are_told() {
    let mut wrong = Vec::new();
    for document in documents() {
        for block in document.blocks() {
            let Some((folder, case)) = block
                .comment
                .and_then(|comment| comment.strip_prefix("case: "))
                .and_then(|case| case.split_once(": "))
            else {
                continue;
            };
            let told = told(folder, case);
            if !told.iter().any(|told| told == block.text.trim_end()) {
                wrong.push(format!("{}:{}: that case is told {told:#?}", document.name, block.line));
            }
        }
    }
    complain(&wrong);
}

#[test]
fn answers_are_those_of_the_default_policy() {
    let snapshot = Policy::load(&[]).unwrap().compiled.snapshot;
    let mut found = 0;
    for document in documents() {
        for block in document.blocks() {
            let Some(review) = block.comment.and_then(|comment| comment.strip_prefix("answer: ")) else {
                continue;
            };
            let body = read(review);
            let request = admission::decode(&body, &admission::Wanted::by(&snapshot)).unwrap();
            let decision = engine::decide(&snapshot, &request, &mut NoTrace);
            let answer = admission::encode(&request, &decision, snapshot.generation());
            let answer = String::from_utf8(answer).unwrap();
            assert_eq!(block.text.trim_end(), answer, "{}:{}", document.name, block.line);
            found += 1;
        }
    }
    assert!(found > 0, "the README shows no first decision");
}

#[test]
fn outputs_are_what_the_commands_print() {
    let mut wrong = Vec::new();
    for document in documents() {
        for block in document.blocks() {
            let Some(arguments) = block
                .comment
                .and_then(|comment| comment.strip_prefix("output: label-router "))
            else {
                continue;
            };
            let output = label_router(&arguments.split_whitespace().collect::<Vec<_>>())
                .output()
                .unwrap();
            let printed = String::from_utf8(output.stdout).unwrap();
            if printed.trim_end() != block.text.trim_end() {
                wrong.push(format!(
                    "{}:{}: the command prints\n{printed}",
                    document.name, block.line
                ));
            }
        }
    }
    complain(&wrong);
}

/// The rollout of docs/sinks.md, by the code that groups notices and writes messages.
#[test]
fn a_rollout_is_told_as_the_page_says() {
    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);
    const HOUR: Duration = Duration::from_hours(1);
    let file = "docs/snippets/notices.yaml".to_owned();
    let text = read(&file);
    let sink = policy::load(&[PolicyText { file, text }]).unwrap().sinks.remove(0);
    let templates = Templates::new(&sink.common, sink.settings.markup()).unwrap();
    let mut digests = Groups::new(sink.grouping());
    let mut told = String::new();
    let mut tell = |digests: &mut Groups, until: Duration| {
        while let Some(due) = digests.next().filter(|due| *due <= until) {
            for digest in digests.take(due, usize::MAX) {
                let title = templates.write(&[digest], None).0.title;
                let _ = writeln!(told, "{:<12}{title}", Interval(due).to_string());
            }
        }
    };
    let notice = |kind: Kind, ordinal: usize| {
        let is_routed = kind == Kind::Routed;
        Arc::new(Notice {
            kind,
            severity: if is_routed { Severity::Info } else { Severity::Critical },
            namespace: "prod".to_owned(),
            owner: Some(samples::stateful_set("web")),
            pod: format!("web-{ordinal}"),
            rule: Some("statefulset-parity".into()),
            route: is_routed.then_some(ordinal % 2),
            place: if is_routed { ["node1", "node2"][ordinal % 2] } else { "" }.to_owned(),
            message: if is_routed { "" } else { "no JSON" }.to_owned(),
            generation: "3f9a1c0b7d42".to_owned(),
            at: SystemTime::UNIX_EPOCH,
        })
    };
    for ordinal in 0..500 {
        let at = Duration::from_millis(80) * u32::try_from(ordinal).unwrap();
        tell(&mut digests, at);
        assert_eq!(digests.add(&notice(Kind::Routed, ordinal), at), Added::Waits);
    }
    tell(&mut digests, HOUR);
    assert_eq!(digests.add(&notice(Kind::Routed, 7), HOUR), Added::Repeated);
    tell(&mut digests, 5 * HOUR);
    assert_eq!(digests.add(&notice(Kind::Routed, 7), 5 * HOUR), Added::Waits);
    tell(&mut digests, 6 * HOUR);
    assert_eq!(digests.add(&notice(Kind::Rejected, 3), 6 * HOUR), Added::Waits);
    for attempt in 1..10 {
        let at = 6 * HOUR + attempt * MINUTE;
        tell(&mut digests, at);
        assert_eq!(digests.add(&notice(Kind::Rejected, 3), at), Added::Repeated);
    }
    let mended = 6 * HOUR + 20 * MINUTE;
    tell(&mut digests, mended);
    digests.add(&notice(Kind::Routed, 3), mended);
    tell(&mut digests, mended + 10 * SECOND);
    assert!(
        read("docs/sinks.md").contains(&told),
        "docs/sinks.md tells something else than\n{told}"
    );
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut wrong = Vec::new();
    for document in documents() {
        let folder = document.path.parent().unwrap();
        for (line, text) in document.prose() {
            for found in link.captures_iter(text) {
                let target = &found[1];
                if target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
                let path = if file.is_empty() {
                    document.path.clone()
                } else {
                    folder.join(file)
                };
                let there = path.exists() && (anchor.is_empty() || headings(&path).contains(anchor));
                if !there {
                    wrong.push(format!("{}:{line}: {target} leads nowhere", document.name));
                }
            }
        }
    }
    complain(&wrong);
}

/// Paths such as `src/lib.rs`, and names in them such as `src/engine/decide.rs::decide`.
#[test]
fn paths_and_names_in_code_exist() {
    let place =
        Regex::new(r"^((?:src|tests|examples|deploy|docs|benches|schemas|\.ci)/[\w./-]*)(?:::(\w+))?$").unwrap();
    let mut wrong = Vec::new();
    for document in documents() {
        for (line, span) in document.spans() {
            let Some(found) = place.captures(&span) else { continue };
            let path = root().join(&found[1]);
            let named = found.get(2).is_none_or(|name| {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let item = format!(r"\b(?:fn|struct|enum|trait|const|macro_rules!) {}\b", name.as_str());
                Regex::new(&item).unwrap().is_match(&text)
            });
            if !path.exists() || !named {
                wrong.push(format!("{}:{line}: there is no {span}", document.name));
            }
        }
    }
    complain(&wrong);
}

/// The commands that a help lists.
fn commands_of(help: &str) -> Vec<&str> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect()
}

#[test]
fn commands_and_flags_exist() {
    let help = help(&[]);
    let commands = commands_of(&help);
    assert!(commands.contains(&"serve"), "no commands in\n{help}");
    // With the help of its own commands.
    let whole = |command: &&str| {
        let help = self::help(&[*command]);
        let nested: Vec<String> = commands_of(&help)
            .iter()
            .map(|nested| self::help(&[*command, *nested]))
            .collect();
        help + &nested.concat()
    };
    let helps: Vec<String> = commands.iter().map(whole).collect();
    let everywhere = format!("{help}{}", helps.concat());
    let has = |help: &str, flag: &str| {
        let flag = format!(r"(?m)(?:^|[\s,]){}(?:$|[\s,=.])", regex::escape(flag));
        Regex::new(&flag).unwrap().is_match(help)
    };
    let mut wrong = Vec::new();
    for document in documents() {
        for (line, code) in document.code() {
            let code = code.trim_start_matches("$ ").trim();
            let mut check = |help: &str, words: &str| {
                let words = words
                    .split_whitespace()
                    .take_while(|word| !["|", ">", ">>", "#", "&&", ";", "--"].contains(word));
                let flags = words.filter(|word| word.starts_with('-') && word.len() > 1);
                for flag in flags.map(|flag| flag.split('=').next().unwrap_or_default()) {
                    if !has(help, flag.trim_end_matches([',', '.'])) {
                        wrong.push(format!("{}:{line}: {code}: no {flag} in the help", document.name));
                    }
                }
            };
            let called = ["cargo run --release -- ", "cargo run --quiet -- ", "label-router "];
            let called = called.iter().find_map(|call| code.strip_prefix(call));
            match called {
                Some(arguments) => {
                    let first = arguments.split_whitespace().next().unwrap_or_default();
                    let is_word = first.starts_with(|character: char| character.is_ascii_lowercase());
                    match commands.iter().position(|command| *command == first) {
                        Some(at) => check(&helps[at], arguments),
                        None if is_word => {
                            wrong.push(format!("{}:{line}: {code}: there is no such command", document.name));
                        }
                        None => check(&help, arguments),
                    }
                }
                None if code.starts_with('-') && !code.starts_with("---") => check(&everywhere, code),
                None => {}
            }
        }
    }
    complain(&wrong);
}

#[test]
fn variables_exist() {
    let variable = Regex::new(r"LABEL_ROUTER_[A-Z_]+").unwrap();
    // The settings file's own, and what Kubernetes makes for a Service of the name label-router.
    let others = [
        "LABEL_ROUTER_SETTINGS",
        "LABEL_ROUTER_PORT",
        "LABEL_ROUTER_SERVICE_HOST",
    ];
    let known: BTreeSet<String> = NAMES
        .iter()
        .map(|name| variable_name(name))
        .chain(others.map(str::to_owned))
        .collect();
    let mut wrong = Vec::new();
    for document in documents() {
        for found in variable.find_iter(&document.text) {
            if !known.contains(found.as_str()) {
                wrong.push(format!("{}: there is no variable {}", document.name, found.as_str()));
            }
        }
    }
    complain(&wrong);
}

#[tokio::test]
async fn metrics_exist_and_are_all_told() {
    // A metric with labels is shown once it was counted, or once a rule or a sink has it.
    let policy = root().join("docs/snippets/notices.yaml");
    let app = App::new(Settings::default(), Policy::load(&[policy]).unwrap()).unwrap();
    let bad = HttpRequest::post("/mutate").body(Body::empty()).unwrap();
    router(&app).oneshot(bad).await.unwrap();
    app.saw_registration("label-router", Some(0));
    let scrape = HttpRequest::get("/metrics").body(Body::empty()).unwrap();
    let body = ops_router(&app).oneshot(scrape).await.unwrap().into_body();
    let shown = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    let name = Regex::new(r"\blabel_router_[a-z_]+").unwrap();
    let known: BTreeSet<&str> = name.find_iter(&shown).map(|found| found.as_str()).collect();
    let operations = read("docs/operations.md");
    let mut wrong = Vec::new();
    for document in documents() {
        for found in name.find_iter(&document.text).map(|found| found.as_str()) {
            if !known.contains(found) && !known.iter().any(|known| known.starts_with(&format!("{found}_"))) {
                wrong.push(format!("{}: there is no metric {found}", document.name));
            }
        }
    }
    let declared = shown
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for untold in declared.filter(|name| !operations.contains(&format!("`{name}"))) {
        wrong.push(format!("docs/operations.md leaves out {untold}"));
    }
    complain(&wrong);
}

#[test]
fn the_book_holds_every_page() {
    let summary = read("docs/SUMMARY.md");
    let pages = files_below(&root().join("docs"));
    let missing: Vec<String> = pages
        .iter()
        .filter(|page| page.extension().is_some_and(|extension| extension == "md"))
        .map(|page| page.strip_prefix(root().join("docs")).unwrap().display().to_string())
        .filter(|page| page != "SUMMARY.md" && !summary.contains(&format!("]({page})")))
        .collect();
    assert!(missing.is_empty(), "docs/SUMMARY.md leaves out {missing:?}");
}

/// A Markdown file.
struct Document {
    path: PathBuf,
    /// Its path from the root of the repository.
    name: String,
    text: String,
}

/// A fenced block of code.
struct Block<'d> {
    /// The line of the opening fence, from 1.
    line: usize,
    language: &'d str,
    /// What stands in the HTML comment on the line above.
    comment: Option<&'d str>,
    /// Its lines, each with its end.
    text: String,
}

impl Document {
    fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut open: Option<Block<'_>> = None;
        let mut before = "";
        for (at, line) in self.text.lines().enumerate() {
            match &mut open {
                None => {
                    open = line.strip_prefix("```").map(|language| Block {
                        line: at + 1,
                        language: language.trim(),
                        comment: before.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")),
                        text: String::new(),
                    });
                }
                Some(_) if line == "```" => blocks.extend(open.take()),
                Some(block) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
            }
            before = line;
        }
        assert!(open.is_none(), "{}: a code block without an end", self.name);
        blocks
    }

    /// Its lines outside code blocks, with their numbers.
    fn prose(&self) -> Vec<(usize, &str)> {
        let mut inside = false;
        let lines = self.text.lines().enumerate().filter(|(_, line)| {
            let fence = line.starts_with("```");
            inside ^= fence;
            !inside && !fence
        });
        lines.map(|(at, line)| (at + 1, line)).collect()
    }

    /// Its inline code.
    fn spans(&self) -> Vec<(usize, String)> {
        let mut spans = Vec::new();
        for (line, text) in self.prose() {
            let inline = text.split('`').skip(1).step_by(2);
            spans.extend(inline.map(|span| (line, span.to_owned())));
        }
        spans
    }

    /// Its inline code, and the lines of its blocks of commands.
    fn code(&self) -> Vec<(usize, String)> {
        let mut code = self.spans();
        for block in self
            .blocks()
            .iter()
            .filter(|block| ["sh", "console"].contains(&block.language))
        {
            let lines = block.text.replace("\\\n", " ");
            code.extend(lines.lines().map(|line| (block.line, line.to_owned())));
        }
        code
    }
}

fn documents() -> Vec<Document> {
    let paths = files_below(&root());
    let markdown = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let documents: Vec<Document> = markdown
        .map(|path| Document {
            name: name_of(&path),
            text: fs::read_to_string(&path).unwrap(),
            path,
        })
        .collect();
    assert!(documents.len() > 5, "{} Markdown files", documents.len());
    documents
}

/// The files below a folder, but for what is hidden or built.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with('.') || ["target", "book"].contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The anchors that GitHub and mdBook give the headings of a Markdown file.
fn headings(path: &Path) -> BTreeSet<String> {
    let document = Document {
        path: path.to_owned(),
        name: name_of(path),
        text: fs::read_to_string(path).unwrap_or_default(),
    };
    let lines = document.prose();
    let titles = lines.iter().filter(|(_, line)| line.starts_with('#'));
    titles
        .map(|(_, line)| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|character| character.is_alphanumeric() || [' ', '-', '_'].contains(character));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

/// The refusal and the Warnings of a case.
fn told(folder: &str, name: &str) -> Vec<String> {
    let file = format!("{folder}/policy.yaml");
    let text = read(&file);
    let snapshot = policy::load(&[PolicyText { file, text }]).unwrap().snapshot;
    let cases: Value = serde_yaml::from_str(&read(&format!("{folder}/cases.yaml"))).unwrap();
    let cases = cases["cases"].as_array().unwrap();
    let Some(case) = cases.iter().find(|case| case["name"] == name) else {
        return vec![format!("{folder} has no case {name}")];
    };
    let mut request = Request::create(Node::from(case["pod"].clone()));
    if let Some(namespace) = case["namespace"].as_str() {
        request.namespace = namespace.into();
    }
    let decision = engine::decide(&snapshot, &request, &mut NoTrace);
    let refusal = decision.rejection.map(|rejection| rejection.message);
    refusal.into_iter().chain(decision.warnings).collect()
}

fn label_router(arguments: &[&str]) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("label-router"));
    command.args(arguments).current_dir(root());
    command
}

fn help(arguments: &[&str]) -> String {
    let output = label_router(arguments).arg("--help").output().unwrap();
    assert!(output.status.success(), "label-router {arguments:?} --help");
    String::from_utf8(output.stdout).unwrap()
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn name_of(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn complain(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
