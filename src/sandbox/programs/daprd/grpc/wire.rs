//! The encoding of protocol buffers, as far as the sidecar's messages need it:
//! fields by their numbers, without a schema. Specified in
//! <https://protobuf.dev/programming-guides/encoding/>.

use serde_json::{Map, Value, json};

/// How deep a `google.protobuf.Value` may be nested, as other readers have it.
const DEPTH: usize = 100;

/// The bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("proto: cannot parse invalid wire-format data")]
pub(super) struct Malformed;

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Field<'a> {
    Varint(u64),
    /// Eight bytes.
    Wide(u64),
    Bytes(&'a [u8]),
    /// Four bytes; no message here has such a field.
    Narrow,
}

/// A message that was read: its fields in order. Fields of another type than
/// is asked for count as absent, as unknown ones do.
#[derive(Debug, Clone, Default)]
pub(super) struct Message<'a>(Vec<(u32, Field<'a>)>);

fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        let low = u64::from(byte & 0x7f);
        if shift == 63 && low > 1 {
            return Err(Malformed);
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or(Malformed)?;
    *bytes = rest;
    Ok(taken)
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed)?;
    Ok(text.to_owned())
}

impl<'a> Message<'a> {
    pub(super) fn read(mut bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            let number = u32::try_from(tag >> 3).map_err(|_| Malformed)?;
            if number == 0 {
                return Err(Malformed);
            }
            let field = match tag & 7 {
                0 => Field::Varint(varint(&mut bytes)?),
                1 => {
                    let wide = take(&mut bytes, 8)?.try_into().map_err(|_| Malformed)?;
                    Field::Wide(u64::from_le_bytes(wide))
                }
                2 => {
                    let length = usize::try_from(varint(&mut bytes)?).map_err(|_| Malformed)?;
                    Field::Bytes(take(&mut bytes, length)?)
                }
                5 => {
                    take(&mut bytes, 4)?;
                    Field::Narrow
                }
                _ => return Err(Malformed),
            };
            fields.push((number, field));
        }
        Ok(Self(fields))
    }

    fn all(&self, number: u32) -> impl Iterator<Item = &'a [u8]> {
        let named = self.0.iter().filter(move |(held, _)| *held == number);
        named.filter_map(|(_, field)| match field {
            Field::Bytes(bytes) => Some(*bytes),
            _ => None,
        })
    }

    /// The bytes of a field, if it is there. Of several the last counts.
    pub(super) fn maybe(&self, number: u32) -> Option<&'a [u8]> {
        self.all(number).last()
    }

    pub(super) fn bytes(&self, number: u32) -> &'a [u8] {
        self.maybe(number).unwrap_or_default()
    }

    pub(super) fn text(&self, number: u32) -> Result<String, Malformed> {
        text(self.bytes(number))
    }

    pub(super) fn texts(&self, number: u32) -> Result<Vec<String>, Malformed> {
        self.all(number).map(text).collect()
    }

    pub(super) fn number(&self, number: u32) -> Option<u64> {
        let mut named = self.0.iter().rev().filter(|(held, _)| *held == number);
        named.find_map(|(_, field)| match field {
            Field::Varint(value) => Some(*value),
            _ => None,
        })
    }

    fn double(&self, number: u32) -> Option<f64> {
        let mut named = self.0.iter().rev().filter(|(held, _)| *held == number);
        named.find_map(|(_, field)| match field {
            Field::Wide(bits) => Some(f64::from_bits(*bits)),
            _ => None,
        })
    }

    pub(super) fn message(&self, number: u32) -> Result<Option<Self>, Malformed> {
        self.maybe(number).map(Self::read).transpose()
    }

    pub(super) fn messages(&self, number: u32) -> Result<Vec<Self>, Malformed> {
        self.all(number).map(Self::read).collect()
    }

    /// A map of texts.
    pub(super) fn map(&self, number: u32) -> Result<Vec<(String, String)>, Malformed> {
        let entries = self.messages(number)?;
        let pair = |entry: &Self| Ok((entry.text(1)?, entry.text(2)?));
        entries.iter().map(pair).collect()
    }

    /// A `google.protobuf.Value` as JSON.
    pub(super) fn json(&self) -> Result<Value, Malformed> {
        self.nested(DEPTH)
    }

    fn nested(&self, depth: usize) -> Result<Value, Malformed> {
        let depth = depth.checked_sub(1).ok_or(Malformed)?;
        // One of the fields; of several the last counts.
        let Some((number, _)) = self.0.iter().rfind(|(number, _)| (1..=6).contains(number)) else {
            return Ok(Value::Null);
        };
        let inner = || Ok(self.message(*number)?.unwrap_or_default());
        Ok(match number {
            2 => number_of(self.double(2).unwrap_or_default()),
            3 => json!(self.text(3)?),
            4 => json!(self.number(4).unwrap_or_default() != 0),
            5 => {
                let mut object = Map::new();
                for entry in inner()?.messages(1)? {
                    let value = entry.message(2)?.unwrap_or_default();
                    object.insert(entry.text(1)?, value.nested(depth)?);
                }
                Value::Object(object)
            }
            6 => {
                let items = inner()?.messages(1)?;
                let items = items.iter().map(|item| item.nested(depth));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            _ => Value::Null,
        })
    }
}

