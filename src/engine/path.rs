//! The one path language: RFC 9535 JSONPath over the context of a rule.
//!
//! A path compiles when the policy loads. Singular ones (names and indices only) are walked directly; the others, filters
//! and wildcards, go to jsonpath-rust.

use std::borrow::Cow;
use std::fmt;

use jsonpath_rust::parser::model::{
    Comparable, Filter, FilterAtom, FnArg, JpQuery, Literal, Segment, Selector, SingularQuery, Test, TestFunction,
};
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::context::{Context, Root};
use super::node::Node;
use super::problem::Problem;

/// A compiled path.
#[derive(Clone, Debug)]
pub struct Path {
    text: String,
    root: Root,
    kind: Kind,
    reads: Vec<Reads>,
}

/// A place in the context that a path reads: everything at and below `names`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reads {
    /// The member of the context.
    pub root: Root,
    /// Member names below it, as far as they are certain.
    pub names: Vec<String>,
    /// True where the names are the whole path; false where a wildcard, filter or index follows.
    pub exact: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    Singular(Vec<Step>),
    /// The query below the root member; `whole` is used where a filter looks back at `$`.
    Query {
        below: JpQuery,
        whole: JpQuery,
        looks_back: bool,
    },
}

#[derive(Clone, Debug)]
enum Step {
    Name(String),
    Index(i64),
}

/// What a path selected.
#[derive(Debug)]
pub enum Selected<'c, 'a> {
    /// Nothing.
    None,
    /// One value.
    One(Cow<'c, Node<'a>>),
    /// Several values; never fewer than two.
    Many(Vec<Node<'a>>),
}

impl Path {
    /// Compiles a path.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let bad = |message: String, hint: &str| Problem::new("bad-path", message, hint);
        let query = parse_json_path(text).map_err(|error| {
            bad(
                format!("{text:?} is no JSONPath{}", syntax_error(&error.to_string())),
                "a path starts with $. and follows RFC 9535, such as $.pod.metadata.labels['app.kubernetes.io/name']",
            )
        })?;
        let mut segments = query.segments.iter();
        let root = if let Some(Segment::Selector(Selector::Name(name))) = segments.next() {
            Root::named(name).ok_or_else(|| {
                let known = Root::ALL.map(|(known, _)| format!("$.{known}")).join(", ");
                let hint = super::suggest::closest(name, Root::ALL.map(|(known, _)| known)).map_or_else(
                    || format!("a path starts with one of {known}"),
                    |near| format!("did you mean $.{near}?"),
                );
                bad(format!("{text:?} starts with $.{name}, which no rule has"), &hint)
            })?
        } else {
            let known = Root::ALL.map(|(known, _)| format!("$.{known}")).join(", ");
            return Err(bad(
                format!("{text:?} does not say what it reads"),
                &format!("start the path with one of {known}; $.. and $[*] would read everything"),
            ));
        };
        let rest: Vec<Segment> = segments.cloned().collect();
        let mut reads = Vec::new();
        let mut steps = Vec::new();
        let mut singular = true;
        for segment in &rest {
            match segment {
                Segment::Selector(Selector::Name(name)) => steps.push(Step::Name(name.to_owned())),
                Segment::Selector(Selector::Index(index)) => steps.push(Step::Index(*index)),
                _ => {
                    singular = false;
                    break;
                }
            }
        }
        let names: Vec<String> = steps
            .iter()
            .map_while(|step| match step {
                Step::Name(name) => Some(name.clone()),
                Step::Index(_) => None,
            })
            .collect();
        let exact = singular && names.len() == steps.len();
        reads.push(Reads { root, names, exact });
        let kind = if singular {
            Kind::Singular(steps)
        } else {
            let before = reads.len();
            for segment in &rest {
                check_segment(segment, &mut reads).map_err(|message| {
                    let hint = if message.contains("regular expression") {
                        "write the regular expression as a quoted literal, in RE2 syntax"
                    } else if message.contains("function") {
                        "the functions are length, count, value, match and search"
                    } else {
                        "in a filter, @ is the item that is looked at; $ is followed by pod, owner, request, ordinal or document"
                    };
                    bad(format!("{text:?}: {message}"), hint)
                })?;
            }
            Kind::Query {
                below: JpQuery::new(rest.clone()),
                looks_back: reads.len() > before,
                whole: query,
            }
        };
        for Reads { root, names, .. } in &reads {
            let (known, hint): (&[&str], _) = match root {
                Root::Owner => (&["kind", "name"], "$.owner holds kind and name"),
                Root::Request => (
                    &["namespace", "name", "operation", "userInfo"],
                    "$.request holds namespace, name, operation and userInfo",
                ),
                Root::Pod | Root::Ordinal | Root::Document | Root::Spread => continue,
            };
            if let Some(first) = names.first().filter(|first| !known.contains(&first.as_str())) {
                let root = root.name();
                return Err(bad(format!("{text:?} reads $.{root}.{first}, which no rule has"), hint));
            }
        }
        Ok(Self {
            text: text.to_owned(),
            root,
            kind,
            reads,
        })
    }

