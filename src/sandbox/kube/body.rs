//! Reading request bodies: JSON, YAML and protobuf, with the fields that the
//! schema does not know told or refused.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use super::cluster::text;
use super::crd;
use super::proto;
use super::request::{Call, Strictness};
use super::schema::{Scalar, Schema, Type, TypeId};
use super::status::{Outcome, Status};

/// Formats of bodies that are objects.
const FORMATS: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// A body that is an object of the call's kind, with unknown fields dropped.
pub fn object(call: &Call, bytes: &[u8]) -> Outcome<Value> {
    let media = call
        .request
        .header("content-type")
        .unwrap_or("application/json");
    let media = media.split(';').next().unwrap_or_default().trim();
    let object = match media {
        "application/json" | "" => json_body(call, bytes)?,
        "application/yaml" => yaml_body(bytes)?,
        "application/vnd.kubernetes.protobuf" => proto::decode(bytes)?,
        _ => return Err(Status::unsupported_media_type(FORMATS)),
    };
    checked(call, object, bytes)
}

/// The configuration of an apply.
pub fn apply_configuration(call: &Call) -> Outcome<Value> {
    let bytes = &call.request.body;
    let config = match serde_json::from_slice(bytes) {
        Ok(config) => config,
        Err(_) => yaml_body(bytes)?,
    };
    let schema = &call.resource.schema;
    if config.is_object() {
        let mut faults = Vec::new();
        typed(schema, schema.root, &config, "", &mut faults);
        match faults.as_slice() {
            [] => {}
            [one] => return Err(not_typed(call, &config, one)),
            many => {
                let list = format!("errors:\n  {}", many.join("\n  "));
                return Err(not_typed(call, &config, &list));
            }
        }
    }
    checked(call, config, bytes)
}

/// An applied configuration must fit its schema to be taken apart at all.
pub fn not_typed(call: &Call, config: &Value, why: &str) -> Box<Status> {
    Status::plain_internal(format!(
        "failed to create typed patch object ({}/{}; {}, Kind={}): {why}",
        text(config, "/metadata/namespace"),
        text(config, "/metadata/name"),
        call.resource.api_version(),
        call.resource.kind
    ))
}

/// Notes where a configuration does not fit its schema.
fn typed(schema: &Schema, id: TypeId, value: &Value, path: &str, faults: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    let mut expected =
        |what: &str| faults.push(format!("{path}: expected {what}, got {}", go_kind(value)));
    match schema.types.get(id) {
        Type::Any => {}
        Type::Object(object) => match value {
            Value::Object(map) => {
                for (name, child) in map {
                    let path = format!("{path}.{name}");
                    match object
                        .fields
                        .get(name.as_str())
                        .map(|f| f.ty)
                        .or(object.rest)
                    {
                        Some(ty) => typed(schema, ty, child, &path, faults),
                        None if object.open => {}
                        None => faults.push(format!("{path}: field not declared in schema")),
                    }
                }
            }
            _ => expected("map"),
        },
        Type::List(list) => match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let step = super::apply::step_of(list, item)
                        .map_or_else(|| format!("[{index}]"), |s| s.to_string());
                    typed(schema, list.item, item, &format!("{path}{step}"), faults);
                }
            }
            _ => expected("list"),
        },
        Type::Scalar(scalar) => match scalar {
            Scalar::Bool if !value.is_boolean() => expected("boolean"),
            Scalar::Int32 | Scalar::Int64 | Scalar::Double if !value.is_number() => {
                expected("numeric (int or float)");
            }
            Scalar::String | Scalar::Bytes | Scalar::Time | Scalar::MicroTime
                if !value.is_string() =>
            {
                expected("string");
            }
            _ if value.is_object() || value.is_array() => expected("scalar"),
            _ => {}
        },
    }
}

/// A value's kind as Go prints it.
fn go_kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => format!("boolean: {b}"),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "list".to_owned(),
        Value::Object(_) => "map".to_owned(),
    }
}

