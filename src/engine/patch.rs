//! The JSON Patch (RFC 6902) between a Pod and its draft: the smallest one that the API server can always apply.

use serde::Serialize;

use super::node::{ByName, Node};

/// What one operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Sets a member that is absent, or appends to an array.
    Add,
    /// Sets a member that is there.
    Replace,
    /// Takes a member away.
    Remove,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PatchOperation {
    /// What it does.
    pub op: Op,
    /// Where, as a JSON Pointer (RFC 6901).
    pub path: String,
    /// The new value; none for a removal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Node<'static>>,
}

/// Appends what turns `old` into `new`. An absent value and `null` are the same to Kubernetes, and to this.
pub(crate) fn diff(old: Option<&Node<'_>>, new: Option<&Node<'_>>, path: &mut String, patch: &mut Vec<PatchOperation>) {
    let mut push = |op, value: Option<&Node<'_>>| {
        patch.push(PatchOperation {
            op,
            path: path.clone(),
            value: value.map(Node::to_owned_node),
        });
    };
    match (old, new) {
        (None | Some(Node::Null), None | Some(Node::Null)) => {}
        // `add` also sets a member that is there as `null`.
        (None | Some(Node::Null), Some(new)) => push(Op::Add, Some(new)),
        (Some(_), None | Some(Node::Null)) => push(Op::Remove, None),
        (Some(Node::Object(old)), Some(Node::Object(new))) => {
            let before = path.len();
            let (olds, news) = (ByName::new(old), ByName::new(new));
            for (name, value) in new {
                push_token(path, name);
                diff(olds.get(name), Some(value), path, patch);
                path.truncate(before);
            }
            for (name, value) in old {
                if news.get(name).is_none() {
                    push_token(path, name);
                    diff(Some(value), None, path, patch);
                    path.truncate(before);
                }
            }
        }
        (Some(Node::Array(old)), Some(Node::Array(new))) => {
            let before = path.len();
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                push_token(path, &index.to_string());
                match (old, new) {
                    // In an array `add` would insert and `remove` would shift.
                    (Node::Null, _) | (_, Node::Null) if old != new => patch.push(PatchOperation {
                        op: Op::Replace,
                        path: path.clone(),
                        value: Some(new.to_owned_node()),
                    }),
                    _ => diff(Some(old), Some(new), path, patch),
                }
                path.truncate(before);
            }
            for value in new.iter().skip(old.len()) {
                push_token(path, "-");
                diff(None, Some(value), path, patch);
                path.truncate(before);
            }
            for index in (new.len()..old.len()).rev() {
                push_token(path, &index.to_string());
                diff(Some(&old[index]), None, path, patch);
                path.truncate(before);
            }
        }
        (Some(old), Some(new)) if old == new => {}
        (Some(_), Some(new)) => push(Op::Replace, Some(new)),
    }
}

/// Appends one escaped reference token (RFC 6901, section 3).
pub(crate) fn push_token(path: &mut String, token: &str) {
    path.push('/');
    if !token.bytes().any(|byte| matches!(byte, b'~' | b'/')) {
        path.push_str(token);
        return;
    }
    for character in token.chars() {
        match character {
            '~' => path.push_str("~0"),
            '/' => path.push_str("~1"),
            other => path.push(other),
        }
    }
}
