//! What the sidecar is told by its arguments and its environment.

use std::time::Duration;

use super::super::Process;

/// The sidecar's options.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) app_id: String,
    /// The app's port; none if it is not called.
    pub(super) app_port: Option<u16>,
    pub(super) http_port: u16,
    pub(super) grpc_port: u16,
    pub(super) public_port: u16,
    pub(super) metrics_port: Option<u16>,
    pub(super) namespace: String,
    pub(super) control_plane: String,
    pub(super) sentry: String,
    pub(super) placement: Option<String>,
    pub(super) scheduler: Option<String>,
    /// The Configuration's name; empty text is a name, too.
    pub(super) config: Option<String>,
    pub(super) api_token: Option<String>,
    pub(super) app_token: Option<String>,
    pub(super) api_logging: Option<bool>,
    pub(super) graceful: Duration,
    pub(super) builtin_secret_store: bool,
}

impl Options {
    pub(super) fn of(process: &Process) -> Self {
        let args = &process.args;
        let value = |flag: &str| {
            let at = args.iter().position(|arg| arg == flag)?;
            args.get(at + 1).cloned()
        };
        let has = |flag: &str| args.iter().any(|arg| arg == flag);
        let env = |name: &str| {
            process
                .env
                .get(name)
                .filter(|text| !text.is_empty())
                .cloned()
        };
        let port = |flag: &str| value(flag).and_then(|port| port.parse().ok());
        let graceful = value("--dapr-graceful-shutdown-seconds");
        let graceful = graceful.and_then(|seconds| seconds.parse::<i64>().ok());
        Self {
            app_id: value("--app-id").unwrap_or_else(|| process.pod.clone()),
            app_port: port("--app-port").filter(|port| *port != 0),
            http_port: port("--dapr-http-port").unwrap_or(3500),
            grpc_port: port("--dapr-grpc-port").unwrap_or(50_001),
            public_port: port("--dapr-public-port").unwrap_or(3501),
            metrics_port: has("--enable-metrics").then(|| port("--metrics-port").unwrap_or(9090)),
            namespace: env("NAMESPACE").unwrap_or_else(|| process.namespace.clone()),
            control_plane: value("--control-plane-address").unwrap_or_default(),
            sentry: value("--sentry-address").unwrap_or_default(),
            placement: value("--placement-host-address").filter(|text| !text.is_empty()),
            scheduler: value("--scheduler-host-address").filter(|text| !text.is_empty()),
            config: value("--config"),
            api_token: env("DAPR_API_TOKEN"),
            app_token: env("APP_API_TOKEN"),
            api_logging: match () {
                () if has("--enable-api-logging=true") || has("--enable-api-logging") => Some(true),
                () if has("--enable-api-logging=false") => Some(false),
                () => None,
            },
            graceful: Duration::from_secs(
                graceful
                    .and_then(|seconds| u64::try_from(seconds).ok())
                    .unwrap_or(5),
            ),
            builtin_secret_store: !has("--disable-builtin-k8s-secret-store"),
        }
    }
}

/// `host:port` in two.
pub(super) fn host_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    Some((host, port.parse().ok()?))
}
