//! What a policy's author is told: one file in `tests/check/` for each fault, and what is shown for it.
//!
//! The first line of each file says what to expect, as a person would: `# expect: CODE at LINE:COLUMN (error)`.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read files, and a failure should stop them"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use label_router::policy::{self, Diagnostic, Diagnostics, PolicyText, Severity};
use proptest::prelude::*;

/// What is wrong with one text; empty where nothing is.
fn diagnostics(file: &str, text: &str) -> Diagnostics {
    several(&[(file, text)])
}

fn several(texts: &[(&str, &str)]) -> Diagnostics {
    let texts: Vec<PolicyText> = texts
        .iter()
        .map(|(file, text)| PolicyText {
            file: (*file).to_owned(),
            text: (*text).to_owned(),
        })
        .collect();
    match policy::load(&texts) {
        Ok(compiled) => compiled.warnings,
        Err(diagnostics) => diagnostics,
    }
}

/// Each file of `tests/check/`: its name without the ending, and its text.
fn files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check");
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// A diagnostic as the first line of a file says it.
fn told(diagnostic: &Diagnostic) -> String {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let Diagnostic { code, line, column, .. } = diagnostic;
    format!("{code} at {line}:{column} ({severity})")
}

/// Fails where something failed, with all of it.
#[track_caller]
fn assert_none(failures: &[String], what: &str) {
    assert!(
        failures.is_empty(),
        "{} {what}:\n\n{}\n",
        failures.len(),
        failures.join("\n\n")
    );
}

#[test]
fn each_fault_is_one_diagnostic_at_its_place() {
    let mut failures = Vec::new();
    for (name, text) in files() {
        let expected = text.lines().next().and_then(|line| line.strip_prefix("# expect: "));
        let expected = expected.unwrap_or_else(|| panic!("{name}.yaml starts without `# expect: `"));
        let found = diagnostics(&format!("{name}.yaml"), &text);
        let told: Vec<String> = found.iter().map(told).collect();
        let wanted: &[&str] = if expected == "nothing" { &[] } else { &[expected] };
        if told != wanted {
            failures.push(format!("{name}: wanted {wanted:?}, found {told:?}\n{found}\n"));
        }
        if let Some(silent) = found.iter().find(|diagnostic| diagnostic.hint.is_empty()) {
            failures.push(format!("{name}: no hint: {silent:?}"));
        }
    }
    assert_none(&failures, "files");
}

#[test]
fn each_fault_is_shown_as_its_snapshot() {
    insta::with_settings!({ omit_expression => true }, {
        for (name, text) in files() {
            let found = diagnostics(&format!("{name}.yaml"), &text);
            if !found.is_empty() {
                insta::assert_snapshot!(name, found.render(false));
            }
        }
    });
}

#[test]
fn an_empty_text_is_told_as_one_without_a_policy() {
    for text in ["", "\n", "---\n", "~\n", "\u{feff}"] {
        let found = diagnostics("empty.yaml", text);
        let codes: Vec<&str> = found.iter().map(|found| found.code.as_str()).collect();
        assert_eq!(codes, ["empty-policy"], "{text:?}\n{found}");
        assert_eq!(found.iter().next().unwrap().line, 1);
    }
    let none = policy::load(&[]).unwrap_err();
    assert_eq!(none.iter().next().unwrap().code, "empty-policy");
}

#[test]
fn a_policy_that_kubectl_cannot_apply_is_warned_about_and_loads() {
    let padding = "# padding\n".repeat(27 * 1024);
    let text = format!("{}{padding}", policy::DEFAULT);
    let loaded = policy::load(&[PolicyText {
        file: "large.yaml".to_owned(),
        text,
    }]);
    let warnings = loaded.unwrap().warnings;
    assert_eq!(
        warnings.iter().map(told).collect::<Vec<_>>(),
        ["large-policy at 1:1 (warning)"]
    );
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!("large-policy", warnings.render(false));
    });
}

#[test]
fn an_alias_bomb_is_refused_before_it_is_written_out() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/alias-bomb.yaml")).unwrap();
    let start = Instant::now();
    let found = diagnostics("alias-bomb.yaml", &text);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(found.iter().next().unwrap().code, "too-many-values");
}

