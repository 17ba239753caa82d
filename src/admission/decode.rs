//! From bytes to a request, reading only what some rule looks at.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{API_VERSION, KIND};
use crate::engine::node::{Name, Node, Projection, Seed, repeated_key};
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
pub struct Wanted {
    resource: Projection,
    pod: Projection,
    user_info: Projection,
}

impl Wanted {
    /// What some rule of the snapshot looks at.
    pub fn by(snapshot: &Snapshot) -> Self {
        Self {
            resource: Self::resource(),
            pod: snapshot.projection().clone(),
            user_info: if snapshot.reads_user() {
                Projection::Whole
            } else {
                Projection::nothing()
            },
        }
    }

    /// The whole Pod, and who asks.
    pub fn everything() -> Self {
        Self {
            resource: Self::resource(),
            pod: Projection::Whole,
            user_info: Projection::Whole,
        }
    }

    fn resource() -> Projection {
        let mut resource = Projection::nothing();
        resource.want(&["group"]);
        resource.want(&["resource"]);
        resource
    }
}

/// Reads an AdmissionReview as far as `wanted` says.
pub fn decode<'a>(body: &'a str, wanted: &Wanted) -> Result<Request<'a>, BadReview> {
    if body.trim_ascii().is_empty() {
        return Err(BadReview::NotAReview(
            "the body is empty; an AdmissionReview was expected".to_owned(),
        ));
    }
    let review = read(body, ReviewSeed(wanted)).map_err(|error| {
        let why = error.to_string();
        let message = if why.starts_with("recursion limit exceeded") {
            "the AdmissionReview nests deeper than 128 levels".to_owned()
        } else if why.contains(REVIEW) {
            "the body is no JSON object".to_owned()
        } else if why.contains(REQUEST) {
            "the AdmissionReview has no request".to_owned()
        } else {
            format!("the AdmissionReview cannot be read: {why}")
        };
        match uid_alone(body) {
            Some(uid) => BadReview::Refused { uid, message },
            None => BadReview::NotAReview(message),
        }
    })?;
    review.check()
}

fn read<'a, S: DeserializeSeed<'a>>(body: &'a str, seed: S) -> Result<S::Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(body);
    let review = seed.deserialize(&mut reader)?;
    reader.end()?;
    Ok(review)
}

/// The UID of a review that cannot be read as a whole. Everything else is skipped, however deep it nests.
fn uid_alone(body: &str) -> Option<String> {
    let mut wanted = Projection::nothing();
    wanted.want(&["apiVersion"]);
    wanted.want(&["kind"]);
    wanted.want(&["request", "uid"]);
    let review = read(body, Seed(&wanted)).ok()?;
    check_kind(review.get("apiVersion"), review.get("kind")).ok()?;
    let uid = review.at(&["request", "uid"])?.as_str()?;
    (!uid.is_empty()).then(|| uid.to_owned())
}

fn check_kind(api_version: Option<&Node<'_>>, kind: Option<&Node<'_>>) -> Result<(), BadReview> {
    let text = |node: Option<&Node<'_>>| node.and_then(Node::as_str).unwrap_or("nothing").to_owned();
    if api_version.and_then(Node::as_str) == Some(API_VERSION) && kind.and_then(Node::as_str) == Some(KIND) {
        return Ok(());
    }
    Err(BadReview::NotAReview(format!(
        "expected kind {KIND} of apiVersion {API_VERSION}, and got kind {} of apiVersion {}",
        text(kind),
        text(api_version)
    )))
}

/// A review as it was read, before it is checked. Its fields are told by hand, not by a projection: building them as a
/// value first would cost a tenth of the whole time.
#[derive(Default)]
struct Review<'a> {
    api_version: Option<Node<'a>>,
    kind: Option<Node<'a>>,
    request: Option<RequestFields<'a>>,
}

