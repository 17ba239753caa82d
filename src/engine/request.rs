//! What the engine is asked about: one admission request, as far as the snapshot's rules look at it.

use std::borrow::Cow;

use super::node::Node;

/// An admission request for a Pod.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// The request's UID, which the reply repeats.
    pub uid: Cow<'a, str>,
    /// `CREATE`, `UPDATE` …
    pub operation: Cow<'a, str>,
    /// The API group of the resource; empty for the core group.
    pub group: Cow<'a, str>,
    /// `pods` …
    pub resource: Cow<'a, str>,
    /// `binding`, `eviction` …; empty for the resource itself.
    pub sub_resource: Cow<'a, str>,
    /// The namespace.
    pub namespace: Cow<'a, str>,
    /// The object's name; empty where it is yet to be made.
    pub name: Cow<'a, str>,
    /// True where nothing will be stored: nobody is notified.
    pub dry_run: bool,
    /// Who asks, where some rule looks at it.
    pub user_info: Node<'a>,
    /// The Pod, where this is about one.
    pub pod: Node<'a>,
}

impl<'a> Request<'a> {
    /// The request that the API server would make to create this Pod.
    pub fn create(pod: Node<'a>) -> Self {
        let text = |name: &str| match pod.at(&["metadata", name]) {
            Some(Node::String(text)) => text.clone(),
            _ => Cow::Borrowed(""),
        };
        let namespace = match text("namespace") {
            unsaid if unsaid.is_empty() => Cow::Borrowed("default"),
            namespace => namespace,
        };
        Self {
            uid: Cow::Borrowed(""),
            operation: Cow::Borrowed("CREATE"),
            group: Cow::Borrowed(""),
            resource: Cow::Borrowed("pods"),
            sub_resource: Cow::Borrowed(""),
            namespace,
            name: text("name"),
            dry_run: false,
            user_info: Node::Null,
            pod,
        }
    }
}
