//! Retry tokens: for 24 hours the same token with the same body gets the
//! first answer again, and nothing is done twice.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::call::{Answer, Call, Operation, Outcome};
use super::error::ApiError;
use super::ledger::Ledger;
use crate::sandbox::world::hex;

const TABLE: &str = "oci/retry-tokens";
const LIFE_MS: u64 = 24 * 3600 * 1000;

#[derive(Serialize, Deserialize)]
struct Kept {
    until: u64,
    body: String,
    answer: Answer,
}

/// Runs an operation, once per retry token.
pub(super) fn run(books: &mut Ledger<'_, '_>, operation: Operation, call: &Call<'_>) -> Outcome {
    let token = call
        .request
        .header("opc-retry-token")
        .filter(|token| operation.retry_token && !token.is_empty());
    let Some(token) = token else {
        return (operation.run)(books, call);
    };
    if token.len() > 64 {
        let why = "opc-retry-token may have at most 64 characters";
        return Err(ApiError::invalid(why));
    }
    let key = format!("{}/{token}", operation.name);
    let body = hex_digest(&call.request.body);
    if let Some(kept) = kept(books, &key) {
        return again(books, &kept, &body);
    }
    let answer = (operation.run)(books, call)?;
    let kept = Kept {
        until: books.age + LIFE_MS,
        body,
        answer,
    };
    books.tx.put(TABLE, &key, json!(kept));
    Ok(kept.answer)
}

fn kept(books: &Ledger<'_, '_>, key: &str) -> Option<Kept> {
    let row = books.tx.get(TABLE, key)?;
    let kept = Kept::deserialize(&*row.value).ok()?;
    (kept.until > books.age).then_some(kept)
}

fn again(books: &Ledger<'_, '_>, kept: &Kept, body: &str) -> Outcome {
    if kept.body != body {
        let why = "opc-retry-token was used before with a different request";
        return Err(ApiError::invalid(why));
    }
    match &kept.answer.made {
        Some((kind, id)) if books.live(*kind, id).is_none() => {
            Err(ApiError::invalidated_retry_token())
        }
        _ => Ok(kept.answer.clone()),
    }
}

fn hex_digest(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}
