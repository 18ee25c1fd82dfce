//! The primitives of Kafka's protocol, read and written: big-endian integers,
//! texts and bytes with a length before them, arrays with a count, and the
//! zigzag variable-length integers of records.
//!
//! Specified in "Kafka protocol guide", section "Protocol primitive types".
//! Only the classic types: every version that the broker serves is older than
//! the compact ones.

/// A message that is shorter than it says, or says what cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub struct Malformed(pub &'static str);

type Result<T> = std::result::Result<T, Malformed>;

/// Reads from the front of a message.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(n)
            .ok_or(Malformed("message: it ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(Malformed("message: it ends early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// INT8.
    pub fn i8(&mut self) -> Result<i8> {
        self.fixed().map(i8::from_be_bytes)
    }

    /// INT16.
    pub fn i16(&mut self) -> Result<i16> {
        self.fixed().map(i16::from_be_bytes)
    }

    /// INT32.
    pub fn i32(&mut self) -> Result<i32> {
        self.fixed().map(i32::from_be_bytes)
    }

    /// INT64.
    pub fn i64(&mut self) -> Result<i64> {
        self.fixed().map(i64::from_be_bytes)
    }

    /// UINT32.
    pub fn u32(&mut self) -> Result<u32> {
        self.fixed().map(u32::from_be_bytes)
    }

    /// BOOLEAN.
    pub fn bool(&mut self) -> Result<bool> {
        self.i8().map(|byte| byte != 0)
    }

    /// `NULLABLE_STRING`.
    pub fn nullable_string(&mut self) -> Result<Option<&'a str>> {
        let length = self.i16()?;
        let Ok(length) = usize::try_from(length) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| Malformed("text"))?;
        Ok(Some(text))
    }

    /// STRING.
    pub fn string(&mut self) -> Result<&'a str> {
        self.nullable_string()?
            .ok_or(Malformed("text: it is absent"))
    }

    /// `NULLABLE_BYTES`, and RECORDS.
    pub fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>> {
        let length = self.i32()?;
        match usize::try_from(length) {
            Ok(length) => self.take(length).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// BYTES.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        self.nullable_bytes()?
            .ok_or(Malformed("bytes: they are absent"))
    }

    /// ARRAY that may be absent.
    pub fn nullable_array<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let count = self.i32()?;
        let Ok(count) = usize::try_from(count) else {
            return Ok(None);
        };
        // Every item takes a byte at least, so a lie cannot take memory.
        if count > self.rest.len() {
            return Err(Malformed("array: it is longer than its message"));
        }
        (0..count)
            .map(|_| item(self))
            .collect::<Result<_>>()
            .map(Some)
    }

    /// ARRAY; an absent one is empty.
    pub fn array<T>(&mut self, item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        Ok(self.nullable_array(item)?.unwrap_or_default())
    }

    /// VARLONG, and VARINT where the caller narrows it.
    pub fn varlong(&mut self) -> Result<i64> {
        let mut raw = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.fixed()?;
            raw |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed());
            }
        }
        Err(Malformed("variable-length integer"))
    }

    /// VARINT.
    pub fn varint(&mut self) -> Result<i32> {
        i32::try_from(self.varlong()?).map_err(|_| Malformed("variable-length integer"))
    }

    /// Bytes after a VARINT length; −1 is none.
    pub fn var_bytes(&mut self) -> Result<Option<&'a [u8]>> {
        let length = self.varint()?;
        match usize::try_from(length) {
            Ok(length) => self.take(length).map(Some),
            Err(_) => Ok(None),
        }
    }
}

/// Writes a message.
#[derive(Debug, Default)]
pub struct Writer {
    /// What has been written.
    pub bytes: Vec<u8>,
}

impl Writer {
    /// INT8.
    pub fn i8(&mut self, value: i8) {
        self.bytes.extend(value.to_be_bytes());
    }

    /// INT16.
    pub fn i16(&mut self, value: i16) {
        self.bytes.extend(value.to_be_bytes());
    }