/// An object after the checks that every body goes through.
pub fn checked(call: &Call, mut object: Value, bytes: &[u8]) -> Outcome<Value> {
    let resource = &call.resource;
    if !object.is_object() {
        return Err(Status::bad_request(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go value of type struct",
            kind_of(&object)
        )));
    }
    check_kind(call, &mut object)?;
    if call.sub.is_some_and(|sub| sub.kind().is_some()) {
        // What these subresources take is not the resource's own kind.
        ensure_metadata(&mut object);
        return Ok(object);
    }
    let mut unknown = Vec::new();
    find_duplicates(bytes, &mut unknown);
    if let Some(custom) = &resource.custom {
        crd::prune(&custom.schema, &mut object, &mut unknown);
    } else {
        check_types(resource, &object)?;
        drop_unknown(
            &resource.schema,
            resource.schema.root,
            &mut object,
            "",
            &mut unknown,
        );
    }
    tell(call, unknown)?;
    ensure_metadata(&mut object);
    Ok(object)
}

fn ensure_metadata(object: &mut Value) {
    if let Some(map) = object.as_object_mut() {
        let metadata = map.entry("metadata").or_insert(Value::Null);
        if metadata.is_null() {
            *metadata = Value::Object(Map::new());
        }
    }
}

/// The name that a body states, if it can be read at all.
pub fn stated_name(call: &Call) -> String {
    if !call.target.name.is_empty() {
        return call.target.name.clone();
    }
    serde_json::from_slice::<Value>(&call.request.body)
        .map(|body| text(&body, "/metadata/name").to_owned())
        .unwrap_or_default()
}

/// Deals with unknown and duplicate fields as the caller wants.
fn tell(call: &Call, unknown: Vec<String>) -> Outcome<()> {
    if unknown.is_empty() {
        return Ok(());
    }
    match call.strictness()? {
        Strictness::Ignore => Ok(()),
        Strictness::Warn => {
            for text in unknown {
                call.warn(text);
            }
            Ok(())
        }
        Strictness::Strict if call.request.header("content-type").is_some_and(is_patch) => {
            Err(strict_patch(call, &unknown))
        }
        Strictness::Strict => Err(Status::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: strict decoding error: {}",
            call.resource.kind,
            call.resource.version,
            call.resource.kind,
            unknown.join(", ")
        ))),
    }
}

fn is_patch(media: &str) -> bool {
    media.contains("patch")
}

fn strict_patch(call: &Call, unknown: &[String]) -> Box<Status> {
    Status::invalid(
        &call.resource.group,
        &call.resource.kind,
        &call.target.name,
        vec![super::status::Cause::new(
            "FieldValueInvalid",
            format!(
                "Invalid value: \"\": strict decoding error: {}",
                unknown.join(", ")
            ),
            "patch",
        )],
    )
}

fn json_body(call: &Call, bytes: &[u8]) -> Outcome<Value> {
    serde_json::from_slice(bytes).map_err(|error| {
        let error = if error.is_eof() {
            "unexpected end of JSON input".to_owned()
        } else {
            error.to_string()
        };
        let start: String = String::from_utf8_lossy(bytes).chars().take(30).collect();
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: {error} ({start})",
            call.resource.kind
        ))
    })
}

fn yaml_body(bytes: &[u8]) -> Outcome<Value> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Status::bad_request("error parsing YAML: invalid UTF-8"))?;
    crate::yaml::from_str(text, "body")
        .map_err(|finding| Status::bad_request(format!("error parsing YAML: {}", finding.summary)))
}

