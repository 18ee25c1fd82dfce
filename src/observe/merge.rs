//! Many lanes of lines in order of time.
//!
//! Each lane is in order by itself. A finished log is merged exactly. While
//! lanes are followed, a line waits for the silent ones for a moment only, so
//! lines of the last second may stand in the order in which they arrived.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::{Source, SourceRef};
use crate::clock::Clock;
use crate::k8s::logs::Batch;

/// How many batches a lane may be ahead of the reader.
pub const LANE_DEPTH: usize = 4;
/// How long a fresh line waits for lanes that are silent, in real time.
const PATIENCE: Duration = Duration::from_millis(100);
/// Lines older than this are no longer waited with: somebody is catching up.
const FRESH: SignedDuration = SignedDuration::from_secs(1);
/// How long everything waits for a lane's first lines, in real time: what a
/// container wrote before is asked for when its lane begins.
const INTRODUCTION: Duration = Duration::from_secs(1);

/// A container's lines as they come.
#[derive(Debug)]
pub struct Lane {
    /// Where they come from.
    pub source: SourceRef,
    /// The lines, in order of time.
    pub batches: mpsc::Receiver<Batch>,
}

/// A lane and the lines of it that are at hand.
struct Held {
    lane: Lane,
    batch: Option<Batch>,
    next: usize,
    ended: bool,
    /// Whether it has said anything yet, or was waited for in vain.
    met: bool,
}

impl Held {
    fn head(&self) -> Option<Timestamp> {
        self.batch.as_ref()?.time(self.next)
    }

    /// Whether something may still come, and nothing is at hand.
    fn is_awaited(&self) -> bool {
        self.head().is_none() && !self.ended
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.lane.batches.poll_recv(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(batch)) => {
                self.batch = Some(batch);
                self.next = 0;
                self.met = true;
            }
            Poll::Ready(None) => self.ended = true,
        }
        Poll::Ready(())
    }
}

/// Who takes the lines.
pub trait Sink {
    /// One line, in its turn.
    fn line(&mut self, source: &Source, time: Timestamp, text: &[u8]) -> io::Result<()>;

    /// Nothing more is at hand: what was held back should be shown now.
    fn flush(&mut self) -> io::Result<()>;
}

/// The merger.
pub struct Merge {
    lanes: Vec<Held>,
    fresh: mpsc::Receiver<Lane>,
    no_more_lanes: bool,
    /// Whether the logs are followed: then nothing waits for long.
    live: bool,
    clock: Clock,
}

impl Merge {
    /// Merges the lanes that come through `fresh`, until that is closed and
    /// all lanes have ended.
    pub fn new(fresh: mpsc::Receiver<Lane>, live: bool, clock: Clock) -> Self {
        Self {
            lanes: Vec::new(),
            fresh,
            no_more_lanes: false,
            live,
            clock,
        }
    }

    /// Gives every line to `sink`, in order, until the end or its first error.
    pub async fn run(mut self, sink: &mut impl Sink) -> io::Result<()> {
        loop {
            self.lanes
                .retain(|lane| !(lane.ended && lane.head().is_none()));
            if self.lanes.is_empty() && self.no_more_lanes {
                return Ok(());
            }
            if self.fill().await {
                self.emit_until_one_is_empty(sink)?;
                sink.flush()?;
            }
        }
    }

    /// Waits for what is worth waiting for. Whether there is something to emit.
    async fn fill(&mut self) -> bool {
        let waits_for_lanes = !self.no_more_lanes && (self.lanes.is_empty() || !self.live);
        if !waits_for_lanes && !self.lanes.iter().any(Held::is_awaited) {
            self.look().await;
            return true;
        }
        let Some(oldest) = self.lanes.iter().filter_map(Held::head).min() else {
            self.something().await;
            return false;
        };
        if !self.live {
            self.something().await;
            return false;
        }
        if self.lanes.iter().any(|lane| lane.is_awaited() && !lane.met) {
            let met = tokio::time::timeout(INTRODUCTION, self.something()).await;
            if met.is_err() {
                self.lanes.iter_mut().for_each(|lane| lane.met = true);
            }
            return false;
        }
        let age = self.clock.now().duration_since(oldest);
        if age > FRESH {
            self.look().await;
            return true;
        }
        tokio::time::timeout(PATIENCE, self.something())
            .await
            .is_err()
    }