/// globset panics where its regular expression grows too large, and its parser recurses.
#[test]
fn a_glob_that_is_nested_ever_so_deep_is_refused() {
    for depth in [9, 200, 20_000] {
        let glob = format!("{}b{}", "{a,".repeat(depth), "}".repeat(depth));
        let text = format!("{HEAD}gate: {{ label: routed }}\n{RULE}    match: {{ namespaces: ['{glob}'] }}\n");
        let found = diagnostics("glob.yaml", &text);
        let codes: Vec<&str> = found.iter().map(|found| found.code.as_str()).collect();
        assert_eq!(codes, ["bad-glob"], "{depth} deep");
    }
}

const HEAD: &str = "apiVersion: label-router/v1\nkind: RoutingPolicy\n";
const RULE: &str = "rules:\n  - name: web\n    routes: [{ nodeSelector: { pool: a } }]\n";

/// A template may leave a list without entries; any other field without a value is an error.
#[test]
fn lists_of_rules_and_sinks_may_be_empty() {
    let gate = format!("{HEAD}gate: {{ label: routed }}\nrules:\nsinks: ~\n");
    let rule = format!("{HEAD}{RULE}");
    let found = several(&[("gate.yaml", &gate), ("rule.yaml", &rule)]);
    assert!(found.is_empty(), "\n{found}\n");
}

#[test]
fn several_files_add_up() {
    let gate = format!("{HEAD}gate: {{ label: routed }}\n");
    let rule = format!("{HEAD}{RULE}    notify: {{ sinks: [ops] }}\n");
    let sink = format!("{HEAD}sinks: [{{ name: ops, type: log }}]\n");
    let files = [("gate.yaml", gate.as_str()), ("rule.yaml", &rule), ("sink.yaml", &sink)];
    let texts = files.map(|(file, text)| PolicyText {
        file: file.to_owned(),
        text: text.to_owned(),
    });
    let compiled = policy::load(&texts).unwrap_or_else(|problems| panic!("\n{problems}\n"));
    assert!(compiled.warnings.is_empty(), "\n{}\n", compiled.warnings);
    assert_eq!(compiled.snapshot.rules().len(), 1);
    assert_eq!(compiled.sinks.len(), 1);
    // Each alone lacks what another one says.
    for (file, text) in files {
        assert!(!diagnostics(file, text).is_empty(), "{file}");
    }
}

/// `check` is given the manifest, the server the files that the kubelet makes of it.
#[test]
fn a_policy_has_one_generation_in_a_file_and_in_a_config_map() {
    let generation = |texts: &[(&str, &str)]| {
        let texts: Vec<PolicyText> = texts
            .iter()
            .map(|(file, text)| PolicyText {
                file: (*file).to_owned(),
                text: (*text).to_owned(),
            })
            .collect();
        policy::load(&texts).unwrap().snapshot.generation().to_owned()
    };
    let alone = generation(&[("policy.yaml", policy::DEFAULT)]);
    for (way, text) in given(policy::DEFAULT) {
        if ["in a ConfigMap", "in a ConfigMap, quoted"].contains(&way) {
            assert_eq!(generation(&[("configmap.yaml", &text)]), alone, "{way}");
        }
    }
    let gate = format!("{HEAD}gate: {{ label: routed }}\n");
    let rule = format!("{HEAD}{RULE}");
    let manifest = serde_json::json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "policy" },
        "data": { "b.yaml": rule, "a.yaml": gate },
    });
    assert_eq!(
        generation(&[("configmap.yaml", &manifest.to_string())]),
        generation(&[("a.yaml", &gate), ("b.yaml", &rule)]),
        "in the order in which a directory is read"
    );
}

