//! A compiled rule, and the words of its fields.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::allow::Allow;
use super::conflict::OnConflict;
use super::context::Root;
use super::failure::Cause;
use super::gate::{Gate, LabelKey};
use super::matching::Match;
use super::ordinal::Ordinal;
use super::path::Path;
use super::route::Route;

/// One rule of a snapshot.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, unique in the policy.
    pub name: Arc<str>,
    /// The gate that its Pods must pass: its own, or the file's.
    pub gate: Gate,
    /// The Pods it is for.
    pub matching: Match,
    /// Whether it acts, or only says what it would do.
    pub mode: Mode,
    /// How the ordinal is found.
    pub ordinal: Option<Ordinal>,
    /// Where the document is.
    pub document: Option<Document>,
    /// The routes, tried in this order.
    pub routes: Vec<Route>,
    /// What happens where the Pod says otherwise.
    pub on_conflict: OnConflict,
    /// What happens where the rule cannot place the Pod.
    pub on_error: OnError,
    /// What `${…}` may produce.
    pub allow: Allow,
    /// Whether later rules are tried after this one.
    pub continues: bool,
    /// Whether the decision is recorded on the Pod.
    pub annotate: bool,
}

impl Rule {
    /// Every path of the rule.
    pub(crate) fn paths<'r>(&'r self, see: &mut dyn FnMut(&'r Path)) {
        self.matching
            .where_
            .iter()
            .flat_map(|paths| &paths.0)
            .for_each(&mut *see);
        for source in self.ordinal.iter().flat_map(|ordinal| &ordinal.from) {
            source.reader().path().into_iter().for_each(&mut *see);
        }
        for route in &self.routes {
            if let Some(when) = &route.when {
                when.condition().paths().iter().for_each(&mut *see);
            }
            if let Some(spread) = &route.spread {
                spread.path().into_iter().for_each(&mut *see);
                spread
                    .templates()
                    .iter()
                    .flat_map(super::interpolation::Template::paths)
                    .for_each(&mut *see);
            }
            for placement in &route.placements {
                placement
                    .place()
                    .templates(&mut |template| template.paths().for_each(&mut *see));
            }
        }
    }

    /// True where the ordinal comes from something that the Pod's author or a team sets, not a controller.
    pub(crate) fn reads_own_ordinal(&self) -> bool {
        self.ordinal
            .iter()
            .flat_map(|ordinal| &ordinal.from)
            .any(|source| !source.reader().is_set_by_a_controller())
    }

    /// What the rule's document looks like, by the paths that read it: for those who have to write one.
    pub(crate) fn document_shape(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        let mut list = false;
        self.paths(&mut |path| {
            for reads in path.reads().iter().filter(|reads| reads.root == Root::Document) {
                match reads.names.first() {
                    Some(name) if !names.contains(&name.as_str()) => names.push(name),
                    Some(_) => {}
                    None => list = true,
                }
            }
        });
        match names.as_slice() {
            [] if list => "[\"…\", \"…\"]".to_owned(),
            [] => "JSON".to_owned(),
            names => {
                let members: Vec<String> = names.iter().map(|name| format!("{name:?}: \"…\"")).collect();
                format!("{{{}}}", members.join(", "))
            }
        }
    }
}

/// Whether a rule acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It decides.
    #[default]
    Enforce,
    /// It decides, measures, warns and notifies; it never patches, rejects or ends the search.
    Shadow,
}

/// The annotation whose JSON is `$.document`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The annotation's key. Its value must be JSON.
    pub annotation: LabelKey,
}

/// What becomes of a Pod that a rule matches and cannot place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is rejected, with the reason.
    #[default]
    Reject,
    /// It is admitted as it is, with a Warning.
    Admit,
}

/// `reject` or `admit`: for every cause, or for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnError(BTreeMap<&'static str, Verdict>, Verdict);

impl OnError {
    /// True where some cause lets the Pod through.
    pub(crate) fn may_admit(&self) -> bool {
        self.1 == Verdict::Admit || self.0.values().any(|verdict| *verdict == Verdict::Admit)
    }

    /// What becomes of the Pod.
    pub fn verdict(&self, cause: Cause) -> Verdict {
        self.0.get(cause.name()).copied().unwrap_or(self.1)
    }
}

/// A verdict for each cause; `reject` for those left out.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ByCause {
    /// No source gave an ordinal, or it lies below `start`.
    missing_ordinal: Option<Verdict>,
    /// The Pod has no such annotation.
    missing_document: Option<Verdict>,
    /// The annotation holds no JSON.
    invalid_document: Option<Verdict>,
    /// A path selected nothing.
    missing_path: Option<Verdict>,
    /// A value that Kubernetes, `allow` or the rule does not accept.
    invalid_value: Option<Verdict>,
    /// No route holds.
    no_route: Option<Verdict>,
}

impl<'de> Deserialize<'de> for OnError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrMap;
        impl<'de> de::Visitor<'de> for WordOrMap {
            type Value = OnError;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("reject, admit, or a map of causes to one of them")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<OnError, E> {
                let verdict = Verdict::deserialize(de::value::StrDeserializer::<E>::new(word))?;
                Ok(OnError(BTreeMap::new(), verdict))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<OnError, A::Error> {
                let by = ByCause::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let causes = [
                    (Cause::MissingOrdinal, by.missing_ordinal),
                    (Cause::MissingDocument, by.missing_document),
                    (Cause::InvalidDocument, by.invalid_document),
                    (Cause::MissingPath, by.missing_path),
                    (Cause::InvalidValue, by.invalid_value),
                    (Cause::NoRoute, by.no_route),
                ];
                let verdicts = causes
                    .into_iter()
                    .filter_map(|(cause, verdict)| Some((cause.name(), verdict?)))
                    .collect();
                Ok(OnError(verdicts, Verdict::Reject))
            }
        }
        deserializer.deserialize_any(WordOrMap)
    }
}

impl JsonSchema for OnError {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OnError".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let word = generator.subschema_for::<Verdict>();
        let map = generator.subschema_for::<ByCause>();
        json_schema!({
            "description": "What becomes of a Pod that the rule matches and cannot place: one word, or a map by cause.",
            "anyOf": [word, map],
        })
    }
}