/// A double as JSON prints it: without a fraction where there is none.
fn number_of(value: f64) -> Value {
    let text = value.to_string();
    match text.parse::<i64>() {
        Ok(whole) => json!(whole),
        Err(_) => json!(value),
    }
}

/// A message that is written. What has its default value is left out, as the
/// third version of the language has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    /// A number, even if it is nought.
    pub(super) fn told(mut self, number: u32, value: u64) -> Self {
        self.varint(u64::from(number) << 3);
        self.varint(value);
        self
    }

    pub(super) fn number(self, number: u32, value: u64) -> Self {
        match value {
            0 => self,
            _ => self.told(number, value),
        }
    }

    fn double(mut self, number: u32, value: f64) -> Self {
        self.varint(u64::from(number) << 3 | 1);
        self.0.extend(value.to_bits().to_le_bytes());
        self
    }

    /// Bytes, even if there are none.
    fn whole(mut self, number: u32, bytes: &[u8]) -> Self {
        self.varint(u64::from(number) << 3 | 2);
        self.varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.0.extend(bytes);
        self
    }

    pub(super) fn bytes(self, number: u32, bytes: &[u8]) -> Self {
        match bytes.is_empty() {
            true => self,
            false => self.whole(number, bytes),
        }
    }

    pub(super) fn text(self, number: u32, text: &str) -> Self {
        self.bytes(number, text.as_bytes())
    }

    /// What JSON says, if it is text.
    pub(super) fn json_text(self, number: u32, value: &Value) -> Self {
        self.text(number, value.as_str().unwrap_or_default())
    }

    pub(super) fn texts(self, number: u32, values: &Value) -> Self {
        let texts = values.as_array().into_iter().flatten();
        let texts = texts.filter_map(Value::as_str);
        texts.fold(self, |writer, text| writer.whole(number, text.as_bytes()))
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "messages are built where they are passed"
    )]
    pub(super) fn message(self, number: u32, message: Self) -> Self {
        self.whole(number, &message.0)
    }

    /// One message for each value.
    pub(super) fn messages<'a>(
        self,
        number: u32,
        values: impl IntoIterator<Item = &'a Value>,
        write: impl Fn(&Value) -> Self,
    ) -> Self {
        let values = values.into_iter();
        values.fold(self, |writer, value| writer.message(number, write(value)))
    }

    /// An entry of a map of texts.
    pub(super) fn pair(self, number: u32, key: &str, value: &str) -> Self {
        self.message(number, Self::default().text(1, key).text(2, value))
    }

    /// An object of texts as a map.
    pub(super) fn map(self, number: u32, object: &Value) -> Self {
        let pairs = object.as_object().into_iter().flatten();
        pairs.fold(self, |writer, (key, value)| {
            writer.pair(number, key, value.as_str().unwrap_or_default())
        })
    }

    /// JSON as a `google.protobuf.Value`.
    pub(super) fn json(value: &Value) -> Self {
        let writer = Self::default();
        match value {
            Value::Null => writer.told(1, 0),
            Value::Number(number) => writer.double(2, number.as_f64().unwrap_or_default()),
            Value::String(text) => writer.whole(3, text.as_bytes()),
            Value::Bool(yes) => writer.told(4, u64::from(*yes)),
            Value::Object(object) => {
                let fields = object.iter().fold(Self::default(), |fields, (key, value)| {
                    fields.message(
                        1,
                        Self::default().text(1, key).message(2, Self::json(value)),
                    )
                });
                writer.message(5, fields)
            }
            Value::Array(items) => {
                let list = items.iter().fold(Self::default(), |list, item| {
                    list.message(1, Self::json(item))
                });
                writer.message(6, list)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            number in 1_u32..0x1fff_ffff,
            value in any::<u64>(),
            text in ".{0,40}",
            map in prop::collection::vec((".{0,5}", ".{0,5}"), 0..4),
        ) {
            let inner = Writer::default().text(1, &text).told(2, value);
            let mut writer = Writer::default().message(number, inner);
            for (key, value) in &map {
                writer = writer.pair(0x1fff_ffff, key, value);
            }
            let bytes = writer.finish();
            let read = Message::read(&bytes).unwrap();
            let inner = read.message(number).unwrap().unwrap();
            prop_assert_eq!(inner.text(1).unwrap(), text);
            prop_assert_eq!(inner.number(2), Some(value));
            prop_assert_eq!(inner.number(1), None);
            prop_assert_eq!(read.map(0x1fff_ffff).unwrap(), map);
        }

        #[test]
        fn json_comes_back(value in values()) {
            let bytes = Writer::json(&value).finish();
            prop_assert_eq!(Message::read(&bytes).unwrap().json().unwrap(), value);
        }

        #[test]
        fn what_is_cut_off_is_refused(value in values(), cut in any::<prop::sample::Index>()) {
            // One field, so no part of it is a message; nothing at all is one.
            let bytes = Writer::json(&value).finish();
            let count = 1 + cut.index(bytes.len() - 1);
            prop_assert!(Message::read(&bytes[..count]).is_err());
        }

        #[test]
        fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(message) = Message::read(&bytes) {
                let _ = (message.json(), message.map(1), message.texts(2), message.messages(3));
            }
        }
    }

    #[test]
    fn bytes_are_those_of_the_specification() {
        let bytes = Writer::default().number(1, 150).text(2, "testing").finish();
        assert_eq!(bytes, b"\x08\x96\x01\x12\x07testing");
        assert!(
            Writer::default()
                .number(1, 0)
                .text(2, "")
                .finish()
                .is_empty()
        );
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bytes in [
            &b"\x08"[..],
            b"\x00\x00",
            b"\x12\x05ab",
            b"\x0b",
            b"\x09\x00",
            b"\x0d\x00",
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        ] {
            assert_eq!(Message::read(bytes).err(), Some(Malformed), "{bytes:?}");
        }
        let message = Message::read(b"\x0a\x01\xff").unwrap();
        assert_eq!(message.text(1), Err(Malformed));
    }

    #[test]
    fn nesting_has_a_limit() {
        let mut value = json!(1);
        for _ in 0..DEPTH {
            value = json!([value]);
        }
        let bytes = Writer::json(&value).finish();
        assert_eq!(Message::read(&bytes).unwrap().json(), Err(Malformed));
    }
}
