//! `patch`: object members that no other placement covers.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::Pod;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::{Place, Placement, Scope, Writes};
use crate::engine::conflict::OnConflict;
use crate::engine::draft::{Draft, Field};
use crate::engine::failure::{Cause, Failure};
use crate::engine::interpolation::Template;
use crate::engine::node::Node;
use crate::engine::patch::pointer;
use crate::engine::problem::Problem;
use crate::engine::syntax;

/// Changes of single members of the Pod, for what no other placement covers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Patch(Vec<Change>);

/// One change, as in a JSON Patch, of an object member.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Change {
    /// `add` sets the member, `replace` sets it only where it is there, `remove` takes it away.
    op: ChangeOp,
    /// The member, as a JSON Pointer below /spec or /metadata; it leads through objects only.
    path: Pointer,
    /// The new value, with ${path} in its strings; a string that is one ${path} keeps the type of what it selects.
    value: Option<Tree>,
}

/// What a change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ChangeOp {
    /// Sets the member.
    Add,
    /// Sets the member where it is there.
    Replace,
    /// Takes the member away.
    Remove,
}

impl Place for Patch {
    fn place<'a>(&'a self, scope: &Scope<'_, 'a>, draft: &mut Draft<'a>) -> Result<(), Failure> {
        self.0.iter().try_for_each(|change| change.make(scope, draft))
    }

    fn templates<'t>(&'t self, visit: &mut dyn FnMut(&'t Template)) {
        self.0
            .iter()
            .filter_map(|change| change.value.as_ref())
            .for_each(|value| value.templates(visit));
    }

    fn writes(&self, _: OnConflict) -> Vec<Writes> {
        self.0
            .iter()
            .map(|change| Writes {
                path: change.path.0.clone(),
                exact: false,
            })
            .collect()
    }
}

impl Change {
    fn make<'a>(&'a self, scope: &Scope<'_, 'a>, draft: &mut Draft<'a>) -> Result<(), Failure> {
        let names: Vec<&'a str> = self.path.0.iter().map(String::as_str).collect();
        // `Pointer` has at least two names.
        let (field, below) = (Field(names[0], names[1]), &names[2..]);
        let what = self.path.text();
        let current = below
            .iter()
            .try_fold(draft.get(field), |node, name| Some(node?.get(name)))
            .flatten()
            .filter(|node| !node.is_null())
            .cloned();
        let Some(tree) = self.value.as_ref().filter(|_| self.op != ChangeOp::Remove) else {
            let Some(current) = current else { return Ok(()) };
            // What is to be removed is replaced by nothing.
            if draft.settle(|| what.clone(), Some(&current), &Node::Null, scope.on_conflict)? {
                remove(draft.edit(field), below);
            }
            return Ok(());
        };
        let wanted = tree.render(scope)?;
        let there = match &current {
            // The API server may have filled in defaults beside what a rule wrote.
            Some(current) => current.includes(&wanted),
            // Nothing to replace, or nothing that the API server would keep.
            None => self.op == ChangeOp::Replace || is_dropped(&names, &wanted),
        };
        if there {
            draft.claim(|| what.clone(), scope.on_conflict);
            return Ok(());
        }
        if self.value.as_ref().is_some_and(Tree::has_paths) {
            fits_pod(&names, &wanted).map_err(|why| Failure::new(Cause::InvalidValue, format!("{what}: {why}")))?;
        }
        if !draft.settle(|| what.clone(), current.as_ref(), &wanted, scope.on_conflict)? {
            return Ok(());
        }
        set(draft.edit(field), below, wanted).map_err(|at| {
            Failure::new(
                Cause::InvalidValue,
                format!("{what} leads through {at}, which is no object"),
            )
        })
    }
}

/// True for a value that the API server takes for an absent one and does not store: patching it would never settle.
fn is_dropped(names: &[&str], wanted: &Node<'_>) -> bool {
    match wanted {
        Node::Array(items) => items.is_empty(),
        Node::Bool(false) => matches!(names, ["spec", "hostNetwork" | "hostPID" | "hostIPC"]),
        _ => false,
    }
}

