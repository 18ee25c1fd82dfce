//! The rules of definitions that are written in CEL
//! (`x-kubernetes-validations`).
//!
//! A rule that uses a function which is not known here is left out: better no
//! answer than a wrong one. So is a rule with an optional `oldSelf`.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cel::objects::{Key, Map};
use cel::{Context, Env, ExecutionError, Program, Value as Cel};
use serde_json::Value;

use crate::sandbox::kube::cluster::text;
use crate::sandbox::kube::status::Cause;

/// The words that properties are not called by in rules.
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// A definition's rules, compiled when they are first needed.
pub struct Rules {
    env: Arc<Env>,
    programs: Mutex<HashMap<String, Option<Arc<Program>>>>,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").finish_non_exhaustive()
    }
}

impl Default for Rules {
    fn default() -> Self {
        let mut env = Env::stdlib();
        // Extensions that clash would only make rules unknown.
        let _ = cel::extensions::strings(&mut env);
        let _ = cel::extensions::lists(&mut env);
        Self {
            env: Arc::new(env),
            programs: Mutex::default(),
        }
    }
}

impl Rules {
    /// The rules that an object breaks; an object that is as it was breaks
    /// none.
    pub fn check(&self, schema: &Value, object: &Value, old: Option<&Value>) -> Vec<Cause> {
        let mut causes = Vec::new();
        self.walk(schema, object, old, "", &mut causes);
        causes
    }

    fn walk(
        &self,
        schema: &Value,
        value: &Value,
        old: Option<&Value>,
        path: &str,
        out: &mut Vec<Cause>,
    ) {
        if value.is_null() || old == Some(value) {
            return;
        }
        let rules = schema.get("x-kubernetes-validations");
        for rule in rules.and_then(Value::as_array).into_iter().flatten() {
            out.extend(self.broken(schema, rule, value, old, path));
        }
        match value {
            Value::Object(fields) => {
                let properties = schema.get("properties");
                let others = schema.get("additionalProperties").filter(|s| s.is_object());
                for (name, field) in fields {
                    let old = old.and_then(|o| o.get(name));
                    if let Some(schema) = properties.and_then(|p| p.get(name)) {
                        let path = if path.is_empty() {
                            name.clone()
                        } else {
                            format!("{path}.{name}")
                        };
                        self.walk(schema, field, old, &path, out);
                    } else if let Some(schema) = others {
                        self.walk(schema, field, old, &format!("{path}[{name}]"), out);
                    }
                }
            }
            Value::Array(items) => {
                let Some(schema_of_items) = schema.get("items") else {
                    return;
                };
                for (index, item) in items.iter().enumerate() {
                    let old = old.and_then(|old| same_item(schema, old, item));
                    self.walk(schema_of_items, item, old, &format!("{path}[{index}]"), out);
                }
            }
            _ => {}
        }
    }

    fn broken(
        &self,
        schema: &Value,
        rule: &Value,
        value: &Value,
        old: Option<&Value>,
        path: &str,
    ) -> Option<Cause> {
        let source = text(rule, "/rule");
        if rule["optionalOldSelf"] == true || source.contains("oldSelf") && old.is_none() {
            return None;
        }
        let program = self.program(source)?;
        let mut context = Context::with_env(self.env.clone());
        context.add_variable_from_value("self", to_cel(schema, value));
        if let Some(old) = old {
            context.add_variable_from_value("oldSelf", to_cel(schema, old));
        }
        let place = || if path.is_empty() { "<nil>" } else { path }.to_owned();
        match program.execute(&context) {
            Ok(Cel::Bool(false)) => {}
            Err(ExecutionError::NoSuchKey(key)) => {
                let stated = match text(rule, "/message") {
                    "" => source,
                    message => message,
                };
                let kind = serde_json::json!(text(schema, "/type"));
                let detail = format!("no such key: {key} evaluating rule: {}", stated.trim());
                return Some(Cause::invalid(place(), &kind, &detail));
            }
            _ => return None,
        }
        let stated = self.stated(rule, &context);
        let message = stated.unwrap_or_else(|| match text(rule, "/message").trim() {
            "" => format!("failed rule: {}", source.trim()),
            message => message.to_owned(),
        });
        let field = text(rule, "/fieldPath")
            .replace("['", "[")
            .replace("']", "]");
        let field = format!("{path}{field}");
        let field = match field.trim_start_matches('.') {
            "" => "<nil>",
            field => field,
        };
        Some(match text(rule, "/reason") {
            "FieldValueForbidden" => Cause::forbidden(field, &message),
            "FieldValueRequired" => Cause::required(field, &message),
            "FieldValueDuplicate" => Cause::duplicate(field, value),
            // Whole objects are not repeated to their authors.
            _ if value.is_object() || value.is_array() => Cause::new(
                "FieldValueInvalid",
                format!("Invalid value: {message}"),
                field,
            ),
            _ => Cause::invalid(field, value, &message),
        })
    }

