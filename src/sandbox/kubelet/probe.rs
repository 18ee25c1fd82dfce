//! Probes: really dialled, through the pods' network.
//!
//! Periods are the world's. On a fast clock they are bounded in real time:
//! between two probes of a container at least 50 ms pass, and while nothing
//! changes at least a second, or longer in a crowd, so that an idle world
//! costs next to nothing.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::clock::Clock;
use crate::sandbox::controllers::count;
use crate::sandbox::kind::{items, text};
use crate::sandbox::podnet::PodNet;

/// The shortest real time between two probes.
const SHORTEST: Duration = Duration::from_millis(50);
/// The real time between two probes that a fast clock is slowed to while
/// nothing changes.
const QUIET: Duration = Duration::from_secs(1);
/// The same in a crowd, for each that is probed: ten probes in a real second
/// are enough for all of them together.
const SHARE: Duration = Duration::from_millis(100);
/// The longest that a crowd makes it.
const LONGEST: Duration = Duration::from_secs(5);
/// The least real time that an answer may take: a machine with other work is
/// no failing container.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many are being probed.
#[derive(Debug, Default)]
pub struct Crowd(AtomicU32);

impl Crowd {
    /// One more, as long as what it returns is kept.
    pub fn enter(&self) -> Place<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Place(self)
    }
}

/// A place in the crowd.
#[derive(Debug)]
pub struct Place<'a>(&'a Crowd);