    /// Takes what is there, without waiting.
    async fn look(&mut self) {
        poll_fn(|cx| {
            let _ = self.poll(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// Waits until a lane has lines, ends, or comes into being.
    async fn something(&mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut news = false;
        while !self.no_more_lanes {
            match self.fresh.poll_recv(cx) {
                Poll::Ready(Some(lane)) => self.lanes.push(Held {
                    lane,
                    batch: None,
                    next: 0,
                    ended: false,
                    met: false,
                }),
                Poll::Ready(None) => self.no_more_lanes = true,
                Poll::Pending => break,
            }
            news = true;
        }
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_awaited()) {
            news |= lane.poll(cx).is_ready();
        }
        if news { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Emits the oldest lines first, until a lane has none at hand any more:
    /// what it brings next may be older than what the others hold.
    fn emit_until_one_is_empty(&mut self, sink: &mut impl Sink) -> io::Result<()> {
        loop {
            let heads = self.lanes.iter().enumerate();
            let heads = heads.filter_map(|(at, lane)| Some((lane.head()?, at)));
            let (mut first, mut second) = (None, None);
            for head in heads {
                if first.is_none_or(|first| head < first) {
                    second = first.replace(head);
                } else if second.is_none_or(|second| head < second) {
                    second = Some(head);
                }
            }
            let Some(lane) = first.and_then(|(_, at)| self.lanes.get_mut(at)) else {
                return Ok(());
            };
            let Some(batch) = &lane.batch else {
                return Ok(());
            };
            while let Some(time) = batch.time(lane.next)
                && second.is_none_or(|(limit, _)| time <= limit)
            {
                sink.line(&lane.lane.source, time, batch.text(lane.next))?;
                lane.next += 1;
            }
            if lane.head().is_none() {
                lane.batch = None;
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::sync::Arc;
    use tokio_util::sync::CancellationToken;

    struct Each<F>(F);

    impl<F: FnMut(String) -> io::Result<()>> Sink for Each<F> {
        fn line(&mut self, _: &Source, _: Timestamp, text: &[u8]) -> io::Result<()> {
            (self.0)(String::from_utf8_lossy(text).into_owned())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn source(name: &str) -> SourceRef {
        Arc::new(Source {
            pod: name.to_owned(),
            container: "app".to_owned(),
            service: name.to_owned(),
        })
    }

    fn batch(lines: &[(i64, &str)]) -> Batch {
        let text: String = lines
            .iter()
            .map(|(second, text)| format!("{} {text}\n", Timestamp::from_second(*second).unwrap()))
            .collect();
        Batch::parse(Bytes::from(text), Timestamp::UNIX_EPOCH)
    }

    fn merge(live: bool) -> (mpsc::Sender<Lane>, Merge) {
        let (sender, fresh) = mpsc::channel(8);
        let clock = Clock::new(1.0, CancellationToken::new());
        (sender, Merge::new(fresh, live, clock))
    }

    async fn lane(to: &mpsc::Sender<Lane>, name: &str) -> mpsc::Sender<Batch> {
        let (sender, batches) = mpsc::channel(LANE_DEPTH);
        to.send(Lane {
            source: source(name),
            batches,
        })
        .await
        .unwrap();
        sender
    }

    #[tokio::test]
    async fn finished_logs_are_in_order_of_time_however_they_arrive() {
        let (lanes, merge) = merge(false);
        let work = async {
            let a = lane(&lanes, "a").await;
            let b = lane(&lanes, "b").await;
            drop(lanes);
            a.send(batch(&[(1, "a1"), (4, "a4")])).await.unwrap();
            tokio::task::yield_now().await;
            a.send(batch(&[(5, "a5")])).await.unwrap();
            drop(a);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            b.send(batch(&[(2, "b2"), (3, "b3")])).await.unwrap();
            b.send(batch(&[(9, "b9")])).await.unwrap();
        };
        let mut seen = Vec::new();
        let mut sink = Each(|text| {
            seen.push(text);
            Ok(())
        });
        let merged = merge.run(&mut sink);
        let ((), merged) = tokio::join!(work, merged);
        merged.unwrap();
        assert_eq!(seen, ["a1", "b2", "b3", "a4", "a5", "b9"]);
    }

    #[tokio::test]
    async fn a_silent_lane_does_not_hold_followed_ones_up() {
        let (lanes, merge) = merge(true);
        let (out, mut seen) = mpsc::unbounded_channel();
        let merged = tokio::spawn(async move {
            let mut sink = Each(move |text| {
                out.send(text).ok();
                Ok(())
            });
            merge.run(&mut sink).await
        });
        let talks = lane(&lanes, "talks").await;
        let _silent = lane(&lanes, "silent").await;
        talks.send(batch(&[(1, "old")])).await.unwrap();
        assert_eq!(seen.recv().await.as_deref(), Some("old"));
        let clock = Clock::new(1.0, CancellationToken::new());
        let now = clock.now().as_second();
        talks.send(batch(&[(now, "fresh")])).await.unwrap();
        assert_eq!(seen.recv().await.as_deref(), Some("fresh"));
        // A lane that comes later is merged as well.
        let late = lane(&lanes, "late").await;
        late.send(batch(&[(2, "late")])).await.unwrap();
        assert_eq!(seen.recv().await.as_deref(), Some("late"));
        merged.abort();
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_ends_it() {
        let (lanes, merge) = merge(true);
        let a = lane(&lanes, "a").await;
        a.send(batch(&[(1, "x"), (2, "y")])).await.unwrap();
        let mut sink = Each(|_| Err(io::ErrorKind::BrokenPipe.into()));
        let end = merge.run(&mut sink).await;
        assert_eq!(end.map_err(|e| e.kind()), Err(io::ErrorKind::BrokenPipe));
    }
}
