//! [`Fetch`] over HTTPS, through the one HTTP client there is.
//!
//! Redirects are followed here, because registries hand out archives from
//! other hosts: authorization stays with the host that it is for, and nothing
//! leads from TLS to plain text.

use std::time::Duration;

use ::http::Method;
use ::http::header::{AUTHORIZATION, COOKIE, LOCATION};
use async_trait::async_trait;
use url::Url;

use super::{Fetch, FetchError, MAX_INDEX, Request, Response};
use crate::clock::Clock;
use crate::net::{self, Answer, Budget, Call, HttpBuilder, NetError, NetKind, TrustError};

/// Redirects in a row that are followed.
const MAX_REDIRECTS: usize = 10;
/// A large archive over a slow line takes its time.
const ATTEMPT_TIMEOUT: Duration = Duration::from_mins(5);
/// Somebody waits at the terminal, and the cache may help.
const PATIENCE: Budget = Budget {
    attempts: 3,
    total: Duration::from_secs(20),
};

/// A client for chart repositories and registries.
#[derive(Debug, Clone)]
pub struct Http {
    client: net::Http,
}

impl Http {
    /// A client that trusts the system's certificate authorities.
    pub fn new(clock: Clock) -> Result<Self, TrustError> {
        let client = HttpBuilder::new(clock)
            .attempt_timeout(ATTEMPT_TIMEOUT)
            .body_limit(usize::try_from(MAX_INDEX).unwrap_or(usize::MAX))
            .build()?;
        Ok(Self { client })
    }

    async fn once(&self, request: &Request) -> Result<Answer, FetchError> {
        let mut call = Call::new(Method::GET, request.url.clone(), "fetch a chart");
        call.headers = request.headers.clone();
        call.at_most = Some(PATIENCE);
        call.body_limit = usize::try_from(request.limit).ok();
        match self.client.send(call).await {
            Ok((answer, _)) => Ok(answer),
            Err(error) if matches!(error.kind, NetKind::TooLarge(_)) => Err(FetchError::TooLarge {
                url: Box::new(request.url.clone()),
                limit: request.limit,
            }),
            Err(error) => Err(unreachable(&request.url, error)),
        }
    }
}

#[async_trait]
impl Fetch for Http {
    async fn get(&self, mut request: Request) -> Result<Response, FetchError> {
        for _ in 0..MAX_REDIRECTS {
            let answer = self.once(&request).await?;
            let Some(next) = redirect(&request.url, &answer) else {
                return Ok(Response {
                    status: answer.status.as_u16(),
                    headers: answer.headers,
                    body: answer.body,
                });
            };
            if next.origin() != request.url.origin() {
                request.headers.remove(AUTHORIZATION);
                request.headers.remove(COOKIE);
            }
            request.url = next;
        }
        let error = NetError::new(NetKind::Request, "").because("it redirects in circles");
        Err(unreachable(&request.url, error))
    }
}

fn unreachable(url: &Url, error: NetError) -> FetchError {
    FetchError::Unreachable {
        url: Box::new(url.clone()),
        source: Box::new(error),
    }
}

/// Where an answer leads, if it leads anywhere that is no less safe.
fn redirect(from: &Url, answer: &Answer) -> Option<Url> {
    if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let next = from.join(answer.header(LOCATION.as_str())?).ok()?;
    let safe = next.scheme() == "https" || next.scheme() == "http" && from.scheme() == "http";
    safe.then_some(next)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use ::http::HeaderMap;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_util::sync::CancellationToken;

    /// Answers one connection with a fixed text and returns its address.
    async fn serve(answer: String) -> Url {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut asked = [0; 2048];
            let _ = socket.read(&mut asked).await;
            let _ = socket.write_all(answer.as_bytes()).await;
        });
        Url::parse(&format!("http://{address}/x")).unwrap()
    }

    async fn get(url: Url, limit: u64) -> Result<Response, FetchError> {
        let request = Request {
            url,
            headers: HeaderMap::new(),
            limit,
        };
        let clock = Clock::new(1000.0, CancellationToken::new());
        Http::new(clock).unwrap().get(request).await
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n{body}")
    }

    #[tokio::test]
    async fn any_status_is_an_answer() {
        let url = serve(answer("401 No", "www-authenticate: Basic\r\n", "denied")).await;
        let response = get(url, 100).await.unwrap();
        assert_eq!((response.status, &response.body[..]), (401, &b"denied"[..]));
        assert!(response.headers.contains_key("www-authenticate"));
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_announced_or_not() {
        let body = "x".repeat(200);
        for headers in ["content-length: 200\r\n", ""] {
            let url = serve(answer("200 OK", headers, &body)).await;
            let error = get(url, 100).await.unwrap_err();
            assert!(matches!(error, FetchError::TooLarge { limit: 100, .. }));
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_out_of_reach() {
        let url = Url::parse("http://127.0.0.1:1/x").unwrap();
        let error = get(url, 100).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot reach http://127.0.0.1:1/x");
    }

    #[tokio::test]
    async fn a_redirect_to_another_host_leaves_authorization_behind() {
        let seen = Arc::new(Mutex::new(String::new()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::clone(&seen);
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut asked = [0; 2048];
            let n = socket.read(&mut asked).await.unwrap();
            *heard.lock().unwrap() = String::from_utf8_lossy(&asked[..n]).to_lowercase();
            let text = answer("200 OK", "content-length: 2\r\n", "ok");
            let _ = socket.write_all(text.as_bytes()).await;
        });
        let location = format!("location: http://localhost:{port}/y\r\ncontent-length: 0\r\n");
        let url = serve(answer("302 Found", &location, "")).await;
        let request = Request {
            url,
            headers: HeaderMap::from_iter([(AUTHORIZATION, "Basic eDp5".parse().unwrap())]),
            limit: 100,
        };
        let clock = Clock::new(1000.0, CancellationToken::new());
        let response = Http::new(clock).unwrap().get(request).await.unwrap();
        assert_eq!(response.body, "ok");
        let seen = seen.lock().unwrap();
        assert!(seen.starts_with("get /y "), "{seen}");
        assert!(!seen.contains("authorization"), "{seen}");
    }

    #[test]
    fn no_redirect_leads_out_of_tls() {
        let answer = |location: &str| Answer {
            status: ::http::StatusCode::FOUND,
            headers: HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]),
            body: bytes::Bytes::new(),
        };
        let from = Url::parse("https://a.example/x").unwrap();
        let next = redirect(&from, &answer("https://b.example/y"));
        assert_eq!(next.unwrap().as_str(), "https://b.example/y");
        assert_eq!(redirect(&from, &answer("http://a.example/y")), None);
        assert_eq!(redirect(&from, &answer("file:///etc/passwd")), None);
    }
}
