//! The state API: a probe key that lives for a minute at most.

use futures::FutureExt as _;
use http::Method;
use serde_json::{Value, json};

use crate::verify::check::{Check, Found, Probe, Suite, Verdict};
use crate::verify::world::{Answer, Sidecar, World};

const LOGS: &str = "todoctl logs --sidecar --level warn";

/// The checks of the suite.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "state.round-trip",
        suite: Suite::State,
        title: "what is saved can be read",
        means: "The state store does not keep what it is given: the database is away, asleep, or refuses the login.",
        mend: LOGS,
        probe: Probe::Ask(|world| round_trip(world).boxed()),
    },
    Check {
        code: "state.etag",
        suite: Suite::State,
        title: "a save with an old etag is refused with 409",
        means: "Two writers can overwrite each other without noticing.",
        mend: LOGS,
        probe: Probe::Ask(|world| etag(world).boxed()),
    },
    Check {
        code: "state.ttl",
        suite: Suite::State,
        title: "a key with a time to live is gone after it",
        means: "Keys that should vanish stay, or are shown after their time.",
        mend: LOGS,
        probe: Probe::Ask(|world| ttl(world).boxed()),
    },
    Check {
        code: "state.delete",
        suite: Suite::State,
        title: "a key that is deleted is gone",
        means: "The state store does not forget what it is told to.",
        mend: LOGS,
        probe: Probe::Ask(|world| delete(world).boxed()),
    },
    Check {
        code: "state.transaction",
        suite: Suite::State,
        title: "several changes can be made as one",
        means: "The store takes no transactions, so that an app cannot keep its outbox and its data together.",
        mend: LOGS,
        probe: Probe::Ask(|world| transaction(world).boxed()),
    },
];

/// For how long a probe's key lives, in seconds: keys of a run that was killed
/// vanish by themselves. The far side may live faster than we do.
fn life(world: &World) -> String {
    format!(
        "{:.0}",
        60.0 * world.scope.profile.endpoints.clock_rate.max(1.0)
    )
}

struct Store<'a> {
    world: &'a World,
    sidecar: &'a Sidecar,
    base: String,
    key: String,
}