    /// The path as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The member of the context it starts from.
    pub fn root(&self) -> Root {
        self.root
    }

    /// Every place in the context that it looks at, those in its filters included.
    pub fn reads(&self) -> &[Reads] {
        &self.reads
    }

    /// What the path selects now.
    pub fn select<'c, 'a>(&self, context: &'c Context<'a>) -> Selected<'c, 'a> {
        let Some(node) = context.root(self.root) else {
            return Selected::None;
        };
        match &self.kind {
            Kind::Singular(steps) => {
                walk(node, steps).map_or(Selected::None, |node| Selected::One(Cow::Borrowed(node)))
            }
            Kind::Query {
                below,
                looks_back: false,
                ..
            } => selected(below, node),
            Kind::Query { whole, .. } => selected(whole, &context.whole()),
        }
    }

    /// True where the path selects something.
    pub fn holds(&self, context: &Context<'_>) -> bool {
        !matches!(self.select(context), Selected::None)
    }
}

fn selected<'c, 'a>(query: &JpQuery, node: &Node<'a>) -> Selected<'c, 'a> {
    let mut found: Vec<Node<'a>> = js_path_process(query, node)
        .map(|refs| refs.into_iter().map(|found| found.val().clone()).collect())
        .unwrap_or_default();
    match found.len() {
        0 => Selected::None,
        1 => Selected::One(Cow::Owned(found.swap_remove(0))),
        _ => Selected::Many(found),
    }
}

fn walk<'c, 'a>(node: &'c Node<'a>, steps: &[Step]) -> Option<&'c Node<'a>> {
    steps.iter().try_fold(node, |node, step| match (step, node) {
        (Step::Name(name), node) => node.get(name),
        (Step::Index(index), Node::Array(items)) => {
            let from_end = usize::try_from(index.unsigned_abs()).ok()?;
            if *index < 0 {
                items.len().checked_sub(from_end).and_then(|at| items.get(at))
            } else {
                items.get(from_end)
            }
        }
        _ => None,
    })
}

/// Looks through filters for absolute queries, which are read too, and for regular expressions, which must be literals
/// that compile: jsonpath-rust takes a bad one for "does not match".
fn check_segment(segment: &Segment, reads: &mut Vec<Reads>) -> Result<(), String> {
    match segment {
        Segment::Descendant(inner) => check_segment(inner, reads),
        Segment::Selector(selector) => check_selector(selector, reads),
        Segment::Selectors(selectors) => selectors
            .iter()
            .try_for_each(|selector| check_selector(selector, reads)),
    }
}

fn check_selector(selector: &Selector, reads: &mut Vec<Reads>) -> Result<(), String> {
    match selector {
        Selector::Filter(filter) => check_filter(filter, reads),
        _ => Ok(()),
    }
}

fn check_filter(filter: &Filter, reads: &mut Vec<Reads>) -> Result<(), String> {
    match filter {
        Filter::Or(filters) | Filter::And(filters) => filters.iter().try_for_each(|filter| check_filter(filter, reads)),
        Filter::Atom(FilterAtom::Filter { expr, .. }) => check_filter(expr, reads),
        Filter::Atom(FilterAtom::Test { expr, .. }) => check_test(expr, reads),
        Filter::Atom(FilterAtom::Comparison(comparison)) => {
            let (left, right) = comparison.vals();
            check_comparable(left, reads)?;
            check_comparable(right, reads)
        }
    }
}

fn check_comparable(comparable: &Comparable, reads: &mut Vec<Reads>) -> Result<(), String> {
    match comparable {
        Comparable::Literal(_) | Comparable::SingularQuery(SingularQuery::Current(_)) => Ok(()),
        Comparable::Function(function) => check_function(function, reads),
        Comparable::SingularQuery(SingularQuery::Root(segments)) => {
            let names: Vec<Segment> = segments
                .iter()
                .map_while(|segment| match segment {
                    jsonpath_rust::parser::model::SingularQuerySegment::Name(name) => Some(Segment::name(name)),
                    jsonpath_rust::parser::model::SingularQuerySegment::Index(_) => None,
                })
                .collect();
            read_absolute(&names, reads)
        }
    }
}

fn check_test(test: &Test, reads: &mut Vec<Reads>) -> Result<(), String> {
    match test {
        Test::RelQuery(segments) => segments.iter().try_for_each(|segment| check_segment(segment, reads)),
        Test::AbsQuery(query) => {
            read_absolute(&query.segments, reads)?;
            query
                .segments
                .iter()
                .try_for_each(|segment| check_segment(segment, reads))
        }
        Test::Function(function) => check_function(function, reads),
    }
}