fn remove(node: &mut Option<Node<'_>>, below: &[&str]) {
    let Some((last, parents)) = below.split_last() else {
        *node = None;
        return;
    };
    let mut at = node.as_mut();
    for name in parents {
        at = at.and_then(|node| match node {
            Node::Object(members) => members
                .iter_mut()
                .find(|(member, _)| member == name)
                .map(|(_, value)| value),
            _ => None,
        });
    }
    if let Some(Node::Object(members)) = at {
        members.retain(|(member, _)| member != last);
    }
}

fn set<'a>(node: &mut Option<Node<'a>>, below: &[&'a str], value: Node<'a>) -> Result<(), &'a str> {
    let mut at = node.get_or_insert(Node::Null);
    for name in below {
        if at.is_null() {
            *at = Node::Object(Vec::new());
        }
        let Node::Object(members) = at else { return Err(name) };
        let position = if let Some(position) = members.iter().position(|(member, _)| member == name) {
            position
        } else {
            members.push((Cow::Borrowed(name), Node::Null));
            members.len() - 1
        };
        at = &mut members[position].1;
    }
    *at = value;
    Ok(())
}

/// Whether a Pod of the Kubernetes API can have this value there.
fn fits_pod(names: &[&str], value: &Node<'_>) -> Result<(), String> {
    let wanted = serde_json::Value::from(value);
    let nested = names
        .iter()
        .rev()
        .fold(wanted.clone(), |value, name| serde_json::json!({ *name: value }));
    let mut pod = serde_json::json!({ "spec": { "containers": [] } });
    if let (Some(pod), serde_json::Value::Object(nested)) = (pod.as_object_mut(), nested) {
        for (section, members) in nested {
            let section = pod.entry(section).or_insert_with(|| serde_json::json!({}));
            if let (Some(section), serde_json::Value::Object(members)) = (section.as_object_mut(), members) {
                section.extend(members);
            }
        }
    }
    let typed: Pod = serde_json::from_value(pod).map_err(|error| {
        let error = error.to_string();
        let (found, expected) = error.split_once(", expected ").unwrap_or((&error, "another"));
        let found = found
            .trim_start_matches("invalid type: ")
            .trim_start_matches("invalid value: ");
        let expected = match expected {
            "i32" | "i64" => "a whole number",
            other => other,
        };
        format!("a Pod cannot have {found} there, but {expected}")
    })?;
    let kept = serde_json::to_value(&typed).unwrap_or_default();
    match kept.pointer(&pointer(names)) {
        None if wanted.is_object() && wanted.as_object().is_some_and(serde_json::Map::is_empty) => Ok(()),
        None => Err(NO_FIELD.to_owned()),
        Some(kept) => match lost(&wanted, kept) {
            Some(field) => Err(format!("a Pod has no field {field:?} there")),
            None => fits_words(names, value),
        },
    }
}

