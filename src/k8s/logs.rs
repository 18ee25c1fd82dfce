//! Container logs (`pods/log`), in batches of lines with their times.
//!
//! Lines are kept as the bytes that came, many to a buffer, because a busy
//! service writes hundreds of thousands and each allocation would count.

use std::io;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures::{AsyncBufRead, AsyncBufReadExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use memchr::{memchr, memrchr};

use super::{K8sError, Kube};

/// A line without an end is cut here.
const LINE_LIMIT: usize = 1024 * 1024;

/// Which part of a container's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// The container.
    pub container: String,
    /// Whether to wait for more at the end.
    pub follow: bool,
    /// The log of the container's previous run instead of this one.
    pub previous: bool,
    /// Not what is older; to the second, as the API goes.
    pub since: Option<Timestamp>,
    /// Only this many lines from the end.
    pub tail: Option<i64>,
}

/// Lines that came together.
#[derive(Debug, Clone)]
pub struct Batch {
    bytes: Bytes,
    lines: Vec<Place>,
}

/// Where a line is in its batch.
#[derive(Debug, Clone, Copy)]
struct Place {
    time: Timestamp,
    start: usize,
    end: usize,
}

impl Batch {
    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// When the kubelet read a line.
    pub fn time(&self, line: usize) -> Option<Timestamp> {
        self.lines.get(line).map(|place| place.time)
    }

    /// When it read the last one.
    pub fn last_time(&self) -> Option<Timestamp> {
        self.lines.last().map(|place| place.time)
    }

    /// A line's bytes, without its end and without the time before it.
    pub fn text(&self, line: usize) -> &[u8] {
        let place = self.lines.get(line);
        place
            .and_then(|place| self.bytes.get(place.start..place.end))
            .unwrap_or_default()
    }

    /// Leaves out the lines that `keep` does not want.
    pub fn retain(&mut self, mut keep: impl FnMut(Timestamp) -> bool) {
        self.lines.retain(|place| keep(place.time));
    }

    /// Finds the lines in what came. A line without a time belongs to the one
    /// before it: it is a part of a long line, or the kubelet's own word.
    pub fn parse(bytes: Bytes, mut before: Timestamp) -> Self {
        let mut lines = Vec::new();
        let mut start = 0;
        while start < bytes.len() {
            let rest = &bytes[start..];
            let length = memchr(b'\n', rest).unwrap_or(rest.len());
            let line = &rest[..length];
            let (time, skip) = split_time(line).unwrap_or((before, 0));
            before = time;
            let carriage = usize::from(line.len() > skip && line.ends_with(b"\r"));
            lines.push(Place {
                time,
                start: start + skip,
                end: start + length - carriage,
            });
            start += length + 1;
        }
        Self { bytes, lines }
    }
}

/// The time at the beginning of a line, and where the text begins.
fn split_time(line: &[u8]) -> Option<(Timestamp, usize)> {
    // The shortest is `2026-01-01T00:00:00Z`.
    let blank = line.iter().take(40).position(|b| *b == b' ');
    let end = blank.unwrap_or(line.len());
    let time = utc_time(&line[..end]).or_else(|| {
        let text = std::str::from_utf8(&line[..end]).ok()?;
        text.parse().ok()
    })?;
    Some((time, end + usize::from(blank.is_some())))
}

/// The form that nearly all kubelets write, `2026-01-01T00:00:00.123456789Z`:
/// read by hand, because this is done for each line.
fn utc_time(text: &[u8]) -> Option<Timestamp> {
    let digits = |range: std::ops::Range<usize>| {
        text.get(range)?.iter().try_fold(0_i64, |n, b| {
            b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0'))
        })
    };
    let is = |at: usize, what: u8| text.get(at) == Some(&what);
    if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':')) {
        return None;
    }
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
    let (&zulu, fraction) = text.get(19..)?.split_last()?;
    let nanos = match fraction {
        [] => 0,
        [b'.', places @ ..] if (1..=9).contains(&places.len()) => {
            let missing = u32::try_from(9 - places.len()).ok()?;
            digits(20..20 + places.len())? * 10_i64.pow(missing)
        }
        _ => return None,
    };
    if zulu != b'Z' || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 1970 in the proleptic Gregorian calendar, years from March.
    let shifted = year - i64::from(month <= 2);
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    Timestamp::new(seconds, i32::try_from(nanos).ok()?).ok()
}

/// The second that a time is in. The API takes no parts of one, and the client
/// would round up: what was written before the next second would be left out.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// A container's log as it comes.
pub struct LogStream {
    reader: Pin<Box<dyn AsyncBufRead + Send>>,
    rest: BytesMut,
    last: Timestamp,
}

impl std::fmt::Debug for LogStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogStream")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl LogStream {
    /// The next lines; none at the end. A batch is what has come by now, so it
    /// waits for the first line only. May be dropped and called again.
    pub async fn next(&mut self) -> io::Result<Option<Batch>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            let length = chunk.len();
            let begun = self.rest.len();
            self.rest.extend_from_slice(chunk);
            self.reader.as_mut().consume(length);
            let fresh = &self.rest[begun..];
            let whole = memrchr(b'\n', fresh);
            let ready = match whole {
                Some(at) => begun + at + 1,
                None if length == 0 || self.rest.len() >= LINE_LIMIT => self.rest.len(),
                None => continue,
            };
            if ready == 0 {
                return Ok(None);
            }
            let batch = Batch::parse(self.rest.split_to(ready).freeze(), self.last);
            self.last = batch.last_time().unwrap_or(self.last);
            return Ok(Some(batch));
        }
    }
}