#[test]
fn what_two_files_say_is_an_error_that_names_both() {
    let policy = |head: &str, name: &str| {
        format!(
            "{HEAD}{head}rules:\n  - name: {name}\n    match: {{ namespaces: [{name}] }}\n    routes: [{{ nodeSelector: {{ pool: a }} }}]\n"
        )
    };
    let both = "gate: { label: routed }\nunmatched: admit\n";
    let found = several(&[
        ("team/a.yaml", &policy(both, "one")),
        ("team/b.yaml", &policy(both, "two")),
    ]);
    let codes: Vec<String> = found.iter().map(told).collect();
    assert_eq!(
        codes,
        ["said-twice at 3:7 (error)", "said-twice at 4:12 (error)"],
        "\n{found}\n"
    );
    for diagnostic in &found {
        assert_eq!(diagnostic.file, "team/b.yaml");
        assert!(diagnostic.hint.contains("team/a.yaml"), "{diagnostic:?}");
    }
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!("said-twice", found.render(false));
    });

    let gate = "gate: { label: routed }\n";
    let found = several(&[("a.yaml", &policy(gate, "one")), ("b.yaml", &policy("", "one"))]);
    let codes: Vec<String> = found.iter().map(told).collect();
    assert_eq!(codes, ["duplicate-name at 4:11 (error)"], "\n{found}\n");
    let duplicate = found.iter().next().unwrap();
    assert_eq!(duplicate.file, "b.yaml");
    assert!(duplicate.hint.contains("a.yaml"), "{duplicate:?}");
}

/// Ten faults of ten kinds, in the order in which they should be told.
const TEN: &str = r#"apiVersion: label-router/v2
kind: RoutingPolicy
gate: { label: routed, vaule: "true" }
rules:
  - name: first
    match: { owner: { kinds: [Deployment] }, where: $.pods }
    ordinal: { from: [podIndexLabel] }
    routes:
      - { when: { range: "5-3" }, nodeSelector: { pool: true } }
      - { when: { modulo: { by: 3, remainder: 3 } }, tolerations: [{ key: spot, operator: Exist }] }
    notify: { sinks: [opps] }
  - routes: []
sinks:
  - { name: ops, type: slack, url: { env: SLACK_URL }, format: text }
"#;

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_text() {
    let found = diagnostics("ten.yaml", TEN);
    let codes: Vec<String> = found.iter().map(told).collect();
    let wanted = [
        "unknown-value at 1:13 (error)",
        "unknown-field at 3:24 (error)",
        "bad-owner-kind at 6:31 (error)",
        "bad-path at 6:53 (error)",
        "bad-range at 9:26 (error)",
        "wrong-type at 9:57 (error)",
        "bad-modulo at 10:36 (error)",
        "unknown-value at 10:91 (error)",
        "undeclared-sink at 11:23 (error)",
        "missing-field at 12:5 (error)",
        "unknown-field at 14:56 (error)",
    ];
    assert_eq!(codes, wanted, "\n{found}\n");
    assert_eq!(found.errors(), wanted.len());
    assert_eq!(found.warnings(), 0);
    assert_eq!(found.to_string(), found.render(false));
    assert!(found.render(true).contains("\u{1b}["), "no colour");
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!("ten-faults", found.render(false));
    });
}

/// Scripts read this; a field that changes its name breaks them.
#[test]
fn json_has_stable_fields() {
    let text = format!("{HEAD}gate: {{ label: routed }}\n{RULE}    onErorr: admit\n");
    let found = diagnostics("policy.yaml", &text);
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_json_snapshot!("json", found);
    });
}

const URL: &str = "https://robots.example.com/send?access_token=Zq7xWv93Jk";
const SECRET: &str = "SECKf82mNpLdTy";
/// Any of these in a text gives some secret away.
const PARTS: [&str; 5] = [
    "robots.example",
    "access_token",
    "Zq7xWv93Jk",
    "SECKf82mNpLdTy",
    "82746193",
];

