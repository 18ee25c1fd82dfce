//! What todoctl asks about Oracle's container registry: the namespace, and
//! that there is nothing in it.

use serde_json::json;

use super::call::{Answer, Call, Outcome};
use super::ledger::Ledger;
use super::{identity, listing};

/// `GetNamespace`: a JSON string.
#[expect(clippy::unnecessary_wraps, reason = "operations have one signature")]
pub(super) fn namespace(books: &mut Ledger<'_, '_>, _: &Call<'_>) -> Outcome {
    Ok(Answer::ok(json!(books.account.namespace)))
}

/// `GetContainerConfiguration`.
pub(super) fn configuration(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    identity::compartment(books, call.need_param("compartmentId")?)?;
    Ok(Answer::ok(json!({
        "isRepositoryCreatedOnFirstPush": true,
        "namespace": books.account.namespace,
    })))
}

/// `ListContainerRepositories` and `ListContainerImages` of an empty registry.
pub(super) fn nothing(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    identity::compartment(books, call.need_param("compartmentId")?)?;
    listing::items(books, call, Vec::new())
}
