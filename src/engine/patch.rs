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

/// The tokens of a JSON Pointer, each with the one before it. A pointer is written only where something changes.
#[derive(Clone, Copy)]
pub(crate) struct Tokens<'p> {
    pub(crate) parent: Option<&'p Tokens<'p>>,
    pub(crate) token: &'p str,
}

impl<'p> Tokens<'p> {
    fn member(&'p self, token: &'p str) -> Self {
        Tokens {
            parent: Some(self),
            token,
        }
    }

    fn write(&self, pointer: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(pointer);
        }
        push_token(pointer, self.token);
    }
}

/// Appends what turns `old` into `new`. An absent value and `null` are the same to Kubernetes, and to this.
pub(crate) fn diff(
    old: Option<&Node<'_>>,
    new: Option<&Node<'_>>,
    tokens: Tokens<'_>,
    patch: &mut Vec<PatchOperation>,
) {
    let mut push = |op, value| patch.push(operation(op, tokens, value));
    match (old, new) {
        (None | Some(Node::Null), None | Some(Node::Null)) => {}
        // `add` also sets a member that is there as `null`.
        (None | Some(Node::Null), Some(new)) => push(Op::Add, Some(new)),
        (Some(_), None | Some(Node::Null)) => push(Op::Remove, None),
        (Some(Node::Object(old)), Some(Node::Object(new))) => {
            let (olds, news) = (ByName::new(old), ByName::new(new));
            for (name, value) in new {
                diff(olds.get(name), Some(value), tokens.member(name), patch);
            }
            for (name, value) in old {
                if news.get(name).is_none() {
                    diff(Some(value), None, tokens.member(name), patch);
                }
            }
        }
        (Some(Node::Array(old)), Some(Node::Array(new))) => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                let token = index.to_string();
                let tokens = tokens.member(&token);
                match (old, new) {
                    // In an array `add` would insert and `remove` would shift.
                    (Node::Null, _) | (_, Node::Null) if old != new => {
                        patch.push(operation(Op::Replace, tokens, Some(new)));
                    }
                    _ => diff(Some(old), Some(new), tokens, patch),
                }
            }
            for value in new.iter().skip(old.len()) {
                diff(None, Some(value), tokens.member("-"), patch);
            }
            for index in (new.len()..old.len()).rev() {
                diff(Some(&old[index]), None, tokens.member(&index.to_string()), patch);
            }
        }
        (Some(old), Some(new)) if old == new => {}
        (Some(_), Some(new)) => push(Op::Replace, Some(new)),
    }
}

fn operation(op: Op, tokens: Tokens<'_>, value: Option<&Node<'_>>) -> PatchOperation {
    // Most pointers fit.
    let mut path = String::with_capacity(64);
    tokens.write(&mut path);
    PatchOperation {
        op,
        path,
        value: value.map(Node::to_owned_node),
    }
}

/// The JSON Pointer of these member names.
pub(crate) fn pointer(names: &[impl AsRef<str>]) -> String {
    names.iter().fold(String::new(), |mut pointer, name| {
        push_token(&mut pointer, name.as_ref());
        pointer
    })
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
