//! What was read of a container's log, so that each line is passed on once,
//! whichever answers of the server it comes in. No input or output.

use jiff::Timestamp;

use crate::k8s::logs::Batch;

/// How far a container's log was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) last: Option<Timestamp>,
    /// How many lines had exactly that time.
    at_last: usize,
}

impl Cursor {
    /// Leaves out of a batch, which begins anew, what was seen. `skipped`
    /// counts the lines of the cursor's own time within one connection.
    fn leave_out_seen(self, batch: &mut Batch, skipped: &mut usize) {
        let Some(last) = self.last else { return };
        batch.retain(|time| {
            let again = time == last && *skipped < self.at_last;
            *skipped += usize::from(again);
            time > last || (time == last && !again)
        });
    }

    fn advance(&mut self, batch: &Batch) {
        for line in 0..batch.len() {
            let time = batch.time(line);
            if time == self.last {
                self.at_last += 1;
            } else {
                *self = Self {
                    last: time,
                    at_last: 1,
                };
            }
        }
    }
}

/// How many stretches are remembered: a run has one, unless connections break.
const STRETCHES: usize = 8;

/// Lines of one run without a gap, by the times of the first and the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    first: Timestamp,
    last: Timestamp,
}

/// What was read of a container's log.
///
/// An answer does not say of which run it is. What is asked for as one run's
/// log may be the next one's already, as statuses arrive later than they are.
/// Then the rest of the run before comes to light only as `previous`, and is
/// older than what was read last. So it is remembered which stretches were read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) cursor: Cursor,
    stretches: Vec<Stretch>,
}

/// One answer of the server.
#[derive(Debug, Default)]
pub(super) struct Answer {
    from: Cursor,
    skipped: usize,
    /// Whether the line at the cursor came again: it is the same run.
    pub(super) continues: bool,
    /// Whether there was anything new.
    pub(super) is_new: bool,
}

impl Seen {
    /// Before an answer to a question from the cursor on.
    pub(super) fn answer(&self) -> Answer {
        Answer {
            from: self.cursor,
            ..Answer::default()
        }
    }

    /// Takes a batch of an answer, and leaves in it what is new.
    pub(super) fn take(&mut self, answer: &mut Answer, batch: &mut Batch) {
        let last = answer.from.last;
        answer.continues |= last.is_some() && (0..batch.len()).any(|n| batch.time(n) == last);
        answer.from.leave_out_seen(batch, &mut answer.skipped);
        self.cursor.advance(batch);
        let (Some(first), Some(last)) = (batch.time(0), batch.last_time()) else {
            return;
        };
        let goes_on = answer.continues || answer.is_new;
        match self.stretches.last_mut().filter(|_| goes_on) {
            Some(stretch) => stretch.last = last,
            None => self.stretches.push(Stretch { first, last }),
        }
        answer.is_new = true;
        if self.stretches.len() > STRETCHES {
            self.stretches.remove(0);
        }
    }

    /// Takes a batch of a run that is older than what was read last.
    pub(super) fn take_older(&mut self, batch: &mut Batch) {
        batch.retain(|time| {
            let mut read = self.stretches.iter();
            !read.any(|stretch| (stretch.first..=stretch.last).contains(&time))
        });
        if let (Some(first), Some(last)) = (batch.time(0), batch.last_time()) {
            let at = self.stretches.len().saturating_sub(1);
            self.stretches.insert(at, Stretch { first, last });
        }
    }

    /// Where what was read before the last stretch ends.
    pub(super) fn end_before(&self) -> Option<Timestamp> {
        let at = self.stretches.len().checked_sub(2)?;
        self.stretches.get(at).map(|stretch| stretch.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn batch(times: &[i64]) -> Batch {
        let text: String = times
            .iter()
            .enumerate()
            .map(|(n, second)| format!("{} {n}\n", Timestamp::from_second(*second).unwrap()))
            .collect();
        Batch::parse(Bytes::from(text), Timestamp::UNIX_EPOCH)
    }

    fn texts(batch: &Batch) -> Vec<usize> {
        (0..batch.len())
            .map(|line| String::from_utf8_lossy(batch.text(line)).parse().unwrap())
            .collect()
    }

    #[test]
    fn a_run_that_was_jumped_over_is_read_once() {
        let mut seen = Seen::default();
        let mut told = Vec::new();
        let mut take = |seen: &mut Seen, times: &[i64]| {
            let mut batch = batch(times);
            let mut answer = seen.answer();
            seen.take(&mut answer, &mut batch);
            told.extend((0..batch.len()).filter_map(|n| batch.time(n)));
            answer.continues || answer.is_new
        };
        assert!(take(&mut seen, &[1, 2, 3]));
        // Asked for as the same run, it was the next but one already.
        assert!(take(&mut seen, &[7, 8]));
        // Of the one between there is nothing from the cursor on.
        assert!(!take(&mut seen, &[]));
        assert_eq!(seen.end_before(), Timestamp::from_second(3).ok());
        for left in [&[4, 5, 6][..], &[]] {
            let mut older = batch(&[4, 5, 6]);
            seen.take_older(&mut older);
            let times: Vec<_> = (0..older.len()).filter_map(|n| older.time(n)).collect();
            let left = left.iter().map(|s| Timestamp::from_second(*s).unwrap());
            assert_eq!(times, left.collect::<Vec<_>>());
        }
        // The run goes on where it was.
        assert!(take(&mut seen, &[7, 8, 9]));
        let told: Vec<_> = told.iter().map(|time| time.as_second()).collect();
        assert_eq!(told, [1, 2, 3, 7, 8, 9]);
    }

    proptest! {
        /// However a log is cut by lost connections, each line comes once.
        #[test]
        fn nothing_is_lost_or_repeated(
            steps in proptest::collection::vec(0..3_i64, 1..60),
            cuts in proptest::collection::vec(0..60_usize, 0..5),
        ) {
            let mut second = 0;
            let times: Vec<i64> = steps.iter().map(|step| { second += step; second }).collect();
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut cursor = Cursor::default();
            let mut seen = Vec::new();
            for cut in cuts.into_iter().map(|cut| cut.min(times.len())).chain([times.len()]) {
                // The server begins anew at the second of the cursor.
                let since = cursor.last.map_or(i64::MIN, Timestamp::as_second);
                let offset = times.iter().take_while(|time| **time < since).count();
                if cut < offset { continue; }
                let from = cursor;
                let mut skipped = 0;
                let mut answer = batch(&times[offset..cut]);
                from.leave_out_seen(&mut answer, &mut skipped);
                cursor.advance(&answer);
                seen.extend(texts(&answer).iter().map(|n| n + offset));
            }
            prop_assert_eq!(seen, (0..times.len()).collect::<Vec<_>>());
        }
    }
}
