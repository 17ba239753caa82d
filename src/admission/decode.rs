//! From bytes to a request, reading only what some rule looks at.

use std::borrow::Cow;
use std::fmt;

use serde::de::DeserializeSeed;

use super::{API_VERSION, KIND};
use crate::engine::node::{Node, Projection, Seed};
use crate::engine::skim::skim;
use crate::engine::{Request, Snapshot};

/// Why a body cannot be decided about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadReview {
    /// It is no AdmissionReview of version v1, or has no UID to answer to: HTTP 400.
    NotAReview(
        /// What is wrong.
        String,
    ),
    /// It is one, and something in it is wrong: an answer that refuses, with its UID.
    Refused {
        /// The request's UID.
        uid: String,
        /// What is wrong.
        message: String,
    },
}

impl fmt::Display for BadReview {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NotAReview(message) | Self::Refused { message, .. }) = self;
        formatter.write_str(message)
    }
}

impl std::error::Error for BadReview {}

/// The part of an AdmissionReview that is read.
#[derive(Clone, Debug)]
pub struct Wanted(Projection);

impl Wanted {
    /// What some rule of the snapshot looks at.
    pub fn by(snapshot: &Snapshot) -> Self {
        Self::new(snapshot.projection().clone(), snapshot.reads_user())
    }

    /// The whole Pod, and who asks.
    pub fn everything() -> Self {
        Self::new(Projection::Whole, true)
    }

    /// The UID of the owner too, by which Events are put on it.
    pub fn want_owner_uid(&mut self) {
        self.0
            .want(&["request", "object", "metadata", "ownerReferences", "uid"]);
    }

    fn new(pod: Projection, user_info: bool) -> Self {
        let mut review = Projection::nothing();
        for path in [
            &["apiVersion"] as &[&str],
            &["kind"],
            &["request", "uid"],
            &["request", "operation"],
            &["request", "resource", "group"],
            &["request", "resource", "resource"],
            &["request", "subResource"],
            &["request", "namespace"],
            &["request", "name"],
            &["request", "dryRun"],
        ] {
            review.want(path);
        }
        if user_info {
            review.want(&["request", "userInfo"]);
        }
        review.put(&["request", "object"], pod);
        Self(review)
    }
}

/// Reads an AdmissionReview as far as `wanted` says.
pub fn decode<'a>(body: &'a str, wanted: &Wanted) -> Result<Request<'a>, BadReview> {
    if body.trim_ascii().is_empty() {
        return Err(BadReview::NotAReview(
            "the body is empty; an AdmissionReview was expected".to_owned(),
        ));
    }
    let review = read(body, &wanted.0).map_err(|error| {
        let why = error.to_string();
        let message = if why.starts_with("recursion limit exceeded") {
            "the AdmissionReview nests deeper than 128 levels".to_owned()
        } else {
            format!("the AdmissionReview cannot be read: {why}")
        };
        match uid_alone(body) {
            Some(uid) => BadReview::Refused { uid, message },
            None => BadReview::NotAReview(message),
        }
    })?;
    request(review)
}

fn read<'a>(body: &'a str, wanted: &Projection) -> Result<Node<'a>, serde_json::Error> {
    if let Some(review) = skim(body, wanted) {
        return Ok(review);
    }
    let mut reader = serde_json::Deserializer::from_str(body);
    let review = Seed(wanted).deserialize(&mut reader)?;
    reader.end()?;
    Ok(review)
}

/// The UID of a review that cannot be read as a whole. Everything else is skipped, however deep it nests.
fn uid_alone(body: &str) -> Option<String> {
    let mut wanted = Projection::nothing();
    wanted.want(&["apiVersion"]);
    wanted.want(&["kind"]);
    wanted.want(&["request", "uid"]);
    let review = read(body, &wanted).ok()?;
    check_kind(&review).ok()?;
    let uid = review.at(&["request", "uid"])?.as_str()?;
    (!uid.is_empty()).then(|| uid.to_owned())
}

fn check_kind(review: &Node<'_>) -> Result<(), BadReview> {
    let text = |name: &str| review.get(name).and_then(Node::as_str).unwrap_or("nothing");
    let (kind, version) = (text("kind"), text("apiVersion"));
    if kind == KIND && version == API_VERSION {
        return Ok(());
    }
    Err(BadReview::NotAReview(format!(
        "expected kind {KIND} of apiVersion {API_VERSION}, and got kind {kind} of apiVersion {version}"
    )))
}