/// Words and names that the API server checks, beside their type.
fn fits_words(names: &[&str], value: &Node<'_>) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    let one_of = |words: &[&str]| {
        if words.contains(&text) {
            Ok(())
        } else {
            Err(format!("{text:?} is none of {}", words.join(", ")))
        }
    };
    match names {
        ["spec", "dnsPolicy"] => one_of(&["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]),
        ["spec", "restartPolicy"] => one_of(&["Always", "OnFailure", "Never"]),
        ["spec", "hostname" | "subdomain"] if text.contains('.') || text.len() > 63 => {
            Err(format!("{text:?} is no DNS label"))
        }
        ["spec", "hostname" | "subdomain"] => {
            syntax::dns_subdomain(text).map_err(|_| format!("{text:?} is no DNS label"))
        }
        _ => Ok(()),
    }
}

/// Whether a Pod of the Kubernetes API has such a field, whatever its type.
fn is_field(names: &[&str]) -> bool {
    // A text where something else is wanted is an error of its type; where there is no field it is dropped.
    !matches!(fits_pod(names, &Node::from("x")), Err(why) if why == NO_FIELD)
}

const NO_FIELD: &str = "a Pod has no such field";

/// The first member of `wanted` that a typed Pod did not keep.
fn lost(wanted: &serde_json::Value, kept: &serde_json::Value) -> Option<String> {
    match (wanted, kept) {
        (serde_json::Value::Object(wanted), kept) => wanted.iter().find_map(|(name, value)| match kept.get(name) {
            Some(kept) => lost(value, kept),
            None if value.is_null() || value.as_array().is_some_and(Vec::is_empty) => None,
            None => Some(name.clone()),
        }),
        (serde_json::Value::Array(wanted), serde_json::Value::Array(kept)) => {
            wanted.iter().zip(kept).find_map(|(wanted, kept)| lost(wanted, kept))
        }
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Change {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            op: ChangeOp,
            path: Pointer,
            value: Option<Tree>,
        }
        let Written { op, path, value } = Written::deserialize(deserializer)?;
        let bad = |message: String, hint: &str| Err(Problem::new("bad-patch", message, hint).into_error());
        match (op, &value) {
            (ChangeOp::Remove, Some(_)) => {
                return bad("`op: remove` takes no value".to_owned(), "leave `value` out");
            }
            (ChangeOp::Add | ChangeOp::Replace, None) => {
                return bad(
                    "a change without a value".to_owned(),
                    "add `value`, or write `op: remove`",
                );
            }
            _ => {}
        }
        let names: Vec<&str> = path.0.iter().map(String::as_str).collect();
        let fits = match value.as_ref().filter(|value| !value.has_paths()) {
            Some(value) => fits_pod(&names, &value.literal()),
            None if is_field(&names) => Ok(()),
            None => Err(NO_FIELD.to_owned()),
        };
        if let Err(why) = fits {
            return bad(
                format!("{}: {why}", path.text()),
                "see `kubectl explain pod.spec` for the fields of a Pod",
            );
        }
        Ok(Self { op, path, value })
    }
}

/// A JSON Pointer to a member that a patch may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer(Vec<String>);

impl Pointer {
    fn text(&self) -> String {
        pointer(&self.0)
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let bad = |message: String, hint: String| Problem::new("bad-pointer", message, hint);
        let example = || "write a JSON Pointer such as /spec/terminationGracePeriodSeconds".to_owned();
        let Some(rest) = text.strip_prefix('/') else {
            return Err(bad(format!("{text:?} is no JSON Pointer"), example()));
        };
        let names: Vec<String> = rest
            .split('/')
            .map(|token| token.replace("~1", "/").replace("~0", "~"))
            .collect();
        let fields: Vec<&str> = names.iter().map(String::as_str).collect();
        match fields.as_slice() {
            ["spec", field, ..] if Placement::NAMES.contains(field) => Err(bad(
                format!("{text:?} has a placement of its own"),
                format!("write `{field}:` in the route"),
            )),
            ["spec", "affinity", "nodeAffinity", ..] => Err(bad(
                format!("{text:?} has a placement of its own"),
                "write `nodeAffinity:` in the route".to_owned(),
            )),
            ["spec", "affinity"] => Err(bad(
                format!("{text:?} holds the node affinity too"),
                "write /spec/affinity/podAffinity or /spec/affinity/podAntiAffinity".to_owned(),
            )),
            ["metadata", field @ ("labels" | "annotations"), ..] => Err(bad(
                format!("{text:?} has a placement of its own"),
                format!("write `{field}:` in the route"),
            )),
            [
                "spec",
                "serviceAccountName"
                | "serviceAccount"
                | "securityContext"
                | "nodeName"
                | "priority"
                | "priorityClassName"
                | "preemptionPolicy"
                | "overhead"
                | "containers"
                | "initContainers"
                | "ephemeralContainers",
                ..,
            ]
            | [
                "metadata",
                "name"
                | "generateName"
                | "namespace"
                | "uid"
                | "ownerReferences"
                | "finalizers"
                | "managedFields"
                | "resourceVersion"
                | "generation"
                | "creationTimestamp"
                | "deletionTimestamp"
                | "deletionGracePeriodSeconds"
                | "selfLink",
                ..,
            ] => Err(bad(
                format!("{text:?} decides who the Pod is or what it may do, not where it runs"),
                "leave it to the Pod's author and the API server".to_owned(),
            )),
            ["spec" | "metadata", rest @ ..] if !rest.is_empty() && rest.iter().all(|name| !name.is_empty()) => {
                if let Some(index) = rest.iter().find(|name| **name == "-" || name.parse::<u64>().is_ok()) {
                    return Err(bad(
                        format!("{text:?} leads into an array at {index:?}"),
                        "a patch changes object members only".to_owned(),
                    ));
                }
                Ok(Self(names))
            }
            _ => Err(bad(
                format!("{text:?} is no field of a Pod's spec or metadata"),
                example(),
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(Problem::into_error::<D::Error>)
    }
}

impl JsonSchema for Pointer {
    fn schema_name() -> Cow<'static, str> {
        "Pointer".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^/(spec|metadata)/.+",
            "description": "A JSON Pointer (RFC 6901) to a member of the Pod's spec or metadata.",
        })
    }
}

/// A JSON value with `${path}` in its strings.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    Template(Template),
    Literal(Node<'static>),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    fn new(value: serde_json::Value) -> Result<Self, Problem> {
        Ok(match value {
            serde_json::Value::String(text) => Self::Template(Template::parse(&text)?),
            serde_json::Value::Array(items) => Self::Array(items.into_iter().map(Self::new).collect::<Result<_, _>>()?),
            serde_json::Value::Object(members) => Self::Object(
                members
                    .into_iter()
                    .map(|(name, value)| {
                        if name.contains("${") {
                            return Err(Problem::new(
                                "bad-interpolation",
                                format!("the key {name:?} cannot hold ${{…}}: only the values of a patch can"),
                                "write the key out, or use the placement that this belongs to",
                            ));
                        }
                        Ok((name, Self::new(value)?))
                    })
                    .collect::<Result<_, _>>()?,
            ),
            other => Self::Literal(other.into()),
        })
    }

    fn templates<'t>(&'t self, visit: &mut dyn FnMut(&'t Template)) {
        match self {
            Self::Template(template) => visit(template),
            Self::Literal(_) => {}
            Self::Array(items) => items.iter().for_each(|item| item.templates(visit)),
            Self::Object(members) => members.iter().for_each(|(_, value)| value.templates(visit)),
        }
    }

    fn has_paths(&self) -> bool {
        let mut found = false;
        self.templates(&mut |template| found |= template.literal().is_none());
        found
    }

    fn render<'a>(&'a self, scope: &Scope<'_, 'a>) -> Result<Node<'a>, Failure> {
        Ok(match self {
            Self::Template(template) => {
                let value = template.value(scope.context)?;
                if let (Node::String(text), None) = (&value, template.literal()) {
                    scope.allow.value(text).map_err(|why| super::invalid(template, &why))?;
                }
                value
            }
            Self::Literal(node) => node.clone(),
            Self::Array(items) => Node::Array(items.iter().map(|item| item.render(scope)).collect::<Result<_, _>>()?),
            Self::Object(members) => Node::Object(
                members
                    .iter()
                    .map(|(name, value)| Ok((Cow::Borrowed(name.as_str()), value.render(scope)?)))
                    .collect::<Result<_, Failure>>()?,
            ),
        })
    }

    /// The value of a tree without paths.
    fn literal(&self) -> Node<'_> {
        match self {
            Self::Template(template) => Node::String(Cow::Borrowed(template.literal().unwrap_or_default())),
            Self::Literal(node) => node.clone(),
            Self::Array(items) => Node::Array(items.iter().map(Self::literal).collect()),
            Self::Object(members) => Node::Object(
                members
                    .iter()
                    .map(|(name, value)| (Cow::Borrowed(name.as_str()), value.literal()))
                    .collect(),
            ),
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Self::new(value).map_err(Problem::into_error::<D::Error>)
    }
}

impl JsonSchema for Tree {
    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "Any value; its strings may hold ${path}." })
    }
}
