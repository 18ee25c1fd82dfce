//! The log of one partition: an append-only file of record batches, a sparse
//! index in memory, and what idempotent producers have written.
//!
//! An append is acknowledged when the batch has been written to the file. It
//! is not synced: a killed process loses nothing that was acknowledged, a
//! machine that loses its power may lose the last seconds, which is what
//! Kafka promises of a single replica too. Opening scans the headers of the
//! batches and drops a tail that ends early.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::batch::{self, HEADER, Header};
use crate::files;

/// One index entry stands for at least so many bytes of the file.
const INDEX_EVERY: u64 = 4096;
/// How many of a producer's last batches are remembered, as Kafka does: a
/// client has at most five in flight.
const REMEMBERED: usize = 5;

/// Where a stretch of the file begins, and the latest time in it.
#[derive(Debug, Clone, Copy)]
struct Mark {
    offset: i64,
    position: u64,
    max_time: i64,
}

/// A batch of an idempotent producer.
#[derive(Debug, Clone, Copy)]
struct Sent {
    first: i32,
    last: i32,
    offset: i64,
}

#[derive(Debug, Default)]
struct Producer {
    epoch: i16,
    last: VecDeque<Sent>,
}

#[derive(Debug)]
struct Inner {
    file: Arc<File>,
    size: u64,
    start: i64,
    next: i64,
    index: Vec<Mark>,
    producers: HashMap<i64, Producer>,
    scratch: Vec<u8>,
    /// Batches that a fault holds back until the next one is written.
    late: Option<Vec<u8>>,
}

/// The log of a partition. All methods are short and never await.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    inner: Mutex<Inner>,
}

/// What a fault does to a batch that is acknowledged as if nothing were wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Twist {
    /// Nothing.
    #[default]
    None,
    /// It is not written.
    Lose,
    /// It is written twice.
    Double,
    /// It is written after the one that follows.
    Late,
}

/// Why a batch was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// It does not follow what the producer sent before.
    #[error("out of order sequence number")]
    OutOfOrder,
    /// A newer incarnation of the producer exists.
    #[error("invalid producer epoch")]
    OldEpoch,
    /// The file cannot be written.
    #[error("cannot write the partition's log")]
    Io(#[from] io::Error),
}