    /// What a rule's own expression says about its breach.
    fn stated(&self, rule: &Value, context: &Context<'_, '_>) -> Option<String> {
        let source = rule.get("messageExpression")?.as_str()?;
        match self.program(source)?.execute(context) {
            Ok(Cel::String(message)) if !message.trim().is_empty() => {
                Some(message.trim().to_owned())
            }
            _ => None,
        }
    }

    fn program(&self, source: &str) -> Option<Arc<Program>> {
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = programs.get(source) {
            return held.clone();
        }
        let compiled = self.env.compile(source).ok().map(Arc::new);
        programs.insert(source.to_owned(), compiled.clone());
        compiled
    }
}

/// The item of a keyed list before a change.
fn same_item<'a>(schema: &Value, old: &'a Value, item: &Value) -> Option<&'a Value> {
    let keys = schema.get("x-kubernetes-list-map-keys")?.as_array()?;
    let mut keys = keys.iter().filter_map(Value::as_str);
    let olds = old.as_array()?;
    let same = |old: &&Value| keys.all(|key| old.get(key) == item.get(key));
    let mut same = same;
    olds.iter().find(|old| same(old))
}

/// A value as rules see it: by the types of its schema.
fn to_cel(schema: &Value, value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(truth) => Cel::Bool(*truth),
        Value::Number(number) => match (text(schema, "/type"), number.as_i64()) {
            ("number", _) | (_, None) => Cel::Float(number.as_f64().unwrap_or_default()),
            (_, Some(whole)) => Cel::Int(whole),
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => {
            let schema = schema.get("items").unwrap_or(&Value::Null);
            let items = items.iter().map(|item| to_cel(schema, item));
            Cel::List(Arc::new(items.collect()))
        }
        Value::Object(fields) => {
            let properties = schema.get("properties");
            let others = schema.get("additionalProperties").unwrap_or(&Value::Null);
            let fields = fields.iter().map(|(name, field)| {
                let property = properties.and_then(|p| p.get(name));
                let name = if property.is_some() {
                    escaped(name)
                } else {
                    name.clone()
                };
                let value = to_cel(property.unwrap_or(others), field);
                (Key::String(Arc::new(name)), value)
            });
            Cel::Map(Map {
                map: Arc::new(fields.collect()),
            })
        }
    }
}

/// A property's name in rules.
fn escaped(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "literals read better at the calls"
    )]
    fn check(rule: Value, spec: Value, old: Option<Value>) -> Vec<String> {
        let schema = json!({"type": "object", "properties": {"spec": {
            "type": "object",
            "properties": {
                "min": {"type": "integer"},
                "max": {"type": "integer"},
                "name": {"type": "string"},
                "namespace": {"type": "string"},
                "list": {"type": "array", "items": {"type": "object", "properties": {
                    "n": {"type": "integer"}}}},
            },
            "x-kubernetes-validations": [rule],
        }}});
        let object = |spec| json!({"spec": spec});
        let old = old.map(object);
        Rules::default()
            .check(&schema, &object(spec), old.as_ref())
            .iter()
            .map(|c| format!("{}: {}", c.field, c.message))
            .collect()
    }

    #[test]
    fn a_broken_rule_says_so_at_its_place() {
        let rule = json!({"rule": "self.min <= self.max", "message": "min must not exceed max"});
        let fits = check(rule.clone(), json!({"min": 1, "max": 2}), None);
        assert!(fits.is_empty(), "{fits:?}");
        assert_eq!(
            check(rule, json!({"min": 3, "max": 2}), None),
            ["spec: Invalid value: min must not exceed max"]
        );
        let rule = json!({"rule": "self.list.all(i, i.n > 0)", "fieldPath": ".list",
            "reason": "FieldValueForbidden", "messageExpression": "'all of ' + string(size(self.list))"});
        assert_eq!(
            check(rule, json!({"list": [{"n": 1}, {"n": 0}]}), None),
            ["spec.list: Forbidden: all of 2"]
        );
        let rule = json!({"rule": "has(self.name) || self.__namespace__ == 'x'"});
        assert!(check(rule.clone(), json!({"namespace": "x"}), None).is_empty());
        assert_eq!(
            check(rule, json!({"namespace": "y"}), None),
            ["spec: Invalid value: failed rule: has(self.name) || self.__namespace__ == 'x'"]
        );
    }

    #[test]
    fn rules_about_changes_wait_for_one() {
        let rule = json!({"rule": "self.name == oldSelf.name", "message": "name is immutable"});
        assert!(check(rule.clone(), json!({"name": "a"}), None).is_empty());
        assert_eq!(
            check(rule, json!({"name": "b"}), Some(json!({"name": "a"}))),
            ["spec: Invalid value: name is immutable"]
        );
    }

    #[test]
    fn a_rule_with_unknown_functions_is_left_out() {
        let rule = json!({"rule": "isURL(self.name)"});
        assert!(check(rule, json!({"name": "no"}), None).is_empty());
    }
}
