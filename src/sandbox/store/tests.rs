use super::*;
use serde_json::json;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

#[test]
fn rows_survive_reopening_and_a_torn_line_is_dropped() {
    let (dir, store) = store();
    store.put("vcn", "a", json!({"n": 1}));
    store.put("vcn", "b", json!({"n": 2}));
    store.delete("vcn", "a");
    let revision = store.revision();
    drop(store);
    let mut log = files::open_append(&dir.path().join("world.jsonl")).unwrap();
    log.write_all(b"{\"w\":[[\"vcn\",\"c\"").unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.revision(), revision);
    assert!(store.get("vcn", "a").is_none() && store.get("vcn", "c").is_none());
    assert_eq!(*store.get("vcn", "b").unwrap().value, json!({"n": 2}));
    store.put("vcn", "d", json!(4));
    drop(store);
    assert!(Store::open(dir.path()).unwrap().get("vcn", "d").is_some());
}

#[test]
fn a_failed_transaction_leaves_nothing() {
    let (_dir, store) = store();
    let revision = store.put("t", "k", json!(1));
    let failed: Result<(), &str> = store.write(|tx| {
        tx.put("t", "k", json!(2));
        tx.put("t", "new", json!(3));
        Err("no")
    });
    assert_eq!(failed, Err("no"));
    let row = store.get("t", "k").unwrap();
    assert_eq!((&*row.value, row.revision), (&json!(1), revision));
    assert!(store.get("t", "new").is_none());
}

#[test]
fn watchers_see_each_change_once_and_in_order() {
    let (_dir, store) = store();
    let from = store.revision();
    store.put("t", "a", json!(1));
    store.put("t", "a", json!(2));
    store.delete("t", "a");
    let seen: Vec<_> = store
        .changes_since(from)
        .unwrap()
        .iter()
        .map(|c| (c.before.as_deref().cloned(), c.after.as_deref().cloned()))
        .collect();
    let one = Some(json!(1));
    let two = Some(json!(2));
    assert_eq!(seen, [(None, one.clone()), (one, two.clone()), (two, None)]);
}

#[test]
fn a_quiet_table_is_never_too_old() {
    let (_dir, store) = store();
    store.put("quiet", "a", json!(1));
    let from = store.revision();
    let news = store.subscribe_to("quiet");
    for n in 0..=HISTORY {
        store.put("loud", "k", json!(n));
    }
    assert!(!news.has_changed().unwrap());
    assert!(store.changes_since(from).is_err());
    assert!(store.changes_of("loud", "", from).is_err());
    store.put("quiet", "b", json!(2));
    assert!(news.has_changed().unwrap());
    let (changes, at) = store.changes_of("quiet", "", from).unwrap();
    assert_eq!((changes.len(), at), (1, store.revision()));
    assert_eq!(store.changes_of("quiet", "a", from).unwrap().0.len(), 0);
}

use proptest::prelude::*;

/// The rows of a store, with their revisions.
fn rows(store: &Store) -> Vec<(String, u64, Value)> {
    let rows = store.list("t", "").0;
    rows.into_iter()
        .map(|(key, row)| (key.to_string(), row.revision, row.value.as_ref().clone()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A process that is killed while it writes leaves a log that ends
    /// anywhere; what comes back is the world after some transaction.
    #[test]
    fn a_log_cut_anywhere_comes_back_as_after_a_transaction(
        transactions in prop::collection::vec(
            prop::collection::vec((0_u8..6, prop::option::of(0_u8..9)), 1..4), 1..8),
        cut in 0.0_f64..1.0,
    ) {
        let (dir, store) = store();
        let mut states = vec![rows(&store)];
        for writes in &transactions {
            let done: Result<(), std::convert::Infallible> = store.write(|tx| {
                for (key, value) in writes {
                    match value {
                        Some(value) => {
                            tx.put("t", &key.to_string(), json!(value));
                        }
                        None => {
                            tx.delete("t", &key.to_string());
                        }
                    }
                }
                Ok(())
            });
            done.unwrap();
            states.push(rows(&store));
        }
        drop(store);
        let path = dir.path().join("world.jsonl");
        let log = std::fs::read(&path).unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of a small length")]
        let length = (log.len() as f64 * cut) as u64;
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(length).unwrap();
        let back = Store::open(dir.path()).unwrap();
        prop_assert!(states.contains(&rows(&back)));
    }
}