/// Policies with secrets where they belong and where they do not, each written with <U> and <S> for a URL and a secret.
const SECRETS: &[(&str, &str)] = &[
    ("url", "- { name: ops, type: slack, url: '<U>' }"),
    ("secret", "- { name: ops, type: dingtalk, url: '<U>', secret: <S> }"),
    (
        "headers",
        "- { name: ops, type: webhook, url: '<U>', headers: { Authorization: Bearer <S>, X-Key: '<S>' } }",
    ),
    (
        "unknown field beside",
        "- { name: ops, type: dingtalk, url: '<U>', secret: <S>, requird: true }",
    ),
    (
        "unknown field between",
        "- { name: ops, type: webhook, url: <U>, requird: true, headers: { Authorization: <S> } }",
    ),
    ("unknown type", "- { name: ops, type: dingding, url: <U>, secret: <S> }"),
    ("no type", "- { name: ops, url: <U>, secret: <S> }"),
    ("bad name", "- { name: Ops, type: slack, url: <U> }"),
    (
        "block, unknown field",
        "- name: ops\n  type: webhook\n  url: <U>\n  secrets: <S>\n  headers:\n    Authorization: Bearer <S>\n    X-Key: <S>",
    ),
    ("misspelt", "- { name: ops, type: slack, URL: <U> }"),
    (
        "misspelt in block",
        "- name: ops\n  type: slack\n  webhookUrl: <U>\n  token: <S>",
    ),
    ("of another type", "- { name: ops, type: log, url: <U>, secret: <S> }"),
    (
        "in a list",
        "- { name: ops, type: dingtalk, url: [<U>], secret: [<S>] }",
    ),
    (
        "a number",
        "- { name: ops, type: dingtalk, url: { env: A }, secret: 82746193 }",
    ),
    ("no url", "- { name: ops, type: slack, url: <S> }"),
    ("url with a blank", "- { name: ops, type: slack, url: '<U> <S>' }"),
    (
        "as a key",
        "- { name: ops, type: dingtalk, url: { '<U>' }, secret: { <S>: a } }",
    ),
    (
        "as a key twice",
        "- { name: ops, type: dingtalk, url: { env: A }, secret: { <S>: a, <S>: b } }",
    ),
    (
        "as a numeric key",
        "- { name: ops, type: dingtalk, url: { env: A }, secret: { 82746193: a } }",
    ),
    (
        "as a key and value",
        "- { name: ops, type: slack, url: { <U>: '<U>' } }",
    ),
    (
        "below an unknown place",
        "- { name: ops, type: slack, url: { value: <U> } }",
    ),
    (
        "as a place",
        "- { name: ops, type: slack, url: { env: <U>, file: <S> } }",
    ),
    ("as a variable", "- { name: ops, type: slack, url: { env: '<U>' } }"),
    (
        "as a variable, in a header",
        "- { name: ops, type: webhook, url: { env: A }, headers: { Authorization: { env: 'Bearer <S>' } } }",
    ),
    ("as a file", "- { name: ops, type: slack, url: { file: '<U>' } }"),
    (
        "headers with the value in the name",
        "- { name: ops, type: webhook, url: '<U>', headers: { 'Authorization: Bearer <S>': a, 'X <S>': { env: A } } }",
    ),
    (
        "headers as text",
        "- { name: ops, type: webhook, url: <U>, headers: 'Authorization: <S>' }",
    ),
    (
        "headers as a list",
        "- { name: ops, type: webhook, url: <U>, headers: [Authorization: <S>] }",
    ),
    (
        "headers as maps",
        "- { name: ops, type: webhook, url: <U>, headers: { Authorization: { value: <S> } } }",
    ),
    ("twice", "- name: ops\n  type: slack\n  url: <U>\n  url: <U>"),
    ("sinks are texts", "- <U>"),
    (
        "literal",
        "- name: ops\n  type: dingtalk\n  url: |\n    <U>\n  secret: |-\n    <S>\n    <S>",
    ),
    (
        "folded",
        "- name: ops\n  type: dingtalk\n  url: >-\n    <U>\n  secret: >\n    <S>",
    ),
    (
        "over two lines",
        "- name: ops\n  type: dingtalk\n  secret: \"<S>\n    <S>\"\n  url: '<U>",
    ),
    ("tag", "- { name: ops, type: dingtalk, secret: !<S> , url: !<U> }"),
    ("tagged", "- { name: ops, type: dingtalk, secret: !x <S>, url: !y <U> }"),
    (
        "anchored",
        "- { name: ops, type: dingtalk, secret: &s <S>, url: &u <U>, keyword: *u, bad: *s }",
    ),
    (
        "commented",
        "# url: <U>\n# - { secret: <S> }\n- { name: ops, type: slack, url: { env: A }, bad: 1 } # url: <U>",
    ),
    (
        "commented without a field",
        "- { name: ops, type: slack, url: { env: A }, bad: 1 } # was <U>",
    ),
    (
        "syntax on the line",
        "- { name: ops, type: slack, url: <U>, secret: <S> ]",
    ),
    (
        "syntax before it on the line",
        "- { name: ops, type: slack], url: <U>, secret: <S> }",
    ),
    ("syntax in it", "- name: ops\n  type: slack\n  url: <U>: x"),
    (
        "syntax in the secret",
        "- name: ops\n  type: dingtalk\n  secret: '<S>' <S>\n  url: <U>",
    ),
    (
        "unclosed quote",
        "- name: ops\n  type: slack\n  url: \"<U>\n  secret: <S>",
    ),
    ("unclosed flow", "- { name: ops, type: slack, secret: <S>, url: <U>"),
    (
        "quoted key",
        "- { name: ops, type: slack, \"url\": <U>, 'secret' : <S> ]",
    ),
    (
        "flow over lines",
        "- { name: ops, type: dingtalk,\n    url:\n    <U>, secret:\n\n    <S> ]",
    ),
    (
        "syntax before",
        "- { name: a, type: log ]\n- { name: ops, type: slack, url: <U>, secret: <S> }",
    ),
    (
        "syntax after",
        "- name: ops\n  type: webhook\n  url: <U>\n  headers:\n    Authorization: <S>\n    X-Key: <S>\n- { name: a ]",
    ),
    ("explicit key", "- name: ops\n  type: slack\n  ? url\n  : <U>\n  bad: ]"),
    ("a reserved character", "- name: ops\n  type: slack\n  url: @<U>"),
    ("tab", "- name: ops\n  type: slack\n\turl: <U>\n\tsecret: <S>"),
    (
        "bad indentation",
        "- name: ops\n  type: slack\n   url: <U>\n  secret: <S>",
    ),
    (
        "second document",
        "- { name: a, type: log }\n---\nsinks:\n- { name: ops, type: slack, url: <U>, secret: <S> }",
    ),
    (
        "after a list as key",
        "- { ? [a] : b, name: ops }\n- { name: ops, type: slack, url: <U>, secret: <S> }",
    ),
];

