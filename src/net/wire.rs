//! One attempt on the wire: buffered to its end, bounded, and traced without
//! anything secret.

use bytes::{Bytes, BytesMut};
use http::{Extensions, HeaderMap, StatusCode};
use reqwest::{Request, Response, Url};
use reqwest_middleware::{Middleware, Next};

use super::retry::About;
use super::{NetError, NetKind};
use crate::clock::{Clock, human};

/// Headers in which services name a request for their support.
const REQUEST_IDS: [&str; 3] = ["opc-request-id", "x-request-id", "x-github-request-id"];

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// A header's value when it is present and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The other side's name for the request.
    pub fn request_id(&self) -> Option<&str> {
        REQUEST_IDS.iter().find_map(|name| self.header(name))
    }

    pub(super) async fn read(mut response: Response, limit: usize) -> Result<Self, NetError> {
        let peer = peer(response.url());
        let too_large = || NetError::new(NetKind::TooLarge(limit), peer.as_str());
        if response.content_length().is_some_and(|n| n > limit as u64) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        loop {
            let chunk = response.chunk().await;
            let Some(chunk) = chunk.map_err(|e| NetError::from_reqwest(e, &peer))? else {
                break;
            };
            if body.len() + chunk.len() > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: body.freeze(),
        })
    }

    /// The answer in the form in which middleware hands it on.
    pub(super) fn into_response(self) -> Response {
        let mut response = http::Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        Response::from(response)
    }
}

/// `host:port` of a URL.
pub(super) fn peer(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// The layer that reads an attempt to its end and traces it.
pub(super) struct Wire {
    pub(super) clock: Clock,
    pub(super) body_limit: usize,
}

#[async_trait::async_trait]
impl Middleware for Wire {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let method = request.method().clone();
        let url = request.url().clone();
        let limit = extensions.get::<About>().and_then(|about| about.body_limit);
        let limit = limit.map_or(self.body_limit, |limit| limit.min(self.body_limit));
        let started = self.clock.elapsed();
        let result = match next.run(request, extensions).await {
            Ok(response) => Answer::read(response, limit).await,
            Err(error) => Err(NetError::from_stack(error, &peer(&url))),
        };
        let took = self.clock.elapsed().saturating_sub(started);
        // The query stays out: it can carry a token.
        match &result {
            Ok(answer) => tracing::debug!(
                target: "todoctl::wire",
                %method,
                host = peer(&url),
                path = url.path(),
                status = answer.status.as_u16(),
                bytes = answer.body.len(),
                request_id = answer.request_id(),
                took = human(took),
            ),
            Err(error) => tracing::debug!(
                target: "todoctl::wire",
                %method,
                host = peer(&url),
                path = url.path(),
                kind = ?error.kind,
                took = human(took),
            ),
        }
        result
            .map(Answer::into_response)
            .map_err(reqwest_middleware::Error::middleware)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use http::{HeaderValue, Method};

    use super::*;
    use crate::net::testing::{Server, reply};
    use crate::net::{Call, HttpBuilder, Trust};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn the_trace_shows_the_request_id_and_nothing_secret() {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);

        let answer = reply(200, "hidden-answer").with("opc-request-id", "REQ/7");
        let server = Server::start([answer]).await;
        let url = format!("{}/path?token=hidden-query", server.base());
        let mut call = Call::new(Method::POST, Url::parse(&url).unwrap(), "look");
        call.body = Bytes::from_static(b"hidden-body");
        let mut header = HeaderValue::from_static("hidden-header");
        header.set_sensitive(true);
        call.headers.insert(http::header::AUTHORIZATION, header);
        let http = HttpBuilder::new(Clock::default())
            .loopback()
            .trust(Trust::Only(Vec::new()))
            .build()
            .unwrap();
        http.send(call).await.unwrap();

        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let wire = text.lines().find(|l| l.contains("todoctl::wire")).unwrap();
        assert!(wire.contains("DEBUG"), "{wire}");
        for shown in ["method=POST", "/path", "status=200", "REQ/7"] {
            assert!(wire.contains(shown), "{shown} in {wire}");
        }
        assert!(!wire.contains("hidden"), "{wire}");
        for secret in ["hidden-body", "hidden-header", "hidden-answer"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
