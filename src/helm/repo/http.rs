//! [`Fetch`] over HTTPS.

use async_trait::async_trait;
use bytes::BytesMut;
use futures::StreamExt as _;

use super::{Fetch, FetchError, Request, Response};

/// A client for chart repositories and registries.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
}

impl Http {
    /// A client that trusts the system's certificate authorities.
    pub fn new() -> Result<Self, reqwest::Error> {
        // An error means that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("todoctl/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(std::time::Duration::from_secs(15))
            .read_timeout(std::time::Duration::from_secs(30))
            .build()?;
        Ok(Self { client })
    }

    /// A client made elsewhere.
    pub fn with_client(client: reqwest::Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Fetch for Http {
    async fn get(&self, request: Request) -> Result<Response, FetchError> {
        let Request {
            url,
            headers,
            limit,
        } = request;
        let unreachable = |source: reqwest::Error| FetchError::Unreachable {
            url: Box::new(url.clone()),
            source: Box::new(source.without_url()),
        };
        let too_large = || FetchError::TooLarge {
            url: Box::new(url.clone()),
            limit,
        };
        let sent = self.client.get(url.clone()).headers(headers).send().await;
        let response = sent.map_err(unreachable)?;
        if response
            .content_length()
            .is_some_and(|length| length > limit)
        {
            return Err(too_large());
        }
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let mut body = BytesMut::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(unreachable)?;
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response {
            status,
            headers,
            body: body.freeze(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::http::HeaderMap;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use url::Url;

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
        Http::new().unwrap().get(request).await
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
}
