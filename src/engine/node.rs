//! A JSON value that borrows its strings from the text it was read from, and the [`Projection`] that says which of its
//! fields are worth reading at all.
//!
//! An AdmissionReview of some kilobytes holds a few dozen bytes that a policy looks at. Reading only those, without
//! copying them, is what keeps a decision near the cost of scanning the bytes once.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use jsonpath_rust::query::queryable::Queryable;
use rustc_hash::FxHashMap;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Number;

/// So many members are looked through one by one; more are found by a map or a set.
const FEW: usize = 24;

/// The members of a JSON object, in the order of the text.
pub type Members<'a> = Vec<(Cow<'a, str>, Node<'a>)>;

/// A JSON value whose strings are borrowed from the text wherever the text holds them unescaped.
#[derive(Clone, Debug, Default)]
pub enum Node<'a> {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Any JSON number.
    Number(Number),
    /// A string.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Node<'a>>),
    /// An object; two objects with the same members in another order are equal.
    Object(Members<'a>),
}

/// Which part of a JSON value is read. Everything else is skipped without being built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Projection {
    /// All of it.
    Whole,
    /// Only these members, sorted by name; of an array, these members of each item.
    Fields(Vec<(Box<str>, Projection)>),
}

impl Projection {
    /// Nothing but the kind of value that stands there.
    pub const fn nothing() -> Self {
        Self::Fields(Vec::new())
    }

    /// Adds the whole value at `path` (member names from the root) to what is read.
    pub fn want<S: AsRef<str>>(&mut self, path: &[S]) {
        self.put(path, Self::Whole);
    }

    /// Sets what is read at `path`, unless everything there is read already.
    pub fn put<S: AsRef<str>>(&mut self, path: &[S], wanted: Self) {
        let Self::Fields(fields) = self else { return };
        let Some((first, rest)) = path.split_first() else {
            *self = wanted;
            return;
        };
        let first = first.as_ref();
        let at = match fields.binary_search_by(|(name, _)| name.as_ref().cmp(first)) {
            Ok(at) => at,
            Err(at) => {
                fields.insert(at, (first.into(), Self::nothing()));
                at
            }
        };
        fields[at].1.put(rest, wanted);
    }
}

/// The place of a field among those wanted, and what is wanted of it.
pub(crate) fn find<'p>(fields: &'p [(Box<str>, Projection)], name: &str) -> Option<(usize, &'p Projection)> {
    // Few are compared one by one faster than they are halved.
    let at = if fields.len() <= 16 {
        fields.iter().position(|(field, _)| field.as_ref() == name)?
    } else {
        fields.binary_search_by(|(field, _)| field.as_ref().cmp(name)).ok()?
    };
    Some((at, &fields[at].1))
}

impl<'a> Node<'a> {
    /// Reads a whole JSON text. A repeated member name is an error.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let node = Seed(&Projection::Whole).deserialize(&mut reader)?;
        reader.end()?;
        Ok(node)
    }

    /// An object of these members.
    pub(crate) fn object<const N: usize>(members: [(&'static str, Self); N]) -> Self {
        Self::Object(
            members
                .into_iter()
                .map(|(name, value)| (Cow::Borrowed(name), value))
                .collect(),
        )
    }

    /// The member of that name, where this is an object that has one.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.members()
            .iter()
            .find(|(member, _)| member == name)
            .map(|(_, value)| value)
    }

    /// The value at a path of member names.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, name| node.get(name))
    }

    /// The members, where this is an object; none otherwise.
    pub fn members(&self) -> &[(Cow<'a, str>, Node<'a>)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    /// The text, where this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// True for `null`, which Kubernetes takes as absent.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// A copy that owns all its strings.
    pub fn to_owned_node(&self) -> Node<'static> {
        match self {
            Self::Null => Node::Null,
            Self::Bool(value) => Node::Bool(*value),
            Self::Number(value) => Node::Number(value.clone()),
            Self::String(value) => Node::String(Cow::Owned(value.as_ref().to_owned())),
            Self::Array(items) => Node::Array(items.iter().map(Node::to_owned_node).collect()),
            Self::Object(members) => Node::Object(
                members
                    .iter()
                    .map(|(name, value)| (Cow::Owned(name.as_ref().to_owned()), value.to_owned_node()))
                    .collect(),
            ),
        }
    }

    /// True where everything in `wanted` is here, too; an object may have further members.
    pub(crate) fn includes(&self, wanted: &Node<'_>) -> bool {
        match (self, wanted) {
            (Self::Object(_), Node::Object(members)) => members
                .iter()
                .all(|(name, value)| self.get(name).is_some_and(|own| own.includes(value))),
            (Self::Array(own), Node::Array(items)) => {
                own.len() == items.len() && own.iter().zip(items).all(|(own, wanted)| own.includes(wanted))
            }
            (own, wanted) => own == wanted,
        }
    }

    /// What kind of value this is, with its article, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// Sets a member of an object; what is no object becomes one.
    pub fn set(&mut self, name: Cow<'a, str>, value: Node<'a>) {
        if !matches!(self, Self::Object(_)) {
            *self = Self::Object(Vec::new());
        }
        if let Self::Object(members) = self {
            match members.iter_mut().find(|(member, _)| *member == name) {
                Some((_, old)) => *old = value,
                None => members.push((name, value)),
            }
        }
    }
}

