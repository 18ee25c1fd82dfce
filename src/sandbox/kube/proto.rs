//! Protobuf bodies: the envelope that Kubernetes' Go clients send built-in
//! kinds in, read by the numbers in the tables of types.
//!
//! Answers are always JSON, which every client that sends protobuf accepts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::schema::{Field, Object, Scalar, Type, TypeId, Types, builtin};
use super::status::{Outcome, Status};

const MAGIC: &[u8] = b"k8s\0";

/// Reads a body in the protobuf envelope.
pub fn decode(bytes: &[u8]) -> Outcome<Value> {
    envelope(bytes).ok_or_else(|| {
        Status::bad_request(
            "the body of the request is no object that this server can decode from protobuf",
        )
    })
}

fn envelope(bytes: &[u8]) -> Option<Value> {
    let mut kind = (String::new(), String::new());
    let mut raw: &[u8] = &[];
    for item in Reader(bytes.strip_prefix(MAGIC)?) {
        match item? {
            (1, Wire::Bytes(meta)) => {
                for item in Reader(meta) {
                    match item? {
                        (1, Wire::Bytes(b)) => kind.0 = String::from_utf8(b.to_vec()).ok()?,
                        (2, Wire::Bytes(b)) => kind.1 = String::from_utf8(b.to_vec()).ok()?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (api_version, kind) = kind;
    let types = builtin();
    let id = named(&types, &api_version, &kind)?;
    let Type::Object(object) = types.get(id) else {
        return None;
    };
    let mut map = Map::new();
    map.insert("apiVersion".to_owned(), json!(api_version));
    map.insert("kind".to_owned(), json!(kind));
    message(&types, object, &[], raw, &mut map)?;
    Some(Value::Object(map))
}

/// The type of a kind. Options are in every group, but of one type.
fn named(types: &Types, api_version: &str, kind: &str) -> Option<TypeId> {
    if kind.ends_with("Options") {
        return types.named(&format!("meta.v1.{kind}"));
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("core", api_version));
    let package = group.split('.').next()?;
    types.named(&format!("{package}.{version}.{kind}"))
}

/// Reads a message into a map. `prefix` are the numbers of the inline structs
/// that it is in.
fn message(
    types: &Types,
    object: &Object,
    prefix: &[u32],
    bytes: &[u8],
    out: &mut Map<String, Value>,
) -> Option<()> {
    for item in Reader(bytes) {
        let (number, wire) = item?;
        let mut path = prefix.to_vec();
        path.push(number);
        if let Some((name, field)) = object.fields.iter().find(|(_, f)| f.proto == path) {
            put(types, name, field, &wire, out)?;
        } else if object.fields.values().any(|f| f.proto.starts_with(&path))
            && let Wire::Bytes(inner) = wire
        {
            message(types, object, &path, inner, out)?;
        }
    }
    Some(())
}

fn put(
    types: &Types,
    name: &str,
    field: &Field,
    wire: &Wire<'_>,
    out: &mut Map<String, Value>,
) -> Option<()> {
    match types.get(field.ty) {
        Type::List(list) => {
            let item = value(types, list.item, wire)?;
            let items = out
                .entry(name.to_owned())
                .or_insert_with(|| Value::Array(Vec::new()));
            items.as_array_mut()?.push(item);
        }
        Type::Object(Object {
            rest: Some(rest),
            fields,
            ..
        }) if fields.is_empty() => {
            let (key, item) = map_entry(types, *rest, wire)?;
            let map = out
                .entry(name.to_owned())
                .or_insert_with(|| Value::Object(Map::new()));
            map.as_object_mut()?.insert(key, item);
        }
        _ => {
            let value = value(types, field.ty, wire)?;
            if !value.is_null() {
                out.insert(name.to_owned(), value);
            }
        }
    }
    Some(())
}

fn map_entry(types: &Types, id: TypeId, wire: &Wire<'_>) -> Option<(String, Value)> {
    let mut key = String::new();
    let mut found = match types.get(id) {
        Type::Scalar(_) => Value::from(""),
        _ => Value::Null,
    };
    for item in Reader(wire.bytes()?) {
        match item? {
            (1, Wire::Bytes(bytes)) => key = String::from_utf8(bytes.to_vec()).ok()?,
            (2, wire) => found = value(types, id, &wire)?,
            _ => {}
        }
    }
    Some((key, found))
}

fn value(types: &Types, id: TypeId, wire: &Wire<'_>) -> Option<Value> {
    match types.get(id) {
        Type::Scalar(scalar) => scalar_value(*scalar, wire),
        Type::Object(object) => {
            let mut map = Map::new();
            message(types, object, &[], wire.bytes()?, &mut map)?;
            Some(Value::Object(map))
        }
        // A list in a map: a message whose first field repeats.
        Type::List(list) => {
            let items = Reader(wire.bytes()?).map(|item| value(types, list.item, &item?.1));
            items.collect::<Option<Vec<_>>>().map(Value::Array)
        }
        // Free-form values travel as JSON in field 1.
        Type::Any => {
            let raw = first_bytes(wire.bytes()?, 1);
            Some(serde_json::from_slice(raw.unwrap_or_default()).unwrap_or_default())
        }
    }
}

fn first_bytes(bytes: &[u8], wanted: u32) -> Option<&[u8]> {
    Reader(bytes)
        .flatten()
        .find_map(|(number, wire)| match wire {
            Wire::Bytes(bytes) if number == wanted => Some(bytes),
            _ => None,
        })
}

fn first_int(bytes: &[u8], wanted: u32) -> i64 {
    Reader(bytes)
        .flatten()
        .find_map(|(number, wire)| match wire {
            Wire::Int(n) if number == wanted => Some(n.cast_signed()),
            _ => None,
        })
        .unwrap_or_default()
}

fn text(bytes: &[u8]) -> Option<Value> {
    String::from_utf8(bytes.to_vec()).ok().map(Value::from)
}

fn scalar_value(scalar: Scalar, wire: &Wire<'_>) -> Option<Value> {
    match (scalar, wire) {
        (Scalar::String, Wire::Bytes(bytes)) => text(bytes),
        (Scalar::Bytes, Wire::Bytes(bytes)) => Some(json!(STANDARD.encode(bytes))),
        (Scalar::Bool, Wire::Int(n)) => Some(json!(*n != 0)),
        (Scalar::Int32 | Scalar::Int64, Wire::Int(n)) => Some(json!(n.cast_signed())),
        (Scalar::Double, Wire::Fixed64(bits)) => Some(json!(f64::from_bits(*bits))),
        (Scalar::Quantity, Wire::Bytes(bytes)) => text(first_bytes(bytes, 1)?),
        (Scalar::IntOrString, Wire::Bytes(bytes)) => {
            if first_int(bytes, 1) == 0 {
                Some(json!(first_int(bytes, 2)))
            } else {
                text(first_bytes(bytes, 3)?)
            }
        }
        (Scalar::Time | Scalar::MicroTime, Wire::Bytes(bytes)) => {
            if bytes.is_empty() {
                return Some(Value::Null);
            }
            let nanos = i32::try_from(first_int(bytes, 2)).ok()?;
            let time = Timestamp::new(first_int(bytes, 1), nanos).ok()?;
            let format = if scalar == Scalar::Time {
                "%Y-%m-%dT%H:%M:%SZ"
            } else {
                "%Y-%m-%dT%H:%M:%S.%6fZ"
            };
            Some(json!(time.strftime(format).to_string()))
        }
        (Scalar::Duration, Wire::Bytes(bytes)) => Some(json!(format!("{}ns", first_int(bytes, 1)))),
        _ => None,
    }
}

/// A field's value on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wire<'a> {
    Int(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Wire::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Reads field after field; an item of `None` is a broken message.
struct Reader<'a>(&'a [u8]);

impl<'a> Iterator for Reader<'a> {
    type Item = Option<(u32, Wire<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Reader<'a> {
    fn field(&mut self) -> Option<(u32, Wire<'a>)> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok()?;
        let wire = match key & 7 {
            0 => Wire::Int(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((number, wire))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(first & 0x7f).checked_shl(shift)?;
            if first & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A field with a length, as the wire has it; short ones only.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).unwrap();
        assert!(length < 128);
        [&[number << 3 | 2, length], bytes].concat()
    }

    #[test]
    fn a_secret_is_read() {
        let meta = [
            field(1, b"s"),
            field(3, b"ns"),
            field(11, &[field(1, b"k"), field(2, b"v")].concat()),
        ]
        .concat();
        let secret = [
            field(1, &meta),
            field(2, &[field(1, b"key"), field(2, b"val")].concat()),
            field(3, b"Opaque"),
        ]
        .concat();
        let kind = [field(1, b"v1"), field(2, b"Secret")].concat();
        let body = [MAGIC, &field(1, &kind), &field(2, &secret)].concat();
        assert_eq!(
            decode(&body).unwrap(),
            json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": "s", "namespace": "ns", "labels": {"k": "v"}},
                "data": {"key": "dmFs"}, "type": "Opaque"
            })
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let kind = [field(1, b"v1"), field(2, b"Pod")].concat();
            let raw = bytes.get(..bytes.len().min(120)).unwrap();
            let _ = decode(&[MAGIC, &field(1, &kind), &field(2, raw)].concat());
        }
    }
}
