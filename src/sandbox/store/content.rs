//! What a row of the store holds: JSON text for good, and parsed while it is
//! in use.
//!
//! A parsed object takes five times the memory of its text, and a text costs a
//! few microseconds to parse, so only what was used lately stays parsed.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use serde_json::Value;

/// The rows that stay parsed have no more text than this, in bytes, together.
const PARSED: usize = 3 * 1024 * 1024;

/// The content of a row as a reader holds it; parsed when it is first looked
/// at, and as long as the reader has it.
#[derive(Clone)]
pub struct Content {
    text: Arc<Text>,
    value: OnceLock<Arc<Value>>,
}

impl Deref for Content {
    type Target = Value;

    fn deref(&self) -> &Value {
        self.value.get_or_init(|| self.text.parsed())
    }
}

impl AsRef<Value> for Content {
    fn as_ref(&self) -> &Value {
        self
    }
}

impl From<&Arc<Text>> for Content {
    fn from(text: &Arc<Text>) -> Self {
        let value = OnceLock::new();
        let text = text.clone();
        Self { text, value }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// A content as the store keeps it.
pub(super) struct Text {
    json: Box<str>,
    parsed: Mutex<Option<Arc<Value>>>,
    /// Whether it was looked at since it was last due to be forgotten.
    is_used: AtomicBool,
    recent: Arc<Recent>,
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.json)
    }
}

impl Text {
    /// A new content, which is likely to be looked at soon.
    #[expect(clippy::expect_used, reason = "a value's keys are texts")]
    pub(super) fn new(value: Value, recent: &Arc<Recent>) -> Arc<Self> {
        let json = serde_json::to_string(&value).expect("invariant: a value can be written");
        let text = Self::with(json, Some(Arc::new(value)), recent);
        recent.add(&text);
        text
    }

    /// A content that was read from the log, and that nobody asks for yet.
    pub(super) fn resting(value: &Value, recent: &Arc<Recent>) -> Arc<Self> {
        Self::with(value.to_string(), None, recent)
    }

    fn with(json: String, parsed: Option<Arc<Value>>, recent: &Arc<Recent>) -> Arc<Self> {
        Arc::new(Self {
            json: json.into(),
            parsed: Mutex::new(parsed),
            is_used: AtomicBool::new(false),
            recent: recent.clone(),
        })
    }

    /// The content in one line of JSON.
    pub(super) fn json(&self) -> &str {
        &self.json
    }

    #[expect(clippy::expect_used, reason = "the text was made of a value")]
    fn parsed(self: &Arc<Self>) -> Arc<Value> {
        self.is_used.store(true, Ordering::Relaxed);
        let mut held = self.held();
        if let Some(value) = &*held {
            return value.clone();
        }
        let value = serde_json::from_str(&self.json).expect("invariant: a row is JSON");
        let value: Arc<Value> = held.insert(Arc::new(value)).clone();
        drop(held);
        self.recent.add(self);
        value
    }

    fn held(&self) -> MutexGuard<'_, Option<Arc<Value>>> {
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The contents that are parsed, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    /// Each with the length of its text; replaced ones go by themselves.
    texts: VecDeque<(usize, Weak<Text>)>,
    bytes: usize,
}

impl Queue {
    fn push(&mut self, text: &Arc<Text>) {
        self.bytes += text.json.len();
        self.texts
            .push_back((text.json.len(), Arc::downgrade(text)));
    }

    fn pop(&mut self) -> Option<Weak<Text>> {
        let (bytes, text) = self.texts.pop_front()?;
        self.bytes -= bytes;
        Some(text)
    }
}

impl Recent {
    /// Takes in a content that is parsed now. For it the oldest go back to
    /// being text; one that was looked at meanwhile is spared once.
    fn add(&self, text: &Arc<Text>) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push(text);
        while queue.bytes > PARSED {
            let Some(oldest) = queue.pop() else { return };
            let Some(oldest) = oldest.upgrade() else {
                continue;
            };
            if oldest.is_used.swap(false, Ordering::Relaxed) {
                queue.push(&oldest);
            } else {
                *oldest.held() = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn is_parsed(text: &Text) -> bool {
        text.held().is_some()
    }

    /// A content of about a thousandth of what stays parsed.
    fn filler(n: usize, recent: &Arc<Recent>) -> Arc<Text> {
        Text::new(json!({"n": n, "text": "x".repeat(PARSED / 1000)}), recent)
    }

    #[test]
    fn what_is_used_stays_parsed_and_the_rest_can_be_read_again() {
        let recent = Arc::new(Recent::default());
        let all: Vec<_> = (0..3000).map(|n| filler(n, &recent)).collect();
        let parsed = all.iter().filter(|text| is_parsed(text)).count();
        assert!((900..1000).contains(&parsed), "{parsed}");
        assert!(!is_parsed(&all[0]) && is_parsed(&all[2999]));
        let first = Content::from(&all[0]);
        assert_eq!(first["n"], 0);
        for n in 0..5 {
            for other in 0..500 {
                filler(other, &recent);
            }
            assert!(is_parsed(&all[0]), "after {n}");
            assert_eq!(Content::from(&all[0])["n"], 0);
        }
        for other in 0..2001 {
            filler(other, &recent);
        }
        assert!(!is_parsed(&all[0]));
        // Who has it keeps it, and the next reader gets the same.
        assert_eq!(first["n"], 0);
        assert_eq!(*Content::from(&all[0]), *first);
    }

    #[test]
    fn a_number_comes_back_as_it_was() {
        let recent = Arc::new(Recent::default());
        let value = json!([
            0.1,
            1.0,
            123_456_789.123_456_78,
            2.3e-12,
            u64::MAX,
            i64::MIN
        ]);
        let text = Text::resting(&value, &recent);
        assert_eq!(*Content::from(&text), value);
    }
}
