//! The OCI emulator: Oracle's REST API for one account in one region, over
//! plain HTTP on loopback.
//!
//! It owns the emulated cloud's resources. It must not know todoctl's client:
//! it is written from Oracle's public reference, as the client is.

pub mod account;
pub mod animate;
pub mod auth;
mod blockstorage;
mod call;
mod ccm;
mod cidr;
mod cluster;
mod compute;
mod disks;
mod error;
mod events;
mod fence;
mod identity;
mod input;
mod ledger;
mod limits;
mod listing;
mod loadbalancer;
mod network;
mod node_pool;
mod options;
mod registry;
mod retry;
mod route;
mod rules_of_ccm;
mod search;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod work;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use jiff::SignedDuration;

use self::account::Account;
use self::call::{Answer, Call};
use self::error::ApiError;
use self::ledger::Ledger;
use super::faults;
use super::http::{Handler, Reply, Request};
use super::world::World;

pub use self::ledger::{Kind, REGION};

/// The faults of this system, beyond those that every system knows.
pub const FAULT_KINDS: [(&str, &str); 8] = [
    (
        "out-of-capacity",
        "no host for a node: everywhere, or in AD-1, or in AD-1/FAULT-DOMAIN-2",
    ),
    (
        "work-request",
        "stuck | fail | slow FACTOR: what happens to a cluster's or node pool's work request",
    ),
    (
        "limit",
        "NAME VALUE: the tenancy's service limit, e.g. 'cluster-count 0'",
    ),
    ("not-authorized", "404 NotAuthorizedOrNotFound"),
    ("skew", "how far the server's clock is ahead, e.g. 10m"),
    (
        "register-timeout",
        "nodes start, but never join the cluster",
    ),
    ("quota", "launching a node exceeds a quota"),
    (
        "pages",
        "N: lists come in pages of N rows, the first one empty",
    ),
];

/// The emulator.
#[derive(Debug)]
pub struct Oci {
    world: Arc<World>,
    account: Account,
}

impl Oci {
    /// Serves an account of a world.
    pub fn new(world: Arc<World>, account: Account) -> Self {
        Self { world, account }
    }

    /// Lets everything happen that is due.
    pub fn advance(&self) {
        events::advance(&self.world, &self.account, millis(self.world.age()));
    }

    /// Lets things happen when they are due, until the world's clock is
    /// cancelled.
    pub async fn tick(&self) {
        let mut changes = self.world.store.subscribe();
        loop {
            self.advance();
            let now = millis(self.world.age());
            let wait = events::next_due(&self.world.store).map_or(Duration::from_hours(1), |due| {
                Duration::from_millis(due.saturating_sub(now).max(1))
            });
            tokio::select! {
                slept = self.world.clock.sleep(wait) => if slept.is_err() { return },
                news = changes.changed() => if news.is_err() { return },
            }
        }
    }

    /// Lets the clusters' cloud controllers look at their Services.
    pub fn control(&self) {
        let done: Result<(), std::convert::Infallible> = self.world.store.write(|tx| {
            let mut books = Ledger {
                world: &self.world,
                account: &self.account,
                age: millis(self.world.age()),
                tx,
            };
            control(&mut books);
            Ok(())
        });
        done.unwrap_or_else(|never| match never {});
    }

    async fn answer(&self, request: &Request) -> Result<(Answer, String), ApiError> {
        let now = self.world.clock.now();
        let now = now.checked_add(self.skew()).unwrap_or(now);
        let who = auth::verify(&self.world.store, request, now)
            .map_err(|why| ApiError::not_authenticated(&why.to_string()))?;
        let segments = request.segments();
        let segments: Vec<_> = segments.iter().map(String::as_str).collect();
        let operation = route::find(request.method.as_str(), &segments)?;
        let call = Call::read(request)?;
        if self.denied(request) {
            return Err(ApiError::not_found(&request.path));
        }
        let subject = format!("{} {}{}", operation.name, request.path, call.name());
        let (low, high) = if request.is_mutating() {
            (200, 1500)
        } else {
            (40, 150)
        };
        let (low, high) = (Duration::from_millis(low), Duration::from_millis(high));
        let latency = self.world.latency(&subject, low, high);
        if self.world.clock.sleep(latency).await.is_err() {
            return Err(ApiError::of_status(StatusCode::SERVICE_UNAVAILABLE));
        }
        self.advance();
        let answer = self.world.store.write(|tx| {
            let mut books = Ledger {
                world: &self.world,
                account: &self.account,
                age: millis(self.world.age()),
                tx,
            };
            retry::run(&mut books, operation, &call)
        })?;
        Ok((answer, who))
    }

    /// How far the server's clock is ahead.
    fn skew(&self) -> SignedDuration {
        let faults = self.world.faults.list();
        faults
            .iter()
            .filter(|fault| fault.system == "oci" && fault.kind == "skew")
            .filter_map(|fault| faults::parse_duration(fault.arg.as_deref()?))
            .filter_map(|skew| SignedDuration::try_from(skew).ok())
            .sum()
    }

    fn denied(&self, request: &Request) -> bool {
        let faults = &self.world.faults;
        let method = request.method.as_str();
        faults
            .take_request("oci", "not-authorized", method, &request.path)
            .is_some()
    }

    fn finish(&self, reply: Reply, request: &Request) -> Reply {
        let draw = |part: &str| {
            let n = self.world.store.revision();
            let subject = format!("{part} {} {n}", request.target);
            format!("{:016X}", self.world.draw(&subject))
        };
        let client = match request.header("opc-request-id") {
            Some(id) if !id.is_empty() => id.chars().take(98).collect(),
            _ => draw("client") + &draw("client-2"),
        };
        let id = format!("{client}/{}/{}", draw("server"), draw("server-2"));
        let now = self.world.clock.now();
        let now = now.checked_add(self.skew()).unwrap_or(now);
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now);
        let reply = reply.with("opc-request-id", id);
        match date {
            Ok(date) => reply.with("date", date),
            Err(_) => reply,
        }
    }
}

impl Call<'_> {
    /// The name in the body, for drawing latencies.
    fn name(&self) -> &str {
        ["displayName", "name"]
            .iter()
            .find_map(|field| self.body.get(*field)?.as_str())
            .unwrap_or("")
    }
}

impl Handler for Oci {
    fn system(&self) -> &'static str {
        "oci"
    }

    async fn handle(&self, request: Request) -> Reply {
        let reply = match self.answer(&request).await {
            Ok((answer, who)) => answer.reply().by(who),
            Err(error) => error.reply(),
        };
        self.finish(reply, &request)
    }

    fn fault(&self, status: StatusCode, request: &Request) -> Reply {
        self.finish(ApiError::of_status(status).reply(), request)
    }
}

/// Every running cluster's cloud controller looks at its Services.
fn control(books: &mut Ledger<'_, '_>) {
    let served = |doc: &ledger::Doc| matches!(doc.state(), "ACTIVE" | "UPDATING");
    for cluster in books.live_where(Kind::Cluster, served) {
        ccm::reconcile(books, &cluster);
    }
}

/// A duration in whole milliseconds.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
