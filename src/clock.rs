//! Time: now, waiting, deadlines and back-off. Nothing else sleeps.
//!
//! A [`Clock`] has a rate. At rate 1 a second is a second; at rate 600 a wait
//! of ten minutes takes one real second, and [`Clock::elapsed`] counts in the
//! same faster seconds. The rate comes from the profile's `endpoints`, so a
//! rehearsal takes exactly the waits that the real thing would.
//!
//! Every wait ends early when the run is cancelled: cancellation reaches a step
//! at its waits, between two remote calls, and nowhere else.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

/// The run was cancelled while something waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Cancelled;

/// A source of time and waiting, cheap to clone.
#[derive(Clone)]
pub struct Clock {
    rate: f64,
    floor: Duration,
    start: Instant,
    cancel: CancellationToken,
    random: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock")
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(1.0, CancellationToken::new())
    }
}

impl Clock {
    /// Returns a clock that runs `rate` times as fast as real time and whose
    /// waits end when `cancel` is cancelled. A rate below 1 counts as 1.
    pub fn new(rate: f64, cancel: CancellationToken) -> Self {
        let rate = if rate.is_finite() { rate.max(1.0) } else { 1.0 };
        Self {
            rate,
            floor: Duration::ZERO,
            start: monotonic(),
            cancel,
            random: Arc::new(random_unit),
        }
    }

    /// Returns the same clock with another source of jitter in `[0, 1)`.
    #[must_use]
    pub fn with_random(mut self, random: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.random = Arc::new(random);
        self
    }

    /// Returns the same clock with limits of no less than `floor` in real time:
    /// on a fast clock the machine is no faster, and a busy one must not run
    /// into a limit that it would keep at Oracle.
    #[must_use]
    pub fn with_floor(mut self, floor: Duration) -> Self {
        self.floor = floor;
        self
    }

    /// How many of this clock's seconds pass in a real second.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// The wall clock, in UTC. It is never sped up: signatures carry it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Time since this clock was made, in its own seconds.
    pub fn elapsed(&self) -> Duration {
        monotonic().duration_since(self.start).mul_f64(self.rate)
    }

    /// Real time that `wait` of this clock's time takes, for socket timeouts.
    pub fn real(&self, wait: Duration) -> Duration {
        wait.div_f64(self.rate)
    }

    /// The token that ends every wait of this clock.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Whether the run was cancelled.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.cancel.is_cancelled() {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }

    /// Waits for `wait` of this clock's time, or until the run is cancelled.
    /// A loop around it gives way even then: a task that never does can
    /// neither be aborted nor let its runtime end.
    #[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
    pub async fn sleep(&self, wait: Duration) -> Result<(), Cancelled> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => {
                tokio::task::yield_now().await;
                Err(Cancelled)
            }
            () = tokio::time::sleep(self.real(wait)) => Ok(()),
        }
    }

    /// A limit of this clock's time, no shorter than its floor.
    pub fn patience(&self, limit: Duration) -> Duration {
        limit.max(self.floor.mul_f64(self.rate))
    }

    /// A moment `limit` of this clock's time from now.
    pub fn deadline(&self, limit: Duration) -> Deadline {
        Deadline {
            clock: self.clone(),
            started: self.elapsed(),
            limit: self.patience(limit),
        }
    }

    /// A number in `[0, 1)` for jitter.
    pub fn jitter(&self) -> f64 {
        (self.random)()
    }
}

/// A limit on how long something may take.
#[derive(Debug, Clone)]
pub struct Deadline {
    clock: Clock,
    started: Duration,
    limit: Duration,
}

impl Deadline {
    /// Time since the deadline was set, in the clock's seconds.
    pub fn waited(&self) -> Duration {
        self.clock.elapsed().saturating_sub(self.started)
    }

    /// What is left, zero once it has passed.
    pub fn remaining(&self) -> Duration {
        self.limit.saturating_sub(self.waited())
    }

    /// Whether the limit has passed.
    pub fn passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// Pauses before the next look at a condition, or says why there is none.
    /// `last` is what was seen. A loop around it does what [`wait_until`] does
    /// where a closure that borrows would make the future impossible to spawn.
    pub async fn pause<E>(&self, last: String, pause: Duration) -> Result<(), WaitError<E>> {
        if self.passed() {
            return Err(WaitError::TimedOut {
                waited: self.waited(),
                last,
            });
        }
        let pause = pause.min(self.remaining().max(Duration::from_millis(1)));
        Ok(self.clock.sleep(pause).await?)
    }
}

/// Exponential back-off with full jitter in its upper half.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    factor: f64,
    max: Duration,
}

