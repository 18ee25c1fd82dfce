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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::testing::credentials;
    use crate::oci::types::hex;

    /// The vector was made with Oracle's command line, offline.
    #[test]
    fn the_token_equals_that_of_the_oci_command_line() {
        let signer = Signer::new(&credentials());
        let tokens = ClusterTokens::new(signer, "eu-frankfurt-1", Clock::default());
        let now = "2026-02-03T04:05:06Z".parse().unwrap();
        let token = tokens
            .mint_at("ocid1.cluster.oc1.eu-frankfurt-1.aaaaaaaatodoctl", now)
            .unwrap();
        let text = token.token.expose();
        assert_eq!(text.len(), 1148);
        assert!(text.starts_with("aHR0cHM6Ly9jb250YWluZXJl"));
        assert!(text.ends_with("MDQlM0EwNSUzQTA2K0dNVA=="));
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let expected = "1311659e5d9bfe151af329e9da8e97d2be621bd619edd6c7d83a39c2953240c1";
        assert_eq!(hex(digest.as_ref()), expected);
        assert_eq!(token.expires.to_string(), "2026-02-03T04:09:06Z");
    }

    #[test]
    fn kubectl_gets_an_exec_credential() {
        let token = ClusterToken {
            token: Secret::new("t"),
            expires: "2026-02-03T04:09:06.5Z".parse().unwrap(),
        };
        assert_eq!(
            token.exec_credential(),
            r#"{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"token":"t","expirationTimestamp":"2026-02-03T04:09:06Z"}}"#
        );
    }

    const KUBECONFIG: &str = r#"---
apiVersion: v1
kind: ""
clusters:
- name: cluster-cabcdefghij
  cluster:
    server: https://203.0.113.10:6443
    certificate-authority-data: LS0tQ0EtLS0K
users:
- name: user-cabcdefghij
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      command: oci
      args: [ce, cluster, generate-token, --cluster-id, X, --region, eu-frankfurt-1]
      env: []
contexts:
- name: context-cabcdefghij
  context: {cluster: cluster-cabcdefghij, user: user-cabcdefghij}
current-context: context-cabcdefghij
"#;

    #[test]
    fn a_kubeconfig_of_no_kind_is_read() {
        let access = ClusterAccess::parse(KUBECONFIG).unwrap();
        assert_eq!(access.server, "https://203.0.113.10:6443");
        assert_eq!(access.ca_pem, "---CA---\n");
    }

    #[test]
    fn a_kubeconfig_that_lacks_something_says_what() {
        let cases = [
            ("server: https://203.0.113.10:6443", "server"),
            (
                "certificate-authority-data: LS0tQ0EtLS0K",
                "certificate authority",
            ),
        ];
        for (line, what) in cases {
            let text = KUBECONFIG.replace(line, "");
            // The entry must not become an empty one.
            let text = text.replace("  cluster:\n", "  cluster:\n    proxy-url: http://p\n");
            let error = ClusterAccess::parse(&text).unwrap_err();
            assert!(
                error.to_string().ends_with(&format!("has no {what}")),
                "{error}"
            );
        }
    }
}
