//! A container's log.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{container, refused};
use crate::sandbox::http::{Body, Reply};
use crate::sandbox::kube::cluster::text;
use crate::sandbox::kube::objects;
use crate::sandbox::kube::request::Call;
use crate::sandbox::kube::status::{Cause, Outcome, Status};
use crate::sandbox::kubelet::LogOptions;

/// Answers `GET …/pods/NAME/log`.
pub(super) async fn logs(call: &Call) -> Outcome<Reply> {
    let options = options(call)?;
    let pod = objects::get(call)?;
    let container = container(call, &pod)?;
    let plain = "text/plain; charset=utf-8";
    // A pod without a host has said nothing yet.
    let (false, Some(kubelets)) = (
        text(&pod, "/spec/nodeName").is_empty(),
        call.cluster.kubelets.get(),
    ) else {
        return Ok(Reply::empty(StatusCode::NO_CONTENT));
    };
    let target = &call.target;
    let stream = kubelets
        .logs(&target.namespace, &target.name, &container, options)
        .await
        .map_err(|e| refused(call, &e))?;
    Ok(Reply::text(StatusCode::OK, plain, "").with_body(Body::Stream(stream)))
}

fn options(call: &Call) -> Outcome<LogOptions> {
    let truth = |name: &str| matches!(call.request.param(name), Some("true" | "1"));
    let mut causes = Vec::new();
    let mut number = |name: &str, least: i64, detail: &str| {
        let given = call.request.param(name).filter(|v| !v.is_empty())?;
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
    let time = call.request.param("sinceTime").filter(|v| !v.is_empty());
    if seconds.is_some() && time.is_some() {
        let detail = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        causes.push(Cause::forbidden("", detail));
    }
    if !causes.is_empty() {
        return Err(Status::invalid(
            "",
            "PodLogOptions",
            &call.target.name,
            causes,
        ));
    }
    let clock = &call.cluster.world.clock;
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
