//! From many notices to few messages: a group waits for others of its kind, is told at intervals, and not again while it
//! stays the same. Pure: time is an argument, as the time since any fixed moment.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::digest::{Digest, End, MOST_PODS, Pending};
use super::grouping::{By, Grouping};
use super::notice::{Kind, Notice};

/// More groups than this do not wait at a time: what happens to a cluster as a whole is a message of another kind.
const MOST_GROUPS: usize = 1000;
/// More rejections than this are not followed to their end.
const MOST_LASTING: usize = 10_000;
/// More of what was told is not remembered for each group.
const MOST_TOLD: usize = 2000;

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
pub struct Groups {
    grouping: Grouping,
    by_key: BTreeMap<Key, Group>,
    lasting: HashMap<Subject, Lasting>,
}

impl Groups {
    /// No groups yet.
    pub fn new(grouping: Grouping) -> Self {
        Self {
            grouping,
            by_key: BTreeMap::new(),
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
            let pending = self.by_key.get_mut(&key).and_then(|group| group.pending.as_mut());
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
            .by_key
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
            .by_key
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
        let keys: Vec<Key> = self.by_key.keys().cloned().collect();
        keys.into_iter().filter_map(|key| self.digest(key, now)).collect()
    }

    /// How many notices wait.
    pub fn waiting(&self) -> usize {
        let pending = self.by_key.values().filter_map(|group| group.pending.as_ref());
        pending.map(|pending| pending.notices).sum()
    }

    /// Forgets that something was told: it did not arrive, and nobody is told of its end.
    pub fn failed(&mut self, digest: &Digest) {
        if let Some(group) = self.by_key.get_mut(&digest.key) {
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
        if !self.by_key.contains_key(key) && self.by_key.len() >= MOST_GROUPS {
            let keep = self.grouping.repeat.max(self.grouping.interval);
            // First those that have nothing to remember; then those that only remember.
            self.by_key
                .retain(|_, group| group.pending.is_some() || group.last_sent.is_some_and(|sent| now < sent + keep));
            if self.by_key.len() >= MOST_GROUPS {
                let idle = self.by_key.iter().filter(|(_, group)| group.pending.is_none());
                let oldest = idle
                    .min_by_key(|(_, group)| group.last_sent)
                    .map(|(key, _)| key.clone())?;
                self.by_key.remove(&oldest);
            }
        }
        Some(self.by_key.entry(key.clone()).or_default())
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
        let group = self.by_key.get_mut(&key)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::samples;
    use crate::notice::severity::Severity;

    const SECOND: Duration = Duration::from_secs(1);

    fn notice(kind: Kind, pod: &str, place: &str, message: &str) -> Arc<Notice> {
        Arc::new(Notice {
            kind,
            severity: Severity::Info,
            namespace: "prod".to_owned(),
            owner: Some(samples::stateful_set("web")),
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
    fn groups() -> Groups {
        Groups::new(Grouping {
            by: vec![By::Owner, By::Outcome],
            wait: 10 * SECOND,
            interval: 300 * SECOND,
            repeat: 4 * 3600 * SECOND,
            resolve: 3600 * SECOND,
        })
    }

    fn take_one(groups: &mut Groups, now: Duration) -> Digest {
        let mut taken = groups.take(now, usize::MAX);
        assert_eq!(taken.len(), 1, "{taken:?}");
        taken.remove(0)
    }

    #[test]
    fn a_rollout_is_one_message_for_each_interval() {
        let mut groups = groups();
        let mut messages = Vec::new();
        // One Pod a second, for more than eight minutes.
        for ordinal in 0..500 {
            let now = SECOND * u32::try_from(ordinal).unwrap();
            assert_eq!(groups.add(&routed(ordinal), now), Added::Waits);
            messages.extend(groups.take(now, usize::MAX).into_iter().map(|digest| (now, digest)));
        }
        let end = groups.next().unwrap();
        messages.push((end, take_one(&mut groups, end)));
        let at: Vec<u64> = messages.iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(at, [10, 310, 610]);
        assert_eq!(messages.iter().map(|(_, digest)| digest.notices).sum::<usize>(), 500);
        assert_eq!(messages[0].1.replicas, 11);
        assert_eq!(messages[1].1.replicas, 300);
    }

    #[test]
    fn a_digest_counts_by_place_and_names_some() {
        let mut groups = groups();
        for ordinal in 0..30 {
            groups.add(&routed(ordinal), Duration::ZERO);
        }
        let digest = take_one(&mut groups, 10 * SECOND);
        let places: Vec<(&str, usize)> = digest.tallies[0]
            .places
            .iter()
            .map(|place| (place.place.as_str(), place.replicas))
            .collect();
        assert_eq!(places, [("node1", 15), ("node2", 15)]);
        assert_eq!(digest.lines[0].pods.len(), 10);
        assert_eq!(
            (digest.lines[0].pods[1].as_str(), digest.lines[0].pods[5].as_str()),
            ("web-2", "web-10")
        );
        assert_eq!(digest.lines[0].more, 5);
        assert_eq!(digest.owner.unwrap().name, "web");
    }

    #[test]
    fn what_was_told_is_not_told_again_until_the_repeat_interval_is_over() {
        let mut groups = groups();
        groups.add(&rejected("web-1"), Duration::ZERO);
        take_one(&mut groups, 10 * SECOND);
        // The controller tries again and again.
        for minute in 1..239 {
            assert_eq!(groups.add(&rejected("web-1"), 60 * SECOND * minute), Added::Repeated);
        }
        assert!(groups.take(239 * 60 * SECOND, usize::MAX).is_empty());
        assert_eq!(groups.add(&rejected("web-1"), 241 * 60 * SECOND), Added::Waits);
        // Another fault of the same Pod is news.
        let other = notice(Kind::Rejected, "web-1", "", "no JSON");
        assert_eq!(groups.add(&other, 242 * 60 * SECOND), Added::Waits);
    }

    #[test]
    fn what_did_not_arrive_is_told_again() {
        let mut groups = groups();
        groups.add(&rejected("web-1"), Duration::ZERO);
        let digest = take_one(&mut groups, 10 * SECOND);
        groups.failed(&digest);
        assert_eq!(groups.add(&rejected("web-1"), 60 * SECOND), Added::Waits);
    }

    #[test]
    fn a_rejection_ends_when_the_pod_is_there() {
        let mut groups = groups();
        groups.add(&rejected("web-1"), Duration::ZERO);
        take_one(&mut groups, 10 * SECOND);
        assert_eq!(groups.lasting(), 1);
        groups.end(&routed(1), 60 * SECOND);
        assert_eq!(groups.lasting(), 0);
        let digest = take_one(&mut groups, 310 * SECOND);
        assert!(digest.resolved && digest.lines[0].resolved);
        assert_eq!((digest.notices, digest.replicas), (0, 1));
        // When it comes back it is news, however soon.
        assert_eq!(groups.add(&rejected("web-1"), 311 * SECOND), Added::Waits);
    }

    #[test]
    fn what_a_shadowed_rule_would_do_ends_no_rejection() {
        let mut groups = groups();
        groups.add(&rejected("web-1"), Duration::ZERO);
        groups.add(&notice(Kind::Shadowed, "web-1", "eu-1a", ""), Duration::ZERO);
        assert_eq!(groups.lasting(), 1);
        let told = groups.take(10 * SECOND, usize::MAX);
        assert!(told.iter().all(|digest| !digest.resolved), "{told:?}");
    }

    #[test]
    fn a_rejection_that_ends_before_it_was_told_is_told_again_when_it_comes_back() {
        let mut groups = groups();
        groups.add(&rejected("web-1"), Duration::ZERO);
        groups.end(&routed(1), 5 * SECOND);
        let told = take_one(&mut groups, 10 * SECOND);
        assert_eq!((told.notices, told.lines.len()), (1, 2));
        assert_eq!(groups.add(&rejected("web-1"), 600 * SECOND), Added::Waits);
    }

    #[test]
    fn each_reason_of_a_rejection_that_ended_is_told_again() {
        let mut groups = groups();
        let reasons = ["no annotation", "no JSON"].map(|why| notice(Kind::Rejected, "web-1", "", why));
        for (number, reason) in reasons.iter().enumerate() {
            let now = SECOND * 1000 * u32::try_from(number).unwrap();
            assert_eq!(groups.add(reason, now), Added::Waits);
            take_one(&mut groups, now + 400 * SECOND);
        }
        groups.end(&routed(1), 2000 * SECOND);
        take_one(&mut groups, 2400 * SECOND);
        for reason in &reasons {
            assert_eq!(groups.add(reason, 3000 * SECOND), Added::Waits, "{}", reason.message);
        }
    }

    #[test]
    fn many_different_refusals_are_counted_in_full_and_once() {
        let mut groups = groups();
        for _ in 0..3 {
            for ordinal in 0..200 {
                let why = format!("no route for {ordinal}");
                groups.add(
                    &notice(Kind::Rejected, &format!("web-{ordinal}"), "", &why),
                    Duration::ZERO,
                );
            }
        }
        let digest = take_one(&mut groups, 10 * SECOND);
        assert_eq!(
            (digest.tallies[0].replicas, digest.replicas, digest.lines.len()),
            (200, 200, 50)
        );
        assert_eq!((digest.others, digest.notices), (150, 600));
    }

    #[test]
    fn a_refused_pod_without_a_name_that_is_tried_again_is_one() {
        let mut groups = groups();
        for _ in 0..11 {
            groups.add(&rejected("web-7f6d-*"), Duration::ZERO);
        }
        let digest = take_one(&mut groups, 10 * SECOND);
        assert_eq!((digest.replicas, digest.notices), (1, 11));
    }

    #[test]
    fn nobody_is_told_of_the_end_of_what_did_not_arrive() {
        let mut groups = groups();
        groups.add(&rejected("web-1"), Duration::ZERO);
        let digest = take_one(&mut groups, 10 * SECOND);
        groups.failed(&digest);
        groups.end(&routed(1), 20 * SECOND);
        assert_eq!((groups.lasting(), groups.next()), (0, None));
    }

    #[test]
    fn a_rejection_that_nobody_tries_again_ends_by_itself() {
        let mut groups = groups();
        groups.add(&rejected("web-1"), Duration::ZERO);
        take_one(&mut groups, 10 * SECOND);
        groups.add(&rejected("web-1"), 1800 * SECOND);
        assert_eq!(groups.next(), Some(5400 * SECOND));
        assert!(groups.take(5399 * SECOND, usize::MAX).is_empty());
        groups.take(5400 * SECOND, usize::MAX);
        let digest = take_one(&mut groups, 5410 * SECOND);
        assert!(digest.resolved && digest.lines[0].expired);
        assert_eq!(groups.next(), None);
    }

    #[test]
    fn a_policy_stays_refused_until_one_is_served() {
        let mut groups = groups();
        let refused = Arc::new(Notice::policy_refused("line 3", "abc", SystemTime::UNIX_EPOCH));
        groups.add(&refused, Duration::ZERO);
        assert!(take_one(&mut groups, 10 * SECOND).is_policy);
        assert!(groups.take(Duration::from_hours(1000), usize::MAX).is_empty());
        groups.end_policy("def", SystemTime::UNIX_EPOCH, Duration::from_hours(1001));
        let mended = take_one(&mut groups, Duration::from_hours(1002));
        assert!(mended.resolved);
        assert_eq!(mended.generation, "def");
    }

    #[test]
    fn pods_without_a_name_are_counted() {
        let mut groups = groups();
        for _ in 0..3 {
            assert_eq!(
                groups.add(&notice(Kind::Routed, "web-7f6d-*", "spot", ""), Duration::ZERO),
                Added::Waits
            );
        }
        let digest = take_one(&mut groups, 10 * SECOND);
        assert_eq!(
            (digest.replicas, digest.lines[0].pods.as_slice()),
            (3, ["web-7f6d-*".to_owned()].as_slice())
        );
        assert_eq!(digest.lines[0].more, 0);
        // A rollout of three more is news.
        assert_eq!(
            groups.add(&notice(Kind::Routed, "web-7f6d-*", "spot", ""), 20 * SECOND),
            Added::Waits
        );
    }

    #[test]
    fn a_reinvoked_pod_is_one_replica() {
        let mut groups = groups();
        groups.add(&routed(0), Duration::ZERO);
        groups.add(&routed(0), Duration::ZERO);
        assert_eq!(take_one(&mut groups, 10 * SECOND).replicas, 1);
    }

    #[test]
    fn groups_are_bounded_and_the_idle_make_room() {
        let mut groups = groups();
        let of = |owner: usize| {
            let mut notice = Notice::clone(&routed(0));
            notice.owner.as_mut().unwrap().name = format!("web{owner}");
            Arc::new(notice)
        };
        for owner in 0..MOST_GROUPS {
            assert_eq!(groups.add(&of(owner), Duration::ZERO), Added::Waits);
        }
        assert_eq!(groups.add(&of(MOST_GROUPS), Duration::ZERO), Added::NoRoom);
        assert_eq!(groups.take(10 * SECOND, 7).len(), 7);
        assert_eq!(groups.add(&of(MOST_GROUPS), 11 * SECOND), Added::Waits);
    }

    #[test]
    fn different_owners_share_a_message_where_the_sink_says_so() {
        let mut groups = groups();
        groups.grouping.by = vec![By::Outcome];
        groups.add(&routed(0), Duration::ZERO);
        let mut other = Notice::clone(&routed(1));
        other.owner = None;
        groups.add(&Arc::new(other), Duration::ZERO);
        let digest = take_one(&mut groups, 10 * SECOND);
        assert_eq!(
            (digest.owner, digest.namespace.as_deref(), digest.replicas),
            (None, Some("prod"), 2)
        );
    }
}
