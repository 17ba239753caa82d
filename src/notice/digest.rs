//! What is told of a group, once: what happened to how many Pods, in lines and in numbers.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::groups::Key;
use super::message::rfc3339;
use super::notice::{Kind, Notice, Owner};
use super::severity::Severity;

/// More lines than this are counted, not kept.
const MOST_LINES: usize = 50;
/// More names than this are counted, not kept.
pub(super) const MOST_PODS: usize = 10_000;
/// More names than this are not told.
const MOST_NAMES: usize = 10;

/// What is told of a group, once.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Digest {
    /// The namespace; none where there are several, or where this is about the policy.
    pub namespace: Option<String>,
    /// The owner of the Pods; none where they have several, or none.
    pub owner: Option<Owner>,
    /// The worst of its lines.
    pub severity: Severity,
    /// True where all that it tells is that something ended.
    pub resolved: bool,
    /// True where this is about the policy.
    pub is_policy: bool,
    /// How many Pods it is about.
    pub replicas: usize,
    /// What happened, in numbers.
    pub tallies: Vec<Tally>,
    /// The rules that decided.
    pub rules: Vec<Arc<str>>,
    /// What happened; what matters most, then most often, first.
    pub lines: Vec<Line>,
    /// How many notices are told of in no line of their own.
    pub others: usize,
    /// How many Pods of the group are rejected still; where it is about the policy, 1 while that is refused.
    pub still: usize,
    /// When the first and the last of it happened, in RFC 3339.
    pub first: String,
    /// See `first`.
    pub last: String,
    /// The generation of the policy that decided last.
    pub generation: String,
    /// How many notices it is made of.
    #[serde(skip)]
    pub notices: usize,
    /// When the first of it happened.
    #[serde(skip)]
    pub since: SystemTime,
    /// How long a rejection is taken to go on after this, unless it is told again.
    #[serde(skip)]
    pub lasts: Duration,
    /// What the group has in common: the same in every replica.
    #[serde(skip)]
    pub key: Key,
    /// What is told by it, to be told again where it does not arrive.
    #[serde(skip)]
    pub(super) told: HashSet<u64>,
}

/// What happened to some Pods of a group in the same way.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// What happened.
    pub outcome: Kind,
    /// True where it ended.
    pub resolved: bool,
    /// True where that is only guessed: nothing was seen of it for a long time.
    pub expired: bool,
    /// How much it matters.
    pub severity: Severity,
    /// The rule that decided.
    pub rule: Option<Arc<str>>,
    /// The place of the route in the rule, from 0.
    pub route: Option<usize>,
    /// Where the Pods go, in short; may be empty.
    pub place: String,
    /// Why, or what was overridden; may be empty.
    pub message: String,
    /// How many Pods.
    pub replicas: usize,
    /// The names of some of them.
    pub pods: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

/// How often something happened in a group.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// What happened.
    pub outcome: Kind,
    /// True where it ended.
    pub resolved: bool,
    /// True where that is only guessed: nothing was seen of it for a long time.
    pub expired: bool,
    /// To how many Pods.
    pub replicas: usize,
    /// Where they go, the most frequent first; a few of them.
    pub places: Vec<PlaceTally>,
}

/// How many Pods go to a place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlaceTally {
    /// The place, in short.
    pub place: String,
    /// How many Pods.
    pub replicas: usize,
}

fn tally_of(tallies: &mut Vec<Tally>, outcome: Kind, resolved: bool, expired: bool) -> &mut Tally {
    let same = |tally: &Tally| (tally.outcome, tally.resolved, tally.expired) == (outcome, resolved, expired);
    let at = tallies.iter().position(same).unwrap_or_else(|| {
        tallies.push(Tally {
            outcome,
            resolved,
            expired,
            replicas: 0,
            places: Vec::new(),
        });
        tallies.len() - 1
    });
    &mut tallies[at]
}

/// How often each thing happened, `others` among them.
fn tallies(lines: &[Line], others: &[Tally]) -> Vec<Tally> {
    /// More places than this make no headline.
    const MOST_PLACES: usize = 5;
    let mut tallies: Vec<Tally> = Vec::new();
    for line in lines {
        let tally = tally_of(&mut tallies, line.outcome, line.resolved, line.expired);
        tally.replicas += line.replicas;
        match tally.places.iter_mut().find(|place| place.place == line.place) {
            Some(place) => place.replicas += line.replicas,
            None => tally.places.push(PlaceTally {
                place: line.place.clone(),
                replicas: line.replicas,
            }),
        }
    }
    for other in others {
        let tally = tally_of(&mut tallies, other.outcome, other.resolved, other.expired);
        tally.replicas += other.replicas;
        tally.places.clear();
    }
    for tally in &mut tallies {
        tally
            .places
            .sort_by(|one, other| (other.replicas, &one.place).cmp(&(one.replicas, &other.place)));
        // A headline that says only half of it would mislead.
        if tally.places.len() > MOST_PLACES || tally.places.iter().any(|place| place.place.is_empty()) {
            tally.places.clear();
        }
    }
    tallies
}

/// What one thing is that the notices of a digest say: none yet, one, or several.
#[derive(Clone, Debug, Default)]
enum Shared<T> {
    #[default]
    None,
    One(T),
    Several,
}

impl<T: PartialEq> Shared<T> {
    fn add(&mut self, other: T) {
        *self = match std::mem::replace(self, Self::Several) {
            Self::None => Self::One(other),
            Self::One(one) if one == other => Self::One(one),
            Self::One(_) | Self::Several => Self::Several,
        };
    }

