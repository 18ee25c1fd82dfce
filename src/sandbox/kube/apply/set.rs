//! Sets of field paths, and their `fieldsV1` notation.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A field of an object.
    Field(Box<str>),
    /// The item of a list with these key fields, sorted by name.
    Key(Vec<(Box<str>, Leaf)>),
    /// The item of a set with this value.
    Item(Leaf),
    /// The item at this place.
    Index(usize),
}

/// A value with an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaf {
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// Any other number, by its text.
    Number(Box<str>),
    /// Text.
    Text(Box<str>),
    /// Anything else, by its JSON.
    Other(Box<str>),
}

impl From<&Value> for Leaf {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Number(n) => n
                .as_i64()
                .map_or_else(|| Self::Number(n.to_string().into()), Self::Int),
            Value::String(s) => Self::Text(s.as_str().into()),
            other => Self::Other(other.to_string().into()),
        }
    }
}

impl Leaf {
    fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(*b),
            Self::Int(n) => Value::from(*n),
            Self::Text(s) => Value::from(&**s),
            Self::Number(text) | Self::Other(text) => {
                serde_json::from_str(text).unwrap_or_default()
            }
        }
    }
}

impl fmt::Display for Step {
    /// As in the messages about conflicts: `.spec`, `[name="web"]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                let keys: Vec<_> = keys
                    .iter()
                    .map(|(name, value)| format!("{name}={}", value.to_json()))
                    .collect();
                write!(f, "[{}]", keys.join(","))
            }
            Self::Item(value) => write!(f, "[={}]", value.to_json()),
            Self::Index(n) => write!(f, "[{n}]"),
        }
    }
}

impl Step {
    /// A field of an object.
    pub fn field(name: &str) -> Self {
        Self::Field(name.into())
    }

    fn to_text(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => {
                let keys: Map<_, _> = keys
                    .iter()
                    .map(|(name, value)| (name.to_string(), value.to_json()))
                    .collect();
                format!("k:{}", Value::Object(keys))
            }
            Self::Item(value) => format!("v:{}", value.to_json()),
            Self::Index(n) => format!("i:{n}"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        Some(match kind {
            "f" => Self::field(rest),
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(rest).ok()?;
                let mut keys: Vec<_> = keys
                    .iter()
                    .map(|(name, value)| (name.as_str().into(), value.into()))
                    .collect();
                keys.sort();
                Self::Key(keys)
            }
            "v" => Self::Item((&serde_json::from_str::<Value>(rest).ok()?).into()),
            "i" => Self::Index(rest.parse().ok()?),
            _ => return None,
        })
    }
}

/// A set of paths, as a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set {
    nodes: BTreeMap<Step, Node>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    /// Whether the path that ends here is in the set.
    member: bool,
    below: Set,
}

impl Node {
    fn keep(self) -> Option<Self> {
        (self.member || !self.below.is_empty()).then_some(self)
    }
}

