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
