//! From many notices to few messages: a group waits for others of its kind, is told at intervals, and not again while it
//! stays the same. Pure: time is an argument, as the time since any fixed moment.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::grouping::{By, Grouping};
use super::message::rfc3339;
use super::notice::{Kind, Notice, Owner};
use super::severity::Severity;

/// More groups than this do not wait at a time: what happens to a cluster as a whole is a message of another kind.
const MOST_GROUPS: usize = 1000;
/// More lines than this are counted, not kept.
const MOST_LINES: usize = 50;
/// More names than this are counted, not kept.
const MOST_PODS: usize = 10_000;
/// More names than this are not told.
const MOST_NAMES: usize = 10;
/// More rejections than this are not followed to their end.
const MOST_LASTING: usize = 10_000;
/// More of what was told is not remembered for each group.
const MOST_TOLD: usize = 2000;

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
    told: HashSet<u64>,
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

/// What the notices of a group have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The namespace, where groups are told apart by it or by owner.
    pub namespace: Option<String>,
    /// The owner's kind and name, where groups are told apart by owner.
    pub owner: Option<(String, String)>,
    /// The rule, where groups are told apart by it.
    pub rule: Option<Arc<str>>,
    /// What happened, where groups are told apart by it.
    pub kind: Option<Kind>,
    /// True for what is about the policy, which is a group of its own.
    pub is_policy: bool,
}

