//! Access to a cluster's API: the bearer token, made on this machine without
//! any call, and what the service's kubeconfig says.
//!
//! The token is a signed request that the cluster replays to the service: the
//! URL-safe base64 of `https://containerengine.REGION.oraclecloud.com/
//! cluster_request/CLUSTER` with the signature in its query. It is valid for
//! five minutes.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use http::Method;
use jiff::Timestamp;
use serde_json::json;
use url::form_urlencoded;

use super::sign::{CannotSign, Message, http_date};
use super::{Client, Signer};
use crate::clock::Clock;
use crate::secret::Secret;

/// One minute less than the cluster accepts.
const LIFETIME: Duration = Duration::from_mins(4);

/// A bearer token for a cluster's API.
#[derive(Debug, Clone)]
pub struct ClusterToken {
    /// The token.
    pub token: Secret,
    /// When to use another one.
    pub expires: Timestamp,
}

impl ClusterToken {
    /// The token as `kubectl` wants it from an `exec` plugin.
    pub fn exec_credential(&self) -> String {
        json!({
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "kind": "ExecCredential",
            "status": {
                "token": self.token.expose(),
                "expirationTimestamp": self.expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            },
        })
        .to_string()
    }
}

/// Makes tokens for clusters of a region.
#[derive(Debug, Clone)]
pub struct ClusterTokens {
    signer: Signer,
    region: String,
    clock: Clock,
}

impl Client {
    /// A maker of tokens for clusters of this client's region.
    pub fn cluster_tokens(&self) -> ClusterTokens {
        ClusterTokens::new(
            self.signer().clone(),
            self.region().name(),
            self.clock().clone(),
        )
    }
}

impl ClusterTokens {
    /// A maker of tokens that needs no client.
    pub fn new(signer: Signer, region: &str, clock: Clock) -> Self {
        Self {
            signer,
            region: region.to_owned(),
            clock,
        }
    }

    /// A fresh token.
    pub fn mint(&self, cluster: &str) -> Result<ClusterToken, CannotSign> {
        self.mint_at(cluster, self.clock.now())
    }

    fn mint_at(&self, cluster: &str, now: Timestamp) -> Result<ClusterToken, CannotSign> {
        // Not the host of the service's own interface, and the same domain in
        // every realm.
        let host = format!("containerengine.{}.oraclecloud.com", self.region);
        let target = format!("/cluster_request/{cluster}");
        let message = Message {
            method: &Method::GET,
            target,
            host,
            date: http_date(now),
            body: None,
        };
        let authorization = self.signer.authorize(&message)?;
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("authorization", authorization.expose())
            .append_pair("date", &message.date)
            .finish();
        let url = format!("https://{}{}?{query}", message.host, message.target);
        Ok(ClusterToken {
            token: Secret::new(URL_SAFE.encode(url)),
            expires: now.checked_add(LIFETIME).unwrap_or(Timestamp::MAX),
        })
    }
}

/// Where a cluster's API is and whom to trust there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterAccess {
    /// `https://203.0.113.10:6443`
    pub server: String,
    /// The only authority to trust there, as PEM.
    pub ca_pem: String,
}

/// A kubeconfig from the service that lacks something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubeconfigError {
    /// Not a kubeconfig.
    #[error("the kubeconfig from the service cannot be read")]
    Syntax(#[from] kube::config::KubeconfigError),
    /// Something is missing in it.
    #[error("the kubeconfig from the service has no {0}")]
    Lacks(&'static str),
}

impl ClusterAccess {
    /// Reads the kubeconfig that the service writes. Its `kind` is empty, so
    /// nothing but the cluster entry is looked at.
    pub fn parse(text: &str) -> Result<Self, KubeconfigError> {
        let config = kube::config::Kubeconfig::from_yaml(text)?;
        let cluster = config.clusters.into_iter().find_map(|c| c.cluster);
        let cluster = cluster.ok_or(KubeconfigError::Lacks("cluster"))?;
        let server = cluster.server.ok_or(KubeconfigError::Lacks("server"))?;
        let ca = cluster
            .certificate_authority_data
            .ok_or(KubeconfigError::Lacks("certificate authority"))?;
        let ca_pem = STANDARD
            .decode(ca.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or(KubeconfigError::Lacks("readable certificate authority"))?;
        Ok(Self { server, ca_pem })
    }
}