fn check_function(function: &TestFunction, reads: &mut Vec<Reads>) -> Result<(), String> {
    match function {
        TestFunction::Custom(name, _) => Err(format!("there is no function {name}()")),
        TestFunction::Length(argument) => check_argument(argument, reads),
        TestFunction::Value(argument) | TestFunction::Count(argument) => check_argument(argument, reads),
        TestFunction::Search(argument, pattern) | TestFunction::Match(argument, pattern) => {
            check_argument(argument, reads)?;
            let FnArg::Literal(Literal::String(pattern)) = pattern else {
                return Err("the regular expression of match() or search() is no literal".to_owned());
            };
            regex::Regex::new(pattern)
                .map(|_| ())
                .map_err(|error| format!("bad regular expression: {}", last_line(&error.to_string())))
        }
    }
}

fn check_argument(argument: &FnArg, reads: &mut Vec<Reads>) -> Result<(), String> {
    match argument {
        FnArg::Literal(_) => Ok(()),
        FnArg::Test(test) => check_test(test, reads),
        FnArg::Filter(filter) => check_filter(filter, reads),
    }
}

fn read_absolute(segments: &[Segment], reads: &mut Vec<Reads>) -> Result<(), String> {
    let mut names = segments.iter().map_while(|segment| match segment {
        Segment::Selector(Selector::Name(name)) => Some(name.as_str()),
        _ => None,
    });
    let root = names
        .next()
        .and_then(Root::named)
        .ok_or_else(|| "a query in a filter starts at no member that a rule has".to_owned())?;
    let names: Vec<String> = names.map(str::to_owned).collect();
    let exact = names.len() + 1 == segments.len();
    reads.push(Reads { root, names, exact });
    Ok(())
}

/// Where, and what was expected, out of the several lines that the parser says.
fn syntax_error(error: &str) -> String {
    let column = error
        .split_once("--> 1:")
        .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect::<String>())
        .filter(|column| !column.is_empty());
    let expected = error
        .lines()
        .find_map(|line| line.trim().strip_prefix("= "))
        .map(expected_by_grammar);
    match (column, expected) {
        (Some(column), Some(expected)) => format!(" at character {column}: {expected}"),
        (Some(column), None) => format!(" at character {column}"),
        (None, _) => String::new(),
    }
}

/// The parser names rules of its grammar.
fn expected_by_grammar(expected: &str) -> String {
    match expected {
        "expected jp_query" => "expected $".to_owned(),
        "expected selector" => "expected a name in quotes, an index, * or a filter such as ?@.name".to_owned(),
        "expected atom_expr" => "expected a comparison such as @.name == 'web', or one of the functions length, count, value, match and search".to_owned(),
        other => other.replace('_', " "),
    }
}

fn last_line(text: &str) -> &str {
    text.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or(text)
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(Problem::into_error::<D::Error>)
    }
}

impl JsonSchema for Path {
    fn schema_name() -> Cow<'static, str> {
        "Path".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^\$[.\[]",
            "description": "An RFC 9535 JSONPath that starts at $.pod, $.owner, $.request, $.ordinal, $.document or $.spread.",
        })
    }
}

/// One path or a list of them.
#[derive(Clone, Debug)]
pub struct Paths(pub(crate) Vec<Path>);

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> de::Visitor<'de> for OneOrMany {
            type Value = Paths;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSONPath or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Paths, E> {
                Path::parse(text)
                    .map(|path| Paths(vec![path]))
                    .map_err(Problem::into_error)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Paths, A::Error> {
                let mut paths = Vec::new();
                while let Some(path) = items.next_element()? {
                    paths.push(path);
                }
                if paths.is_empty() {
                    return Err(Problem::new(
                        "empty-list",
                        "an empty list of paths always holds",
                        "name a path, or delete the field",
                    )
                    .into_error());
                }
                Ok(Paths(paths))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl JsonSchema for Paths {
    fn schema_name() -> Cow<'static, str> {
        "Paths".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let path = generator.subschema_for::<Path>();
        json_schema!({
            "description": "One JSONPath or a list; each holds when it selects something.",
            "anyOf": [path, { "type": "array", "items": path }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quotes_around_a_name_are_the_parsers_and_those_in_it_are_its_own() {
        let pod = Node::parse(r#"{"plain": 1, "\"quoted\"": 2, "'single'": 3, "a/b.c": 4}"#);
        let pod = pod.unwrap();
        let context = Context {
            pod: &pod,
            owner: Node::Null,
            request: Node::Null,
            ordinal: None,
            document: None,
            spread: None,
        };
        for (path, expected) in [
            ("$.pod.plain", 1_u64),
            ("$.pod['plain']", 1),
            ("$['pod'][\"plain\"]", 1),
            ("$.pod['\"quoted\"']", 2),
            ("$.pod[\"'single'\"]", 3),
            ("$.pod['a/b.c']", 4),
        ] {
            let path = Path::parse(path).unwrap_or_else(|problem| panic!("{problem:?}"));
            match path.select(&context) {
                Selected::One(found) => assert_eq!(found.as_ref(), &Node::from(expected), "{path}"),
                other => panic!("{path}: {other:?}"),
            }
        }
    }
}
