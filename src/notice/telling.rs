//! From a decision to the notices that leave, and the sinks that get them.

use std::sync::Arc;
use std::time::SystemTime;

use super::notice::Notice;
use super::notify::Notify;
use super::severity::Severity;
use super::sinks::SinkSpec;
use crate::engine::{Decision, Outcome, Request};

/// Which sinks, by their place in the policy, are told of which outcome.
#[derive(Clone, Debug, Default)]
struct Targets {
    routed: Vec<usize>,
    unchanged: Vec<usize>,
    rejected: Vec<usize>,
    shadowed: Vec<usize>,
}

impl Targets {
    fn of(notify: Option<&Notify>, sinks: &[SinkSpec]) -> Self {
        let Some(notify) = notify else {
            return Self::default();
        };
        let to = |outcome: Outcome| -> Vec<usize> {
            if !notify.outcomes.contains(&outcome) {
                return Vec::new();
            }
            // `check` has made sure that each is declared.
            let places = notify
                .sinks
                .iter()
                .filter_map(|name| sinks.iter().position(|sink| sink.name == *name));
            places.collect()
        };
        Self {
            routed: to(Outcome::Routed),
            unchanged: to(Outcome::Unchanged),
            rejected: to(Outcome::Rejected),
            shadowed: to(Outcome::Shadowed),
        }
    }

    fn is_empty(&self) -> bool {
        [&self.routed, &self.unchanged, &self.rejected, &self.shadowed]
            .into_iter()
            .all(Vec::is_empty)
    }
}

/// A sink that gets a notice, by its place in the policy.
#[derive(Clone, Debug)]
pub struct Told {
    /// The place of the sink.
    pub sink: usize,
    /// What happened.
    pub notice: Arc<Notice>,
    /// True where it is not told of: it only ends what was told before about the same Pod.
    pub ends_only: bool,
}

/// Who is told of what, for one generation of the policy.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    /// By the place of the rule.
    rules: Vec<Targets>,
    /// Of Pods that no rule matches.
    unmatched: Targets,
    /// The least severity of each sink.
    min_severity: Vec<Severity>,
    /// Sinks that are told of rejections at all.
    of_rejections: Vec<usize>,
    silent: bool,
}

impl Telling {
    /// `notify` stands for each rule, in the order of the snapshot's; `unmatched` is for Pods that no rule matches.
    pub(crate) fn new(notify: &[Option<&Notify>], unmatched: Option<&Notify>, sinks: &[SinkSpec]) -> Self {
        let rules: Vec<Targets> = notify.iter().map(|notify| Targets::of(*notify, sinks)).collect();
        let unmatched = Targets::of(unmatched, sinks);
        let all = || rules.iter().chain([&unmatched]);
        let mut of_rejections: Vec<usize> = all().flat_map(|targets| &targets.rejected).copied().collect();
        of_rejections.sort_unstable();
        of_rejections.dedup();
        let silent = all().all(Targets::is_empty);
        Self {
            silent,
            of_rejections,
            min_severity: sinks.iter().map(|sink| sink.common.min_severity).collect(),
            rules,
            unmatched,
        }
    }

    /// Leaves out the sinks, by their place, that cannot be told.
    pub fn retain(&mut self, mut told: impl FnMut(usize) -> bool) {
        for targets in self.rules.iter_mut().chain([&mut self.unmatched]) {
            let outcomes = [
                &mut targets.routed,
                &mut targets.unchanged,
                &mut targets.rejected,
                &mut targets.shadowed,
            ];
            for sinks in outcomes {
                sinks.retain(|sink| told(*sink));
            }
        }
        self.of_rejections.retain(|sink| told(*sink));
        self.silent = self.rules.iter().chain([&self.unmatched]).all(Targets::is_empty);
    }

    /// The notices of a decision, each with the sink that gets it. `now` is asked where there is something to tell; `lasts` says of a sink whether it was told of a rejection
    /// that has not ended. A dry run is told of to nobody.
    pub fn notices(
        &self,
        request: &Request<'_>,
        decision: &Decision,
        generation: &str,
        now: impl Fn() -> SystemTime,
        lasts: impl Fn(usize) -> bool,
    ) -> Vec<Told> {
        let mut told = Vec::new();
        if self.silent || request.dry_run {
            return told;
        }
        let mut tell = |targets: &[usize], notice: &dyn Fn() -> Option<Notice>| {
            let mut made: Option<Arc<Notice>> = None;
            for &sink in targets {
                let notice = match &made {
                    Some(notice) => notice,
                    None => match notice() {
                        Some(notice) => made.insert(Arc::new(notice)),
                        None => return,
                    },
                };
                if notice.severity < self.min_severity[sink] {
                    continue;
                }
                let same = |told: &&mut Told| told.sink == sink && told.notice.kind == notice.kind;
                match told.iter_mut().find(same) {
                    // Of several rules that a Pod went through the one is told that matters most.
                    Some(told) if notice.severity > told.notice.severity => told.notice = Arc::clone(notice),
                    Some(_) => {}
                    None => told.push(Told {
                        sink,
                        notice: Arc::clone(notice),
                        ends_only: false,
                    }),
                }
            }
        };
        if let Some(rejection) = &decision.rejection {
            let by = decision.applied.last().filter(|_| rejection.rule.is_some());
            let targets = by.map_or(&self.unmatched, |applied| &self.rules[applied.place]);
            tell(&targets.rejected, &|| {
                Notice::rejected(request, decision, generation, now())
            });
        } else {
            for applied in &decision.applied {
                let targets = &self.rules[applied.place];
                let targets = if applied.cause.is_some() {
                    &targets.unchanged
                } else {
                    &targets.routed
                };
                tell(targets, &|| {
                    Notice::applied(request, decision, applied, generation, now())
                });
            }
        }
        for shadowed in &decision.shadowed {
            let targets = &self.rules[shadowed.applied.place];
            tell(&targets.shadowed, &|| {
                Notice::shadowed(request, shadowed, generation, now())
            });
        }
        if decision.rejection.is_none() && !decision.applied.is_empty() {
            self.ends(&|| Notice::about(request, generation, now()), lasts, &mut told);
        }
        told
    }

    /// What ends rejections: the Pod is there.
    fn ends(&self, notice: &dyn Fn() -> Notice, lasts: impl Fn(usize) -> bool, told: &mut Vec<Told>) {
        let mut made: Option<Arc<Notice>> = None;
        for &sink in self.of_rejections.iter().filter(|sink| lasts(**sink)) {
            if told
                .iter()
                .any(|told| told.sink == sink && told.notice.kind.ends_rejection())
            {
                continue;
            }
            let notice = made.get_or_insert_with(|| Arc::new(notice()));
            told.push(Told {
                sink,
                notice: Arc::clone(notice),
                ends_only: true,
            });
        }
    }
}