/// Finds members by name: by looking through few, by a map among many, so that no Pod makes a comparison quadratic.
pub(crate) enum ByName<'n, 'a> {
    Few(&'n [(Cow<'a, str>, Node<'a>)]),
    Many(FxHashMap<&'n str, &'n Node<'a>>),
}

impl<'n, 'a> ByName<'n, 'a> {
    pub(crate) fn new(members: &'n [(Cow<'a, str>, Node<'a>)]) -> Self {
        if members.len() <= FEW {
            Self::Few(members)
        } else {
            Self::Many(members.iter().map(|(name, value)| (name.as_ref(), value)).collect())
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'n Node<'a>> {
        match self {
            Self::Few(members) => members
                .iter()
                .find(|(member, _)| member == name)
                .map(|(_, value)| value),
            Self::Many(members) => members.get(name).copied(),
        }
    }
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b || a.as_f64() == b.as_f64() && a.is_f64() != b.is_f64(),
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => {
                let others = ByName::new(b);
                a.len() == b.len() && a.iter().all(|(name, value)| others.get(name) == Some(value))
            }
            _ => false,
        }
    }
}

impl From<serde_json::Value> for Node<'static> {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(value),
            serde_json::Value::Number(value) => Self::Number(value),
            serde_json::Value::String(value) => Self::String(Cow::Owned(value)),
            serde_json::Value::Array(items) => Self::Array(items.into_iter().map(Into::into).collect()),
            serde_json::Value::Object(members) => Self::Object(
                members
                    .into_iter()
                    .map(|(name, value)| (Cow::Owned(name), value.into()))
                    .collect(),
            ),
        }
    }
}

impl From<&Node<'_>> for serde_json::Value {
    fn from(node: &Node<'_>) -> Self {
        match node {
            Node::Null => Self::Null,
            Node::Bool(value) => Self::Bool(*value),
            Node::Number(value) => Self::Number(value.clone()),
            Node::String(value) => Self::String(value.clone().into_owned()),
            Node::Array(items) => Self::Array(items.iter().map(Into::into).collect()),
            Node::Object(members) => Self::Object(
                members
                    .iter()
                    .map(|(name, value)| (name.clone().into_owned(), value.into()))
                    .collect(),
            ),
        }
    }
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => value.serialize(serializer),
            Self::String(value) => serializer.serialize_str(value),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// Reads what a [`Projection`] wants of the value that comes next.
