//! What the sidecar asks of the control plane.

use http::Method;
use serde_json::Value;

use super::super::web::{Answer, Call, CallError};
use super::super::{Process, tag};
use super::options::{Options, host_port};

/// Why the control plane did not help.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum PlaneError {
    /// It refused, in its own words.
    #[error("{0}")]
    Refused(String),
    /// Nobody answered.
    #[error(
        "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: {0}\""
    )]
    Unreachable(String),
}

impl From<CallError> for PlaneError {
    fn from(error: CallError) -> Self {
        Self::Unreachable(error.to_string())
    }
}

fn query(pairs: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs);
    query.finish()
}

/// One call to a program of the control plane.
pub(super) async fn call(
    process: &Process,
    address: &str,
    method: Method,
    path: &str,
    pairs: &[(&str, &str)],
    body: Option<&Value>,
) -> Result<Answer, PlaneError> {
    let Some((host, port)) = host_port(address) else {
        return Err(PlaneError::Unreachable(format!(
            "missing address {address:?}"
        )));
    };
    let target = format!("{path}?{}", query(pairs));
    let mut call = Call::new(method, host, port, target);
    if let Some(body) = body {
        call = call.with_body("application/json", body.to_string());
    }
    Ok(call.send(process).await?)
}

fn value(answer: &Answer) -> Result<Value, PlaneError> {
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status.is_success() {
        return Ok(value);
    }
    let why = value["error"].as_str().unwrap_or("unavailable");
    Err(PlaneError::Refused(why.to_owned()))
}

/// Gets a certificate; the app's Configuration must exist for that.
pub(super) async fn certificate(process: &Process, options: &Options) -> Result<(), PlaneError> {
    let mut pairs = vec![
        ("namespace", options.namespace.as_str()),
        ("pod", process.pod.as_str()),
        ("app", options.app_id.as_str()),
        ("version", tag(&process.image)),
    ];
    pairs.extend(options.config.as_deref().map(|config| ("config", config)));
    let sentry = &options.sentry;
    let answer = call(process, sentry, Method::POST, "/sign", &pairs, None).await?;
    value(&answer).map(drop)
}

/// What the operator knows about the sidecar's namespace: `components`,
/// `subscriptions`, `resiliencies`, or a `configuration` by name.
pub(super) async fn ask(
    process: &Process,
    options: &Options,
    what: &str,
    name: &str,
) -> Result<Value, PlaneError> {
    let pairs = [("namespace", options.namespace.as_str()), ("name", name)];
    let (address, path) = (&options.control_plane, format!("/{what}"));
    let answer = call(process, address, Method::GET, &path, &pairs, None).await?;
    value(&answer).map_err(|error| match error {
        PlaneError::Refused(why) => {
            PlaneError::Refused(format!("rpc error: code = Unknown desc = {why}"))
        }
        unreachable @ PlaneError::Unreachable(_) => unreachable,
    })
}
