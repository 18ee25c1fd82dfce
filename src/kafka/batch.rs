//! Record batches (message format 2, KIP-98), read in place: nothing is copied
//! or allocated for an event, and a compressed batch is unpacked once, when it
//! is its turn.
//!
//! The check sum of a batch is not verified, as librdkafka does not by default:
//! the broker checked it when it took the batch, and TCP and TLS guard the rest.

use bytes::{Buf as _, Bytes};
use kafka_protocol::compression::{Decompressor as _, Gzip, Snappy};

/// What stands before the records of a batch.
const HEADER: usize = 61;
/// The offset and the length of a batch, which its length does not count.
const PREFIX: usize = 12;
const CONTROL: i16 = 0x20;
const LOG_APPEND_TIME: i16 = 0x08;

/// A batch that makes no sense, or is packed in a way that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadBatch {
    pub(super) offset: i64,
    pub(super) what: String,
}

/// An event as it lies in its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its place in the partition.
    pub offset: i64,
    /// When it was produced or stored, in milliseconds since 1970.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its content.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
}

/// The headers of an event, read when asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    count: i32,
}

impl std::fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> Headers<'a> {
    /// Each name with its value. Ends early where the bytes make no sense.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> {
        let mut cursor = Cursor(self.bytes);
        let mut left = self.count;
        std::iter::from_fn(move || {
            left = left.checked_sub(1).filter(|left| *left >= 0)?;
            let name = cursor.sized()??;
            let value = cursor.sized()?;
            Some((std::str::from_utf8(name).unwrap_or_default(), value))
        })
    }
}

/// Batches as a broker sends them, one after the other. The last may be cut.
#[derive(Debug, Clone)]
pub(super) struct Batches(Bytes);

impl Batches {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, BadBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut head = self.0.get(..HEADER)?;
        let base = head.get_i64();
        let length = usize::try_from(head.get_i32()).ok();
        head.advance(4);
        let magic = head.get_i8();
        let bad = |what: &str| BadBatch {
            offset: base,
            what: what.to_owned(),
        };
        let end = length.and_then(|length| length.checked_add(PREFIX));
        let Some(end) = end.filter(|end| *end >= HEADER) else {
            self.0.clear();
            return Some(Err(bad("a batch of an impossible length")));
        };
        if magic != 2 {
            self.0.clear();
            return Some(Err(bad("its message format is older than Kafka 0.11")));
        }
        if self.0.len() < end {
            return None;
        }
        head.advance(4);
        let attributes = head.get_i16();
        let last = base.saturating_add(i64::from(head.get_i32()));
        let first_timestamp = head.get_i64();
        let max_timestamp = head.get_i64();
        head.advance(8 + 2 + 4);
        let count = head.get_i32();
        let mut records = self.0.split_to(end);
        records.advance(HEADER);
        Some(Ok(Batch {
            base,
            last,
            attributes,
            first_timestamp,
            max_timestamp,
            count,
            records,
        }))
    }
}

/// One batch, still packed.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    base: i64,
    /// The offset of its last record, even if that was compacted away.
    pub(super) last: i64,
    attributes: i16,
    first_timestamp: i64,
    max_timestamp: i64,
    count: i32,
    records: Bytes,
}

impl Batch {
    /// Whether it holds transaction marks and no events.
    fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    fn bad(&self, what: impl Into<String>) -> BadBatch {
        BadBatch {
            offset: self.base,
            what: what.into(),
        }
    }

    /// Unpacks it.
    pub(super) fn unpack(mut self) -> Result<Unpacked, BadBatch> {
        let take = |bytes: &mut Bytes| Ok(std::mem::take(bytes));
        let mut packed = std::mem::take(&mut self.records);
        let records = match self.attributes & 0x07 {
            _ if self.is_control() => Ok(Bytes::new()),
            0 => Ok(packed),
            1 => Gzip::decompress(&mut packed, |bytes| {
                Ok(bytes.copy_to_bytes(bytes.remaining()))
            }),
            2 => Snappy::decompress(&mut packed, take),
            3 => return Err(self.bad("it is compressed with lz4, which todoctl cannot read")),
            4 => return Err(self.bad("it is compressed with zstd, which todoctl cannot read")),
            _ => return Err(self.bad("it is compressed in an unknown way")),
        };
        match records {
            Ok(records) => Ok(Unpacked {
                batch: self,
                records,
            }),
            Err(error) => Err(self.bad(error.to_string())),
        }
    }
}

/// One batch with its records at hand.
#[derive(Debug)]
pub(super) struct Unpacked {
    batch: Batch,
    records: Bytes,
}

impl Unpacked {
    /// Its records in order.
    pub(super) fn records(&self) -> Records<'_> {
        let count = if self.batch.is_control() {
            0
        } else {
            self.batch.count
        };
        Records {
            batch: &self.batch,
            cursor: Cursor(&self.records),
            left: count,
        }
    }
}

/// The records of a batch.
#[derive(Debug)]
pub(super) struct Records<'a> {
    batch: &'a Batch,
    cursor: Cursor<'a>,
    left: i32,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, BadBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1).filter(|left| *left >= 0)?;
        let record = self.record();
        if record.is_none() {
            self.left = 0;
        }
        Some(record.ok_or_else(|| self.batch.bad("a record ends before it should")))
    }
}

