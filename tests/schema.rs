//! The JSON Schema of a policy: as it is in `schemas/`, described throughout, and of one mind with `check`.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read files, and a failure should stop them"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use label_router::policy::{self, PolicyText};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder, or of each of its folders where `below` names one.
fn policies() -> Vec<PathBuf> {
    let listed = |folder: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let examples = listed("examples").into_iter().map(|folder| folder.join("policy.yaml"));
    let mut files: Vec<PathBuf> = listed("tests/policies")
        .into_iter()
        .chain(examples.filter(|path| path.exists()))
        .chain([root().join("src/policy/default.yaml")])
        .collect();
    files.sort();
    assert!(files.len() >= 14, "only {} policies", files.len());
    files
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

#[test]
fn the_file_is_what_the_program_says() {
    let path = root().join("schemas/policy.schema.json");
    let mut current = serde_json::to_string_pretty(&policy::schema()).unwrap();
    current.push('\n');
    if env::var_os("UPDATE_SCHEMAS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &current).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    // Line by line, so that a failure names the first difference and not the whole schema.
    let difference = current.lines().zip(written.lines()).position(|(a, b)| a != b);
    assert!(
        current == written,
        "schemas/policy.schema.json is out of date{}: run `just schema` and commit the file",
        difference.map_or_else(String::new, |line| format!(" from line {} on", line + 1)),
    );
}

#[test]
fn it_is_a_schema_that_editors_read() {
    let schema = policy::schema();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    jsonschema::meta::validate(&schema).unwrap();
}

/// An editor shows the description; `label-router explain` prints it.
#[test]
fn every_field_is_described() {
    let schema = policy::schema();
    let mut walk = Walk {
        schema: &schema,
        seen: BTreeSet::new(),
        bare: BTreeSet::new(),
    };
    walk.visit(&schema, "");
    assert!(walk.seen.len() > 20, "only {} definitions were seen", walk.seen.len());
    let bare: Vec<String> = walk.bare.into_iter().collect();
    assert!(bare.is_empty(), "no description:\n{}", bare.join("\n"));
}

struct Walk<'s> {
    schema: &'s Value,
    seen: BTreeSet<String>,
    bare: BTreeSet<String>,
}

impl Walk<'_> {
    fn visit(&mut self, at: &Value, pointer: &str) {
        match at {
            Value::Object(members) => {
                if let Some(properties) = members.get("properties").and_then(Value::as_object) {
                    for (name, property) in properties {
                        if !self.is_described(property) {
                            self.bare.insert(format!("{pointer}/{name}"));
                        }
                        self.visit(property, &format!("{pointer}/{name}"));
                    }
                }
                let reference = members.get("$ref").and_then(Value::as_str);
                if let Some(reference) = reference.filter(|reference| self.seen.insert((*reference).to_owned())) {
                    let name = reference.rsplit('/').next().unwrap();
                    self.visit(&self.resolve(reference).clone(), name);
                }
                // What is below the properties was visited above; definitions are reached by reference.
                for (name, value) in members {
                    if !["properties", "definitions"].contains(&name.as_str()) {
                        self.visit(value, pointer);
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.visit(item, pointer)),
            _ => {}
        }
    }

    fn resolve(&self, reference: &str) -> &Value {
        let pointer = reference.strip_prefix('#').unwrap();
        self.schema
            .pointer(pointer)
            .unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }

    /// Whether a property, or the definition that it is, says what it is for.
    fn is_described(&self, property: &Value) -> bool {
        let said = |at: &Value| at["description"].as_str().is_some_and(|text| !text.trim().is_empty());
        let wrapped = property["allOf"]
            .as_array()
            .filter(|all| all.len() == 1)
            .map(|all| &all[0]);
        let optional = property["anyOf"].as_array().and_then(|any| any.first());
        let reference = [Some(property), wrapped, optional]
            .into_iter()
            .flatten()
            .find_map(|at| at["$ref"].as_str());
        said(property) || reference.is_some_and(|reference| said(self.resolve(reference)))
    }
}

#[test]
fn good_policies_load_clean_and_fit() {
    let validator = jsonschema::validator_for(&policy::schema()).unwrap();
    let mut failures = Vec::new();
    for path in policies() {
        let file = path.strip_prefix(root()).unwrap().display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        for error in validator.iter_errors(&yaml(&text)) {
            failures.push(format!("{file}: {}: {error}", error.instance_path()));
        }
        let text = PolicyText { file, text };
        let problems = policy::load(&[text]).map_or_else(|problems| problems, |compiled| compiled.warnings);
        if !problems.is_empty() {
            failures.push(problems.to_string());
        }
    }
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n\n"));
}

/// An editor says it while somebody types: what `check` refuses for its shape, the schema refuses, too.
#[test]
fn faults_of_shape_are_refused() {
    // Faults that any schema can know. Others are known to this one here and there: a range, say, has a pattern.
    const SHAPE: [&str; 4] = ["missing-field", "unknown-field", "unknown-value", "wrong-type"];
    let validator = jsonschema::validator_for(&policy::schema()).unwrap();
    let mut failures = Vec::new();
    let mut refused = 0;
    for entry in fs::read_dir(root().join("tests/check")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let expected = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# expect: "))
            .unwrap();
        let code = expected.split(' ').next().unwrap();
        if name.starts_with("configmap-") {
            continue;
        }
        // What is no YAML is no business of a schema.
        let Ok(value) = serde_yaml::from_str::<Value>(&text) else {
            continue;
        };
        let valid = validator.is_valid(&value);
        if SHAPE.contains(&code) && valid {
            failures.push(format!("{name}: the schema lets {code} pass"));
        }
        // The other way round: what loads must not be underlined in an editor.
        let loads = expected == "nothing" || expected.ends_with("(warning)");
        if loads && !valid {
            let why: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            failures.push(format!("{name}: loads, and the schema refuses it: {}", why.join("; ")));
        }
        refused += usize::from(!valid);
    }
    failures.sort();
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
    assert!(refused > 50, "only {refused} files are refused");
}

/// The schema is never stricter than the program, whatever an editor completes from it.
#[test]
fn words_of_the_schema_are_words_of_the_program() {
    let document = |rule: &str| {
        format!(
            "apiVersion: label-router/v1\nkind: RoutingPolicy\ngate: {{ label: routed }}\nrules:\n  - name: web\n    ordinal: {{ from: [podIndexLabel] }}\n{rule}"
        )
    };
    let schema = policy::schema();
    let words = |definition: &str| -> Vec<String> {
        let one_of = schema["definitions"][definition]["oneOf"].as_array().unwrap();
        let word = |choice: &Value| choice["const"].as_str().map(str::to_owned);
        one_of.iter().filter_map(word).collect()
    };
    for (definition, rule) in [
        (
            "OnConflict",
            "    onConflict: WORD\n    routes: [{ nodeSelector: { a: b } }]\n",
        ),
        ("Mode", "    mode: WORD\n    routes: [{ nodeSelector: { a: b } }]\n"),
        (
            "Verdict",
            "    onError: WORD\n    routes: [{ nodeSelector: { a: b } }]\n",
        ),
        ("When", "    routes: [{ when: WORD, nodeSelector: { a: b } }]\n"),
    ] {
        let words = words(definition);
        assert!(words.len() > 1, "{definition}: {words:?}");
        for word in words {
            let text = PolicyText {
                file: definition.to_owned(),
                text: document(&rule.replace("WORD", &word)),
            };
            let errors = policy::load(&[text]).map_or_else(|problems| problems.errors(), |_| 0);
            assert_eq!(errors, 0, "{definition}: {word}");
        }
    }
}