    /// INT32.
    pub fn i32(&mut self, value: i32) {
        self.bytes.extend(value.to_be_bytes());
    }

    /// INT64.
    pub fn i64(&mut self, value: i64) {
        self.bytes.extend(value.to_be_bytes());
    }

    /// BOOLEAN.
    pub fn bool(&mut self, value: bool) {
        self.i8(i8::from(value));
    }

    /// STRING. What is longer than the type can say is cut.
    pub fn string(&mut self, text: &str) {
        let end = text.floor_char_boundary(0x7fff);
        self.i16(i16::try_from(end).unwrap_or(i16::MAX));
        self.bytes.extend(text.bytes().take(end));
    }

    /// `NULLABLE_STRING`.
    pub fn nullable_string(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.string(text),
            None => self.i16(-1),
        }
    }

    /// BYTES.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes.extend(bytes);
    }

    /// The count before an array's items.
    pub fn count(&mut self, count: usize) {
        self.i32(i32::try_from(count).unwrap_or(i32::MAX));
    }

    /// ARRAY.
    pub fn array<I: IntoIterator>(&mut self, items: I, mut item: impl FnMut(&mut Self, I::Item))
    where
        I::IntoIter: ExactSizeIterator,
    {
        let items = items.into_iter();
        self.count(items.len());
        for one in items {
            item(self, one);
        }
    }

    /// VARLONG and VARINT: zigzag, seven bits a byte.
    pub fn varlong(&mut self, value: i64) {
        let mut raw = ((value << 1) ^ (value >> 63)).cast_unsigned();
        while raw >= 0x80 {
            self.bytes.push(raw.to_le_bytes()[0] | 0x80);
            raw >>= 7;
        }
        self.bytes.push(raw.to_le_bytes()[0]);
    }

    /// Bytes after a VARINT length; none is −1.
    pub fn var_bytes(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                self.varlong(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
                self.bytes.extend(bytes);
            }
            None => self.varlong(-1),
        }
    }

    /// Keeps room for an INT32 that is known later.
    pub fn reserve_i32(&mut self) -> usize {
        let at = self.bytes.len();
        self.i32(0);
        at
    }

    /// Fills the room that was kept at `at`.
    pub fn fill_i32(&mut self, at: usize, value: i32) {
        if let Some(room) = self.bytes.get_mut(at..at + 4) {
            room.copy_from_slice(&value.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn varints_are_the_bytes_of_the_specification() {
        // Zigzag: 0, -1, 1, -2 are 0, 1, 2, 3; 150 zigzags to 300.
        for (value, bytes) in [
            (0_i64, vec![0x00]),
            (-1, vec![0x01]),
            (1, vec![0x02]),
            (-2, vec![0x03]),
            (63, vec![0x7e]),
            (64, vec![0x80, 0x01]),
            (150, vec![0xac, 0x02]),
            (i64::MIN, [vec![0xff; 9], vec![0x01]].concat()),
        ] {
            let mut out = Writer::default();
            out.varlong(value);
            assert_eq!(out.bytes, bytes, "{value}");
            assert_eq!(Reader::new(&bytes).varlong(), Ok(value));
        }
        assert!(Reader::new(&[0xff; 11]).varlong().is_err());
    }

    #[test]
    fn absent_is_minus_one_and_lies_are_refused() {
        assert_eq!(Reader::new(&[0xff, 0xff]).nullable_string(), Ok(None));
        assert_eq!(Reader::new(&[0, 2, b'h', b'i']).string(), Ok("hi"));
        assert!(Reader::new(&[0, 3, b'h', b'i']).string().is_err());
        assert!(Reader::new(&[0, 1, 0xff]).string().is_err());
        assert_eq!(Reader::new(&[0xff; 4]).nullable_bytes(), Ok(None));
        let huge = [0x7f, 0xff, 0xff, 0xff, 0];
        assert!(Reader::new(&huge).array(Reader::i8).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            let _ = reader.array(|r| Ok((r.string()?, r.bytes()?, r.var_bytes()?)));
            let _ = reader.varlong();
        }
    }
}
