//! Everything that a rule can look at: one JSON value, filled in phase by phase.

use std::borrow::Cow;

use super::node::Node;

/// The members of the context, each with the phase that fills it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Root {
    /// `$.pod`: the Pod as it was received.
    Pod,
    /// `$.owner`: `kind` and `name` of the controlling owner.
    Owner,
    /// `$.request`: `namespace`, `name`, `operation` and `userInfo`.
    Request,
    /// `$.ordinal`: the replica's number, after `start` was subtracted.
    Ordinal,
    /// `$.document`: the JSON in the Pod's annotation.
    Document,
    /// `$.spread`: the value that the route's spread chose.
    Spread,
}

impl Root {
    pub(crate) const ALL: [(&'static str, Self); 6] = [
        ("pod", Self::Pod),
        ("owner", Self::Owner),
        ("request", Self::Request),
        ("ordinal", Self::Ordinal),
        ("document", Self::Document),
        ("spread", Self::Spread),
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, root)| *root)
    }

    /// The member's name in the context.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Owner => "owner",
            Self::Request => "request",
            Self::Ordinal => "ordinal",
            Self::Document => "document",
            Self::Spread => "spread",
        }
    }
}

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
        Node::Object(
            Root::ALL
                .into_iter()
                .filter_map(|(name, root)| Some((Cow::Borrowed(name), self.root(root)?.clone())))
                .collect(),
        )
    }
}
