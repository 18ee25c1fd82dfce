//! The paths of printer columns.

use serde_json::Value;

/// Follows the simple paths of printer columns: `.a.b[0].c`, `.a[?(@.t=="x")].s`.
pub fn json_path<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let mut at = object;
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix("[?(@.") {
            let (filter, tail) = tail.split_once(")]")?;
            let (field, wanted) = filter.split_once("==")?;
            let wanted = wanted.trim().trim_matches(['"', '\'']);
            let items = at.as_array()?;
            at = items
                .iter()
                .find(|i| i.get(field.trim()).and_then(Value::as_str) == Some(wanted))?;
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix('[') {
            let (index, tail) = tail.split_once(']')?;
            at = match index.trim_matches(['"', '\'']).parse::<usize>() {
                Ok(index) => at.get(index)?,
                Err(_) => at.get(index.trim_matches(['"', '\'']))?,
            };
            rest = tail;
        } else {
            let tail = rest.strip_prefix('.').unwrap_or(rest);
            let mut end = tail.len();
            let mut escaped = false;
            for (index, c) in tail.char_indices() {
                if !escaped && (c == '.' || c == '[') {
                    end = index;
                    break;
                }
                escaped = c == '\\';
            }
            let (name, tail) = tail.split_at_checked(end)?;
            at = at.get(name.replace('\\', ""))?;
            rest = tail;
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn printer_paths_are_followed() {
        let object = json!({"s": {"c": [{"t": "Ready", "v": "True"}], "a.b": 1}});
        let cases = [
            (".s.c[0].v", Some(json!("True"))),
            (".s.c[?(@.t==\"Ready\")].v", Some(json!("True"))),
            (".s.c[?(@.t==\"No\")].v", None),
            (".s.a\\.b", Some(json!(1))),
        ];
        for (path, expected) in cases {
            assert_eq!(json_path(&object, path).cloned(), expected, "{path}");
        }
    }
}