/// The object's version and kind must be those of the path.
fn check_kind(call: &Call, object: &mut Value) -> Outcome<()> {
    let resource = &call.resource;
    let (group, version, kind) = match call.sub.and_then(super::catalog::Sub::kind) {
        Some((group, version, kind)) => (group, version, kind.to_owned()),
        None => (
            resource.group.as_str(),
            resource.version.as_str(),
            resource.kind.clone(),
        ),
    };
    let expected = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    let stated = text(object, "/apiVersion").to_owned();
    let stated_kind = text(object, "/kind").to_owned();
    if let Some(map) = object.as_object_mut() {
        map.insert("apiVersion".to_owned(), json!(expected));
        map.insert("kind".to_owned(), json!(kind));
    }
    if !stated.is_empty() && stated != expected {
        return Err(Status::bad_request(format!(
            "{kind} in version \"{}\" cannot be handled as a {kind}: no kind \"{kind}\" is registered for version \"{stated}\" in scheme \"pkg/runtime/scheme.go:111\"",
            stated.rsplit('/').next().unwrap_or_default()
        )));
    }
    if !stated_kind.is_empty() && stated_kind != kind {
        return Err(Status::bad_request(format!(
            "{stated_kind} in version \"{version}\" cannot be handled as a {kind}: converting ({version}.{stated_kind}) to ({}.{kind}): unknown conversion",
            if group.is_empty() {
                "core"
            } else {
                group.split('.').next().unwrap_or_default()
            }
        )));
    }
    Ok(())
}

