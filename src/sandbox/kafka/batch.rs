//! Record batches, format 2: the header that the broker reads and stamps, and
//! the records inside, which it only opens to show them or to find a time.
//!
//! Specified in "Kafka documentation", section 5.3 "Message format". A batch
//! is kept byte for byte as it was sent: only the base offset and the leader
//! epoch are the broker's, and both lie before what the checksum covers.

use std::io::Read as _;

use super::crc::crc32c;
use super::wire::{Malformed, Reader, Writer};

/// How long a batch's header is, up to its first record.
pub const HEADER: usize = 61;
/// What precedes the bytes that the length field counts.
pub const PREFIX: usize = 12;
/// Where the bytes begin that the checksum covers.
const CHECKED: usize = 21;

const COMPRESSION: i16 = 0b111;
const TRANSACTIONAL: i16 = 0b1_0000;
const CONTROL: i16 = 0b10_0000;

/// The fields of a batch's header that matter to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The offset of the first record.
    pub base_offset: i64,
    /// How many bytes the batch takes, header included.
    pub size: usize,
    /// Compression in bits 0–2, the kind of timestamp in bit 3.
    pub attributes: i16,
    /// The last record's offset less the first's.
    pub last_delta: i32,
    /// The first record's time in milliseconds since 1970.
    pub base_time: i64,
    /// The latest time of any record.
    pub max_time: i64,
    /// Who produced it, when idempotent; −1 otherwise.
    pub producer: i64,
    /// The incarnation of the producer.
    pub epoch: i16,
    /// The first record's number in the producer's sequence.
    pub sequence: i32,
    /// How many records there are.
    pub count: i32,
    /// CRC-32C of all that follows it.
    pub checksum: u32,
}

impl Header {
    /// Reads the header at the front of some bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let base_offset = reader.i64()?;
        let length = reader.i32()?;
        let _leader_epoch = reader.i32()?;
        if reader.i8()? != 2 {
            return Err(Malformed("record batch: it is not of format 2"));
        }
        let size = usize::try_from(length).unwrap_or(0) + PREFIX;
        if size < HEADER {
            return Err(Malformed("record batch: it is shorter than its header"));
        }
        Ok(Self {
            base_offset,
            size,
            checksum: reader.u32()?,
            attributes: reader.i16()?,
            last_delta: reader.i32()?,
            base_time: reader.i64()?,
            max_time: reader.i64()?,
            producer: reader.i64()?,
            epoch: reader.i16()?,
            sequence: reader.i32()?,
            count: reader.i32()?,
        })
    }

    /// The offset behind the last record.
    pub fn next_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_delta) + 1
    }

    /// The sequence number of the last record.
    pub fn last_sequence(&self) -> i32 {
        add_sequence(self.sequence, self.last_delta)
    }
}

/// Sequence numbers go back to 0 after the largest.
pub fn add_sequence(sequence: i32, n: i32) -> i32 {
    sequence.wrapping_add(n) & i32::MAX
}

/// Why a batch is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Checksum or structure are wrong.
    Corrupt,
    /// Its counts contradict each other, or it belongs to a transaction.
    Invalid,
}

/// Checks a batch as a producer sent it: exactly one, whole and unbroken.
pub fn verify(bytes: &[u8]) -> Result<Header, Refusal> {
    let header = Header::read(bytes).map_err(|_| Refusal::Corrupt)?;
    if header.size > bytes.len() {
        return Err(Refusal::Corrupt);
    }
    let checked = bytes.get(CHECKED..header.size).unwrap_or_default();
    if crc32c(checked) != header.checksum {
        return Err(Refusal::Corrupt);
    }
    let foreign = header.attributes & (TRANSACTIONAL | CONTROL) != 0;
    if foreign || header.count < 1 || header.last_delta != header.count - 1 {
        return Err(Refusal::Invalid);
    }
    Ok(header)
}

/// Writes what is the broker's into the front of a batch.
pub fn stamp(bytes: &mut [u8], base_offset: i64) {
    if let Some(offset) = bytes.first_chunk_mut::<8>() {
        *offset = base_offset.to_be_bytes();
    }
    if let Some(epoch) = bytes.get_mut(PREFIX..PREFIX + 4) {
        epoch.fill(0);
    }
}

/// One event as it is produced or consumed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Its place in the partition; ignored when it is produced.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub time: i64,
    /// The key, by which partitions are chosen.
    pub key: Option<Vec<u8>>,
    /// The content; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Names and values beside the content.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Makes an uncompressed batch of records.
pub fn build(records: &[Record]) -> Vec<u8> {
    let base_time = records.first().map_or(0, |r| r.time);
    let max_time = records.iter().map(|r| r.time).max().unwrap_or(0);
    let count = i32::try_from(records.len()).unwrap_or(i32::MAX);
    let mut out = Writer::default();
    out.i64(0);
    let length = out.reserve_i32();
    out.i32(0);
    out.i8(2);
    let checksum = out.reserve_i32();
    out.i16(0);
    out.i32(count - 1);
    out.i64(base_time);
    out.i64(max_time);
    out.i64(-1);
    out.i16(-1);
    out.i32(-1);
    out.i32(count);
    for (delta, record) in (0_i64..).zip(records) {
        let mut body = Writer::default();
        body.i8(0);
        body.varlong(record.time - base_time);
        body.varlong(delta);
        body.var_bytes(record.key.as_deref());
        body.var_bytes(record.value.as_deref());
        body.varlong(i64::try_from(record.headers.len()).unwrap_or(0));
        for (name, value) in &record.headers {
            body.var_bytes(Some(name.as_bytes()));
            body.var_bytes(Some(value));
        }
        out.var_bytes(Some(&body.bytes));
    }
    let size = out.bytes.len();
    out.fill_i32(length, i32::try_from(size - PREFIX).unwrap_or(i32::MAX));
    let sum = crc32c(out.bytes.get(CHECKED..).unwrap_or_default());
    out.fill_i32(checksum, sum.cast_signed());
    out.bytes
}