/// A text as the ways in which a policy may be given: alone, with other line ends, and in ConfigMaps.
fn given(policy: &str) -> Vec<(&'static str, String)> {
    let indented = |by: &str| policy.replace('\n', &format!("\n{by}"));
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: p }\ndata:\n";
    let quoted = serde_json::to_string(policy).unwrap();
    vec![
        ("alone", policy.to_owned()),
        ("with CRLF", policy.replace('\n', "\r\n")),
        ("with a byte order mark", format!("\u{feff}{policy}")),
        ("after other letters", format!("# \u{fc}n\u{ef} \u{4e2d}\n{policy}")),
        (
            "in a ConfigMap",
            format!("{map}  policy.yaml: |\n    {}\n", indented("    ")),
        ),
        (
            "in a ConfigMap, indented deeper",
            format!("{map}  policy.yaml: |-\n\n       {}\n", indented("       ")),
        ),
        ("in a ConfigMap, quoted", format!("{map}  policy.yaml: {quoted}\n")),
        (
            "in a ConfigMap, folded",
            format!("{map}  policy.yaml: >\n    {}\n", policy.replace('\n', "\n\n    ")),
        ),
        (
            "in a ConfigMap that is no YAML",
            format!("{map}  policy.yaml: |\n    {}\nbad: ]\n", indented("    ")),
        ),
        (
            "in a Secret",
            format!(
                "{}  policy.yaml: |\n    {}\n",
                map.replace("ConfigMap", "Secret"),
                indented("    ")
            ),
        ),
    ]
}

/// Everything that the outcome of a text can print.
fn printed(file: &str, text: &str) -> String {
    let text = PolicyText {
        file: file.to_owned(),
        text: text.to_owned(),
    };
    match policy::load(&[text]) {
        Ok(compiled) => format!("{compiled:?}\n{:#?}\n{}", compiled.sinks, shown(&compiled.warnings)),
        Err(diagnostics) => shown(&diagnostics),
    }
}

fn shown(diagnostics: &Diagnostics) -> String {
    let json = serde_json::to_string(diagnostics).unwrap();
    format!(
        "{diagnostics}\n{}\n{json}\n{diagnostics:?}\n{diagnostics:#?}",
        diagnostics.render(true)
    )
}