#[derive(Default)]
struct RequestFields<'a> {
    request: Request<'a>,
    object: Option<Node<'a>>,
    /// The first field with a wrong type.
    wrong: Option<String>,
}

impl<'a> Review<'a> {
    fn check(self) -> Result<Request<'a>, BadReview> {
        check_kind(self.api_version.as_ref(), self.kind.as_ref())?;
        let Some(RequestFields {
            mut request,
            object,
            wrong,
        }) = self.request
        else {
            return Err(BadReview::NotAReview("the AdmissionReview has no request".to_owned()));
        };
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
}

/// Tells a repeated key by a bit for each field.
fn once<E: de::Error>(seen: &mut u16, field: u16, name: &str) -> Result<(), E> {
    let bit = 1 << field;
    if *seen & bit != 0 {
        return Err(repeated_key(name));
    }
    *seen |= bit;
    Ok(())
}

/// What serde expected where something else than an object stands.
const REVIEW: &str = "an AdmissionReview object";
const REQUEST: &str = "a request object";

struct ReviewSeed<'w>(&'w Wanted);

impl<'de> DeserializeSeed<'de> for ReviewSeed<'_> {
    type Value = Review<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ReviewSeed<'_> {
    type Value = Review<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REVIEW)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut review = Review::default();
        let mut seen = 0;
        while let Some(name) = map.next_key_seed(Name)? {
            match name.as_ref() {
                "apiVersion" => {
                    once(&mut seen, 0, &name)?;
                    review.api_version = Some(map.next_value_seed(WHOLE)?);
                }
                "kind" => {
                    once(&mut seen, 1, &name)?;
                    review.kind = Some(map.next_value_seed(WHOLE)?);
                }
                "request" => {
                    once(&mut seen, 2, &name)?;
                    review.request = Some(map.next_value_seed(RequestSeed(self.0))?);
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(review)
    }
}

const WHOLE: Seed<'static> = Seed(&Projection::Whole);

struct RequestSeed<'w>(&'w Wanted);

impl<'de> DeserializeSeed<'de> for RequestSeed<'_> {
    type Value = RequestFields<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RequestSeed<'_> {
    type Value = RequestFields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REQUEST)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = RequestFields::default();
        let RequestFields { request, object, wrong } = &mut fields;
        let mut seen = 0;
        while let Some(name) = map.next_key_seed(Name)? {
            let (field, place) = match name.as_ref() {
                "uid" => (0, &mut request.uid),
                "operation" => (1, &mut request.operation),
                "subResource" => (2, &mut request.sub_resource),
                "namespace" => (3, &mut request.namespace),
                "name" => (4, &mut request.name),
                "dryRun" => {
                    once(&mut seen, 5, &name)?;
                    match map.next_value_seed(WHOLE)? {
                        Node::Bool(value) => request.dry_run = value,
                        Node::Null => {}
                        other => note_wrong(wrong, "dryRun", &other, "a boolean"),
                    }
                    continue;
                }
                "resource" => {
                    once(&mut seen, 6, &name)?;
                    match map.next_value_seed(Seed(&self.0.resource))? {
                        Node::Object(members) => {
                            for (name, value) in members {
                                match name.as_ref() {
                                    "group" => request.group = string(value, "resource.group", wrong),
                                    _ => request.resource = string(value, "resource.resource", wrong),
                                }
                            }
                        }
                        other => note_wrong(wrong, "resource", &other, "an object"),
                    }
                    continue;
                }
                "userInfo" => {
                    once(&mut seen, 7, &name)?;
                    request.user_info = map.next_value_seed(Seed(&self.0.user_info))?;
                    continue;
                }
                "object" => {
                    once(&mut seen, 8, &name)?;
                    *object = Some(map.next_value_seed(Seed(&self.0.pod))?);
                    continue;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            once(&mut seen, field, &name)?;
            *place = string(map.next_value_seed(WHOLE)?, &name, wrong);
        }
        Ok(fields)
    }
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
