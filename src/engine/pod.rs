//! What the engine reads of every Pod: its name, labels, annotations and controlling owner.

use std::borrow::Cow;

use super::node::Node;

/// The string members of `metadata.labels` or `metadata.annotations`.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'n, 'a>(&'n [(Cow<'a, str>, Node<'a>)]);

impl<'n> Labels<'n, '_> {
    /// The value of a key.
    pub fn get(self, key: &str) -> Option<&'n str> {
        self.0
            .iter()
            .find(|(member, _)| member == key)
            .and_then(|(_, value)| value.as_str())
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = (&'n str, &'n str)> {
        self.0
            .iter()
            .filter_map(|(key, value)| Some((key.as_ref(), value.as_str()?)))
    }
}

/// The owner that controls a Pod: the one reference with `controller: true`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'n> {
    /// `StatefulSet`, `Job` …
    pub kind: &'n str,
    /// `apps`, `batch` …; empty for the core group.
    pub group: &'n str,
    /// The owner's name.
    pub name: &'n str,
    /// `apps/v1` …
    pub api_version: &'n str,
    /// Its UID, where that was asked for; otherwise empty.
    pub uid: &'n str,
}

impl Owner<'_> {
    /// The kind, with its group where it is none of Kubernetes' own.
    pub(crate) fn kind_in_group(&self) -> String {
        match self.group {
            "" | "apps" | "batch" => self.kind.to_owned(),
            group => format!("{}.{group}", self.kind),
        }
    }
}

/// A view of a Pod.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'n, 'a> {
    /// The Pod itself.
    pub node: &'n Node<'a>,
    /// `request.namespace`: the Pod's own may be empty.
    pub namespace: &'n str,
    /// `metadata.name`, or the prefix of `metadata.generateName` where that is still empty.
    pub name: &'n str,
    /// True where `name` is the prefix of a name yet to be made.
    pub name_is_prefix: bool,
    /// `metadata.labels`
    pub labels: Labels<'n, 'a>,
    /// `metadata.annotations`
    pub annotations: Labels<'n, 'a>,
    /// The controlling owner.
    pub owner: Option<Owner<'n>>,
}

const NO_MEMBERS: &[(Cow<'static, str>, Node<'static>)] = &[];

/// The one owner that controls the Pod.
fn controller<'n>(owners: &'n Node<'_>) -> Option<Owner<'n>> {
    let Node::Array(owners) = owners else { return None };
    let owner = owners
        .iter()
        .find(|owner| matches!(owner.get("controller"), Some(Node::Bool(true))))?;
    let text = |name: &str| owner.get(name).and_then(Node::as_str).unwrap_or_default();
    Some(Owner {
        kind: text("kind"),
        group: text("apiVersion").split_once('/').map_or("", |(group, _)| group),
        name: text("name"),
        api_version: text("apiVersion"),
        uid: text("uid"),
    })
}

impl<'n, 'a> Pod<'n, 'a> {
    /// Looks at a Pod.
    pub fn new(node: &'n Node<'a>, namespace: &'n str) -> Self {
        let (mut name, mut generate_name) = ("", "");
        let (mut labels, mut annotations) = (Labels(NO_MEMBERS), Labels(NO_MEMBERS));
        let mut owner = None;
        for (member, value) in node.get("metadata").map(Node::members).unwrap_or_default() {
            match member.as_ref() {
                "name" => name = value.as_str().unwrap_or_default(),
                "generateName" => generate_name = value.as_str().unwrap_or_default(),
                "labels" => labels = Labels(value.members()),
                "annotations" => annotations = Labels(value.members()),
                "ownerReferences" => owner = controller(value),
                _ => {}
            }
        }
        Self {
            node,
            namespace,
            name: if name.is_empty() { generate_name } else { name },
            name_is_prefix: name.is_empty(),
            labels,
            annotations,
            owner,
        }
    }

    /// `namespace/name`, with a star where the API server has yet to make the rest of the name.
    pub fn display_name(&self) -> String {
        let star = if self.name_is_prefix { "*" } else { "" };
        format!("{}/{}{star}", self.namespace, self.name)
    }

    /// True where the kubelet made this Pod from a file: no admission can change it.
    pub fn is_mirror(&self) -> bool {
        self.annotations.get("kubernetes.io/config.mirror").is_some()
    }

    /// The Node it is already bound to, which bypasses the scheduler.
    pub fn node_name(&self) -> Option<&'n str> {
        self.node
            .at(&["spec", "nodeName"])
            .and_then(Node::as_str)
            .filter(|name| !name.is_empty())
    }

    /// True where a DaemonSet controls it, of whatever group: its own affinity pins it to one Node.
    pub fn is_daemon(&self) -> bool {
        self.owner.is_some_and(|owner| owner.kind == "DaemonSet")
    }
}
