//! How a controller works: what changes becomes keys, a key is looked at by
//! one worker at a time, and what fails is tried again later.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;

use super::Plane;
use crate::sandbox::api::ApiError;
use crate::sandbox::cache::News;

/// Keys that are looked at at the same time.
const WORKERS: usize = 8;
/// The first pause after a failure, doubled with each further one, in real
/// time: failures are races with other writers, which no fast clock shortens.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a look at a key left to do: nothing, or another look after this time
/// of the world.
pub type Again = Option<Duration>;

/// One controller.
#[async_trait]
pub trait Controller: Send + Sync + 'static {
    /// The keys that a change concerns.
    fn concerns(&self, news: &News) -> Vec<String>;

    /// Brings the world closer to what the object of a key asks for.
    async fn look(&self, key: &str) -> Result<Again, ApiError>;
}

#[derive(Debug, Default)]
struct Queue {
    ready: VecDeque<String>,
    queued: HashSet<String>,
    running: HashSet<String>,
    /// Keys that changed while they were looked at.
    again: HashSet<String>,
    later: BinaryHeap<Reverse<(Duration, String)>>,
    failures: HashMap<String, u32>,
}

impl Queue {
    fn add(&mut self, key: String) {
        if self.running.contains(&key) {
            self.again.insert(key);
        } else if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn take(&mut self) -> Option<String> {
        let key = self.ready.pop_front()?;
        self.queued.remove(&key);
        self.running.insert(key.clone());
        Some(key)
    }

    fn done(&mut self, key: &str) {
        self.running.remove(key);
        if self.again.remove(key) {
            self.add(key.to_owned());
        }
    }

    /// How long to wait after one more failure, in real time.
    fn failed(&mut self, key: &str) -> Duration {
        let failures = self.failures.entry(key.to_owned()).or_default();
        let pause = FIRST_PAUSE * 2_u32.saturating_pow(*failures);
        *failures = (*failures + 1).min(16);
        pause.min(LONGEST_PAUSE)
    }

    /// Adds what has become due; gives the time of what comes next.
    fn due(&mut self, now: Duration) -> Option<Duration> {
        loop {
            match self.later.peek() {
                Some(Reverse((at, _))) if *at > now => return Some(*at),
                None => return None,
                Some(_) => {
                    if let Some(Reverse((_, key))) = self.later.pop() {
                        self.add(key);
                    }
                }
            }
        }
    }
}

/// Runs a controller until the plane is stopped.
pub async fn run(plane: Arc<Plane>, controller: Arc<dyn Controller>, name: &'static str) {
    let mut news = plane.client.cache.listen();
    let mut queue = Queue::default();
    let mut workers = JoinSet::new();
    for object in plane.everything() {
        for key in controller.concerns(&object) {
            queue.add(key);
        }
    }
    loop {
        let next = queue.due(plane.clock().elapsed());
        while workers.len() < WORKERS
            && let Some(key) = queue.take()
        {
            let controller = controller.clone();
            workers.spawn(async move {
                let result = controller.look(&key).await;
                (key, result)
            });
        }
        let pause = next.map(|at| at.saturating_sub(plane.clock().elapsed()));
        tokio::select! {
            () = plane.stop.cancelled() => return,
            heard = news.recv() => {
                let Some(heard) = heard else { return };
                controller.concerns(&heard).into_iter().for_each(|key| queue.add(key));
                while let Ok(heard) = news.try_recv() {
                    controller.concerns(&heard).into_iter().for_each(|key| queue.add(key));
                }
            }
            Some(done) = workers.join_next() => {
                // A worker that panicked took its key with it.
                let Ok((key, result)) = done else { continue };
                let now = plane.clock().elapsed();
                match result {
                    Ok(again) => {
                        queue.failures.remove(&key);
                        if let Some(after) = again {
                            queue.later.push(Reverse((now + after, key.clone())));
                        }
                    }
                    Err(error) => {
                        tracing::debug!(controller = name, key, %error, "to be tried again");
                        let pause = queue.failed(&key).mul_f64(plane.clock().rate());
                        queue.later.push(Reverse((now + pause, key.clone())));
                    }
                }
                queue.done(&key);
            }
            _ = plane.clock().sleep(pause.unwrap_or_default()), if pause.is_some() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_changes_while_it_is_looked_at_is_looked_at_again() {
        let mut queue = Queue::default();
        queue.add("a".to_owned());
        queue.add("a".to_owned());
        assert_eq!(queue.take().as_deref(), Some("a"));
        assert_eq!(queue.take(), None);
        queue.add("a".to_owned());
        assert_eq!(queue.take(), None);
        queue.done("a");
        assert_eq!(queue.take().as_deref(), Some("a"));
    }

    #[test]
    fn failures_wait_longer_each_time_up_to_a_limit() {
        let mut queue = Queue::default();
        assert_eq!(queue.failed("a"), FIRST_PAUSE);
        assert_eq!(queue.failed("a"), FIRST_PAUSE * 2);
        for _ in 0..40 {
            queue.failed("a");
        }
        assert_eq!(queue.failed("a"), LONGEST_PAUSE);
    }

    #[test]
    fn what_is_due_comes_and_the_rest_is_told() {
        let mut queue = Queue::default();
        let secs = Duration::from_secs;
        queue.later.push(Reverse((secs(1), "a".to_owned())));
        queue.later.push(Reverse((secs(5), "b".to_owned())));
        assert_eq!(queue.due(secs(2)), Some(secs(5)));
        assert_eq!(queue.take().as_deref(), Some("a"));
        assert_eq!(queue.take(), None);
    }
}
