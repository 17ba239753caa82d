//! When a route is taken. A new condition is one file here and one line in the list below.

mod even;
mod first;
mod modulo;
mod odd;
mod otherwise;
mod range;
mod where_paths;

use super::choice::choices;
use super::context::Context;
use super::path::Path;

choices! {
    /// A condition of a route.
    When, "a condition", condition -> Condition, {
        "even" => even::Even,
        "odd" => odd::Odd,
        "modulo" => modulo::Modulo,
        "range" => range::Ranges,
        "first" => first::First,
        "where" => where_paths::Where,
        "otherwise" => otherwise::Otherwise,
    }
}

/// What a condition looks at.
pub(crate) struct Asked<'c, 'a> {
    pub(crate) ordinal: Option<u64>,
    pub(crate) context: &'c Context<'a>,
}

/// A condition holds or not.
pub(crate) trait Condition {
    fn holds(&self, asked: &Asked<'_, '_>) -> bool;

    /// What it asks for, behind its name in a trace; empty where the name says it all.
    fn details(&self) -> String {
        String::new()
    }

    /// How it divides the ordinals; `None` where more than the ordinal decides.
    fn ordinals(&self) -> Option<Ordinals<'_>>;

    /// The paths that it reads.
    fn paths(&self) -> &[Path] {
        &[]
    }
}

/// The ordinals for which a condition holds: a pattern that repeats after `period` from the largest of `bounds` on.
pub(crate) struct Ordinals<'w> {
    pub(crate) period: u64,
    /// Where the pattern changes.
    pub(crate) bounds: Vec<u64>,
    pub(crate) holds: Box<dyn Fn(u64) -> bool + 'w>,
}

impl Ordinals<'_> {
    /// True where every ordinal fits.
    pub(crate) fn all() -> Self {
        Self {
            period: 1,
            bounds: Vec::new(),
            holds: Box::new(|_| true),
        }
    }
}

/// The first of `conditions` that can never hold, because those before it hold for all of its ordinals, or because no
/// ordinal fits it. `None` stands for a route without a condition, which always holds.
pub(crate) fn covered(conditions: &[Option<&When>]) -> Vec<usize> {
    /// Beyond this common period the question is left open: it would take too long to try every ordinal.
    const LONGEST_PERIOD: u64 = 10_000;
    /// And beyond so many ordinals.
    const MOST_SAMPLES: u64 = 100_000;
    let ordinals: Vec<Option<Ordinals<'_>>> = conditions
        .iter()
        .map(|when| when.map_or_else(|| Some(Ordinals::all()), |when| when.condition().ordinals()))
        .collect();
    let mut period = 1;
    let mut bounds = vec![0];
    for ordinals in ordinals.iter().flatten() {
        period = least_common_multiple(period, ordinals.period);
        bounds.extend(&ordinals.bounds);
        if period > LONGEST_PERIOD {
            return Vec::new();
        }
    }
    bounds.sort_unstable();
    bounds.dedup();
    if u64::try_from(bounds.len()).unwrap_or(u64::MAX).saturating_mul(period) > MOST_SAMPLES {
        return Vec::new();
    }
    let ends = bounds.iter().skip(1).copied().chain([u64::MAX]);
    let samples: Vec<u64> = bounds
        .iter()
        .zip(ends)
        .flat_map(|(start, end)| *start..end.min(start.saturating_add(period)))
        .collect();
    let everything_before =
        |at: usize, ordinal: u64| ordinals[..at].iter().flatten().any(|earlier| (earlier.holds)(ordinal));
    (0..conditions.len())
        .filter(|at| match &ordinals[*at] {
            Some(own) => !samples
                .iter()
                .any(|ordinal| (own.holds)(*ordinal) && !everything_before(*at, *ordinal)),
            None => samples.iter().all(|ordinal| everything_before(*at, *ordinal)),
        })
        .collect()
}

fn least_common_multiple(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).saturating_mul(b)
}