    fn into_one(self) -> Option<T> {
        match self {
            Self::One(one) => Some(one),
            Self::None | Self::Several => None,
        }
    }
}

/// What makes two notices one line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LineKey {
    kind: Kind,
    resolved: bool,
    expired: bool,
    rule: Option<Arc<str>>,
    route: Option<usize>,
    place: String,
    message: String,
}

#[derive(Debug)]
struct Waiting {
    key: LineKey,
    severity: Severity,
    /// By length and name, so that `web-2` comes before `web-10`.
    pods: BTreeSet<(usize, String)>,
    /// Those that have no name yet, and those beyond what is kept.
    unnamed: usize,
}

/// What of a group waits to be told.
#[derive(Debug, Default)]
pub(super) struct Pending {
    lines: Vec<Waiting>,
    /// What found no line.
    others: Vec<Tally>,
    pub(super) notices: usize,
    namespace: Shared<String>,
    owner: Shared<Option<Owner>>,
    pub(super) first: Option<SystemTime>,
    last: Option<SystemTime>,
    generation: String,
    pub(super) told: HashSet<u64>,
}

/// Whether a line says that something ended, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End<'e> {
    /// It happened.
    No,
    /// It ended: under which generation of the policy, and when.
    Seen(&'e str, SystemTime),
    /// Nothing was seen of it for a long time.
    Expired,
}

impl Pending {
    /// The same once more.
    pub(super) fn again(&mut self, notice: &Notice) {
        self.notices += 1;
        self.last = Some(notice.at);
        self.generation.clone_from(&notice.generation);
    }

    pub(super) fn add(&mut self, notice: &Notice, end: End<'_>) {
        let resolved = end != End::No;
        let key = LineKey {
            kind: notice.kind,
            resolved,
            expired: end == End::Expired,
            rule: notice.rule.clone(),
            route: notice.route.filter(|_| !resolved),
            place: if resolved { String::new() } else { notice.place.clone() },
            message: if resolved {
                String::new()
            } else {
                notice.message.clone()
            },
        };
        self.first.get_or_insert(notice.at);
        self.last = Some(notice.at);
        self.generation.clone_from(&notice.generation);
        if !resolved {
            self.notices += 1;
        }
        if notice.kind != Kind::Policy {
            self.namespace.add(notice.namespace.clone());
            self.owner.add(notice.owner.clone());
        }
        let kept: usize = self.lines.iter().map(|line| line.pods.len()).sum();
        let line = match self.lines.iter().position(|line| line.key == key) {
            Some(at) => &mut self.lines[at],
            None if self.lines.len() >= MOST_LINES => {
                tally_of(&mut self.others, key.kind, key.resolved, key.expired).replicas += 1;
                return;
            }
            None => {
                self.lines.push(Waiting {
                    key,
                    severity: notice.severity,
                    pods: BTreeSet::new(),
                    unnamed: 0,
                });
                let last = self.lines.len() - 1;
                &mut self.lines[last]
            }
        };
        if notice.is_named() && kept < MOST_PODS {
            line.pods.insert((notice.pod.len(), notice.pod.clone()));
        } else {
            line.unnamed += 1;
            if line.pods.is_empty() && notice.kind != Kind::Policy {
                line.pods.insert((notice.pod.len(), notice.pod.clone()));
            }
        }
    }

    pub(super) fn into_digest(mut self, key: Key) -> Digest {
        self.lines.sort_by_key(|line| {
            (
                Reverse(line.severity),
                line.key.kind,
                line.key.resolved,
                Reverse(line.replicas()),
                line.key.place.clone(),
            )
        });
        let lines: Vec<Line> = self.lines.into_iter().map(Waiting::into_line).collect();
        let since = self.first.unwrap_or(SystemTime::UNIX_EPOCH);
        let others = self.others.iter().map(|tally| tally.replicas).sum::<usize>();
        let rules: BTreeSet<Arc<str>> = lines.iter().filter_map(|line| line.rule.clone()).collect();
        Digest {
            namespace: self.namespace.into_one(),
            owner: self.owner.into_one().flatten(),
            severity: lines.iter().map(|line| line.severity).max().unwrap_or_default(),
            resolved: lines.iter().all(|line| line.resolved),
            is_policy: key.is_policy,
            tallies: tallies(&lines, &self.others),
            rules: rules.into_iter().collect(),
            replicas: lines.iter().map(|line| line.replicas).sum::<usize>() + others,
            others,
            still: 0,
            lasts: Duration::ZERO,
            first: rfc3339(since),
            last: rfc3339(self.last.unwrap_or(since)),
            generation: self.generation,
            notices: self.notices,
            since,
            key,
            told: self.told,
            lines,
        }
    }
}

impl Waiting {
    fn replicas(&self) -> usize {
        // A prefix with a star stands for those without a name, which are counted.
        let named = self.pods.iter().filter(|(_, name)| !name.ends_with('*')).count();
        named + self.unnamed
    }

    fn into_line(self) -> Line {
        let replicas = self.replicas();
        let shown: Vec<String> = self.pods.into_iter().map(|(_, name)| name).take(MOST_NAMES).collect();
        Line {
            outcome: self.key.kind,
            resolved: self.key.resolved,
            expired: self.key.expired,
            severity: self.severity,
            rule: self.key.rule,
            route: self.key.route,
            place: self.key.place,
            message: self.key.message,
            more: if shown.iter().any(|name| name.ends_with('*')) {
                0
            } else {
                replicas.saturating_sub(shown.len())
            },
            replicas,
            pods: shown,
        }
    }
}