impl Log {
    /// Opens the log in a file, or makes it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = files::open_append(path)?;
        let mut inner = Inner {
            file: Arc::new(file),
            size: 0,
            start: 0,
            next: 0,
            index: Vec::new(),
            producers: HashMap::new(),
            scratch: Vec::new(),
            late: None,
        };
        inner.recover()?;
        Ok(Self {
            path: path.to_owned(),
            inner: Mutex::new(inner),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The offset of the first record kept, and the one behind the last.
    pub fn bounds(&self) -> (i64, i64) {
        let inner = self.lock();
        (inner.start, inner.next)
    }

    /// How many bytes are kept.
    pub fn size(&self) -> u64 {
        self.lock().size
    }

    /// Appends a batch whose header has been verified; the offset of its first
    /// record. A batch that an idempotent producer sent before is not written
    /// twice, and gets the same answer.
    pub fn append(&self, batch: &[u8], header: &Header, twist: Twist) -> Result<i64, AppendError> {
        let batch = batch.get(..header.size).unwrap_or(batch);
        let mut inner = self.lock();
        if let Some(offset) = inner.known(header)? {
            return Ok(offset);
        }
        let offset = inner.next;
        inner.remember(&Header {
            base_offset: offset,
            ..*header
        });
        let late = inner.late.take();
        match twist {
            Twist::Late if late.is_none() => {
                inner.late = Some(batch.to_vec());
                return Ok(offset);
            }
            Twist::None | Twist::Late => inner.write(batch, header)?,
            Twist::Lose => {}
            Twist::Double => {
                inner.write(batch, header)?;
                inner.write(batch, header)?;
            }
        }
        if let Some(held) = late
            && let Ok(header) = Header::read(&held)
        {
            inner.write(&held, &header)?;
        }
        Ok(offset)
    }

    /// Appends whole batches to `out`, from the one that holds `offset` on, as
    /// many as fit into `room`, and the first one in any case if `at_least_one`.
    pub fn read(
        &self,
        offset: i64,
        room: usize,
        at_least_one: bool,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let (file, mut position, size) = {
            let inner = self.lock();
            if offset >= inner.next {
                return Ok(());
            }
            (inner.file.clone(), inner.mark_of(offset), inner.size)
        };
        let first = loop {
            let header = header_at(&file, position)?;
            if header.next_offset() > offset {
                break header;
            }
            position += header.size as u64;
        };
        if first.size > room && !at_least_one {
            return Ok(());
        }
        let left = usize::try_from(size - position).unwrap_or(usize::MAX);
        let wanted = room.max(first.size).min(left);
        let start = out.len();
        out.resize(start + wanted, 0);
        read_exact_at(&file, out.get_mut(start..).unwrap_or_default(), position)?;
        // The last batch may be cut off.
        let mut end = start;
        while let Some(Ok(header)) = out.get(end..).map(Header::read) {
            if end + header.size > out.len() {
                break;
            }
            end += header.size;
        }
        out.truncate(end);
        Ok(())
    }

    /// The first record at or after a time: its offset and its time.
    pub fn offset_at(&self, time: i64) -> io::Result<Option<(i64, i64)>> {
        let (file, mut position, size) = {
            let inner = self.lock();
            let Some(mark) = inner.index.iter().find(|mark| mark.max_time >= time) else {
                return Ok(None);
            };
            (inner.file.clone(), mark.position, inner.size)
        };
        while position < size {
            let header = header_at(&file, position)?;
            if header.max_time >= time {
                let mut bytes = vec![0; header.size];
                read_exact_at(&file, &mut bytes, position)?;
                let records = batch::records(&bytes).unwrap_or_default();
                let found = records.into_iter().find(|record| record.time >= time);
                // A compressed batch that cannot be opened: its beginning.
                return Ok(Some(
                    found.map_or((header.base_offset, header.base_time), |record| {
                        (record.offset, record.time)
                    }),
                ));
            }
            position += header.size as u64;
        }
        Ok(None)
    }

    /// The latest time of any record, and the offset of its batch's end.
    pub fn max_time(&self) -> Option<(i64, i64)> {
        let inner = self.lock();
        let latest = inner.index.iter().map(|mark| mark.max_time).max()?;
        Some((inner.next - 1, latest))
    }

    /// Drops the oldest batches once the file is twice as large as `keep`, so
    /// that about `keep` bytes stay.
    pub fn trim(&self, keep: u64) -> io::Result<()> {
        let mut inner = self.lock();
        if inner.size / 2 <= keep {
            return Ok(());
        }
        let cut = inner.size - keep;
        let Some(mark) = inner.index.iter().find(|m| m.position >= cut).copied() else {
            return Ok(());
        };
        // In a file of its own first: a killed process finds the old or the new.
        let parent = self.path.parent().unwrap_or(Path::new("."));
        let mut kept = tempfile::NamedTempFile::new_in(parent)?;
        let mut old = &*inner.file;
        old.seek(io::SeekFrom::Start(mark.position))?;
        io::copy(&mut old.take(inner.size - mark.position), &mut kept)?;
        kept.persist(&self.path).map_err(|e| e.error)?;
        inner.file = Arc::new(files::open_append(&self.path)?);
        inner.size -= mark.position;
        inner.start = mark.offset;
        inner.index.retain(|m| m.position >= mark.position);
        for m in &mut inner.index {
            m.position -= mark.position;
        }
        Ok(())
    }
}

impl Inner {
    /// Reads the headers of all batches and drops what is no whole batch.
    fn recover(&mut self) -> io::Result<()> {
        let file = self.file.clone();
        let length = file.metadata()?.len();
        let mut reader = BufReader::with_capacity(1 << 18, &*file);
        reader.seek(io::SeekFrom::Start(0))?;
        let mut found = Vec::new();
        let mut bytes = [0; HEADER];
        let mut position = 0;
        while position + HEADER as u64 <= length {
            reader.read_exact(&mut bytes)?;
            let Ok(header) = Header::read(&bytes) else {
                break;
            };
            let follows = found.is_empty() || header.base_offset == self.next;
            if !follows || position + header.size as u64 > length {
                break;
            }
            if found.is_empty() {
                self.start = header.base_offset;
                found.push(());
            }
            self.note(&header);
            self.remember(&header);
            position += header.size as u64;
            let rest = i64::try_from(header.size - HEADER).unwrap_or(i64::MAX);
            reader.seek_relative(rest)?;
        }
        file.set_len(position)
    }

    /// Writes a batch behind the last one.
    fn write(&mut self, batch: &[u8], header: &Header) -> io::Result<()> {
        self.scratch.clear();
        self.scratch.extend_from_slice(batch);
        batch::stamp(&mut self.scratch, self.next);
        let mut file = &*self.file;
        if let Err(error) = file.write_all(&self.scratch) {
            // What was written of it must not stand before the next one.
            self.file.set_len(self.size)?;
            return Err(error);
        }
        let header = Header {
            base_offset: self.next,
            ..*header
        };
        self.note(&header);
        Ok(())
    }

    /// Takes a written batch into the index.
    fn note(&mut self, header: &Header) {
        let stretch = self.index.last_mut();
        match stretch.filter(|mark| self.size - mark.position < INDEX_EVERY) {
            Some(mark) => mark.max_time = mark.max_time.max(header.max_time),
            None => self.index.push(Mark {
                offset: header.base_offset,
                position: self.size,
                max_time: header.max_time,
            }),
        }
        self.size += header.size as u64;
        self.next = header.next_offset();
    }

    /// Takes a batch into the producers' memory.
    fn remember(&mut self, header: &Header) {
        if header.producer >= 0 {
            let producer = self.producers.entry(header.producer).or_default();
            if producer.epoch != header.epoch {
                producer.last.clear();
                producer.epoch = header.epoch;
            }
            producer.last.push_back(Sent {
                first: header.sequence,
                last: header.last_sequence(),
                offset: header.base_offset,
            });
            if producer.last.len() > REMEMBERED {
                producer.last.pop_front();
            }
        }
    }

    /// The offset of a batch that was written before; an error if it neither
    /// was nor comes next.
    fn known(&self, header: &Header) -> Result<Option<i64>, AppendError> {
        let Some(producer) = self.producers.get(&header.producer) else {
            return Ok(None);
        };
        if header.producer < 0 {
            return Ok(None);
        }
        if header.epoch < producer.epoch {
            return Err(AppendError::OldEpoch);
        }
        let next = match producer.last.back() {
            Some(last) if header.epoch == producer.epoch => batch::add_sequence(last.last, 1),
            _ => 0,
        };
        let same = |sent: &&Sent| {
            header.epoch == producer.epoch
                && sent.first == header.sequence
                && sent.last == header.last_sequence()
        };
        match producer.last.iter().find(same) {
            Some(sent) => Ok(Some(sent.offset)),
            None if header.sequence == next => Ok(None),
            None => Err(AppendError::OutOfOrder),
        }
    }

    /// Where to begin looking for an offset.
    fn mark_of(&self, offset: i64) -> u64 {
        let after = self.index.partition_point(|mark| mark.offset <= offset);
        let mark = after.checked_sub(1).and_then(|at| self.index.get(at));
        mark.map_or(0, |mark| mark.position)
    }
}

fn header_at(file: &File, position: u64) -> io::Result<Header> {
    let mut bytes = [0; HEADER];
    read_exact_at(file, &mut bytes, position)?;
    Header::read(&bytes).map_err(io::Error::other)
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], position: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, position)
}