impl Backoff {
    /// Starts at `first`, multiplies by `factor` each time, stays below `max`.
    pub fn new(first: Duration, factor: f64, max: Duration) -> Self {
        Self {
            next: first,
            factor,
            max,
        }
    }

    /// The next wait: between half and all of the current step.
    pub fn next(&mut self, clock: &Clock) -> Duration {
        let step = self.next.min(self.max);
        self.next = step.mul_f64(self.factor).min(self.max);
        step.mul_f64(0.5 + clock.jitter() / 2.0)
    }
}

/// Why a wait for a condition ended without it.
#[derive(Debug, thiserror::Error)]
pub enum WaitError<E> {
    /// The limit passed; `last` says what was seen last.
    #[error("waited {} for it: {last}", human(*waited))]
    TimedOut {
        /// How long, in the clock's time.
        waited: Duration,
        /// The last state seen, for the user.
        last: String,
    },
    /// The run was cancelled.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// Looking failed for good.
    #[error(transparent)]
    Failed(E),
}

/// What one look at the condition found.
#[derive(Debug)]
pub enum Look<T> {
    /// It holds.
    Done(T),
    /// Not yet: what is seen now, and how long to wait before the next look.
    Wait(String, Duration),
}

/// Looks again and again until the condition holds, `limit` passes, looking
/// fails, or the run is cancelled.
pub async fn wait_until<T, E, F>(
    clock: &Clock,
    limit: Duration,
    mut look: F,
) -> Result<T, WaitError<E>>
where
    F: AsyncFnMut() -> Result<Look<T>, E>,
{
    let deadline = clock.deadline(limit);
    loop {
        let (last, pause) = match look().await.map_err(WaitError::Failed)? {
            Look::Done(value) => return Ok(value),
            Look::Wait(last, pause) => (last, pause),
        };
        deadline.pause(last, pause).await?;
    }
}

/// A duration as people say it: `0.4s`, `12s`, `3m05s`, `1h12m`.
pub fn human(d: Duration) -> String {
    let secs = d.as_secs();
    match secs {
        0..=9 => format!("{:.1}s", d.as_secs_f64()),
        10..=59 => format!("{secs}s"),
        60..=3599 => format!("{}m{:02}s", secs / 60, secs % 60),
        _ => format!("{}h{:02}m", secs / 3600, secs % 3600 / 60),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the monotonic clock"
)]
fn monotonic() -> Instant {
    Instant::now()
}

fn random_unit() -> f64 {
    let mut bytes = [0_u8; 4];
    let rng = ring::rand::SystemRandom::new();
    match ring::rand::SecureRandom::fill(&rng, &mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fast_clock_sleeps_its_share_of_real_time() {
        let clock = Clock::new(1000.0, CancellationToken::new());
        let before = monotonic();
        clock.sleep(Duration::from_secs(10)).await.unwrap();
        assert!(monotonic().duration_since(before) < Duration::from_secs(5));
        assert!(clock.elapsed() >= Duration::from_secs(10));
    }

    #[test]
    fn a_fast_clock_with_a_floor_leaves_every_limit_that_much_real_time() {
        let clock = Clock::new(1000.0, CancellationToken::new());
        let limit = |clock: &Clock| clock.deadline(Duration::from_mins(1)).limit;
        assert_eq!(limit(&clock), Duration::from_mins(1));
        let clock = clock.with_floor(Duration::from_secs(2));
        assert_eq!(limit(&clock), Duration::from_secs(2000));
    }

    #[tokio::test]
    async fn cancellation_ends_a_wait() {
        let clock = Clock::default();
        clock.cancellation().cancel();
        assert_eq!(clock.sleep(Duration::from_hours(1)).await, Err(Cancelled));
    }

    #[tokio::test]
    async fn a_wait_that_times_out_tells_what_it_saw_last() {
        let clock = Clock::new(10_000.0, CancellationToken::new());
        let result = wait_until(&clock, Duration::from_secs(30), async || {
            Ok::<_, std::io::Error>(Look::<()>::Wait("CREATING".into(), Duration::from_secs(5)))
        });
        let Err(WaitError::TimedOut { last, .. }) = result.await else {
            panic!("timed out")
        };
        assert_eq!(last, "CREATING");
    }

    #[test]
    fn durations_read_well() {
        let cases = [
            (400, "0.4s"),
            (12_000, "12s"),
            (185_000, "3m05s"),
            (4_320_000, "1h12m"),
        ];
        for (millis, text) in cases {
            assert_eq!(human(Duration::from_millis(millis)), text);
        }
    }
}