impl Place<'_> {
    /// How many there are.
    pub fn size(&self) -> u32 {
        self.0.0.load(Ordering::Relaxed)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A probe with its numbers.
#[derive(Debug, Clone)]
pub struct Probe {
    spec: Value,
    /// Seconds before the first.
    pub delay: Duration,
    /// Seconds between two.
    pub period: Duration,
    timeout: Duration,
    /// Successes that make a success.
    pub successes: i64,
    /// Failures that make a failure.
    pub failures: i64,
}

impl Probe {
    /// A container's probe, if it has this one.
    pub fn of(container: &Value, name: &str) -> Option<Self> {
        let spec = container.get(name).filter(|spec| spec.is_object())?.clone();
        let seconds = |field: &str, default: i64| {
            let seconds = count(&spec, field, default);
            Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
        };
        Some(Self {
            delay: seconds("/initialDelaySeconds", 0),
            period: seconds("/periodSeconds", 10),
            timeout: seconds("/timeoutSeconds", 1),
            successes: count(&spec, "/successThreshold", 1),
            failures: count(&spec, "/failureThreshold", 3),
            spec,
        })
    }

    /// How long to wait after so many equal results in a row, in a crowd of
    /// this size.
    pub fn pause(&self, clock: &Clock, same: u32, crowd: u32) -> Duration {
        let quiet = SHARE.saturating_mul(crowd).clamp(QUIET, LONGEST);
        let floor = (SHORTEST * 2_u32.saturating_pow(same.min(10))).min(quiet);
        self.period.max(floor.mul_f64(clock.rate()))
    }

    /// The port that it asks at; none for commands.
    pub fn port(&self, container: &Value) -> Option<u16> {
        let port = ["/httpGet/port", "/tcpSocket/port", "/grpc/port"]
            .iter()
            .find_map(|path| self.spec.pointer(path))?;
        resolve(port, container)
    }

    /// Asks once.
    pub async fn ask(
        &self,
        clock: &Clock,
        net: &PodNet,
        pod: Ipv4Addr,
        container: &Value,
    ) -> Result<(), String> {
        let Some(port) = self.port(container) else {
            // A command in a container: there is nothing that could fail.
            return Ok(());
        };
        let http = self.spec.get("httpGet");
        let scheme = match http.map(|http| text(http, "/scheme")) {
            Some("HTTPS") => "https",
            _ => "http",
        };
        let path = http.map_or("", |http| text(http, "/path"));
        let path = if path.is_empty() { "/" } else { path };
        let url = format!("{scheme}://{pod}:{port}{path}");
        let said = |why: &str| match http {
            Some(_) => format!("Get {url:?}: {why}"),
            None => why.to_owned(),
        };
        let ask = async {
            let address = net.socket(pod, port).ok_or_else(|| {
                said(&format!(
                    "dial tcp {pod}:{port}: connect: connection refused"
                ))
            })?;
            let stream = TcpStream::connect(address)
                .await
                .map_err(|error| said(&format!("dial tcp {pod}:{port}: {error}")))?;
            if http.is_none() || scheme == "https" {
                return Ok(());
            }
            let headers = http.map_or(&[][..], |http| items(http, "/httpHeaders"));
            let code = get(stream, pod, port, path, headers)
                .await
                .map_err(|error| said(&error.to_string()))?;
            match code {
                200..400 => Ok(()),
                code => Err(format!("HTTP probe failed with statuscode: {code}")),
            }
        };
        let limit = self.timeout.max(PATIENCE.mul_f64(clock.rate()));
        tokio::select! {
            result = ask => result,
            _ = clock.sleep(limit) => Err(said(
                "context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            )),
        }
    }
}

/// A port by number, or by its name among the container's ports.
pub fn resolve(port: &Value, container: &Value) -> Option<u16> {
    let number = match port {
        Value::Number(number) => number.as_u64(),
        Value::String(name) => items(container, "/ports")
            .iter()
            .find(|port| port["name"] == **name)
            .and_then(|port| port["containerPort"].as_u64())
            .or_else(|| name.parse().ok()),
        _ => None,
    };
    u16::try_from(number?).ok()
}

/// The status of an HTTP GET.
async fn get(
    mut stream: TcpStream,
    pod: Ipv4Addr,
    port: u16,
    path: &str,
    headers: &[Value],
) -> std::io::Result<u16> {
    let mut head = format!("GET {path} HTTP/1.1\r\n");
    let given = |name: &str| {
        headers
            .iter()
            .any(|header| text(header, "/name").eq_ignore_ascii_case(name))
    };
    if !given("host") {
        head.push_str(&format!("host: {pod}:{port}\r\n"));
    }
    if !given("user-agent") {
        head.push_str("user-agent: kube-probe/1.34\r\n");
    }
    for header in headers {
        let (name, value) = (text(header, "/name"), text(header, "/value"));
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("accept: */*\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut buffer = [0_u8; 256];
    while !answer.contains(&b'\n') && answer.len() < 4096 {
        match stream.read(&mut buffer).await? {
            0 => break,
            count => answer.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
    }
    let line = String::from_utf8_lossy(&answer);
    line.split_whitespace()
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| std::io::Error::other("EOF"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    const POD: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 9);

    #[tokio::test]
    async fn a_probe_says_what_it_met() {
        let net = Arc::new(PodNet::default());
        let container = json!({
            "ports": [{"name": "web", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"port": "web", "path": "/ok"}},
        });
        let probe = Probe::of(&container, "readinessProbe").unwrap();
        let clock = Clock::default();
        let ask = || probe.ask(&clock, &net, POD, &container);
        assert_eq!(
            ask().await.unwrap_err(),
            "Get \"http://10.244.0.9:8080/ok\": dial tcp 10.244.0.9:8080: connect: connection refused"
        );
        let (listener, _binding) = net.listen(POD, 8080).await.unwrap();
        let serve = async {
            for status in ["503 Service Unavailable", "204 No Content"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let head = format!("HTTP/1.1 {status}\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
            }
        };
        let asked = async {
            let first = ask().await;
            (first, ask().await)
        };
        let ((), (first, second)) = tokio::join!(serve, asked);
        assert_eq!(first.unwrap_err(), "HTTP probe failed with statuscode: 503");
        assert_eq!(second, Ok(()));
    }

    #[test]
    fn a_fast_clock_does_not_make_probes_a_busy_loop() {
        let container = json!({"livenessProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 1}});
        let probe = Probe::of(&container, "livenessProbe").unwrap();
        let fast = Clock::new(1000.0, tokio_util::sync::CancellationToken::new());
        assert_eq!(probe.pause(&Clock::default(), 0, 1), Duration::from_secs(1));
        assert_eq!(fast.real(probe.pause(&fast, 0, 1000)), SHORTEST);
        assert_eq!(fast.real(probe.pause(&fast, 20, 2)), QUIET);
        assert_eq!(fast.real(probe.pause(&fast, 20, 30)), SHARE * 30);
        assert_eq!(fast.real(probe.pause(&fast, 20, 1000)), LONGEST);
    }
}
