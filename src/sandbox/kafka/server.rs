//! Connections: framing, the fault plan's say, the request log.
//!
//! Requests of a connection are answered one after the other, in order, as
//! the protocol demands.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::super::faults::Verdict;
use super::answer::{self, Session};
use super::broker::{Broker, SYSTEM};
use super::codes::{Api, Code};
use super::names;
use super::wire::{Reader, Writer};

/// Larger requests close the connection, as with Kafka.
const LARGEST: usize = 100 * 1024 * 1024;
/// How long a refused client may take to close the connection.
const PATIENCE: Duration = Duration::from_secs(1);
/// Buffers are not kept larger than this between requests.
const KEPT: usize = 4 * 1024 * 1024;

/// How clients reach the broker by one of its sockets.
#[derive(Clone)]
pub struct Listener {
    /// Speaks TLS with this certificate, if any.
    pub tls: Option<TlsAcceptor>,
    /// Whether clients must log in.
    pub sasl: bool,
    /// The host and port that clients are told to use.
    pub advertised: (String, u16),
}

impl Broker {
    /// Serves clients on a socket until the broker is closed or `stop` is
    /// cancelled.
    pub async fn serve(
        self: Arc<Self>,
        socket: TcpListener,
        listener: Listener,
        stop: CancellationToken,
    ) {
        let listener = Arc::new(listener);
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                () = self.stopped().cancelled() => return,
                accepted = socket.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else { continue };
            if self.is_away() {
                reset(&stream);
                continue;
            }
            let (broker, listener, stop) = (self.clone(), listener.clone(), stop.clone());
            tokio::spawn(async move {
                let mut away = broker.watch_away();
                let served = broker.clone();
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = broker.stopped().cancelled() => {}
                    _ = away.wait_for(|away| *away) => {}
                    // How a connection ends is the client's to see.
                    _ = accept(served, stream, listener) => {}
                }
            });
        }
    }
}

/// Makes the client see a reset, which is the nearest to a refusal that an
/// open port can give.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

async fn accept(broker: Arc<Broker>, stream: TcpStream, listener: Arc<Listener>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let host = stream.peer_addr()?.ip().to_string();
    match listener.tls.clone() {
        Some(tls) => {
            let stream = tls.accept(stream).await?;
            talk(&broker, stream, &listener, host).await
        }
        None => talk(&broker, stream, &listener, host).await,
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    broker: &Broker,
    stream: S,
    listener: &Listener,
    host: String,
) -> io::Result<()> {
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    let mut session = Session::new(host, listener.sasl);
    let mut body = Vec::new();
    let mut out = Writer::default();
    loop {
        let size = match stream.read_i32().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        };
        let size = usize::try_from(size).ok().filter(|size| *size <= LARGEST);
        let size = size.ok_or(io::ErrorKind::InvalidData)?;
        body.resize(size, 0);
        stream.read_exact(&mut body).await?;
        out.bytes.clear();
        let length = out.reserve_i32();
        let then = if session.speaks_bare_sasl() {
            answer::bare_sasl(broker, &mut session, &body, &mut out)
        } else {
            exchange(broker, listener, &mut session, &body, &mut out).await?
        };
        if then != Then::Silence {
            let size = i32::try_from(out.bytes.len() - 4).map_err(io::Error::other)?;
            out.fill_i32(length, size);
            stream.write_all(&out.bytes).await?;
            stream.flush().await?;
        }
        if then == Then::Close {
            // Some clients do not read what comes together with the end, so
            // they are left the time to close first.
            tokio::select! {
                _ = stream.read_u8() => {}
                _ = broker.real.sleep(PATIENCE) => {}
            }
            return stream.shutdown().await;
        }
        out.bytes.shrink_to(KEPT);
        body.clear();
        body.shrink_to(KEPT);
    }
}

/// What becomes of the connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The reply is sent.
    Reply,
    /// There is no reply, as for what is produced without acknowledgement.
    Silence,
    /// The reply is sent, and the connection closed.
    Close,
}

async fn exchange(
    broker: &Broker,
    listener: &Listener,
    session: &mut Session,
    request: &[u8],
    out: &mut Writer,
) -> io::Result<Then> {
    let mut reader = Reader::new(request);
    let header = |reader: &mut Reader<'_>| {
        let (key, version, correlation) = (reader.i16()?, reader.i16()?, reader.i32()?);
        let client = reader.nullable_string()?.unwrap_or_default().to_owned();
        Ok::<_, super::wire::Malformed>((key, version, correlation, client))
    };
    let (key, version, correlation, client) = header(&mut reader).map_err(io::Error::other)?;
    out.i32(correlation);
    let (api, served) = Api::find(key, version).ok_or(io::ErrorKind::InvalidData)?;
    if !served && api != Api::ApiVersions {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if !api.is_open() && session.user().is_none() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    session.client_id = client;
    let name = format!("{api:?}");
    let path = names::path(api, version, reader);
    let started = broker.world.clock.elapsed();
    let entry = broker.world.requests.begin(SYSTEM, &name, &path);
    let verdict = judge(broker, &name, &path).await;
    let mut call = answer::Call {
        broker,
        listener,
        version: if served { version } else { -1 },
        body: reader,
        out,
        code: Code::None,
        idle: false,
    };
    let dropped = matches!(verdict, Verdict::Drop | Verdict::Status(_));
    let then = if dropped {
        Err(io::ErrorKind::ConnectionReset.into())
    } else {
        answer::answer(&mut call, session, api)
            .await
            .map_err(io::Error::other)
    };
    let (code, idle) = (call.code, call.idle);
    if !idle || verdict.name().is_some() {
        let took = broker.world.clock.elapsed().saturating_sub(started);
        let status = match code {
            _ if dropped => 0,
            Code::None => 200,
            code => code.number().unsigned_abs(),
        };
        let requests = &broker.world.requests;
        requests.finish(&entry, status, session.user(), took, verdict.name());
    }
    match verdict {
        Verdict::LoseReply => return Err(io::ErrorKind::ConnectionReset.into()),
        Verdict::HoldReply(fault) => broker.world.faults.cleared(fault).await,
        _ => {}
    }
    then
}

/// What the fault plan says, after the waiting that it wants.
pub(super) async fn judge(broker: &Broker, name: &str, path: &str) -> Verdict {
    let world = &broker.world;
    if world.faults.is_empty() {
        return Verdict::Pass;
    }
    let mut verdict = world.faults.judge(SYSTEM, name, path, broker.age_ms());
    if let Verdict::Delay(delay) | Verdict::DelayThen(delay, _) = &verdict {
        let _ = world.clock.sleep(*delay).await;
    }
    if let Verdict::DelayThen(_, then) = verdict {
        verdict = *then;
    }
    if let Verdict::Hold(fault) = verdict {
        world.faults.cleared(fault).await;
    }
    verdict
}
