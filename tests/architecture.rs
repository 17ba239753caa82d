//! Holds the paths of each room under `src/` against the table of who may use whom.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read files, and a failure should stop them"
)]

use std::fs;
use std::path::Path;

/// Each room with the rooms that it may use.
const ROOMS: &[(&str, &[&str])] = &[
    ("engine", &[]),
    ("notice", &["engine"]),
    ("policy", &["engine", "notice"]),
    ("admission", &["engine"]),
    ("preview", &["engine", "notice", "policy", "admission"]),
    ("cluster", &[]),
    ("pki", &[]),
    ("source", &["cluster", "pki"]),
    ("delivery", &["engine", "notice", "cluster"]),
    (
        "serve",
        &[
            "engine",
            "notice",
            "policy",
            "admission",
            "preview",
            "cluster",
            "pki",
            "source",
            "delivery",
        ],
    ),
    (
        "cli",
        &[
            "engine",
            "notice",
            "policy",
            "admission",
            "preview",
            "cluster",
            "pki",
            "source",
            "delivery",
            "serve",
        ],
    ),
];

/// The rooms that decide without IO, without a clock and without a runtime.
const CORE: &[&str] = &["engine", "notice", "policy", "admission", "preview"];

/// What they must not name: a path is refused that starts with one of these, or that ends with one of [`CLOCKS`].
const OUTSIDE: &[&[&str]] = &[
    &["tokio"],
    &["axum"],
    &["reqwest"],
    &["notify"],
    &["kube"],
    &["std", "fs"],
    &["std", "env"],
    &["std", "net"],
    &["std", "thread"],
    &["std", "time", "Instant"],
];

const CLOCKS: &[&[&str]] = &[&["Instant", "now"], &["SystemTime", "now"]];

#[test]
fn every_room_uses_only_the_rooms_it_may() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            match ROOMS.iter().find(|(room, _)| *room == name) {
                Some((room, may_use)) => check_folder(&path, room, may_use, 1, &mut wrong),
                None => wrong.push(format!("src/{name}: no such room is in the table")),
            }
        } else if !["lib.rs", "main.rs"].contains(&name) {
            wrong.push(format!("src/{name}: a file outside the rooms"));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_check_finds_what_it_looks_for() {
    let found = |text: &str| {
        let mut wrong = Vec::new();
        check_text(text, "src/engine/x.rs", "engine", &[], 2, &mut wrong);
        wrong
    };
    for (text, wanted) in [
        ("use crate::notice::Digest;", "engine → notice"),
        (
            "\nuse crate::{\n    engine::Pod,\n    serve::{self, Tls},\n};",
            "src/engine/x.rs:4: engine → serve",
        ),
        ("fn f() { crate::cli::main() }", "engine → cli"),
        ("use super::super::policy::load;", "engine → policy"),
        ("use std::{borrow::Cow, fs};", "engine → std::fs"),
        ("use std::time::{Duration, Instant};", "engine → std::time::Instant"),
        ("let now = SystemTime::now();", "engine → SystemTime::now"),
        ("async fn f() { tokio::spawn(g()); }", "engine → tokio"),
        ("use notify::Watcher;", "engine → notify"),
        ("extern crate kube;", "engine → kube"),
    ] {
        let wrong = found(text);
        assert!(wrong.len() == 1 && wrong[0].contains(wanted), "{text}\ngives {wrong:?}");
    }
    for text in [
        "use crate::engine::Pod;",
        "use super::notify::Notify;",
        "mod notify;\npub use notify::Notify;",
        "// use crate::serve::Tls;\n/* std::fs /* tokio::spawn */ */",
        "const S: &str = \"crate::serve and \\\" tokio::spawn\"; const R: &str = r#\"std::fs \" kube::Client\"#;",
        "const C: char = '\"'; fn f<'a>(notify: &'a str) -> &'a str { notify }",
        "use std::time::{Duration, SystemTime};",
    ] {
        assert!(found(text).is_empty(), "{text}\ngives {:?}", found(text));
    }
}

/// `depth` counts the modules from the crate's root to this folder's `mod.rs`.
fn check_folder(folder: &Path, room: &str, may_use: &[&str], depth: usize, wrong: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            check_folder(&path, room, may_use, depth + 1, wrong);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let own = usize::from(path.file_name().is_some_and(|name| name != "mod.rs"));
            let file = path
                .strip_prefix(env!("CARGO_MANIFEST_DIR"))
                .unwrap()
                .display()
                .to_string();
            check_text(
                &fs::read_to_string(&path).unwrap(),
                &file,
                room,
                may_use,
                depth + own,
                wrong,
            );
        }
    }
}

