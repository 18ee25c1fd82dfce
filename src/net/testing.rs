//! A scripted server on the loopback interface, for tests: it gives its
//! answers in order, repeats the last one, and keeps what it was asked.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Answers.
    Reply(Reply),
    /// Reads the request and hangs up.
    Drop,
    /// Promises more body than it sends, then hangs up.
    Cut,
    /// Never answers.
    Hang,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

pub(crate) fn reply(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    Reply {
        status,
        headers: Vec::new(),
        body: body.into(),
    }
}

/// A service's error answer.
pub(crate) fn error(status: u16, code: &str, message: &str) -> Reply {
    let body = serde_json::json!({"code": code, "message": message});
    reply(status, body.to_string()).with("opc-request-id", "REQ/1")
}

impl Reply {
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl From<Reply> for Act {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// `GET /path?query`
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The server; it ends when it is dropped.
pub(crate) struct Server {
    port: u16,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start<A: Into<Act>>(script: impl IntoIterator<Item = A>) -> Self {
        Self::serve(script.into_iter().map(Into::into).collect(), None).await
    }

    /// The same over TLS, with a certificate that nobody trusts.
    pub(crate) async fn start_tls(script: Vec<Act>) -> Self {
        super::install_crypto();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.unwrap())
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        Self::serve(script, Some(acceptor)).await
    }

    async fn serve(script: Vec<Act>, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (script, log) = (script.clone(), Arc::clone(&log));
                match &tls {
                    None => {
                        tokio::spawn(one(socket, script, log));
                    }
                    Some(tls) => {
                        if let Ok(socket) = tls.accept(socket).await {
                            tokio::spawn(one(socket, script, log));
                        }
                    }
                }
            }
        });
        Self {
            port,
            scheme,
            seen,
            task,
        }
    }

    pub(crate) fn base(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.port)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// Serves one request per connection.
async fn one<S>(mut socket: S, script: Vec<Act>, log: Arc<Mutex<Vec<Seen>>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(seen) = read(&mut socket).await else {
        return;
    };
    let act = {
        let mut log = log.lock().unwrap();
        log.push(seen);
        script[(log.len() - 1).min(script.len() - 1)].clone()
    };
    let (reply, promised) = match act {
        Act::Reply(reply) => {
            let length = reply.body.len();
            (reply, length)
        }
        Act::Cut => (super::testing::reply(200, "[1,"), 1000),
        Act::Drop => return,
        Act::Hang => return std::future::pending().await,
    };
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", reply.status);
    if reply.status != 204 {
        head = head + "content-length: " + &promised.to_string() + "\r\n";
    }
    for (name, value) in &reply.headers {
        head = head + name + ": " + value + "\r\n";
    }
    head.push_str("\r\n");
    let _ = socket.write_all(head.as_bytes()).await;
    let _ = socket.write_all(&reply.body).await;
    let _ = socket.shutdown().await;
}

async fn read<S: AsyncRead + Unpin>(socket: &mut S) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|l| l.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(n, _)| n == "content-length");
    let length: usize = length.map_or(0, |(_, v)| v.parse().unwrap());
    while bytes.len() < head + 4 + length {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Seen {
        line,
        headers,
        body: String::from_utf8_lossy(&bytes[head + 4..]).into_owned(),
    })
}