impl<'a> Records<'a> {
    fn record(&mut self) -> Option<Record<'a>> {
        let length = usize::try_from(self.cursor.varint()?).ok()?;
        let mut body = Cursor(self.cursor.take(length)?);
        body.take(1)?;
        let timestamp = body.varlong()?;
        let offset = body.varint()?;
        let key = body.sized()?;
        let value = body.sized()?;
        let count = body.varint()?;
        let timestamp = if self.batch.attributes & LOG_APPEND_TIME == 0 {
            self.batch.first_timestamp.wrapping_add(timestamp)
        } else {
            self.batch.max_timestamp
        };
        Some(Record {
            offset: self.batch.base.wrapping_add(i64::from(offset)),
            timestamp,
            key,
            value,
            headers: Headers {
                bytes: body.0,
                count,
            },
        })
    }
}

/// Reads the integers of variable length that records are made of.
#[derive(Debug, Clone, Copy)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A zigzag integer of up to 64 bits.
    fn varlong(&mut self) -> Option<i64> {
        let mut value = 0_u64;
        let mut shift = 0;
        loop {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
            shift += 7;
        }
    }

    fn varint(&mut self) -> Option<i32> {
        i32::try_from(self.varlong()?).ok()
    }

    /// Bytes with their length in front; a negative one stands for none.
    #[expect(clippy::option_option, reason = "malformed, absent, present")]
    fn sized(&mut self) -> Option<Option<&'a [u8]>> {
        let length = self.varint()?;
        match usize::try_from(length) {
            Err(_) => Some(None),
            Ok(length) => self.take(length).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::records::{
        Compression, Record as Whole, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
    };
    use proptest::prelude::*;

    use super::*;

    fn whole(offset: i64, value: &str) -> Whole {
        Whole {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id: -1,
            producer_epoch: -1,
            timestamp_type: TimestampType::Creation,
            offset,
            // Counts along with the offset, so that one batch holds them.
            sequence: i32::try_from(offset).unwrap() - 10,
            timestamp: 1_700_000_000_000 + offset,
            key: (offset % 2 == 0).then(|| Bytes::from("key")),
            value: Some(Bytes::from(value.to_owned())),
            headers: [("ce_id".into(), Some(Bytes::from("7")))]
                .into_iter()
                .collect(),
        }
    }

    fn encode(records: &[Whole], compression: Compression) -> Bytes {
        let mut bytes = bytes::BytesMut::new();
        let options = RecordEncodeOptions {
            version: 2,
            compression,
        };
        RecordBatchEncoder::encode(&mut bytes, records, &options).unwrap();
        bytes.freeze()
    }

    fn read(bytes: Bytes) -> Result<Vec<(i64, String, bool, usize)>, BadBatch> {
        let mut all = Vec::new();
        for batch in Batches::new(bytes) {
            for record in batch?.unpack()?.records() {
                let record = record?;
                let value = String::from_utf8_lossy(record.value.unwrap_or_default());
                assert_eq!(record.timestamp, 1_700_000_000_000 + record.offset);
                let headers = record.headers.iter().count();
                all.push((
                    record.offset,
                    value.into_owned(),
                    record.key.is_some(),
                    headers,
                ));
            }
        }
        Ok(all)
    }

    #[test]
    fn what_was_packed_is_read_whatever_the_compression() {
        for compression in [Compression::None, Compression::Gzip, Compression::Snappy] {
            let records: Vec<_> = (5..9).map(|i| whole(i, &format!("v{i}"))).collect();
            let read = read(encode(&records, compression)).unwrap();
            assert_eq!(
                read,
                [
                    (5, "v5".to_owned(), false, 1),
                    (6, "v6".to_owned(), true, 1),
                    (7, "v7".to_owned(), false, 1),
                    (8, "v8".to_owned(), true, 1),
                ],
                "{compression:?}"
            );
        }
    }

    #[test]
    fn a_cut_batch_at_the_end_is_left_for_the_next_fetch() {
        let mut bytes = encode(&[whole(0, "a")], Compression::None).to_vec();
        let second = encode(&[whole(1, "b")], Compression::None);
        bytes.extend_from_slice(&second[..second.len() - 1]);
        assert_eq!(read(bytes.into()).unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let mut bytes = encode(&[whole(3, "a")], Compression::None).to_vec();
        bytes[22] = 4;
        let error = read(bytes.clone().into()).unwrap_err();
        assert_eq!(error.offset, 3);
        assert!(error.what.contains("zstd"));
        bytes[16] = 1;
        assert!(
            read(bytes.clone().into())
                .unwrap_err()
                .what
                .contains("0.11")
        );
        bytes[16] = 2;
        bytes[8..12].fill(0xff);
        assert!(read(bytes.into()).unwrap_err().what.contains("length"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn no_bytes_are_fatal(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut framed = encode(&[whole(0, "a")], Compression::None).to_vec();
            framed.truncate(HEADER);
            framed[8..12].copy_from_slice(&(49 + i32::try_from(bytes.len()).unwrap()).to_be_bytes());
            framed.extend_from_slice(&bytes);
            for batch in Batches::new(framed.into()) {
                let Ok(unpacked) = batch.and_then(Batch::unpack) else { continue };
                for record in unpacked.records() {
                    let _ = record.map(|record| record.headers.iter().count());
                }
            }
        }

        #[test]
        fn integers_survive(value in any::<i64>()) {
            let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
            let mut bytes = Vec::new();
            loop {
                let low = (zigzag & 0x7f) as u8;
                zigzag >>= 7;
                if zigzag == 0 {
                    bytes.push(low);
                    break;
                }
                bytes.push(low | 0x80);
            }
            prop_assert_eq!(Cursor(&bytes).varlong(), Some(value));
        }
    }
}
