//! Where everything stands in a YAML text: one pass over the events of a YAML parser gives each value and key its place,
//! and finds what a deserializer would not tell: repeated keys, tags, a second document, an alias bomb.

use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use crate::engine::problem::Problem;
use crate::notice::sinks::{Common, is_header_name};

/// How many values a policy may have once its aliases are written out.
const MOST_VALUES: usize = 200_000;

/// A place in a text, in bytes.
pub(super) type Place = Range<usize>;

/// The places of a YAML document, by JSON Pointer.
#[derive(Debug, Default)]
pub(super) struct Places {
    keys: HashMap<String, Place>,
    values: HashMap<String, Place>,
    /// Literal block scalars: what an embedded policy stands in.
    blocks: HashMap<String, Place>,
    scalars: Vec<(String, String, Place)>,
    /// What may hold a secret, and is masked wherever the text is shown.
    pub(super) secrets: Vec<Place>,
    /// True where the whole text was looked at.
    pub(super) complete: bool,
}

/// A problem and where it stands.
pub(super) type Located = (Problem, Place);

impl Places {
    /// Where a key stands, or else the value at the pointer, or else what is around it.
    pub(super) fn key(&self, pointer: &str) -> Place {
        self.keys.get(pointer).cloned().unwrap_or_else(|| self.value(pointer))
    }

    /// Where a value stands, or else what is around it.
    pub(super) fn value(&self, pointer: &str) -> Place {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.values.get(pointer) {
                return place.clone();
            }
            match pointer.rsplit_once('/') {
                Some((parent, _)) => pointer = parent,
                None => return 0..0,
            }
        }
    }

    /// Where a text stands at or below a pointer, alone or inside `${…}` of a key or value; or else the pointer's own
    /// value.
    pub(super) fn text_below(&self, pointer: &str, text: &str) -> Place {
        let below = format!("{pointer}/");
        let find = |fits: &dyn Fn(&str) -> bool| {
            self.scalars
                .iter()
                .find(|(at, scalar, _)| (at == pointer || at.starts_with(&below)) && fits(scalar))
        };
        find(&|scalar| scalar == text)
            .or_else(|| find(&|scalar| scalar.contains("${") && scalar.contains(text)))
            .map_or_else(|| self.value(pointer), |(_, _, place)| place.clone())
    }

    /// The literal block scalar at a pointer.
    pub(super) fn block(&self, pointer: &str) -> Option<&Place> {
        self.blocks.get(pointer)
    }
}

/// True for a field whose value is masked wherever a policy is shown.
pub(super) fn is_secret_field(name: &str) -> bool {
    ["url", "secret", "headers"]
        .iter()
        .any(|field| field.eq_ignore_ascii_case(name))
}

/// True for a field of a sink that is never secret.
pub(super) fn is_plain_sink_field(name: &str) -> bool {
    const OF_SOME_TYPE: [&str; 10] = [
        "format",
        "atMobiles",
        "atUsers",
        "atAll",
        "mentions",
        "mentionFrom",
        "keyword",
        "payload",
        "contentType",
        "signature",
    ];
    Common::FIELDS.contains(&name) || OF_SOME_TYPE.contains(&name)
}

/// True where the value at a pointer may be a secret: below such a field, and below a field of a sink that nobody knows,
/// which may be one misspelt.
pub(super) fn is_secret(pointer: &str) -> bool {
    let mut fields = pointer.split('/').skip(1);
    match (fields.next(), fields.next(), fields.next()) {
        (Some("sinks"), Some(_), Some(field)) if is_plain_sink_field(field) => false,
        (Some("sinks"), ..) => true,
        _ => pointer.split('/').any(is_secret_field),
    }
}

/// True where a key of the map at a pointer may be a secret: a URL in braces, say, is a key without a value, and a header in
/// quotes is a name with its value.
pub(super) fn is_secret_key(map: &str, key: &str) -> bool {
    let is_field =
        (map.starts_with("/sinks") && map.split('/').count() < 4) || (map.ends_with("/headers") && is_header_name(key));
    is_secret(map) && !is_field && !matches!(key, "env" | "file")
}

/// One container that is open while the events go by.
struct Open {
    pointer: String,
    start: usize,
    anchor: usize,
    values_before: usize,
    kind: Kind,
}

enum Kind {
    Map {
        key: Option<String>,
        seen: HashMap<String, Place>,
    },
    Seq(usize),
}

/// Reads the places of a text. The problems are those that make its value unreadable or ambiguous.
pub(super) fn places(text: &str) -> (Places, Vec<Located>) {
    let mut pass = Pass {
        text,
        bytes: byte_offsets(text),
        places: Places::default(),
        problems: Vec::new(),
        open: Vec::new(),
        anchors: HashMap::new(),
        values: 0,
        documents: 0,
        root_is_empty: true,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        match next {
            Ok((event, span)) => {
                if pass.event(event, span).is_err() {
                    return (pass.places, pass.problems);
                }
            }
            Err(error) => {
                pass.syntax(&error);
                return (pass.places, pass.problems);
            }
        }
    }
    if pass.root_is_empty && pass.problems.is_empty() {
        pass.problems.push((
            Problem::new(
                "empty-policy",
                "this holds no policy",
                "start with apiVersion: label-router/v1 and kind: RoutingPolicy; `label-router schema` describes the rest",
            ),
            0..text.len().min(1),
        ));
    }
    pass.places.complete = true;
    (pass.places, pass.problems)
}

