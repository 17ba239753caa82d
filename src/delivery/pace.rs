//! This replica's share of what a vendor takes.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use crate::notice::message::Pace;

/// Time since the limiter was made, by the clock of the runtime.
#[derive(Clone, Debug)]
pub(super) struct RuntimeClock(Instant);

impl Clock for RuntimeClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Lets as many messages through as this replica's share allows.
#[derive(Debug)]
pub(super) struct Limiter {
    bucket: RateLimiter<NotKeyed, InMemoryState, RuntimeClock, NoOpMiddleware<Duration>>,
    clock: RuntimeClock,
    /// Until when the vendor takes nothing: it bars the robot, whichever sink of ours sends to it.
    barred: Mutex<Option<Instant>>,
}

impl Limiter {
    pub(super) fn new(pace: Pace, replicas: NonZeroU32) -> Self {
        let clock = RuntimeClock(Instant::now());
        Self {
            bucket: RateLimiter::direct_with_clock(quota(pace, replicas), clock.clone()),
            clock,
            barred: Mutex::default(),
        }
    }

    /// Lets nothing through for a time.
    pub(super) fn bar(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut barred = self.barred.lock().unwrap_or_else(PoisonError::into_inner);
        *barred = Some(barred.map_or(until, |before| before.max(until)));
    }

    /// Takes a place, or says how long until there is one.
    pub(super) fn check(&self) -> Result<(), Duration> {
        let barred = *self.barred.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = barred.and_then(|until| until.checked_duration_since(Instant::now()))
            && !wait.is_zero()
        {
            return Err(wait);
        }
        // It may be early by what is lost in rounding.
        let wait = |not_until: governor::NotUntil<Duration>| {
            not_until.wait_time_from(self.clock.now()) + Duration::from_millis(1)
        };
        self.bucket.check().map_err(wait)
    }

    /// Waits for a place.
    pub(super) async fn ready(&self) {
        while let Err(wait) = self.check() {
            tokio::time::sleep(wait).await;
        }
    }
}

/// What a bucket lets through in any time as long as the vendor's is its burst and what flows in meanwhile: together they are
/// this replica's share.
fn quota(pace: Pace, replicas: NonZeroU32) -> Quota {
    let share = pace.messages / replicas;
    let burst = NonZeroU32::new(share / 4).unwrap_or(NonZeroU32::MIN);
    let interval = match NonZeroU32::new(share.saturating_sub(burst.get())) {
        Some(flow) => pace.per / flow.get(),
        // The share is one message at most, in the vendor's time or in a longer one.
        None => (pace.per * replicas.get() / pace.messages.max(1)).max(pace.per),
    };
    let interval = interval.max(Duration::from_millis(1));
    // The interval is not zero.
    Quota::with_period(interval).map_or(Quota::per_second(NonZeroU32::MIN), |quota| quota.allow_burst(burst))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The most messages in any window as long as the vendor's, when as many are sent as may be.
    async fn busiest_window(pace: Pace, replicas: u32) -> usize {
        let limiter = Limiter::new(pace, NonZeroU32::new(replicas).unwrap());
        let start = Instant::now();
        let mut sent = Vec::new();
        while start.elapsed() < pace.per * 10 {
            limiter.ready().await;
            sent.push(start.elapsed());
        }
        let within = |from: &Duration| sent.iter().filter(|at| *at >= from && **at < *from + pace.per).count();
        sent.iter().map(within).max().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_goes_through_while_the_vendor_bars() {
        let pace = Pace {
            messages: 20,
            per: Duration::from_mins(1),
        };
        let limiter = Limiter::new(pace, NonZeroU32::MIN);
        limiter.bar(Duration::from_mins(10));
        let start = Instant::now();
        limiter.ready().await;
        assert!(start.elapsed() >= Duration::from_mins(10));
    }

    #[tokio::test(start_paused = true)]
    async fn replicas_together_keep_to_the_vendors_limit() {
        let per_minute = Pace {
            messages: 20,
            per: Duration::from_mins(1),
        };
        assert!((18..=20).contains(&busiest_window(per_minute, 1).await));
        assert!((9..=10).contains(&busiest_window(per_minute, 2).await));
        for replicas in [11, 15, 19, 20, 40] {
            assert_eq!(busiest_window(per_minute, replicas).await, 1, "{replicas} replicas");
        }
        let per_second = Pace {
            messages: 1,
            per: Duration::from_secs(1),
        };
        assert_eq!(busiest_window(per_second, 1).await, 1);
        assert_eq!(busiest_window(per_second, 3).await, 1);
    }
}