fn request(review: Node<'_>) -> Result<Request<'_>, BadReview> {
    let kind = check_kind(&review);
    let Node::Object(members) = review else {
        return Err(BadReview::NotAReview("the body is no JSON object".to_owned()));
    };
    kind?;
    let fields = members.into_iter().find(|(name, _)| name == "request");
    let Some((_, Node::Object(fields))) = fields else {
        return Err(BadReview::NotAReview("the AdmissionReview has no request".to_owned()));
    };
    let mut request = Request::default();
    let mut wrong = None;
    let mut object = None;
    for (name, value) in fields {
        match name.as_ref() {
            "uid" => request.uid = string(value, "uid", &mut wrong),
            "operation" => request.operation = string(value, "operation", &mut wrong),
            "subResource" => request.sub_resource = string(value, "subResource", &mut wrong),
            "namespace" => request.namespace = string(value, "namespace", &mut wrong),
            "name" => request.name = string(value, "name", &mut wrong),
            "dryRun" => match value {
                Node::Bool(value) => request.dry_run = value,
                Node::Null => {}
                other => note_wrong(&mut wrong, "dryRun", &other, "a boolean"),
            },
            "resource" => match value {
                Node::Object(members) => {
                    for (name, value) in members {
                        match name.as_ref() {
                            "group" => request.group = string(value, "resource.group", &mut wrong),
                            _ => request.resource = string(value, "resource.resource", &mut wrong),
                        }
                    }
                }
                other => note_wrong(&mut wrong, "resource", &other, "an object"),
            },
            "userInfo" => request.user_info = value,
            _ => object = Some(value),
        }
    }
    if request.uid.is_empty() {
        return Err(BadReview::NotAReview(
            "the AdmissionReview has no request.uid to answer to".to_owned(),
        ));
    }
    let about_a_pod = request.resource == "pods"
        && request.group.is_empty()
        && request.sub_resource.is_empty()
        && request.operation == "CREATE";
    let wrong = wrong.or_else(|| match &object {
        _ if !about_a_pod => None,
        Some(pod @ Node::Object(_)) => wrong_in_pod(pod),
        None | Some(Node::Null) => Some("request.object is missing".to_owned()),
        Some(other) => Some(format!(
            "request.object is {} where an object is expected",
            other.kind()
        )),
    });
    if let Some(what) = wrong {
        return Err(BadReview::Refused {
            uid: request.uid.into_owned(),
            message: format!("the AdmissionReview cannot be decided about: {what}"),
        });
    }
    request.pod = object.unwrap_or_default();
    Ok(request)
}

fn string<'a>(value: Node<'a>, name: &str, wrong: &mut Option<String>) -> Cow<'a, str> {
    match value {
        Node::String(text) => text,
        Node::Null => Cow::Borrowed(""),
        other => {
            note_wrong(wrong, name, &other, "a string");
            Cow::Borrowed("")
        }
    }
}

#[cold]
fn note_wrong(wrong: &mut Option<String>, name: &str, found: &Node<'_>, expected: &str) {
    wrong.get_or_insert_with(|| format!("request.{name} is {} where {expected} is expected", found.kind()));
}

/// The first field of the Pod, among those that the engine itself reads, that has a wrong type.
fn wrong_in_pod(pod: &Node<'_>) -> Option<String> {
    let wrong = |path: String, node: &Node<'_>, expected: &str| {
        Some(format!(
            "request.object.{path} is {} where {expected} is expected",
            node.kind()
        ))
    };
    for (section, members) in pod.members() {
        match (section.as_ref(), members) {
            ("metadata" | "spec", Node::Object(_) | Node::Null) => {}
            ("metadata" | "spec", other) => return wrong(section.to_string(), other, "an object"),
            _ => {}
        }
    }
    for (name, value) in pod.get("metadata").map(Node::members).unwrap_or_default() {
        match (name.as_ref(), value) {
            (_, Node::Null) | ("name" | "generateName", Node::String(_)) | ("ownerReferences", Node::Array(_)) => {}
            ("name" | "generateName", other) => return wrong(format!("metadata.{name}"), other, "a string"),
            ("ownerReferences", other) => return wrong(format!("metadata.{name}"), other, "an array"),
            ("labels" | "annotations", Node::Object(members)) => {
                for (key, value) in members {
                    if !matches!(value, Node::String(_) | Node::Null) {
                        return wrong(format!("metadata.{name}[{key:?}]"), value, "a string");
                    }
                }
            }
            ("labels" | "annotations", other) => return wrong(format!("metadata.{name}"), other, "an object"),
            _ => {}
        }
    }
    None
}