impl Key {
    fn of(notice: &Notice, by: &[By]) -> Self {
        if notice.kind == Kind::Policy {
            return Self {
                kind: Some(Kind::Policy),
                is_policy: true,
                ..Self::default()
            };
        }
        let has = |one: By| by.contains(&one);
        Self {
            namespace: (has(By::Namespace) || has(By::Owner)).then(|| notice.namespace.clone()),
            owner: notice
                .owner
                .as_ref()
                .filter(|_| has(By::Owner))
                .map(|owner| (owner.kind.clone(), owner.name.clone())),
            rule: notice.rule.clone().filter(|_| has(By::Rule)),
            kind: has(By::Outcome).then_some(notice.kind),
            is_policy: false,
        }
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It will be told.
    Waits,
    /// It was told before, and is not told again yet.
    Repeated,
    /// There are too many groups.
    NoRoom,
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
struct Pending {
    lines: Vec<Waiting>,
    /// What found no line.
    others: Vec<Tally>,
    notices: usize,
    namespace: Shared<String>,
    owner: Shared<Option<Owner>>,
    first: Option<SystemTime>,
    last: Option<SystemTime>,
    generation: String,
    told: HashSet<u64>,
}

#[derive(Debug, Default)]
struct Group {
    pending: Option<Pending>,
    due: Duration,
    last_sent: Option<Duration>,
    /// What was told, and when.
    told: HashMap<u64, Duration>,
}

/// A rejection that has not ended.
#[derive(Debug)]
struct Lasting {
    key: Key,
    seen: Duration,
    notice: Arc<Notice>,
    /// What was told of it, or waits to be.
    told: Vec<u64>,
}

/// Whether a line says that something ended, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End<'e> {
    /// It happened.
    No,
    /// It ended: under which generation of the policy, and when.
    Seen(&'e str, SystemTime),
    /// Nothing was seen of it for a long time.
    Expired,
}

/// What tells one thing that lasts from another: the Pod, or its owner while it has no name.
type Subject = (String, String, String);

fn subject(notice: &Notice) -> Subject {
    let owner = notice.owner.as_ref().filter(|_| !notice.is_named());
    (
        notice.namespace.clone(),
        notice.pod.clone(),
        owner.map(|owner| owner.name.clone()).unwrap_or_default(),
    )
}

/// The groups of one sink.
#[derive(Debug)]
pub struct Digests {
    grouping: Grouping,
    groups: BTreeMap<Key, Group>,
    lasting: HashMap<Subject, Lasting>,
}

impl Digests {
    /// No groups yet.
    pub fn new(grouping: Grouping) -> Self {
        Self {
            grouping,
            groups: BTreeMap::new(),
            lasting: HashMap::new(),
        }
    }

    /// Takes a notice.
    pub fn add(&mut self, notice: &Arc<Notice>, now: Duration) -> Added {
        if notice.kind.ends_rejection() {
            self.end(notice, now);
        }
        let key = Key::of(notice, &self.grouping.by);
        let fingerprint = fingerprint(notice);
        let repeat = self.grouping.repeat;
        let Some(group) = self.group(&key, now) else {
            return Added::NoRoom;
        };
        // Two Pods without a name are not one; a refused one is tried again and again.
        let may_repeat = notice.is_named() || notice.kind.lasts();
        let told = group.told.get(&fingerprint).is_some_and(|told| now < *told + repeat);
        let pending = group.pending.as_mut();
        let waits = pending.filter(|pending| may_repeat && pending.told.contains(&fingerprint));
        let added = if let Some(pending) = waits {
            pending.again(notice);
            Added::Waits
        } else if may_repeat && told {
            Added::Repeated
        } else {
            self.wait(&key, notice, End::No, now);
            let pending = self.groups.get_mut(&key).and_then(|group| group.pending.as_mut());
            if let Some(pending) = pending.filter(|pending| may_repeat && pending.told.len() < MOST_PODS) {
                pending.told.insert(fingerprint);
            }
            Added::Waits
        };
        if notice.kind.lasts() {
            self.make_last(&key, notice, fingerprint, now);
        }
        added
    }

    /// Takes note that a Pod is there: what was told of it before has ended.
    pub fn end(&mut self, notice: &Notice, now: Duration) {
        if let Some(lasting) = self.lasting.remove(&subject(notice)) {
            self.ended(&lasting, End::Seen(&notice.generation, notice.at), now);
        }
    }

    /// Takes note that a policy is served again: which one, and since when.
    pub fn end_policy(&mut self, generation: &str, at: SystemTime, now: Duration) {
        let subject = (String::new(), String::new(), String::new());
        if let Some(lasting) = self.lasting.remove(&subject) {
            self.ended(&lasting, End::Seen(generation, at), now);
        }
    }

    /// How many rejections have not ended: who asks need not send what ends none.
    pub fn lasting(&self) -> usize {
        self.lasting.len()
    }

    /// When something is due next.
    pub fn next(&self) -> Option<Duration> {
        let due = self
            .groups
            .values()
            .filter(|group| group.pending.is_some())
            .map(|group| group.due);
        let ends = self.lasting.values().filter_map(|lasting| self.ends(lasting));
        due.chain(ends).min()
    }

    /// What is due, `most` groups at most: those that are due longest come first.
    pub fn take(&mut self, now: Duration, most: usize) -> Vec<Digest> {
        self.expire(now);
        let mut due: Vec<(Duration, Key)> = self
            .groups
            .iter()
            .filter(|(_, group)| group.pending.is_some() && group.due <= now)
            .map(|(key, group)| (group.due, key.clone()))
            .collect();
        due.sort();
        due.truncate(most);
        due.into_iter().filter_map(|(_, key)| self.digest(key, now)).collect()
    }

    /// All that waits, due or not.
    pub fn flush(&mut self, now: Duration) -> Vec<Digest> {
        let keys: Vec<Key> = self.groups.keys().cloned().collect();
        keys.into_iter().filter_map(|key| self.digest(key, now)).collect()
    }

    /// How many notices wait.
    pub fn waiting(&self) -> usize {
        let pending = self.groups.values().filter_map(|group| group.pending.as_ref());
        pending.map(|pending| pending.notices).sum()
    }

    /// Forgets that something was told: it did not arrive, and nobody is told of its end.
    pub fn failed(&mut self, digest: &Digest) {
        if let Some(group) = self.groups.get_mut(&digest.key) {
            for told in &digest.told {
                group.told.remove(told);
            }
        }
        self.lasting.retain(|_, lasting| {
            lasting.key != digest.key || !lasting.told.iter().any(|told| digest.told.contains(told))
        });
    }

    /// When it is taken to have ended. A policy is looked at again only when somebody changes it.
    fn ends(&self, lasting: &Lasting) -> Option<Duration> {
        (!lasting.key.is_policy).then(|| lasting.seen + self.grouping.resolve)
    }

    fn group(&mut self, key: &Key, now: Duration) -> Option<&mut Group> {
        if !self.groups.contains_key(key) && self.groups.len() >= MOST_GROUPS {
            let keep = self.grouping.repeat.max(self.grouping.interval);
            // First those that have nothing to remember; then those that only remember.
            self.groups
                .retain(|_, group| group.pending.is_some() || group.last_sent.is_some_and(|sent| now < sent + keep));
            if self.groups.len() >= MOST_GROUPS {
                let idle = self.groups.iter().filter(|(_, group)| group.pending.is_none());
                let oldest = idle
                    .min_by_key(|(_, group)| group.last_sent)
                    .map(|(key, _)| key.clone())?;
                self.groups.remove(&oldest);
            }
        }
        Some(self.groups.entry(key.clone()).or_default())
    }

    fn make_last(&mut self, key: &Key, notice: &Arc<Notice>, fingerprint: u64, now: Duration) {
        /// More reasons than this of one Pod are not remembered.
        const MOST_REASONS: usize = 50;
        let subject = subject(notice);
        if self.lasting.len() >= MOST_LASTING && !self.lasting.contains_key(&subject) {
            return;
        }
        let lasting = self.lasting.entry(subject).or_insert_with(|| Lasting {
            key: key.clone(),
            seen: now,
            notice: Arc::clone(notice),
            told: Vec::new(),
        });
        lasting.key.clone_from(key);
        lasting.seen = now;
        lasting.notice = Arc::clone(notice);
        if !lasting.told.contains(&fingerprint) && lasting.told.len() < MOST_REASONS {
            lasting.told.push(fingerprint);
        }
    }

    fn ended(&mut self, lasting: &Lasting, end: End<'_>, now: Duration) {
        let mut notice = Notice::clone(&lasting.notice);
        match end {
            End::Seen(generation, at) => {
                generation.clone_into(&mut notice.generation);
                notice.at = at;
            }
            End::Expired | End::No => notice.at += now.saturating_sub(lasting.seen),
        }
        let Some(group) = self.group(&lasting.key, now) else {
            return;
        };
        // When it comes again, for whichever reason, it is told again.
        for told in &lasting.told {
            group.told.remove(told);
            if let Some(pending) = &mut group.pending {
                pending.told.remove(told);
            }
        }
        self.wait(&lasting.key, &notice, end, now);
    }

    fn expire(&mut self, now: Duration) {
        let over: Vec<Subject> = self
            .lasting
            .iter()
            .filter(|(_, lasting)| self.ends(lasting).is_some_and(|ends| ends <= now))
            .map(|(subject, _)| subject.clone())
            .collect();
        for subject in over {
            if let Some(lasting) = self.lasting.remove(&subject) {
                self.ended(&lasting, End::Expired, now);
            }
        }
    }

    /// Puts a notice, or the end of one, into its group.
    fn wait(&mut self, key: &Key, notice: &Notice, end: End<'_>, now: Duration) {
        let (wait, interval) = (self.grouping.wait, self.grouping.interval);
        let Some(group) = self.group(key, now) else { return };
        let pending = group.pending.get_or_insert_default();
        if pending.first.is_none() {
            let soonest = now + wait;
            group.due = group.last_sent.map_or(soonest, |sent| soonest.max(sent + interval));
        }
        pending.add(notice, end);
    }

    fn digest(&mut self, key: Key, now: Duration) -> Option<Digest> {
        let (repeat, resolve) = (self.grouping.repeat, self.grouping.resolve);
        let still = self.lasting.values().filter(|lasting| lasting.key == key).count();
        let group = self.groups.get_mut(&key)?;
        let pending = group.pending.take()?;
        group.last_sent = Some(now);
        if group.told.len() + pending.told.len() > MOST_TOLD {
            group.told.retain(|_, told| now < *told + repeat);
            if group.told.len() + pending.told.len() > MOST_TOLD {
                group.told.clear();
            }
        }
        group.told.extend(pending.told.iter().map(|told| (*told, now)));
        Some(Digest {
            still,
            lasts: resolve,
            ..pending.into_digest(key)
        })
    }
}

/// What tells a notice from one that says the same.
fn fingerprint(notice: &Notice) -> u64 {
    hash(&(
        notice.kind,
        &notice.namespace,
        &notice.pod,
        &notice.owner,
        &notice.rule,
        notice.route,
        &notice.place,
        &notice.message,
    ))
}

impl Pending {
    /// The same once more.
    fn again(&mut self, notice: &Notice) {
        self.notices += 1;
        self.last = Some(notice.at);
        self.generation.clone_from(&notice.generation);
    }

    fn add(&mut self, notice: &Notice, end: End<'_>) {
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

    fn into_digest(mut self, key: Key) -> Digest {
        self.lines.sort_by_key(|line| {
            (
                std::cmp::Reverse(line.severity),
                line.key.kind,
                line.key.resolved,
                std::cmp::Reverse(line.replicas()),
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn notice(kind: Kind, pod: &str, place: &str, message: &str) -> Arc<Notice> {
        Arc::new(Notice {
            kind,
            severity: Severity::Info,
            namespace: "prod".to_owned(),
            owner: Some(Owner {
                kind: "StatefulSet".to_owned(),
                name: "web".to_owned(),
                api_version: "apps/v1".to_owned(),
                uid: String::new(),
            }),
            pod: pod.to_owned(),
            rule: Some("parity".into()),
            route: Some(0),
            place: place.to_owned(),
            message: message.to_owned(),
            generation: "abc".to_owned(),
            at: SystemTime::UNIX_EPOCH,
        })
    }

    fn routed(ordinal: usize) -> Arc<Notice> {
        let place = ["node1", "node2"][ordinal % 2];
        notice(Kind::Routed, &format!("web-{ordinal}"), place, "")
    }

    fn rejected(pod: &str) -> Arc<Notice> {
        notice(Kind::Rejected, pod, "", "no annotation")
    }

    /// 10 s, 5 min, 4 h and 1 h, as sinks have them unless said.
    fn digests() -> Digests {
        Digests::new(Grouping {
            by: vec![By::Owner, By::Outcome],
            wait: 10 * SECOND,
            interval: 300 * SECOND,
            repeat: 4 * 3600 * SECOND,
            resolve: 3600 * SECOND,
        })
    }

    fn take_one(digests: &mut Digests, now: Duration) -> Digest {
        let mut taken = digests.take(now, usize::MAX);
        assert_eq!(taken.len(), 1, "{taken:?}");
        taken.remove(0)
    }

    #[test]
    fn a_rollout_is_one_message_for_each_interval() {
        let mut digests = digests();
        let mut messages = Vec::new();
        // One Pod a second, for more than eight minutes.
        for ordinal in 0..500 {
            let now = SECOND * u32::try_from(ordinal).unwrap();
            assert_eq!(digests.add(&routed(ordinal), now), Added::Waits);
            messages.extend(digests.take(now, usize::MAX).into_iter().map(|digest| (now, digest)));
        }
        let end = digests.next().unwrap();
        messages.push((end, take_one(&mut digests, end)));
        let at: Vec<u64> = messages.iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(at, [10, 310, 610]);
        assert_eq!(messages.iter().map(|(_, digest)| digest.notices).sum::<usize>(), 500);
        assert_eq!(messages[0].1.replicas, 11);
        assert_eq!(messages[1].1.replicas, 300);
    }

    #[test]
    fn a_digest_counts_by_place_and_names_some() {
        let mut digests = digests();
        for ordinal in 0..30 {
            digests.add(&routed(ordinal), Duration::ZERO);
        }
        let digest = take_one(&mut digests, 10 * SECOND);
        let places: Vec<(&str, usize)> = digest.tallies[0]
            .places
            .iter()
            .map(|place| (place.place.as_str(), place.replicas))
            .collect();
        assert_eq!(places, [("node1", 15), ("node2", 15)]);
        assert_eq!(digest.lines[0].pods.len(), MOST_NAMES);
        assert_eq!(
            (digest.lines[0].pods[1].as_str(), digest.lines[0].pods[5].as_str()),
            ("web-2", "web-10")
        );
        assert_eq!(digest.lines[0].more, 5);
        assert_eq!(digest.owner.unwrap().name, "web");
    }

    #[test]
    fn what_was_told_is_not_told_again_until_the_repeat_interval_is_over() {
        let mut digests = digests();
        digests.add(&rejected("web-1"), Duration::ZERO);
        take_one(&mut digests, 10 * SECOND);
        // The controller tries again and again.
        for minute in 1..239 {
            assert_eq!(digests.add(&rejected("web-1"), 60 * SECOND * minute), Added::Repeated);
        }
        assert!(digests.take(239 * 60 * SECOND, usize::MAX).is_empty());
        assert_eq!(digests.add(&rejected("web-1"), 241 * 60 * SECOND), Added::Waits);
        // Another fault of the same Pod is news.
        let other = notice(Kind::Rejected, "web-1", "", "no JSON");
        assert_eq!(digests.add(&other, 242 * 60 * SECOND), Added::Waits);
    }

    #[test]
    fn what_did_not_arrive_is_told_again() {
        let mut digests = digests();
        digests.add(&rejected("web-1"), Duration::ZERO);
        let digest = take_one(&mut digests, 10 * SECOND);
        digests.failed(&digest);
        assert_eq!(digests.add(&rejected("web-1"), 60 * SECOND), Added::Waits);
    }

    #[test]
    fn a_rejection_ends_when_the_pod_is_there() {
        let mut digests = digests();
        digests.add(&rejected("web-1"), Duration::ZERO);
        take_one(&mut digests, 10 * SECOND);
        assert_eq!(digests.lasting(), 1);
        digests.end(&routed(1), 60 * SECOND);
        assert_eq!(digests.lasting(), 0);
        let digest = take_one(&mut digests, 310 * SECOND);
        assert!(digest.resolved && digest.lines[0].resolved);
        assert_eq!((digest.notices, digest.replicas), (0, 1));
        // When it comes back it is news, however soon.
        assert_eq!(digests.add(&rejected("web-1"), 311 * SECOND), Added::Waits);
    }

    #[test]
    fn what_a_shadowed_rule_would_do_ends_no_rejection() {
        let mut digests = digests();
        digests.add(&rejected("web-1"), Duration::ZERO);
        digests.add(&notice(Kind::Shadowed, "web-1", "eu-1a", ""), Duration::ZERO);
        assert_eq!(digests.lasting(), 1);
        let told = digests.take(10 * SECOND, usize::MAX);
        assert!(told.iter().all(|digest| !digest.resolved), "{told:?}");
    }

    #[test]
    fn a_rejection_that_ends_before_it_was_told_is_told_again_when_it_comes_back() {
        let mut digests = digests();
        digests.add(&rejected("web-1"), Duration::ZERO);
        digests.end(&routed(1), 5 * SECOND);
        let told = take_one(&mut digests, 10 * SECOND);
        assert_eq!((told.notices, told.lines.len()), (1, 2));
        assert_eq!(digests.add(&rejected("web-1"), 600 * SECOND), Added::Waits);
    }

    #[test]
    fn each_reason_of_a_rejection_that_ended_is_told_again() {
        let mut digests = digests();
        let reasons = ["no annotation", "no JSON"].map(|why| notice(Kind::Rejected, "web-1", "", why));
        for (number, reason) in reasons.iter().enumerate() {
            let now = SECOND * 1000 * u32::try_from(number).unwrap();
            assert_eq!(digests.add(reason, now), Added::Waits);
            take_one(&mut digests, now + 400 * SECOND);
        }
        digests.end(&routed(1), 2000 * SECOND);
        take_one(&mut digests, 2400 * SECOND);
        for reason in &reasons {
            assert_eq!(digests.add(reason, 3000 * SECOND), Added::Waits, "{}", reason.message);
        }
    }

    #[test]
    fn many_different_refusals_are_counted_in_full_and_once() {
        let mut digests = digests();
        for _ in 0..3 {
            for ordinal in 0..200 {
                let why = format!("no route for {ordinal}");
                digests.add(
                    &notice(Kind::Rejected, &format!("web-{ordinal}"), "", &why),
                    Duration::ZERO,
                );
            }
        }
        let digest = take_one(&mut digests, 10 * SECOND);
        assert_eq!(
            (digest.tallies[0].replicas, digest.replicas, digest.lines.len()),
            (200, 200, 50)
        );
        assert_eq!((digest.others, digest.notices), (150, 600));
    }

    #[test]
    fn a_refused_pod_without_a_name_that_is_tried_again_is_one() {
        let mut digests = digests();
        for _ in 0..11 {
            digests.add(&rejected("web-7f6d-*"), Duration::ZERO);
        }
        let digest = take_one(&mut digests, 10 * SECOND);
        assert_eq!((digest.replicas, digest.notices), (1, 11));
    }

    #[test]
    fn nobody_is_told_of_the_end_of_what_did_not_arrive() {
        let mut digests = digests();
        digests.add(&rejected("web-1"), Duration::ZERO);
        let digest = take_one(&mut digests, 10 * SECOND);
        digests.failed(&digest);
        digests.end(&routed(1), 20 * SECOND);
        assert_eq!((digests.lasting(), digests.next()), (0, None));
    }

    #[test]
    fn a_rejection_that_nobody_tries_again_ends_by_itself() {
        let mut digests = digests();
        digests.add(&rejected("web-1"), Duration::ZERO);
        take_one(&mut digests, 10 * SECOND);
        digests.add(&rejected("web-1"), 1800 * SECOND);
        assert_eq!(digests.next(), Some(5400 * SECOND));
        assert!(digests.take(5399 * SECOND, usize::MAX).is_empty());
        digests.take(5400 * SECOND, usize::MAX);
        let digest = take_one(&mut digests, 5410 * SECOND);
        assert!(digest.resolved && digest.lines[0].expired);
        assert_eq!(digests.next(), None);
    }

    #[test]
    fn a_policy_stays_refused_until_one_is_served() {
        let mut digests = digests();
        let refused = Arc::new(Notice::policy_refused("line 3", "abc", SystemTime::UNIX_EPOCH));
        digests.add(&refused, Duration::ZERO);
        assert!(take_one(&mut digests, 10 * SECOND).is_policy);
        assert!(digests.take(Duration::from_hours(1000), usize::MAX).is_empty());
        digests.end_policy("def", SystemTime::UNIX_EPOCH, Duration::from_hours(1001));
        let mended = take_one(&mut digests, Duration::from_hours(1002));
        assert!(mended.resolved);
        assert_eq!(mended.generation, "def");
    }

    #[test]
    fn pods_without_a_name_are_counted() {
        let mut digests = digests();
        for _ in 0..3 {
            assert_eq!(
                digests.add(&notice(Kind::Routed, "web-7f6d-*", "spot", ""), Duration::ZERO),
                Added::Waits
            );
        }
        let digest = take_one(&mut digests, 10 * SECOND);
        assert_eq!(
            (digest.replicas, digest.lines[0].pods.as_slice()),
            (3, ["web-7f6d-*".to_owned()].as_slice())
        );
        assert_eq!(digest.lines[0].more, 0);
        // A rollout of three more is news.
        assert_eq!(
            digests.add(&notice(Kind::Routed, "web-7f6d-*", "spot", ""), 20 * SECOND),
            Added::Waits
        );
    }

    #[test]
    fn a_reinvoked_pod_is_one_replica() {
        let mut digests = digests();
        digests.add(&routed(0), Duration::ZERO);
        digests.add(&routed(0), Duration::ZERO);
        assert_eq!(take_one(&mut digests, 10 * SECOND).replicas, 1);
    }

    #[test]
    fn groups_are_bounded_and_the_idle_make_room() {
        let mut digests = digests();
        let of = |owner: usize| {
            let mut notice = Notice::clone(&routed(0));
            notice.owner.as_mut().unwrap().name = format!("web{owner}");
            Arc::new(notice)
        };
        for owner in 0..MOST_GROUPS {
            assert_eq!(digests.add(&of(owner), Duration::ZERO), Added::Waits);
        }
        assert_eq!(digests.add(&of(MOST_GROUPS), Duration::ZERO), Added::NoRoom);
        assert_eq!(digests.take(10 * SECOND, 7).len(), 7);
        assert_eq!(digests.add(&of(MOST_GROUPS), 11 * SECOND), Added::Waits);
    }

    #[test]
    fn different_owners_share_a_message_where_the_sink_says_so() {
        let mut digests = digests();
        digests.grouping.by = vec![By::Outcome];
        digests.add(&routed(0), Duration::ZERO);
        let mut other = Notice::clone(&routed(1));
        other.owner = None;
        digests.add(&Arc::new(other), Duration::ZERO);
        let digest = take_one(&mut digests, 10 * SECOND);
        assert_eq!(
            (digest.owner, digest.namespace.as_deref(), digest.replicas),
            (None, Some("prod"), 2)
        );
    }
}