/// Removes what a built-in schema does not know, and notes it.
fn drop_unknown(
    schema: &Schema,
    id: TypeId,
    value: &mut Value,
    path: &str,
    unknown: &mut Vec<String>,
) {
    match (schema.types.get(id), value) {
        (Type::Object(object), Value::Object(map)) => {
            if object.open {
                return;
            }
            map.retain(|name, _| {
                let known = object.rest.is_some() || object.fields.contains_key(name.as_str());
                if !known {
                    unknown.push(format!("unknown field \"{}\"", join(path, name)));
                }
                known
            });
            for (name, child) in map.iter_mut() {
                let ty = object
                    .fields
                    .get(name.as_str())
                    .map(|f| f.ty)
                    .or(object.rest);
                if let Some(ty) = ty {
                    drop_unknown(schema, ty, child, &join(path, name), unknown);
                }
            }
        }
        (Type::List(list), Value::Array(items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                drop_unknown(
                    schema,
                    list.item,
                    item,
                    &format!("{path}[{index}]"),
                    unknown,
                );
            }
        }
        _ => {}
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// Refuses values of the wrong kind, as Go's decoder does.
fn check_types(resource: &super::catalog::Resource, object: &Value) -> Outcome<()> {
    let schema = &resource.schema;
    let start = Place {
        path: String::new(),
        owner: resource.kind.clone(),
    };
    let Some(fault) = wrong_type(schema, schema.root, object, &start) else {
        return Ok(());
    };
    Err(Status::bad_request(format!(
        "{} in version \"{}\" cannot be handled as a {}: {fault}",
        resource.kind, resource.version, resource.kind
    )))
}

struct Place {
    path: String,
    owner: String,
}

fn wrong_type(schema: &Schema, id: TypeId, value: &Value, place: &Place) -> Option<String> {
    if value.is_null() {
        return None;
    }
    match schema.types.get(id) {
        Type::Any => None,
        Type::Object(object) => {
            let Value::Object(map) = value else {
                let ty = object.name.as_deref().map_or_else(
                    || "map[string]string".to_owned(),
                    |n| {
                        let parts: Vec<_> = n.rsplit('.').collect();
                        match parts.as_slice() {
                            [kind, version, ..] => format!("{version}.{kind}"),
                            _ => n.to_owned(),
                        }
                    },
                );
                return Some(cannot(value, place, &ty));
            };
            let owner = object
                .name
                .as_deref()
                .and_then(|n| n.rsplit('.').next())
                .unwrap_or(&place.owner);
            map.iter().find_map(|(name, child)| {
                let ty = object
                    .fields
                    .get(name.as_str())
                    .map(|f| f.ty)
                    .or(object.rest)?;
                let place = Place {
                    // Keys of maps are not named.
                    path: if object.fields.contains_key(name.as_str()) {
                        join(&place.path, name)
                    } else {
                        place.path.clone()
                    },
                    owner: owner.to_owned(),
                };
                wrong_type(schema, ty, child, &place)
            })
        }
        Type::List(list) => {
            let Value::Array(items) = value else {
                let item = match schema.types.get(list.item) {
                    Type::Object(o) => o.name.as_deref().map(|n| {
                        let parts: Vec<_> = n.rsplit('.').collect();
                        format!(
                            "[]{}.{}",
                            parts.get(1).unwrap_or(&""),
                            parts.first().unwrap_or(&"")
                        )
                    }),
                    _ => None,
                };
                let ty = item.unwrap_or_else(|| "[]string".to_owned());
                return Some(cannot(value, place, &ty));
            };
            items
                .iter()
                .find_map(|item| wrong_type(schema, list.item, item, place))
        }
        Type::Scalar(scalar) => wrong_scalar(*scalar, value, place),
    }
}

fn wrong_scalar(scalar: Scalar, value: &Value, place: &Place) -> Option<String> {
    let (fits, ty) = match scalar {
        Scalar::String | Scalar::Duration => (value.is_string(), "string"),
        Scalar::Bool => (value.is_boolean(), "bool"),
        Scalar::Int32 => (
            value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
            "int32",
        ),
        Scalar::Int64 => (value.is_i64() || value.is_u64(), "int64"),
        Scalar::Double => (value.is_number(), "float64"),
        Scalar::Bytes => {
            if let Value::String(text) = value
                && let Some(at) = bad_base64(text)
            {
                return Some(format!("illegal base64 data at input byte {at}"));
            }
            (value.is_string(), "[]uint8")
        }
        Scalar::Time | Scalar::MicroTime => {
            if let Value::String(text) = value
                && text.parse::<jiff::Timestamp>().is_err()
            {
                return Some(format!(
                    "parsing time \"{text}\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"{text}\" as \"2006\""
                ));
            }
            (value.is_string(), "string")
        }
        Scalar::Quantity => {
            if value.is_string() || value.is_number() {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                let known = |c: char| c.is_ascii_digit() || ".+-eEinumkKMGTP".contains(c);
                let digits = text.trim_start_matches(['+', '-']);
                let well_formed =
                    digits.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(known);
                return super::validate::quantity(&text).is_none().then(|| {
                    if well_formed {
                        return "unable to parse quantity's suffix".to_owned();
                    }
                    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_owned()
                });
            }
            (false, "string")
        }
        Scalar::IntOrString => (value.is_string() || value.is_i64(), "int32"),
    };
    (!fits).then(|| cannot(value, place, ty))
}

/// Where base64 text goes wrong, as Go counts it.
fn bad_base64(text: &str) -> Option<usize> {
    use base64::Engine as _;
    let clean: String = text.chars().filter(|c| *c != '\n' && *c != '\r').collect();
    match base64::engine::general_purpose::STANDARD.decode(&clean) {
        Ok(_) => None,
        Err(
            base64::DecodeError::InvalidByte(at, _)
            | base64::DecodeError::InvalidLastSymbol { offset: at, .. },
        ) => Some(at),
        Err(_) => Some(clean.len() / 4 * 4),
    }
}

fn cannot(value: &Value, place: &Place, ty: &str) -> String {
    format!(
        "json: cannot unmarshal {} into Go struct field {}.{} of type {ty}",
        kind_of(value),
        place.owner,
        place.path
    )
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Notes the fields that a JSON text states twice.
fn find_duplicates(bytes: &[u8], out: &mut Vec<String>) {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let seed = Duplicates {
        path: String::new(),
        out,
    };
    // A body that is no JSON was read in another way and has none to tell.
    let _ = seed.deserialize(&mut reader);
}

struct Duplicates<'a> {
    path: String,
    out: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Duplicates<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Duplicates<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let path = join(&self.path, &name);
            if !seen.insert(name) {
                self.out.push(format!("duplicate field \"{path}\""));
            }
            map.next_value_seed(Duplicates {
                path,
                out: self.out,
            })?;
        }
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0;
        loop {
            let seed = Duplicates {
                path: format!("{}[{index}]", self.path),
                out: self.out,
            };
            if seq.next_element_seed(seed)?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_fields_are_found_with_their_paths() {
        let mut out = Vec::new();
        find_duplicates(br#"{"a":1,"a":2,"b":[{"c":1,"c":2}]}"#, &mut out);
        assert_eq!(out, ["duplicate field \"a\"", "duplicate field \"b[0].c\""]);
    }
}