#[test]
fn no_secret_is_printed_wherever_it_stands() {
    let mut failures = Vec::new();
    for (name, sink) in SECRETS {
        let sink = sink.replace("<U>", URL).replace("<S>", SECRET);
        let policy = format!("{HEAD}gate: {{ label: routed }}\n{RULE}    notify: {{ sinks: [ops] }}\nsinks:\n{sink}\n");
        for (way, text) in given(&policy) {
            let printed = printed("policy.yaml", &text);
            if let Some(part) = PARTS.iter().find(|part| printed.contains(**part)) {
                failures.push(format!("{name}, {way}: {part} in\n{printed}"));
            }
        }
    }
    assert_none(&failures, "times");
}

#[test]
fn the_default_and_a_policy_with_literal_secrets_load_without_printing_them() {
    let policy = policy::DEFAULT
        .replace("{ env: DINGTALK_WEBHOOK_URL }", URL)
        .replace("{ file: /etc/label-router/secrets/dingtalk }", SECRET);
    assert!(policy.contains(URL) && policy.contains(SECRET));
    assert!(diagnostics("default.yaml", policy::DEFAULT).is_empty());
    assert!(diagnostics("default.yaml", &policy).is_empty());
    let printed = printed("default.yaml", &policy);
    assert!(PARTS.iter().all(|part| !printed.contains(part)), "{printed}");
    assert!(printed.contains("<secret>"), "{printed}");
}

