//! Subresources and reviews that are not plain objects.

use http::StatusCode;
use serde_json::json;

use super::access;
use super::body;
use super::catalog::Verbs;
use super::request::Call;
use super::status::Outcome;
use crate::sandbox::http::Reply;

/// Answers what is no plain object; none for all else.
pub fn perform(call: &Call) -> Outcome<Option<Reply>> {
    if call.resource.verbs == Verbs::Create {
        let review = body::object(call, &call.request.body)?;
        let answer = access::review(call, review)?;
        return Ok(Some(Reply::json(StatusCode::CREATED, &answer)));
    }
    let _ = json!({});
    Ok(None)
}
