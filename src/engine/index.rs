//! Finds the rules that a Pod may match, without looking at each.
//!
//! Every rule is filed under one of the literals that a Pod must have for it: its owner's name, its namespace, its owner's
//! kind, or its gate; the one that the fewest rules share. Rules that differ in globs or label selectors only share a
//! literal, and are looked at one by one.

use rustc_hash::FxHashMap as HashMap;

use super::pod::Pod;
use super::rule::Rule;

/// Rules, filed by literals.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    filed: HashMap<Dimension, HashMap<Box<str>, Vec<usize>>>,
    gates: HashMap<Box<str>, Gated>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Dimension {
    OwnerName,
    Namespace,
    OwnerKind,
}

#[derive(Clone, Debug, Default)]
struct Gated {
    any_value: Vec<usize>,
    by_value: HashMap<Box<str>, Vec<usize>>,
}

const DIMENSIONS: [Dimension; 3] = [Dimension::OwnerName, Dimension::Namespace, Dimension::OwnerKind];

impl Index {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut shared: HashMap<(Dimension, &str), usize> = HashMap::default();
        let mut shared_gates: HashMap<(&str, Option<&str>), usize> = HashMap::default();
        for rule in rules {
            for dimension in DIMENSIONS {
                for literal in literals(rule, dimension).into_iter().flatten() {
                    *shared.entry((dimension, literal)).or_default() += 1;
                }
            }
            for value in gate_values(rule) {
                *shared_gates.entry((&rule.gate.label, value)).or_default() += 1;
            }
        }
        let mut index = Self::default();
        for (at, rule) in rules.iter().enumerate() {
            let by_gate = gate_values(rule)
                .into_iter()
                .map(|value| shared_gates[&(rule.gate.label.as_str(), value)])
                .max();
            let best = DIMENSIONS
                .into_iter()
                .filter_map(|dimension| {
                    let literals = literals(rule, dimension)?;
                    let most = literals.iter().map(|literal| shared[&(dimension, *literal)]).max()?;
                    Some((most, dimension, literals))
                })
                .min_by_key(|(most, ..)| *most)
                .filter(|(most, ..)| by_gate.is_none_or(|by_gate| *most < by_gate));
            if let Some((_, dimension, literals)) = best {
                let filed = index.filed.entry(dimension).or_default();
                for literal in literals {
                    filed.entry(literal.into()).or_default().push(at);
                }
            } else {
                let gated = index.gates.entry(rule.gate.label.as_str().into()).or_default();
                for value in gate_values(rule) {
                    match value {
                        None => gated.any_value.push(at),
                        Some(value) => gated.by_value.entry(value.into()).or_default().push(at),
                    }
                }
            }
        }
        index
    }

    /// The rules to look at, in their order. Those left out cannot match.
    pub(crate) fn candidates(&self, pod: &Pod<'_, '_>) -> Vec<usize> {
        let mut found = Vec::new();
        for (key, value) in pod.labels.iter() {
            if let Some(gated) = self.gates.get(key) {
                found.extend(&gated.any_value);
                found.extend(gated.by_value.get(value).into_iter().flatten());
            }
        }
        for (dimension, filed) in &self.filed {
            let literal = match dimension {
                Dimension::OwnerName => pod.owner.map(|owner| owner.name),
                Dimension::OwnerKind => pod.owner.map(|owner| owner.kind),
                Dimension::Namespace => Some(pod.namespace),
            };
            found.extend(literal.and_then(|literal| filed.get(literal)).into_iter().flatten());
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn gate_values(rule: &Rule) -> Vec<Option<&str>> {
    rule.gate
        .literals()
        .map_or_else(|| vec![None], |values| values.into_iter().map(Some).collect())
}

/// The literals of which a Pod must have one for the rule to match; `None` where it may have others.
fn literals(rule: &Rule, dimension: Dimension) -> Option<Vec<&str>> {
    let owner = rule.matching.owner.as_ref();
    // A rule that assumes an owner also matches Pods that have none.
    let owner = owner.filter(|owner| owner.default.is_none());
    match dimension {
        Dimension::OwnerName => owner?.names.as_ref()?.literals(),
        Dimension::OwnerKind => Some(
            owner?
                .kinds
                .as_ref()?
                .iter()
                .map(super::matching::OwnerKind::kind)
                .collect(),
        ),
        Dimension::Namespace => rule.matching.namespaces.as_ref()?.literals(),
    }
}