/// A handle of its own would share the cursor; appending never looks at it.
#[cfg(not(unix))]
fn read_exact_at(mut file: &File, bytes: &mut [u8], position: u64) -> io::Result<()> {
    static CURSOR: Mutex<()> = Mutex::new(());
    let _turn = CURSOR.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(io::SeekFrom::Start(position))?;
    file.read_exact(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::batch::{Record, build, records, verify};
    use super::*;

    fn event(n: i64) -> Vec<u8> {
        build(&[Record {
            time: 1000 + n,
            value: Some(format!("event {n} {}", "x".repeat(100)).into_bytes()),
            ..Record::default()
        }])
    }

    fn append(log: &Log, batch: &[u8]) -> Result<i64, AppendError> {
        log.append(batch, &verify(batch).unwrap(), Twist::None)
    }

    fn values(log: &Log, offset: i64, room: usize) -> Vec<i64> {
        let mut out = Vec::new();
        log.read(offset, room, true, &mut out).unwrap();
        let mut rest = &out[..];
        let mut found = Vec::new();
        while !rest.is_empty() {
            let size = verify(rest).unwrap().size;
            found.extend(records(&rest[..size]).unwrap().iter().map(|r| r.offset));
            rest = &rest[size..];
        }
        found
    }

    #[test]
    fn any_offset_and_any_time_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(&dir.path().join("p.log")).unwrap();
        for n in 0..200 {
            assert_eq!(append(&log, &event(n)).unwrap(), n);
        }
        let one = event(0).len();
        for offset in 0..200 {
            assert_eq!(
                values(&log, offset, 1),
                [offset],
                "the first one always fits"
            );
            let time = log.offset_at(1000 + offset).unwrap();
            assert_eq!(time, Some((offset, 1000 + offset)));
        }
        assert_eq!(values(&log, 7, one * 3 + 20), [7, 8, 9]);
        assert_eq!(log.offset_at(5).unwrap(), Some((0, 1000)));
        assert_eq!(log.offset_at(1200).unwrap(), None);
        assert!(values(&log, 200, 1000).is_empty());
    }

    #[test]
    fn a_log_cut_at_any_byte_keeps_every_whole_batch() {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("whole.log");
        let log = Log::open(&whole).unwrap();
        let mut ends = vec![0];
        for n in 0..4 {
            append(&log, &event(n)).unwrap();
            ends.push(log.size());
        }
        let bytes = std::fs::read(&whole).unwrap();
        for cut in (0..=bytes.len()).step_by(3) {
            let path = dir.path().join("cut.log");
            let _ = std::fs::remove_file(&path);
            let mut file = files::open_append(&path).unwrap();
            file.write_all(&bytes[..cut]).unwrap();
            let log = Log::open(&path).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut as u64).count() - 1;
            let acknowledged = i64::try_from(whole).unwrap();
            assert_eq!(log.bounds().1, acknowledged, "cut at {cut}");
            assert_eq!(append(&log, &event(9)).unwrap(), acknowledged);
        }
    }

    #[test]
    fn an_idempotent_producer_writes_once_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.log");
        let log = Log::open(&path).unwrap();
        let batch = event(0);
        let plain = verify(&batch).unwrap();
        let sent = |epoch, sequence| Header {
            producer: 5,
            epoch,
            sequence,
            ..plain
        };
        let send = |log: &Log, epoch, sequence| {
            // The header on disk is what recovery reads.
            let mut bytes = batch.clone();
            bytes[43..51].copy_from_slice(&5_i64.to_be_bytes());
            bytes[51..53].copy_from_slice(&i16::to_be_bytes(epoch));
            bytes[53..57].copy_from_slice(&i32::to_be_bytes(sequence));
            log.append(&bytes, &sent(epoch, sequence), Twist::None)
        };
        assert_eq!(send(&log, 0, 0).unwrap(), 0);
        assert_eq!(send(&log, 0, 1).unwrap(), 1);
        assert_eq!(send(&log, 0, 0).unwrap(), 0, "again, not twice");
        assert!(matches!(send(&log, 0, 3), Err(AppendError::OutOfOrder)));
        drop(log);
        let log = Log::open(&path).unwrap();
        assert_eq!(send(&log, 0, 1).unwrap(), 1, "remembered over a restart");
        assert_eq!(
            send(&log, 1, 0).unwrap(),
            2,
            "a new incarnation starts at 0"
        );
        assert!(matches!(send(&log, 0, 2), Err(AppendError::OldEpoch)));
        assert_eq!(log.bounds(), (0, 3));
    }

    #[test]
    fn a_trimmed_log_keeps_its_end_and_its_offsets() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.log");
        let log = Log::open(&path).unwrap();
        for n in 0..500 {
            append(&log, &event(n)).unwrap();
        }
        log.trim(20_000).unwrap();
        let (start, next) = log.bounds();
        assert!(start > 300 && next == 500, "{start} {next}");
        assert!(log.size() <= 20_000 && log.size() > 10_000);
        assert_eq!(values(&log, start, 1), [start]);
        assert_eq!(append(&log, &event(500)).unwrap(), 500);
        drop(log);
        let log = Log::open(&path).unwrap();
        assert_eq!(log.bounds(), (start, 501));
        assert_eq!(values(&log, 500, 1), [500]);
    }
}
