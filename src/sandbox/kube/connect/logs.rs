//! A container's log.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Place, container, refused};
use crate::clock::Clock;
use crate::sandbox::http::{Body, Reply, Request};
use crate::sandbox::kube::cluster::text;
use crate::sandbox::kube::objects;
use crate::sandbox::kube::request::Call;
use crate::sandbox::kube::status::{Cause, Outcome, Status};
use crate::sandbox::kubelet::LogOptions;

/// Answers `GET …/pods/NAME/log`.
pub(super) async fn logs(call: &Call) -> Outcome<Reply> {
    let clock = &call.cluster.world.clock;
    options(&call.request, &call.target.name, clock)?;
    let pod = objects::get(call)?;
    let container = container(call, &pod)?;
    // A pod without a host has said nothing yet.
    if text(&pod, "/spec/nodeName").is_empty() || call.cluster.kubelets.get().is_none() {
        return Ok(Reply::empty(StatusCode::NO_CONTENT));
    }
    let place = Place::of(call, &pod)?;
    read(&place, &container, &call.request, clock).await
}

/// The part of a container's log that a request asks for.
pub(in crate::sandbox) async fn read(
    place: &Place,
    container: &str,
    request: &Request,
    clock: &Clock,
) -> Outcome<Reply> {
    let options = options(request, &place.pod, clock)?;
    let stream = place
        .kubelets
        .logs(&place.namespace, &place.pod, container, options)
        .await
        .map_err(|e| refused(&e))?;
    let plain = "text/plain; charset=utf-8";
    Ok(Reply::text(StatusCode::OK, plain, "").with_body(Body::Stream(stream)))
}

fn options(request: &Request, pod: &str, clock: &Clock) -> Outcome<LogOptions> {
    let truth = |name: &str| matches!(request.param(name), Some("true" | "1"));
    let mut causes = Vec::new();
    let mut number = |name: &str, least: i64, detail: &str| {
        let given = request.param(name).filter(|v| !v.is_empty())?;
        let Ok(value) = given.parse::<i64>() else {
            causes.push(Cause::invalid(name, &json!(given), "must be an integer"));
            return None;
        };
        if value < least {
            causes.push(Cause::invalid(name, &json!(value), detail));
        }
        u64::try_from(value).ok()
    };
    let positive = "must be greater than 0";
    let tail_lines = number("tailLines", 0, "must be greater than or equal to 0");
    let limit_bytes = number("limitBytes", 1, positive);
    let seconds = number("sinceSeconds", 1, positive);
    let time = request.param("sinceTime").filter(|v| !v.is_empty());
    if seconds.is_some() && time.is_some() {
        let detail = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        causes.push(Cause::forbidden("", detail));
    }
    if !causes.is_empty() {
        return Err(Status::invalid("", "PodLogOptions", pod, causes));
    }
    let since = match (seconds, time) {
        (Some(seconds), _) => {
            // Lines are stamped with the wall's time, so the world's seconds
            // are as short as the clock makes them.
            let back = clock.real(std::time::Duration::from_secs(seconds));
            let back = SignedDuration::try_from(back).unwrap_or_default();
            clock.now().checked_sub(back).ok()
        }
        (None, Some(time)) => Some(time.parse::<Timestamp>().map_err(|_| {
            Status::bad_request(format!("unable to decode query: parsing time {time:?}"))
        })?),
        (None, None) => None,
    };
    Ok(LogOptions {
        follow: truth("follow"),
        previous: truth("previous"),
        timestamps: truth("timestamps"),
        tail_lines,
        since,
        limit_bytes,
    })
}
