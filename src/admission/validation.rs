//! AdmissionReviews of objects that are only looked at: policies and workloads, when somebody applies them.

use serde_json::Value;

use super::decode::BadReview;
use super::encode::{Reply, warnings};
use super::{API_VERSION, KIND};

/// What somebody applies.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The request's UID.
    pub uid: String,
    /// `ConfigMap`, `StatefulSet` …
    pub kind: String,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The object itself, with its kind.
    pub object: Value,
    /// What the object is a part of, where it is a `Scale`.
    pub scaled: Option<Scaled>,
}

/// A workload whose number of Pods somebody changes by its scale subresource, which holds nothing else of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaled {
    /// `apps/v1` …
    pub version: String,
    /// `statefulsets` …
    pub plural: String,
    /// The workload's name.
    pub name: String,
    /// How many Pods it asked for.
    pub from: u64,
    /// How many it is to ask for.
    pub to: u64,
}

/// What is said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Why it is refused; it is let through without.
    pub refusal: Option<String>,
    /// What else is to be known.
    pub warnings: Vec<String>,
}

/// Reads the AdmissionReview of an object.
pub fn applied(body: &str) -> Result<Applied, BadReview> {
    let review: Value = serde_json::from_str(body)
        .map_err(|error| BadReview::NotAReview(format!("the AdmissionReview cannot be read: {error}")))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if review["apiVersion"] != API_VERSION || review["kind"] != KIND {
        return Err(BadReview::NotAReview(format!(
            "expected kind {KIND} of apiVersion {API_VERSION}, and got kind {} of apiVersion {}",
            text(&review["kind"]),
            text(&review["apiVersion"])
        )));
    }
    let request = &review["request"];
    let uid = text(&request["uid"]);
    if uid.is_empty() {
        return Err(BadReview::NotAReview(
            "the AdmissionReview has no request.uid to answer to".to_owned(),
        ));
    }
    let object = request["object"].clone();
    if !object.is_object() {
        return Err(BadReview::Refused {
            uid,
            message: "the AdmissionReview cannot be decided about: request.object is missing".to_owned(),
        });
    }
    let kind = text(&request["kind"]["kind"]);
    Ok(Applied {
        uid,
        kind: if kind.is_empty() { text(&object["kind"]) } else { kind },
        namespace: text(&request["namespace"]),
        name: text(&object["metadata"]["name"]),
        scaled: scaled(request),
        object,
    })
}

fn scaled(request: &Value) -> Option<Scaled> {
    if request["subResource"] != "scale" {
        return None;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // The API server leaves out a number of 0.
    let replicas = |scale: &Value| scale["spec"]["replicas"].as_u64().unwrap_or_default();
    let resource = &request["resource"];
    let (group, version) = (text(&resource["group"]), text(&resource["version"]));
    Some(Scaled {
        version: if group.is_empty() {
            version
        } else {
            format!("{group}/{version}")
        },
        plural: text(&resource["resource"]),
        name: text(&request["name"]),
        from: replicas(&request["oldObject"]),
        to: replicas(&request["object"]),
    })
}

/// The reply to it.
pub fn reply(uid: &str, said: &Said) -> Vec<u8> {
    let mut reply = Reply::new(uid, said.refusal.is_none());
    if let Some(refusal) = &said.refusal {
        reply.lines(403, "Forbidden", refusal);
    }
    let warnings = warnings(&said.warnings);
    if !warnings.is_empty() {
        reply.literal(",\"warnings\":");
        reply.json(&warnings);
    }
    reply.finish()
}