fn check_text(text: &str, file: &str, room: &str, may_use: &[&str], depth: usize, wrong: &mut Vec<String>) {
    let tokens = tokens(text);
    let declares = |name: &str| {
        tokens.windows(2).any(|pair| {
            matches!((&pair[0].1, &pair[1].1), (Token::Name(word), Token::Name(module)) if word == "mod" && module == name)
        })
    };
    for (line, path) in paths(&tokens) {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let mut refuse = |what: String, why: &str| {
            let message = format!("{file}:{line}: {room} → {what}: {why}");
            if !wrong.contains(&message) {
                wrong.push(message);
            }
        };
        let supers = names.iter().take_while(|name| **name == "super").count();
        let other = match names.as_slice() {
            ["crate", other, ..] => Some(*other),
            // Modules within a file add to the depth, so that this may see too many, but never too few.
            _ if supers >= depth => names.get(supers).copied(),
            _ => None,
        };
        if let Some(other) = other.filter(|other| is_room(other) && *other != room && !may_use.contains(other)) {
            refuse(other.to_owned(), "this room may not use that one");
        }
        // A module of the file goes before a crate of the same name.
        if CORE.contains(&room) && !declares(names[0]) {
            let outside = OUTSIDE.iter().find(|outside| names.starts_with(outside));
            if let Some(outside) = outside.or_else(|| CLOCKS.iter().find(|clock| names.ends_with(clock))) {
                refuse(outside.join("::"), "the core does without it");
            }
        }
    }
}

fn is_room(name: &str) -> bool {
    ROOMS.iter().any(|(room, _)| *room == name)
}

/// A name, `::`, or any other character that is not blank.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Colons,
    Other(char),
}

/// The tokens of Rust source with their lines, without comments, strings, characters and lifetimes.
fn tokens(text: &str) -> Vec<(usize, Token)> {
    let characters: Vec<char> = text.chars().collect();
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(&character) = characters.get(at) {
        let rest = &characters[at..];
        let length = match rest {
            ['/', '/', ..] => rest.iter().take_while(|character| **character != '\n').count(),
            ['/', '*', ..] => comment(rest),
            ['"', ..] => string(rest),
            ['r', '"' | '#', ..] if raw_string(rest).is_some() => raw_string(rest).unwrap_or(1),
            ['\'', '\\', _, ..] => 3 + rest[3..].iter().take_while(|character| **character != '\'').count() + 1,
            ['\'', _, '\'', ..] => 3,
            ['\'', ..] => 1 + rest[1..].iter().take_while(|character| is_name(**character)).count(),
            [':', ':', ..] => {
                tokens.push((line, Token::Colons));
                2
            }
            [first, ..] if is_name(*first) => {
                let name: String = rest.iter().take_while(|character| is_name(**character)).collect();
                let length = name.chars().count();
                tokens.push((line, Token::Name(name)));
                length
            }
            _ => {
                if !character.is_whitespace() {
                    tokens.push((line, Token::Other(character)));
                }
                1
            }
        };
        let end = characters.len().min(at + length);
        line += characters[at..end]
            .iter()
            .filter(|character| **character == '\n')
            .count();
        at = end;
    }
    tokens
}

/// The length of a block comment, which may hold others.
fn comment(rest: &[char]) -> usize {
    let (mut open, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (open, at) = (open + 1, at + 2),
            ['*', '/', ..] => (open, at) = (open - 1, at + 2),
            _ => at += 1,
        }
        if open == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while let Some(character) = rest.get(at) {
        match character {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn raw_string(rest: &[char]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|character| **character == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let start = 2 + hashes;
    rest[start..]
        .windows(end.len())
        .position(|window| window == end)
        .map(|at| start + at + end.len())
}

/// Every path, those of a `use` with braces one by one; a lone name counts where it stands for a crate.
fn paths(tokens: &[(usize, Token)]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let starts_crate = matches!(at.checked_sub(1).map(|before| &tokens[before].1),
            Some(Token::Name(word)) if word == "use" || word == "crate");
        let goes_on = matches!(tokens.get(at + 1), Some((_, Token::Colons)));
        if matches!(tokens[at].1, Token::Name(_)) && (starts_crate || goes_on) {
            at = tree(tokens, at, &mut Vec::new(), &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one path or `use` tree from `at` and says where it ends.
fn tree(
    tokens: &[(usize, Token)],
    mut at: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let length = prefix.len();
    let line = tokens.get(at).map_or(0, |(line, _)| *line);
    loop {
        match tokens.get(at) {
            Some((_, Token::Name(name))) => prefix.push(name.clone()),
            Some((_, Token::Other('*'))) => prefix.push("*".to_owned()),
            Some((_, Token::Other('{'))) => {
                at += 1;
                while !matches!(tokens.get(at), None | Some((_, Token::Other('}')))) {
                    let renames = matches!(&tokens[at].1, Token::Name(word) if word == "as");
                    let next = if renames {
                        at + 2
                    } else {
                        tree(tokens, at, prefix, found)
                    };
                    at = next.max(at + 1);
                }
                prefix.truncate(length);
                return at + 1;
            }
            // `Vec::<u8>::new` goes on as another path.
            _ => break,
        }
        at += 1;
        if matches!(tokens.get(at), Some((_, Token::Colons))) {
            at += 1;
        } else {
            break;
        }
    }
    if prefix.len() > length {
        found.push((line, prefix.clone()));
    }
    prefix.truncate(length);
    at
}