struct Pass<'t> {
    text: &'t str,
    /// The byte offset of each character; `None` where the text is ASCII.
    bytes: Option<Vec<usize>>,
    places: Places,
    problems: Vec<Located>,
    open: Vec<Open>,
    /// What each anchor names: how many values, and where.
    anchors: HashMap<usize, (usize, Place)>,
    values: usize,
    documents: usize,
    root_is_empty: bool,
}

/// The pass is given up: what follows would be nonsense, or too much.
struct GivenUp;

impl Pass<'_> {
    fn byte(&self, index: usize) -> usize {
        match &self.bytes {
            Some(bytes) => bytes.get(index).copied().unwrap_or(self.text.len()),
            None => index.min(self.text.len()),
        }
    }

    fn place(&self, span: Span) -> Place {
        self.byte(span.start.index())..self.byte(span.end.index())
    }

    fn problem(&mut self, problem: Problem, place: Place) {
        self.problems.push((problem, place));
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), GivenUp> {
        let place = self.place(span);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents == 2 {
                    self.problem(
                        Problem::new(
                            "two-documents",
                            "a second YAML document starts here",
                            "put it into a file of its own: several files add up",
                        ),
                        place,
                    );
                    return Err(GivenUp);
                }
            }
            Event::Scalar(value, style, anchor, tag) => {
                self.check_tag(tag.as_deref(), &place);
                self.scalar(&value, style, anchor, place)?;
            }
            Event::Alias(anchor) => {
                let (size, named) = self.anchors.get(&anchor).cloned().unwrap_or((1, 0..0));
                self.count(size, &place)?;
                if self.is_key() {
                    self.problem(
                        Problem::new("bad-key", "an alias cannot be a key here", "write the key out"),
                        place,
                    );
                    return Err(GivenUp);
                }
                let pointer = self.next_pointer();
                if is_secret(&pointer) {
                    self.places.secrets.push(named);
                }
                self.places.values.insert(pointer, place);
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), &place);
                let kind = Kind::Map {
                    key: None,
                    seen: HashMap::new(),
                };
                self.start(kind, anchor, place)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), &place);
                self.start(Kind::Seq(0), anchor, place)?;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                if let Some(open) = self.open.pop() {
                    let end = self.text[..place.end].trim_end().len().max(open.start);
                    if open.anchor > 0 {
                        let named = (self.values - open.values_before, open.start..end);
                        self.anchors.insert(open.anchor, named);
                    }
                    self.places.values.insert(open.pointer, open.start..end);
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn count(&mut self, size: usize, place: &Place) -> Result<(), GivenUp> {
        self.values = self.values.saturating_add(size);
        if self.values > MOST_VALUES {
            self.problem(
                Problem::new(
                    "too-many-values",
                    format!("up to here, with aliases written out, there are more than {MOST_VALUES} values"),
                    "write lists out instead of nesting aliases",
                ),
                place.clone(),
            );
            return Err(GivenUp);
        }
        Ok(())
    }

    fn is_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open {
                kind: Kind::Map { key: None, .. },
                ..
            })
        )
    }

    /// The pointer of the value that comes next; moves on to the one after it.
    fn next_pointer(&mut self) -> String {
        match self.open.last_mut() {
            None => String::new(),
            Some(open) => match &mut open.kind {
                Kind::Map { key, .. } => child(&open.pointer, &key.take().unwrap_or_default()),
                Kind::Seq(index) => {
                    *index += 1;
                    child(&open.pointer, &(*index - 1).to_string())
                }
            },
        }
    }

    fn start(&mut self, kind: Kind, anchor: usize, place: Place) -> Result<(), GivenUp> {
        self.count(1, &place)?;
        if self.is_key() {
            self.problem(
                Problem::new(
                    "bad-key",
                    "a list or map cannot be a key",
                    "quote the key, if it is a text with [ or { in it",
                ),
                place,
            );
            return Err(GivenUp);
        }
        self.root_is_empty = false;
        let pointer = self.next_pointer();
        self.open.push(Open {
            pointer,
            start: place.start,
            anchor,
            values_before: self.values - 1,
            kind,
        });
        Ok(())
    }

    fn scalar(&mut self, value: &str, style: ScalarStyle, anchor: usize, place: Place) -> Result<(), GivenUp> {
        self.count(1, &place)?;
        if anchor > 0 {
            self.anchors.insert(anchor, (1, place.clone()));
        }
        let Some(open) = self.open.last_mut() else {
            self.root_is_empty = style == ScalarStyle::Plain && is_null(value);
            self.places.values.insert(String::new(), place);
            return Ok(());
        };
        if let Kind::Map { key: key @ None, seen } = &mut open.kind {
            let pointer = child(&open.pointer, value);
            let secret = is_secret_key(&open.pointer, value);
            if secret {
                self.places.secrets.push(place.clone());
            }
            *key = Some(value.to_owned());
            let repeated = seen.insert(value.to_owned(), place.clone());
            let shown = if secret { "here" } else { value };
            self.places
                .scalars
                .push((pointer.clone(), value.to_owned(), place.clone()));
            self.places.keys.insert(pointer, place.clone());
            if value == "<<" && style == ScalarStyle::Plain {
                self.problem(
                    Problem::new("merge-key", "YAML merge keys (<<) are not read", "write the fields out"),
                    place,
                );
            } else if style == ScalarStyle::Plain && is_no_string(value) {
                self.problem(
                    Problem::new(
                        "bad-key",
                        format!("YAML reads the key {shown} as a boolean, number or null"),
                        if secret {
                            "quote it".to_owned()
                        } else {
                            format!("quote it: \"{value}\"")
                        },
                    ),
                    place,
                );
            } else if let Some(first) = repeated {
                let line = self.text[..first.start].matches('\n').count() + 1;
                self.problem(
                    Problem::new(
                        "duplicate-key",
                        format!("the key {shown} stands in this map twice"),
                        format!("the first one is on line {line}; keep one of them"),
                    ),
                    place,
                );
            }
            return Ok(());
        }
        let pointer = self.next_pointer();
        // A URL may hold a token wherever it stands; a block scalar that has one may be a whole policy, which is read later.
        let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        if is_secret(&pointer) || (value.contains("://") && !block) {
            self.places.secrets.push(place.clone());
        }
        if style == ScalarStyle::Literal {
            self.places.blocks.insert(pointer.clone(), place.clone());
        }
        self.places
            .scalars
            .push((pointer.clone(), value.to_owned(), place.clone()));
        self.places.values.insert(pointer, place);
        Ok(())
    }

    fn check_tag(&mut self, tag: Option<&saphyr_parser::Tag>, place: &Place) {
        if tag.is_some_and(|tag| !tag.is_yaml_core_schema()) {
            self.problem(
                Problem::new(
                    "yaml-tag",
                    "YAML reads this as a tag, not as text",
                    "quote the whole value, if it is a text that starts with !",
                ),
                place.clone(),
            );
        }
    }

    fn syntax(&mut self, error: &ScanError) {
        let at = self.byte(error.marker().index()).min(self.text.len());
        let start = self.text[..at].char_indices().last().map_or(0, |(start, _)| start);
        let rest = &self.text[at..];
        let first = rest.chars().next();
        let special = [self.text[start..at].chars().next(), first]
            .into_iter()
            .flatten()
            .find(|character| ['*', '&', '!', '@', '`', '%'].contains(character));
        let (code, hint) = match special {
            Some('*') => (
                "yaml-alias",
                "an unquoted * starts a YAML alias: quote the text, as in '*-prod'".to_owned(),
            ),
            Some(character) => (
                "yaml-syntax",
                format!("an unquoted {character} has a meaning of its own in YAML: quote the text"),
            ),
            None if error.info().starts_with("tab") || error.info().ends_with(" tab") => {
                ("yaml-syntax", "indent with spaces, not with tabs".to_owned())
            }
            None if error.info().contains("mapping values") => (
                "yaml-syntax",
                "check the indentation, and quote a text that has a colon and a space in it".to_owned(),
            ),
            None => (
                "yaml-syntax",
                match self.open.last().filter(|_| error.info().contains("flow ")) {
                    Some(open) => format!(
                        "a comma is missing before this, or the bracket opened on line {} is not closed",
                        self.text[..open.start].matches('\n').count() + 1
                    ),
                    None => "check the indentation, quotes and brackets here and on the line above".to_owned(),
                },
            ),
        };
        let end = at + rest.chars().next().map_or(0, char::len_utf8);
        self.problem(
            Problem::new(code, format!("this is no YAML: {}", error.info()), hint),
            at..end,
        );
    }
}

fn byte_offsets(text: &str) -> Option<Vec<usize>> {
    (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect())
}

/// The pointer of a member (RFC 6901).
pub(super) fn child(pointer: &str, name: &str) -> String {
    let mut pointer = pointer.to_owned();
    crate::engine::patch::push_token(&mut pointer, name);
    pointer
}

fn is_null(value: &str) -> bool {
    matches!(value, "" | "~" | "null" | "Null" | "NULL")
}

/// True for a plain key that some YAML reader, such as Helm's, takes for something else than a string.
fn is_no_string(value: &str) -> bool {
    is_null(value)
        || matches!(
            value.to_ascii_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off"
        )
        || value.parse::<f64>().is_ok()
}
