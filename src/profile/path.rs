//! Paths into a profile, such as `app.services[1].port` or
//! `app.services.backend.port`.

use crate::yaml::{Node, Value};

/// One step of a path, with the column (from 1) at which it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step<'a> {
    pub(super) key: Key<'a>,
    pub(super) column: u32,
    pub(super) len: u32,
}

/// What a step selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key<'a> {
    /// A key of a map, or the list entry whose `name` it is.
    Name(&'a str),
    /// A list entry by its position.
    Index(usize),
}

/// The steps of a path; or the column at which it stops being one.
pub(super) fn parse(path: &str) -> Result<Vec<Step<'_>>, u32> {
    let mut steps = Vec::new();
    let mut column = 1;
    for part in path.split('.') {
        let (name, mut indices) = match part.find('[') {
            Some(at) => part.split_at(at),
            None => (part, ""),
        };
        if name.is_empty() {
            return Err(column);
        }
        let mut step_column = column;
        let mut push = |key, text: &str, column: &mut u32| {
            let len = width(text);
            steps.push(Step {
                key,
                column: *column,
                len,
            });
            *column += len;
        };
        push(Key::Name(name), name, &mut step_column);
        while !indices.is_empty() {
            let close = indices.find(']').ok_or(step_column)?;
            let (index, rest) = indices.split_at(close + 1);
            let number = index
                .strip_prefix('[')
                .and_then(|i| i.strip_suffix(']'))
                .and_then(|i| i.parse().ok())
                .ok_or(step_column)?;
            push(Key::Index(number), index, &mut step_column);
            indices = rest;
        }
        column += width(part) + 1;
    }
    Ok(steps)
}

fn width(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

/// What a step selects below a node.
pub(super) fn child<'n>(node: &'n Node, key: Key<'_>) -> Option<&'n Node> {
    match (&node.value, key) {
        (Value::Map(_), Key::Name(name)) => node.get(name),
        (Value::List(items), Key::Index(i)) => items.get(i),
        (Value::List(items), Key::Name(name)) => items
            .iter()
            .find(|item| item.get("name").and_then(Node::as_str) == Some(name)),
        _ => None,
    }
}

/// The node at a path, or the nearest one above it.
pub(super) fn nearest<'n>(root: &'n Node, path: &str) -> &'n Node {
    let mut node = root;
    for step in parse(path).unwrap_or_default() {
        match child(node, step.key) {
            Some(below) => node = below,
            None => break,
        }
    }
    node
}

/// The path of a key below a path.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_parse_into_steps_with_columns() {
        let steps = parse("app.services[1].port").unwrap();
        let told: Vec<_> = steps.iter().map(|s| (s.key, s.column, s.len)).collect();
        assert_eq!(
            told,
            [
                (Key::Name("app"), 1, 3),
                (Key::Name("services"), 5, 8),
                (Key::Index(1), 13, 3),
                (Key::Name("port"), 17, 4),
            ]
        );
        for (bad, column) in [("", 1), ("a..b", 3), ("a[", 2), ("a[x]", 2), ("[0]", 1)] {
            assert_eq!(parse(bad).unwrap_err(), column, "{bad:?}");
        }
    }
}
