//! How many calls to one system may be in flight: halved when the system says
//! "too many", recovered slowly.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::clock::{Cancelled, Clock};

/// Calls that must succeed before one more may be in flight.
const STEADY: usize = 10;

/// A bound on concurrent calls that follows the other side's mood; clones
/// share it.
#[derive(Debug, Clone)]
pub struct Limiter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    most: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    allowed: usize,
    flying: usize,
    good: usize,
}

/// The right to have one call in flight, given back when dropped.
#[derive(Debug)]
pub struct Pass {
    shared: Arc<Shared>,
}

impl Limiter {
    /// Allows up to `most` calls at a time, at least one.
    pub fn new(most: usize) -> Self {
        let most = most.max(1);
        let state = State {
            allowed: most,
            flying: 0,
            good: 0,
        };
        Self {
            shared: Arc::new(Shared {
                most,
                state: Mutex::new(state),
                changed: Notify::new(),
            }),
        }
    }

    /// Waits for a free place, or until the run is cancelled.
    pub async fn enter(&self, clock: &Clock) -> Result<Pass, Cancelled> {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            // Listen before looking, so that a place freed in between is seen.
            changed.as_mut().enable();
            if self.shared.lock().take() {
                return Ok(Pass {
                    shared: Arc::clone(&self.shared),
                });
            }
            tokio::select! {
                () = clock.cancellation().cancelled() => return Err(Cancelled),
                () = changed => {}
            }
        }
    }

    /// The system said "too many": halve what may be in flight.
    pub fn throttled(&self) {
        let mut state = self.shared.lock();
        state.allowed = (state.allowed / 2).max(1);
        state.good = 0;
    }

    /// A call went through: after enough of them, allow one more at a time.
    pub fn went_well(&self) {
        let mut state = self.shared.lock();
        state.good += 1;
        if state.good >= STEADY && state.allowed < self.shared.most {
            state.allowed += 1;
            state.good = 0;
            drop(state);
            self.shared.changed.notify_waiters();
        }
    }

    /// How many calls may be in flight now.
    pub fn allowed(&self) -> usize {
        self.shared.lock().allowed
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete in itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> bool {
        let free = self.flying < self.allowed;
        if free {
            self.flying += 1;
        }
        free
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.flying = state.flying.saturating_sub(1);
        drop(state);
        self.shared.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_halves_and_success_recovers_slowly() {
        let limiter = Limiter::new(8);
        limiter.throttled();
        limiter.throttled();
        assert_eq!(limiter.allowed(), 2);
        for _ in 0..STEADY {
            limiter.went_well();
        }
        assert_eq!(limiter.allowed(), 3);
        for _ in 0..10 {
            limiter.throttled();
        }
        assert_eq!(limiter.allowed(), 1);
    }

    #[tokio::test]
    async fn the_last_place_is_handed_on_when_given_back() {
        let clock = Clock::default();
        let limiter = Limiter::new(1);
        let pass = limiter.enter(&clock).await.unwrap();
        let waiting = tokio::spawn({
            let (limiter, clock) = (limiter.clone(), clock.clone());
            async move { limiter.enter(&clock).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(pass);
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn cancellation_ends_the_wait_for_a_place() {
        let clock = Clock::default();
        let limiter = Limiter::new(1);
        let _pass = limiter.enter(&clock).await.unwrap();
        clock.cancellation().cancel();
        assert!(limiter.enter(&clock).await.is_err());
    }
}