impl Kube {
    /// Opens a container's log.
    pub async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        query: &LogQuery,
    ) -> Result<LogStream, K8sError> {
        let what = format!("read the log of {namespace}/{pod} ({})", query.container);
        let params = LogParams {
            container: Some(query.container.clone()),
            follow: query.follow,
            previous: query.previous,
            since_time: query.since.map(whole_second),
            tail_lines: query.tail,
            timestamps: true,
            ..LogParams::default()
        };
        let reader = self
            .call(&what, async |client| {
                let pods: Api<Pod> = Api::namespaced(client, namespace);
                pods.log_stream(pod, &params).await
            })
            .await?;
        Ok(LogStream {
            reader: Box::pin(reader),
            rest: BytesMut::new(),
            last: Timestamp::UNIX_EPOCH,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::Script;
    use super::*;
    use serde_json::json;
    use std::task::{Context, Poll};

    use bytes::Buf as _;
    use proptest::prelude::*;

    /// A reader over bytes at hand.
    #[derive(Debug)]
    struct Canned(pub Bytes);

    fn stream(bytes: impl Into<Bytes>) -> LogStream {
        LogStream {
            reader: Box::pin(Canned(bytes.into())),
            rest: BytesMut::new(),
            last: Timestamp::UNIX_EPOCH,
        }
    }

    impl futures::AsyncRead for Canned {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let length = buf.len().min(self.0.len());
            buf[..length].copy_from_slice(&self.0[..length]);
            self.0.advance(length);
            Poll::Ready(Ok(length))
        }
    }

    impl AsyncBufRead for Canned {
        fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
            let bytes: &[u8] = &self.get_mut().0;
            Poll::Ready(Ok(&bytes[..bytes.len().min(64 * 1024)]))
        }

        fn consume(mut self: Pin<&mut Self>, amount: usize) {
            self.0.advance(amount);
        }
    }

    fn lines(text: &'static str) -> Vec<(String, String)> {
        let batch = Batch::parse(Bytes::from_static(text.as_bytes()), Timestamp::UNIX_EPOCH);
        (0..batch.len())
            .map(|i| {
                let text = String::from_utf8_lossy(batch.text(i)).into_owned();
                (batch.time(i).unwrap().to_string(), text)
            })
            .collect()
    }

    #[test]
    fn a_line_is_its_time_and_its_text() {
        let table = [
            (
                "2026-11-22T02:03:04.5Z hello world\n",
                "2026-11-22T02:03:04.5Z",
                "hello world",
            ),
            (
                "2024-02-29T23:59:59.000000001Z x\r\n",
                "2024-02-29T23:59:59.000000001Z",
                "x",
            ),
            (
                "2026-11-22T03:03:04+01:00 east",
                "2026-11-22T02:03:04Z",
                "east",
            ),
            ("2026-11-22T02:03:04Z \n", "2026-11-22T02:03:04Z", ""),
            ("2026-11-22T02:03:04Z\n", "2026-11-22T02:03:04Z", ""),
            ("no time here\n", "1970-01-01T00:00:00Z", "no time here"),
        ];
        for (text, time, rest) in table {
            assert_eq!(lines(text), [(time.to_owned(), rest.to_owned())], "{text}");
        }
    }

    #[tokio::test]
    async fn a_log_is_asked_for_from_the_second_on_that_a_time_is_in() {
        let log = "GET /api/v1/namespaces/n/pods/p/log";
        let (kube, script) = Script::new().answer(log, (200, json!(""))).kube();
        let query = LogQuery {
            since: Some("2026-11-22T02:03:04.987Z".parse().unwrap()),
            ..LogQuery::default()
        };
        kube.logs("n", "p", &query).await.unwrap();
        let asked = &script.seen()[0].query;
        assert!(
            asked.contains("sinceTime=2026-11-22T02%3A03%3A04Z"),
            "{asked}"
        );
    }

    #[test]
    fn a_line_without_a_time_has_that_of_the_line_before() {
        let got = lines("2026-11-22T02:03:04Z a\nrpc error: gone\n");
        assert_eq!(
            got[1],
            (
                "2026-11-22T02:03:04Z".to_owned(),
                "rpc error: gone".to_owned()
            )
        );
    }

    #[tokio::test]
    async fn a_stream_gives_every_line_once() {
        let text: String = (0..20_000)
            .map(|n| format!("2026-11-22T02:03:04.{n:09}Z line {n}\n"))
            .collect();
        let mut stream = stream(text + "2026-11-22T02:03:05Z torn");
        let mut seen = 0;
        while let Some(batch) = stream.next().await.unwrap() {
            for i in 0..batch.len() {
                let wanted = if seen == 20_000 {
                    "torn".to_owned()
                } else {
                    format!("line {seen}")
                };
                assert_eq!(batch.text(i), wanted.as_bytes());
                seen += 1;
            }
        }
        assert_eq!(seen, 20_001);
    }

    proptest! {
        #[test]
        fn times_are_read_as_the_library_reads_them(second in -2_000_000_000_i64..4_000_000_000, nano in 0..1_000_000_000_i32) {
            let time = Timestamp::new(second, if second < 0 { 0 } else { nano }).unwrap();
            prop_assert_eq!(utc_time(time.to_string().as_bytes()), Some(time));
        }

        #[test]
        fn whatever_comes_is_lines(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let ends = bytes.iter().filter(|b| **b == b'\n').count();
            let open = usize::from(!bytes.is_empty() && bytes.last() != Some(&b'\n'));
            let batch = Batch::parse(Bytes::from(bytes), Timestamp::UNIX_EPOCH);
            prop_assert_eq!(batch.len(), ends + open);
        }
    }
}