pub(crate) struct Seed<'p>(pub(crate) &'p Projection);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Number::from_f64(value).map_or(Node::Null, Node::Number))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Node::String(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Node::String(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(Seed(self.0))? {
            array.push(item);
        }
        Ok(Node::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        match self.0 {
            Projection::Whole => whole_object(map),
            Projection::Fields(fields) => fields_of_object(fields, map),
        }
        .map(Node::Object)
    }
}

fn whole_object<'de, A: MapAccess<'de>>(mut map: A) -> Result<Members<'de>, A::Error> {
    let mut members: Members<'de> = Vec::new();
    let mut many: Option<HashSet<Cow<'de, str>>> = None;
    while let Some(name) = map.next_key_seed(Name)? {
        let repeated = if members.len() < FEW {
            members.iter().any(|(member, _)| *member == name)
        } else {
            let seen = many.get_or_insert_with(|| members.iter().map(|(member, _)| member.clone()).collect());
            !seen.insert(name.clone())
        };
        if repeated {
            return Err(repeated_key(&name));
        }
        let value = map.next_value_seed(Seed(&Projection::Whole))?;
        members.push((name, value));
    }
    Ok(members)
}

fn fields_of_object<'de, A: MapAccess<'de>>(
    fields: &[(Box<str>, Projection)],
    mut map: A,
) -> Result<Members<'de>, A::Error> {
    /// So many fields are told by a bit each whether they were there already.
    const BITS: usize = 64;
    let mut members: Members<'de> = Vec::with_capacity(fields.len().min(16));
    let mut seen = 0_u64;
    while let Some(field) = map.next_key_seed(FieldOf(fields))? {
        let Some((name, (at, wanted))) = field else {
            map.next_value::<IgnoredAny>()?;
            continue;
        };
        let repeated = if at < BITS {
            let bit = 1 << at;
            let repeated = seen & bit != 0;
            seen |= bit;
            repeated
        } else {
            members.iter().any(|(member, _)| *member == name)
        };
        if repeated {
            return Err(repeated_key(&name));
        }
        let value = map.next_value_seed(Seed(wanted))?;
        members.push((name, value));
    }
    Ok(members)
}

#[cold]
fn repeated_key<E: de::Error>(name: &str) -> E {
    E::custom(format_args!("the key {name:?} is repeated"))
}

/// Reads a member's name.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// Reads a member's name, and tells whether it is one of the fields.
struct FieldOf<'p>(&'p [(Box<str>, Projection)]);

impl<'de, 'p> DeserializeSeed<'de> for FieldOf<'p> {
    type Value = Option<(Cow<'de, str>, (usize, &'p Projection))>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, 'p> Visitor<'de> for FieldOf<'p> {
    type Value = Option<(Cow<'de, str>, (usize, &'p Projection))>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(find(self.0, name).map(|field| (Cow::Borrowed(name), field)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(find(self.0, name).map(|field| (Cow::Owned(name.to_owned()), field)))
    }
}

impl From<&str> for Node<'_> {
    fn from(value: &str) -> Self {
        Self::String(Cow::Owned(value.to_owned()))
    }
}

impl From<String> for Node<'_> {
    fn from(value: String) -> Self {
        Self::String(Cow::Owned(value))
    }
}

impl From<bool> for Node<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Node<'_> {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}

impl From<u64> for Node<'_> {
    fn from(value: u64) -> Self {
        Self::Number(value.into())
    }
}

impl From<f64> for Node<'_> {
    fn from(value: f64) -> Self {
        Number::from_f64(value).map_or(Self::Null, Self::Number)
    }
}

impl<'a> From<Vec<Node<'a>>> for Node<'a> {
    fn from(items: Vec<Node<'a>>) -> Self {
        Self::Array(items)
    }
}

/// Lets jsonpath-rust walk a borrowed value in place.
impl Queryable for Node<'_> {
    fn get(&self, key: &str) -> Option<&Self> {
        Node::get(self, key)
    }

    fn as_array(&self) -> Option<&Vec<Self>> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    fn as_object(&self) -> Option<Vec<(&str, &Self)>> {
        match self {
            Self::Object(members) => Some(members.iter().map(|(name, value)| (name.as_ref(), value)).collect()),
            _ => None,
        }
    }

    fn as_str(&self) -> Option<&str> {
        Node::as_str(self)
    }

    fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(value) => value.as_i64(),
            _ => None,
        }
    }

    fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(value) => value.as_f64(),
            _ => None,
        }
    }

    fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    fn null() -> Self {
        Self::Null
    }
}