/// A change of a text, at a place given as a share of its length.
#[derive(Clone, Debug)]
enum Mutation {
    Delete(usize, usize),
    Insert(usize, String),
    RepeatLine(usize),
    Truncate(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let piece = prop_oneof![
        "[ -~]{1,3}",
        Just("\n".to_owned()),
        Just("\t".to_owned()),
        Just("\n  ".to_owned()),
        Just("- ".to_owned()),
        Just(": ".to_owned()),
        Just("\u{4e2d}".to_owned()),
        Just("\u{0}".to_owned()),
        Just("&a ".to_owned()),
        Just("*a".to_owned()),
        Just("${".to_owned()),
    ];
    prop_oneof![
        (any::<usize>(), 1..4_usize).prop_map(|(at, count)| Mutation::Delete(at, count)),
        (any::<usize>(), piece).prop_map(|(at, text)| Mutation::Insert(at, text)),
        any::<usize>().prop_map(Mutation::RepeatLine),
        any::<usize>().prop_map(Mutation::Truncate),
    ]
}

fn mutated(text: &str, mutations: &[Mutation]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for mutation in mutations {
        match mutation {
            Mutation::Delete(at, count) => {
                let at = at % (bytes.len() + 1);
                let end = (at + count).min(bytes.len());
                bytes.drain(at..end);
            }
            Mutation::Insert(at, text) => {
                let at = at % (bytes.len() + 1);
                bytes.splice(at..at, text.bytes());
            }
            Mutation::RepeatLine(line) => {
                let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                if !lines.is_empty() {
                    let line = line % lines.len();
                    lines.insert(line, lines[line]);
                    bytes = lines.concat();
                }
            }
            Mutation::Truncate(at) => bytes.truncate(at % (bytes.len() + 1)),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn a_mutated_policy_is_told_about_without_a_panic(mutations in prop::collection::vec(mutation(), 1..6)) {
        let text = mutated(policy::DEFAULT, &mutations);
        for diagnostic in &diagnostics("policy.yaml", &text) {
            prop_assert!(diagnostic.line <= text.matches('\n').count() + 1, "{diagnostic:?}");
        }
        printed("policy.yaml", &text);
    }

    #[test]
    fn a_mutated_config_map_is_told_about_without_a_panic(mutations in prop::collection::vec(mutation(), 1..6)) {
        let (_, text) = given(policy::DEFAULT).swap_remove(4);
        printed("policy.yaml", &mutated(&text, &mutations));
    }

    #[test]
    fn any_text_is_told_about_without_a_panic(text in "\\PC*|[\\s\\S]{0,80}|[-:{}\\[\\],&*!|>'\"%@`#?a \\n\\t]{0,60}") {
        printed("policy.yaml", &text);
    }

    #[test]
    fn any_glob_is_read_or_refused_without_a_panic(glob in "[-*?\\[\\]{},!^a-c\\\\/\u{e9}\u{4e2d}\u{1f600}]{0,60}") {
        let glob = serde_json::to_string(&glob).unwrap();
        let text = format!("{HEAD}gate: {{ label: routed }}\n{RULE}    match: {{ namespaces: [{glob}] }}\n");
        printed("policy.yaml", &text);
    }

    #[test]
    fn a_slip_of_the_finger_gives_no_secret_away(mutation in mutation()) {
        let policy = policy::DEFAULT
            .replace("{ env: DINGTALK_WEBHOOK_URL }", URL)
            .replace("{ file: /etc/label-router/secrets/dingtalk }", SECRET);
        let printed = printed("policy.yaml", &mutated(&policy, &[mutation]));
        for part in PARTS {
            prop_assert!(!printed.contains(part), "{printed}");
        }
    }
}

/// What no single file shows: it takes two files, a large one, or a fault of serde's own that no policy is known to make.
const ELSEWHERE: [&str; 3] = ["said-twice", "large-policy", "wrong-value"];

/// The sections of `docs/diagnostics.md`: each code with its text.
fn documented() -> Vec<(String, String)> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/diagnostics.md")).unwrap();
    let sections = text.split("\n### `").skip(1);
    sections
        .map(|section| {
            let (code, text) = section.split_once('`').unwrap();
            (code.to_owned(), text.to_owned())
        })
        .collect()
}

#[test]
fn every_code_is_documented_and_every_documented_code_exists() {
    let mut seen: BTreeSet<String> = ELSEWHERE.map(str::to_owned).into();
    for (name, text) in files() {
        seen.extend(diagnostics(&name, &text).iter().map(|found| found.code.clone()));
    }
    let documented: Vec<String> = documented().into_iter().map(|(code, _)| code).collect();
    let unique: BTreeSet<String> = documented.iter().cloned().collect();
    assert_eq!(unique.len(), documented.len(), "a code is documented twice");
    let missing: Vec<&String> = seen.difference(&unique).collect();
    let unknown: Vec<&String> = unique.difference(&seen).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "docs/diagnostics.md lacks {missing:?}, and no file in tests/check/ shows {unknown:?}"
    );
    // A code that is new in the source and that nobody has made a file for.
    let call = regex::Regex::new(
        r#"(?:Problem::new|Finding::(?:error|warning))\([^"]*(?:"[^"-]*"[^"]*)*?"([a-z]+(?:-[a-z]+)+)""#,
    );
    let call = call.unwrap();
    let mut in_source = BTreeSet::new();
    for folder in ["src/engine", "src/notice", "src/policy"] {
        for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)) {
            let text = fs::read_to_string(path).unwrap();
            in_source.extend(call.captures_iter(&text).map(|found| found[1].to_owned()));
        }
    }
    assert!(in_source.len() > 40, "only {in_source:?}");
    let missing: Vec<&String> = in_source.difference(&unique).collect();
    assert!(missing.is_empty(), "docs/diagnostics.md lacks {missing:?}");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// An example is lines of a file that shows the code.
#[test]
fn every_code_has_an_example_that_shows_it() {
    let mut failures = Vec::new();
    let files = files();
    for (code, section) in documented() {
        if ELSEWHERE.contains(&code.as_str()) {
            continue;
        }
        let example = section
            .split_once("```yaml\n")
            .and_then(|(_, rest)| rest.split_once("\n```"));
        let Some((example, _)) = example else {
            failures.push(format!("{code} has no example"));
            continue;
        };
        let example: Vec<&str> = example.lines().map(str::trim).collect();
        let shown = files
            .iter()
            .filter(|(_, text)| text.starts_with(&format!("# expect: {code} at ")));
        let holds = shown.map(|(_, text)| text.lines().map(str::trim).collect::<Vec<_>>());
        if !holds
            .into_iter()
            .any(|lines| lines.windows(example.len()).any(|part| part == example))
        {
            failures.push(format!("no file of {code} holds its example {example:?}"));
        }
    }
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
}