impl<'a> Store<'a> {
    async fn new(world: &'a World, purpose: &str) -> Result<Self, Verdict> {
        let store = &world.scope.profile.dapr.components.state;
        Ok(Self {
            world,
            sidecar: world.sidecar().await?,
            base: format!("/v1.0/state/{store}"),
            key: format!("todoctl-probe-{}-{purpose}", world.run),
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<(String, Answer), Verdict> {
        let asked = format!("{method} {path} at the sidecar of {}", self.sidecar.pod);
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let headers = [("content-type", "application/json")];
        let answer = self
            .world
            .ask(self.sidecar, method, path, &headers, body)
            .await?;
        Ok((asked, answer))
    }

    fn item(&self, value: &str, life: &str) -> Value {
        json!({"key": self.key, "value": {"probe": value}, "metadata": {"ttlInSeconds": life}})
    }

    /// Saves, and must succeed.
    async fn save(&self, item: &Value) -> Result<(String, Answer), Verdict> {
        let (asked, answer) = self.send(Method::POST, &self.base, &json!([item])).await?;
        succeeded("saving", &asked, &answer)?;
        Ok((asked, answer))
    }

    async fn get(&self) -> Result<(String, Answer), Verdict> {
        let (asked, answer) = self.send(Method::GET, &self.one(), &Value::Null).await?;
        succeeded("reading", &asked, &answer)?;
        Ok((asked, answer))
    }

    fn one(&self) -> String {
        format!("{}/{}", self.base, self.key)
    }

    async fn remove(&self) -> Result<(String, Answer), Verdict> {
        self.send(Method::DELETE, &self.one(), &Value::Null).await
    }
}

fn succeeded(what: &str, asked: &str, answer: &Answer) -> Result<(), Verdict> {
    match answer.status.is_success() {
        true => Ok(()),
        false => Err(
            Verdict::fail(format!("{what} answers {}", answer.status.as_u16()))
                .saw(asked, answer.shown()),
        ),
    }
}

async fn round_trip(world: &World) -> Found {
    let store = Store::new(world, "value").await?;
    let (saved, answer) = store.save(&store.item(&world.run, &life(world))).await?;
    let (read, back) = store.get().await?;
    let right = back.json()["probe"] == world.run.as_str();
    let took = answer.took + back.took;
    store.remove().await?;
    let verdict = match right {
        true => Verdict::pass(format!(
            "saved and read in {:.1} ms",
            took.as_secs_f64() * 1e3
        )),
        false => Verdict::fail("what was read is not what was saved"),
    };
    Ok(verdict.saw(saved, answer.shown()).saw(read, back.shown()))
}

async fn etag(world: &World) -> Found {
    let store = Store::new(world, "etag").await?;
    store.save(&store.item("first", &life(world))).await?;
    let (read, first) = store.get().await?;
    let etag = first
        .headers
        .get("etag")
        .and_then(|e| e.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    if etag.is_empty() {
        store.remove().await?;
        return Ok(Verdict::fail("what was read has no etag").saw(read, first.shown()));
    }
    store.save(&store.item("second", &life(world))).await?;
    let mut item = store.item("third", &life(world));
    item["etag"] = json!(etag);
    item["options"] = json!({"concurrency": "first-write"});
    let (asked, refused) = store
        .send(Method::POST, &store.base, &json!([item]))
        .await?;
    store.remove().await?;
    Ok(match refused.status.as_u16() {
        409 => Verdict::pass("refused with 409").saw(asked, refused.shown()),
        200..=299 => Verdict::fail("a save with an old etag was taken").saw(asked, refused.shown()),
        other => Verdict::fail(format!("a save with an old etag answers {other}, not 409"))
            .saw(asked, refused.shown()),
    })
}

async fn ttl(world: &World) -> Found {
    /// Longer than a second that was rounded up.
    const WITHIN: std::time::Duration = std::time::Duration::from_millis(2500);
    let store = Store::new(world, "ttl").await?;
    store.save(&store.item("short", "1")).await?;
    let limit = world.clock.deadline(WITHIN);
    loop {
        let (asked, answer) = store.get().await?;
        if answer.status == http::StatusCode::NO_CONTENT {
            let after = limit.waited().as_secs_f64();
            return Ok(Verdict::pass(format!("gone after {after:.1} s")).saw(asked, answer.shown()));
        }
        if limit.passed() {
            store.remove().await?;
            return Ok(
                Verdict::fail("a key that should live for a second is still there")
                    .saw(asked, answer.shown()),
            );
        }
        let pause = std::time::Duration::from_millis(50);
        if world.clock.sleep(pause).await.is_err() {
            return Err(Verdict::fail("interrupted"));
        }
    }
}

async fn delete(world: &World) -> Found {
    let store = Store::new(world, "gone").await?;
    store.save(&store.item("here", &life(world))).await?;
    let (asked, answer) = store.remove().await?;
    succeeded("deleting", &asked, &answer)?;
    let (read, back) = store.get().await?;
    Ok(match back.status == http::StatusCode::NO_CONTENT {
        true => Verdict::pass("gone")
            .saw(asked, answer.shown())
            .saw(read, back.shown()),
        false => Verdict::fail("a key that was deleted is still there")
            .saw(asked, answer.shown())
            .saw(read, back.shown()),
    })
}

async fn transaction(world: &World) -> Found {
    let store = Store::new(world, "both").await?;
    let other = format!("{}-other", store.key);
    let upsert = |key: &str| json!({"operation": "upsert", "request": {"key": key, "value": {"probe": 1}, "metadata": {"ttlInSeconds": life(world)}}});
    let delete = |key: &str| json!({"operation": "delete", "request": {"key": key}});
    let path = format!("{}/transaction", store.base);
    let body = json!({"operations": [upsert(&store.key), upsert(&other)]});
    let (asked, answer) = store.send(Method::POST, &path, &body).await?;
    succeeded("the transaction", &asked, &answer)?;
    let (read, back) = store.get().await?;
    let body = json!({"operations": [delete(&store.key), delete(&other)]});
    let (_, removed) = store.send(Method::POST, &path, &body).await?;
    succeeded("the transaction", &asked, &removed)?;
    Ok(match back.json()["probe"] == 1 {
        true => Verdict::pass("both keys were made and removed").saw(asked, answer.shown()),
        false => Verdict::fail("a key of the transaction is not there").saw(read, back.shown()),
    })
}
