//! What is due to happen: rows ordered by time, so that progress survives a
//! restart. Events run one transaction each, at the time for which they were
//! meant, however late the emulator looks.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::account::Account;
use super::ledger::{Kind, Ledger};
use super::work::{self, Failure};
use super::{loadbalancer, node_pool};
use crate::sandbox::store::{Store, Transaction};
use crate::sandbox::world::World;

const TABLE: &str = "oci/due";

/// Something that happens later.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Event {
    /// A resource enters a lifecycle state, if it exists and is in `from`.
    State {
        /// The kind of the resource.
        kind: Kind,
        /// Its OCID.
        id: String,
        /// The state that it must be in.
        from: String,
        /// The state that it gets.
        to: String,
    },
    /// A resource becomes a ghost in its dead state.
    Bury {
        /// The kind of the resource.
        kind: Kind,
        /// Its OCID.
        id: String,
    },
    /// A ghost disappears.
    Purge {
        /// The kind of the resource.
        kind: Kind,
        /// Its OCID.
        id: String,
    },
    /// A work request of Container Engine starts.
    Start {
        /// Its OCID.
        request: String,
    },
    /// A work request of Container Engine ends.
    Finish {
        /// Its OCID.
        request: String,
        /// Why it failed, if it did.
        error: Option<Failure>,
    },
    /// A node joins its cluster.
    Join {
        /// The node pool.
        pool: String,
        /// The instance.
        node: String,
    },
    /// A load balancer's or compartment's work request ends.
    Done {
        /// The kind of the work request.
        kind: Kind,
        /// Its OCID.
        request: String,
    },
}

/// Writes an event into the calendar.
pub(super) fn schedule(tx: &mut Transaction<'_>, at: u64, event: &Event) {
    let key = format!("{at:016}-{:012}", tx.next_revision());
    tx.put(TABLE, &key, json!(event));
}

/// The world's age in milliseconds at which the next event is due.
pub(super) fn next_due(store: &Store) -> Option<u64> {
    due_of(&store.first(TABLE)?.0)
}

/// Lets everything happen that is due by an age of the world.
pub(super) fn advance(world: &World, account: &Account, now: u64) {
    loop {
        if next_due(&world.store).is_none_or(|due| due > now) {
            return;
        }
        let done: Result<(), std::convert::Infallible> = world.store.write(|tx| {
            if let Some((key, row)) = tx.first(TABLE)
                && let Some(due) = due_of(&key).filter(|due| *due <= now)
            {
                tx.delete(TABLE, &key);
                let mut ledger = Ledger {
                    world,
                    account,
                    tx,
                    age: due,
                };
                if let Ok(event) = Event::deserialize(&*row.value) {
                    happen(&mut ledger, event);
                }
            }
            Ok(())
        });
        done.unwrap_or_else(|never| match never {});
    }
}

fn due_of(key: &str) -> Option<u64> {
    key.split('-').next()?.parse().ok()
}

fn happen(books: &mut Ledger<'_, '_>, event: Event) {
    match event {
        Event::State { kind, id, from, to } => {
            if let Some(mut doc) = books.live(kind, &id).filter(|doc| doc.state() == from) {
                doc.set("lifecycleState", to);
                books.put(kind, &mut doc);
            }
        }
        Event::Bury { kind, id } => {
            if let Some(mut doc) = books.live(kind, &id) {
                books.bury(kind, &mut doc);
            }
        }
        Event::Purge { kind, id } => {
            books.tx.delete(kind.table(), &id);
        }
        Event::Start { request } => work::start(books, &request),
        Event::Finish { request, error } => work::finish(books, &request, error),
        Event::Join { pool, node } => node_pool::join(books, &pool, &node),
        Event::Done { kind, request } => loadbalancer::done(books, kind, &request),
    }
}
