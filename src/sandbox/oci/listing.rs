//! Lists: filters, order, pages, and rows that are not to be seen yet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::call::{Answer, Call, Outcome};
use super::error::ApiError;
use super::identity;
use super::ledger::{Doc, Kind, Ledger};
use crate::sandbox::http::Request;

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

/// Lists a compartment's resources of a kind. `filters` are the query
/// parameters that must equal the field of the same name.
pub(super) fn list(
    books: &mut Ledger<'_, '_>,
    call: &Call<'_>,
    kind: Kind,
    filters: &[&str],
) -> Outcome {
    let docs = select(books, call, kind, filters)?;
    let rows = docs.into_iter().map(|doc| doc.body.into()).collect();
    page(books, call, rows)
}

/// The resources that a list would show, in its order.
pub(super) fn select(
    books: &Ledger<'_, '_>,
    call: &Call<'_>,
    kind: Kind,
    filters: &[&str],
) -> Result<Vec<Doc>, ApiError> {
    let compartment = call.need_param("compartmentId")?;
    identity::compartment(books, compartment)?;
    let mut docs = books.all(kind);
    docs.retain(|doc| {
        doc.str("compartmentId") == compartment
            && is_listed(books, doc)
            && matches(call.request, doc, filters)
    });
    order(call.request, &mut docs);
    Ok(docs)
}

/// Whether lists show it: a new resource only after a moment, and a deleted
/// one for a while, if at all.
pub(super) fn is_listed(books: &Ledger<'_, '_>, doc: &Doc) -> bool {
    let ghost_shows = books
        .world
        .draw(&format!("ghost {}", doc.id()))
        .is_multiple_of(2);
    doc.listed_from <= books.age && (doc.is_live() || ghost_shows)
}

/// Whether the resource passes the request's filters and `lifecycleState`s.
pub(super) fn matches(request: &Request, doc: &Doc, filters: &[&str]) -> bool {
    let equal = |name: &&str| {
        request
            .param(name)
            .is_none_or(|wanted| doc.str(name) == wanted)
    };
    let states: Vec<_> = request.params("lifecycleState").collect();
    let state_wanted = states.is_empty()
        || states
            .iter()
            .any(|state| state.eq_ignore_ascii_case(doc.state()));
    filters.iter().all(equal) && state_wanted
}

/// Newest first, unless the request asks otherwise.
fn order(request: &Request, docs: &mut [Doc]) {
    let by_name = request
        .param("sortBy")
        .is_some_and(|by| by.to_ascii_uppercase().contains("NAME"));
    let descending = match request.param("sortOrder") {
        Some(order) => order.eq_ignore_ascii_case("DESC"),
        None => !by_name,
    };
    if by_name {
        let name = |doc: &Doc| format!("{}{}", doc.str("displayName"), doc.str("name"));
        docs.sort_by_cached_key(name);
    }
    if descending {
        docs.reverse();
    }
}

/// The page of the rows that the request asks for.
pub(super) fn page(books: &mut Ledger<'_, '_>, call: &Call<'_>, rows: Vec<Value>) -> Outcome {
    let (rows, next) = cut(books, call, rows)?;
    Ok(with_next(Answer::ok(rows), next))
}

/// As [`page`], for the services that wrap their rows in `items`.
pub(super) fn items(books: &mut Ledger<'_, '_>, call: &Call<'_>, rows: Vec<Value>) -> Outcome {
    let (rows, next) = cut(books, call, rows)?;
    Ok(with_next(
        Answer::ok(serde_json::json!({ "items": rows })),
        next,
    ))
}

fn with_next(answer: Answer, next: Option<String>) -> Answer {
    match next {
        Some(next) => answer.with("opc-next-page", next),
        None => answer,
    }
}

fn cut(
    books: &mut Ledger<'_, '_>,
    call: &Call<'_>,
    rows: Vec<Value>,
) -> Result<(Vec<Value>, Option<String>), ApiError> {
    let request = call.request;
    let asked = match request.param("limit") {
        Some(text) => {
            let limit = text.parse().ok().filter(|n| (1..=LARGEST_PAGE).contains(n));
            limit.ok_or_else(|| ApiError::invalid("limit must be between 1 and 1000"))?
        }
        None => PAGE,
    };
    let forced = books.fault("pages", &request.path, |_| true);
    let size = match &forced {
        Some(size) => asked.min(size.parse().unwrap_or(1)).max(1),
        None => asked,
    };
    let start = match request.param("page") {
        Some(token) => {
            read_token(token).ok_or_else(|| ApiError::invalid("page is no valid token"))?
        }
        None => 0,
    };
    // A page may be short or even empty while more follow: clients must go by
    // the header alone. It happens here when a list has several pages anyway.
    let odd = books.world.draw(&format!("page {} {start}", request.path)) % 8;
    let more_than_a_page = rows.len() > start.saturating_add(size);
    let empty_first = forced.is_some() && request.param("page").is_none();
    let size = match odd {
        _ if empty_first => 0,
        0 if more_than_a_page && request.param("page").is_none() => 0,
        1 | 2 if more_than_a_page => size.div_ceil(2),
        _ => size,
    };
    let end = start.saturating_add(size);
    let next = (end < rows.len() || size == 0).then(|| write_token(end));
    let rows = rows.into_iter().skip(start).take(size).collect();
    Ok((rows, next))
}

fn write_token(start: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("from {start}"))
}

fn read_token(token: &str) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    text.strip_prefix("from ")?.parse().ok()
}
