//! Reading request bodies: each field is checked, and the error names it.

use serde_json::{Map, Value};

use super::error::ApiError;

/// A JSON object of a request, and where in the body it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    object: &'a Map<String, Value>,
    place: &'a str,
}

impl<'a> Input<'a> {
    /// The body itself.
    pub(super) fn new(object: &'a Map<String, Value>) -> Self {
        Self { object, place: "" }
    }

    /// An object within the body.
    pub(super) fn within(value: &'a Value, place: &'a str) -> Result<Self, ApiError> {
        let object = value
            .as_object()
            .ok_or_else(|| ApiError::invalid(format!("{place} must be an object")))?;
        Ok(Self { object, place })
    }

    /// A field that is neither absent nor null.
    pub(super) fn value(&self, field: &str) -> Option<&'a Value> {
        self.object.get(field).filter(|v| !v.is_null())
    }

    /// A text; none when absent.
    pub(super) fn text(&self, field: &str) -> Result<Option<&'a str>, ApiError> {
        let Some(value) = self.value(field) else {
            return Ok(None);
        };
        value
            .as_str()
            .map(Some)
            .ok_or_else(|| self.wrong(field, "a string"))
    }

    /// A mandatory text.
    pub(super) fn need(&self, field: &str) -> Result<&'a str, ApiError> {
        self.text(field)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| self.missing(field))
    }

    /// A boolean; none when absent.
    pub(super) fn flag(&self, field: &str) -> Result<Option<bool>, ApiError> {
        let Some(value) = self.value(field) else {
            return Ok(None);
        };
        value
            .as_bool()
            .map(Some)
            .ok_or_else(|| self.wrong(field, "a boolean"))
    }

    /// A whole number that is not negative; none when absent.
    pub(super) fn whole(&self, field: &str) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.value(field) else {
            return Ok(None);
        };
        value
            .as_u64()
            .map(Some)
            .ok_or_else(|| self.wrong(field, "a whole number"))
    }

    /// A number; none when absent.
    pub(super) fn number(&self, field: &str) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.value(field) else {
            return Ok(None);
        };
        value
            .as_f64()
            .map(Some)
            .ok_or_else(|| self.wrong(field, "a number"))
    }

    /// An array; none when absent.
    pub(super) fn array(&self, field: &str) -> Result<Option<&'a [Value]>, ApiError> {
        let Some(value) = self.value(field) else {
            return Ok(None);
        };
        value
            .as_array()
            .map(|items| Some(items.as_slice()))
            .ok_or_else(|| self.wrong(field, "an array"))
    }

    /// A mandatory array.
    pub(super) fn need_array(&self, field: &str) -> Result<&'a [Value], ApiError> {
        self.array(field)?.ok_or_else(|| self.missing(field))
    }

    /// An array of texts; empty when absent.
    pub(super) fn texts(&self, field: &str) -> Result<Vec<&'a str>, ApiError> {
        let items = self.array(field)?.unwrap_or_default();
        items
            .iter()
            .map(|item| {
                item.as_str()
                    .ok_or_else(|| self.wrong(field, "an array of strings"))
            })
            .collect()
    }

    /// An object; none when absent.
    pub(super) fn object(&self, field: &'a str) -> Result<Option<Self>, ApiError> {
        self.value(field)
            .map(|value| Input::within(value, field))
            .transpose()
    }

    /// A mandatory object.
    pub(super) fn need_object(&self, field: &'a str) -> Result<Self, ApiError> {
        self.object(field)?.ok_or_else(|| self.missing(field))
    }

    /// Copies optional fields of any type into an answer.
    pub(super) fn copy(&self, fields: &[&str], into: &mut Map<String, Value>) {
        for field in fields {
            if let Some(value) = self.value(field) {
                into.insert((*field).to_owned(), value.clone());
            }
        }
    }

    /// Checks the tags and copies them; absent ones become empty.
    pub(super) fn copy_tags(&self, into: &mut Map<String, Value>) -> Result<(), ApiError> {
        check_freeform(self.value("freeformTags"))?;
        for field in ["freeformTags", "definedTags"] {
            let tags = match self.value(field) {
                Some(tags) if tags.is_object() => tags.clone(),
                Some(_) => return Err(self.wrong(field, "an object")),
                None => into
                    .get(field)
                    .cloned()
                    .unwrap_or_else(|| Map::new().into()),
            };
            into.insert(field.to_owned(), tags);
        }
        Ok(())
    }

    fn name(&self, field: &str) -> String {
        if self.place.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.place)
        }
    }

    fn missing(&self, field: &str) -> ApiError {
        ApiError::missing(&self.name(field))
    }

    fn wrong(&self, field: &str, wanted: &str) -> ApiError {
        ApiError::invalid(format!("{} must be {wanted}", self.name(field)))
    }
}

/// At most ten free-form tags, with keys of up to 100 and values of up to 256
/// characters.
fn check_freeform(tags: Option<&Value>) -> Result<(), ApiError> {
    let Some(tags) = tags.and_then(Value::as_object) else {
        return Ok(());
    };
    if tags.len() > 10 {
        return Err(ApiError::invalid("freeformTags may hold at most 10 tags"));
    }
    for (key, value) in tags {
        let fits = value.as_str().is_some_and(|text| text.len() <= 256);
        if key.is_empty() || key.len() > 100 || !fits {
            return Err(ApiError::invalid(format!(
                "freeformTags: tag '{key}' needs a key of 1 to 100 and a string of up to 256 \
                 characters"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn errors_name_the_field_and_its_place() {
        let body = json!({"a": 1, "inner": {"b": "x"}});
        let input = Input::new(body.as_object().unwrap());
        assert_eq!(input.need("c").unwrap_err().code, "MissingParameter");
        assert!(input.text("a").unwrap_err().message.starts_with("a must"));
        let inner = input.need_object("inner").unwrap();
        let wrong = inner.flag("b").unwrap_err().message;
        assert_eq!(wrong, "inner.b must be a boolean");
    }

    #[test]
    fn too_many_or_too_long_tags_are_refused() {
        let many: Map<String, Value> = (0..11).map(|n| (format!("k{n}"), json!("v"))).collect();
        for tags in [json!(many), json!({"k": "v".repeat(257)}), json!({"": "v"})] {
            let body = json!({"freeformTags": tags});
            let input = Input::new(body.as_object().unwrap());
            assert!(input.copy_tags(&mut Map::new()).is_err(), "{body}");
        }
    }
}