/// The records of a batch.
pub fn records(batch: &[u8]) -> Result<Vec<Record>, Malformed> {
    let header = Header::read(batch)?;
    let body = batch
        .get(HEADER..header.size)
        .ok_or(Malformed("record batch: it ends early"))?;
    let inflated = match header.attributes & COMPRESSION {
        0 => None,
        1 => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(body)
                .read_to_end(&mut plain)
                .map_err(|_| Malformed("gzip of a record batch"))?;
            Some(plain)
        }
        _ => return Err(Malformed("compression: the broker itself reads only gzip")),
    };
    let mut reader = Reader::new(inflated.as_deref().unwrap_or(body));
    (0..header.count)
        .map(|_| record(&mut reader, &header))
        .collect()
}

fn record(reader: &mut Reader<'_>, batch: &Header) -> Result<Record, Malformed> {
    let body = reader.var_bytes()?.ok_or(Malformed("record"))?;
    let mut reader = Reader::new(body);
    let _attributes = reader.i8()?;
    let time = batch.base_time + reader.varlong()?;
    let offset = batch.base_offset + reader.varlong()?;
    let key = reader.var_bytes()?.map(<[u8]>::to_vec);
    let value = reader.var_bytes()?.map(<[u8]>::to_vec);
    let headers = (0..reader.varint()?)
        .map(|_| {
            let name = reader.var_bytes()?.unwrap_or_default();
            let value = reader.var_bytes()?.unwrap_or_default();
            Ok((String::from_utf8_lossy(name).into_owned(), value.to_vec()))
        })
        .collect::<Result<_, Malformed>>()?;
    Ok(Record {
        offset,
        time,
        key,
        value,
        headers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One record, key `k`, value `v`, at time 1000, laid out by hand from
    /// the documentation; the checksum is computed apart from `crc`.
    fn by_hand() -> Vec<u8> {
        let mut batch = Vec::new();
        batch.extend([0, 0, 0, 0, 0, 0, 0, 7]); // base offset
        batch.extend([0, 0, 0, 58]); // length: 49 of the header, 9 of the record
        batch.extend([0, 0, 0, 0]); // leader epoch
        batch.push(2); // magic
        batch.extend([0, 0, 0, 0]); // checksum, below
        batch.extend([0, 0]); // attributes
        batch.extend([0, 0, 0, 0]); // last offset delta
        batch.extend([0, 0, 0, 0, 0, 0, 0x03, 0xe8]); // base timestamp
        batch.extend([0, 0, 0, 0, 0, 0, 0x03, 0xe8]); // max timestamp
        batch.extend([0xff; 8]); // producer id
        batch.extend([0xff; 2]); // producer epoch
        batch.extend([0xff; 4]); // base sequence
        batch.extend([0, 0, 0, 1]); // record count
        batch.extend([16, 0, 0, 0, 2, b'k', 2, b'v', 0]); // length 8 zigzagged …
        let mut crc = !0_u32;
        for byte in &batch[21..] {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 {
                    crc >> 1 ^ 0x82f6_3b78
                } else {
                    crc >> 1
                };
            }
        }
        batch[17..21].copy_from_slice(&(!crc).to_be_bytes());
        batch
    }

    fn event() -> Record {
        Record {
            offset: 7,
            time: 1000,
            key: Some(b"k".to_vec()),
            value: Some(b"v".to_vec()),
            headers: Vec::new(),
        }
    }

    #[test]
    fn a_batch_made_by_hand_is_understood() {
        let batch = by_hand();
        let header = verify(&batch).unwrap();
        assert_eq!((header.base_offset, header.next_offset()), (7, 8));
        assert_eq!((header.size, header.count, header.max_time), (70, 1, 1000));
        assert_eq!(records(&batch), Ok(vec![event()]));
    }

    #[test]
    fn a_batch_that_we_make_is_the_one_made_by_hand() {
        let mut batch = build(&[event()]);
        stamp(&mut batch, 7);
        assert_eq!(batch, by_hand());
    }

    #[test]
    fn any_broken_byte_behind_the_checksum_is_found() {
        for at in 17..by_hand().len() {
            let mut batch = by_hand();
            batch[at] ^= 0x10;
            assert!(verify(&batch).is_err(), "byte {at}");
        }
        let batch = by_hand();
        assert!((0..batch.len()).all(|end| verify(&batch[..end]).is_err()));
    }

    #[test]
    fn records_come_back_with_keys_headers_and_tombstones() {
        let sent: Vec<_> = (0..3)
            .map(|n| Record {
                offset: n,
                time: 5000 - n,
                key: None,
                value: (n != 1).then(|| vec![7; 300]),
                headers: vec![("traceparent".into(), b"00-ab".to_vec())],
            })
            .collect();
        let batch = build(&sent);
        assert_eq!(verify(&batch).unwrap().max_time, 5000);
        assert_eq!(records(&batch).unwrap(), sent);
    }
}
