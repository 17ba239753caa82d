//! Everything that a rule can look at: one JSON value, filled in phase by phase.

use std::borrow::Cow;

use super::node::Node;
use super::path::Root;

/// The context of one Pod and one rule. `ordinal`, `document` and `spread` are absent until their phase is over.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// `$.pod`, lent, so that the document can borrow from the annotation that holds it.
    pub(crate) pod: &'a Node<'a>,
    /// `$.owner`, empty where the Pod has no controller.
    pub(crate) owner: Node<'a>,
    /// `$.request`
    pub(crate) request: Node<'a>,
    /// `$.ordinal`
    pub(crate) ordinal: Option<Node<'a>>,
    /// `$.document`
    pub(crate) document: Option<Node<'a>>,
    /// `$.spread`
    pub(crate) spread: Option<Node<'a>>,
}

impl<'a> Context<'a> {
    /// A member of the context, where its phase is over.
    pub fn root(&self, root: Root) -> Option<&Node<'a>> {
        match root {
            Root::Pod => Some(self.pod),
            Root::Owner => Some(&self.owner),
            Root::Request => Some(&self.request),
            Root::Ordinal => self.ordinal.as_ref(),
            Root::Document => self.document.as_ref(),
            Root::Spread => self.spread.as_ref(),
        }
    }

    /// The whole context as one value, for a query whose filter looks back at `$`.
    pub(crate) fn whole(&self) -> Node<'a> {
        let roots = [
            Root::Pod,
            Root::Owner,
            Root::Request,
            Root::Ordinal,
            Root::Document,
            Root::Spread,
        ];
        Node::Object(
            roots
                .into_iter()
                .filter_map(|root| Some((Cow::Borrowed(root.name()), self.root(root)?.clone())))
                .collect(),
        )
    }
}