impl Set {
    /// Whether no path is in it.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds a path; the empty path is no field and left out.
    pub fn insert(&mut self, path: &[Step]) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let node = self.nodes.entry(first.clone()).or_default();
        if rest.is_empty() {
            node.member = true;
        } else {
            node.below.insert(rest);
        }
    }

    /// Adds one step as a path of its own.
    pub fn add(&mut self, step: Step) {
        self.nodes.entry(step).or_default().member = true;
    }

    /// Puts a set below a step; an empty one leaves no trace.
    pub fn graft(&mut self, step: Step, below: Self) {
        if !below.is_empty() {
            self.nodes.entry(step).or_default().below = below;
        }
    }

    /// Whether the one-step path is in it.
    pub fn has(&self, step: &Step) -> bool {
        self.nodes.get(step).is_some_and(|n| n.member)
    }

    /// Whether a path is in it.
    pub fn contains(&self, path: &[Step]) -> bool {
        match path.split_first() {
            None => false,
            Some((first, [])) => self.has(first),
            Some((first, rest)) => self.below(first).is_some_and(|s| s.contains(rest)),
        }
    }

    /// The paths below a step, without it.
    pub fn below(&self, step: &Step) -> Option<&Self> {
        self.nodes
            .get(step)
            .map(|n| &n.below)
            .filter(|s| !s.is_empty())
    }

    /// The steps at this level: whether they are members, and what is below.
    pub fn steps(&self) -> impl Iterator<Item = (&Step, bool, &Self)> {
        self.nodes.iter().map(|(s, n)| (s, n.member, &n.below))
    }

    /// Paths in either.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for (step, theirs) in &other.nodes {
            let mine = self.nodes.entry(step.clone()).or_default();
            mine.member |= theirs.member;
            mine.below = std::mem::take(&mut mine.below).union(&theirs.below);
        }
        self
    }

    /// Paths in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let nodes = self.nodes.iter().filter_map(|(step, mine)| {
            let theirs = other.nodes.get(step)?;
            let node = Node {
                member: mine.member && theirs.member,
                below: mine.below.intersection(&theirs.below),
            };
            Some((step.clone(), node.keep()?))
        });
        Self {
            nodes: nodes.collect(),
        }
    }

    /// Paths in this one only.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let nodes = self.nodes.iter().filter_map(|(step, mine)| {
            let Some(theirs) = other.nodes.get(step) else {
                return Some((step.clone(), mine.clone()));
            };
            let node = Node {
                member: mine.member && !theirs.member,
                below: mine.below.difference(&theirs.below),
            };
            Some((step.clone(), node.keep()?))
        });
        Self {
            nodes: nodes.collect(),
        }
    }

    /// Removes a path and everything below it.
    pub fn cut(&mut self, path: &[Step]) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        if rest.is_empty() {
            self.nodes.remove(first);
        } else if let Some(node) = self.nodes.get_mut(first) {
            node.below.cut(rest);
            if !node.member && node.below.is_empty() {
                self.nodes.remove(first);
            }
        }
    }

    /// All paths, in order.
    pub fn paths(&self) -> Vec<Vec<Step>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, prefix: &mut Vec<Step>, paths: &mut Vec<Vec<Step>>) {
        for (step, node) in &self.nodes {
            prefix.push(step.clone());
            if node.member {
                paths.push(prefix.clone());
            }
            node.below.collect(prefix, paths);
            prefix.pop();
        }
    }

    /// The `fieldsV1` notation.
    pub fn to_json(&self) -> Value {
        let nodes = self.nodes.iter().map(|(step, node)| {
            let mut below = node.below.to_json();
            if node.member
                && !node.below.is_empty()
                && let Value::Object(map) = &mut below
            {
                map.shift_insert(0, ".".to_owned(), Value::Object(Map::new()));
            }
            (step.to_text(), below)
        });
        Value::Object(nodes.collect())
    }

    /// Reads the `fieldsV1` notation; what is not understood is left out.
    pub fn from_json(value: &Value) -> Self {
        let mut set = Self::default();
        let Value::Object(map) = value else {
            return set;
        };
        for (text, below) in map {
            let Some(step) = Step::parse(text) else {
                continue;
            };
            let leaf = below.as_object().is_none_or(Map::is_empty);
            let node = Node {
                member: leaf || below.get(".").is_some(),
                below: Self::from_json(below),
            };
            set.nodes.insert(step, node);
        }
        set
    }
}

/// A path as the messages about conflicts write it.
pub fn path_text(path: &[Step]) -> String {
    path.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample() -> Value {
        json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {"f:ports": {
                "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}},
                "v:\"x\"": {}
            }}
        })
    }

    #[test]
    fn the_notation_survives_a_round_trip() {
        let set = Set::from_json(&sample());
        assert_eq!(set.to_json().to_string(), sample().to_string());
        let texts: Vec<_> = set.paths().iter().map(|p| path_text(p)).collect();
        assert_eq!(
            texts,
            [
                ".metadata.labels",
                ".metadata.labels.app",
                ".spec.ports[port=80,protocol=\"TCP\"]",
                ".spec.ports[port=80,protocol=\"TCP\"].port",
                ".spec.ports[=\"x\"]"
            ]
        );
    }

    #[test]
    fn algebra_works_path_by_path() {
        let all = Set::from_json(&sample());
        let part = Set::from_json(&json!({"f:metadata": {"f:labels": {}}}));
        let rest = all.difference(&part);
        assert!(!rest.contains(&[Step::field("metadata"), Step::field("labels")]));
        assert!(rest.contains(&[
            Step::field("metadata"),
            Step::field("labels"),
            Step::field("app")
        ]));
        assert_eq!(all.intersection(&part), part);
        assert_eq!(rest.union(&part), all);
    }
}
