//! Connecting: kubeconfig, token, certificate authority.
//!
//! Tokens of our own are made in this process for each request, so no exec
//! plugin runs and none can be out of date.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::{AUTHORIZATION, USER_AGENT};
use kube::client::{Body, ClientBuilder};
use kube::config::{AuthInfo, Config, KubeConfigOptions};
use secrecy::ExposeSecret;
use tower::util::MapRequestLayer;

use super::{K8sError, Kube, Patience};
use crate::clock::Clock;
use crate::secret::Secret;

/// Makes a bearer token. It is asked for each request, and should remember a
/// token for as long as that is good.
pub type TokenSource =
    Arc<dyn Fn() -> Result<Secret, Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// Where the kubeconfig is.
#[derive(Clone)]
pub enum Kubeconfig {
    /// Its text.
    Text(String),
    /// Its path.
    File(PathBuf),
    /// Where kubectl looks for it.
    Default,
}

impl std::fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // It may hold keys.
            Self::Text(_) => f.write_str("Text"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Default => f.write_str("Default"),
        }
    }
}

/// What a connection needs.
#[derive(Clone)]
pub struct Connect {
    /// The kubeconfig.
    pub kubeconfig: Kubeconfig,
    /// The context inside it; its current one by default.
    pub context: Option<String>,
    /// Makes the tokens; the kubeconfig's own credentials by default.
    pub token: Option<TokenSource>,
    /// The clock that waits go by.
    pub clock: Clock,
    /// How calls are limited and repeated.
    pub patience: Patience,
}

impl Connect {
    /// A connection by the text of a kubeconfig, with tokens of our own.
    pub fn with_token(kubeconfig: String, token: TokenSource, clock: Clock) -> Self {
        Self {
            kubeconfig: Kubeconfig::Text(kubeconfig),
            context: None,
            token: Some(token),
            clock,
            patience: Patience::default(),
        }
    }

    /// Connects. The server is not asked anything yet.
    pub async fn connect(self) -> Result<Kube, K8sError> {
        let mut config = config(&self.kubeconfig, self.context.as_deref()).await?;
        // We repeat calls ourselves, where progress and journal see it.
        config.default_retry = false;
        let agent = concat!("todoctl/", env!("CARGO_PKG_VERSION"));
        config
            .headers
            .push((USER_AGENT, HeaderValue::from_static(agent)));
        let client = client(config, self.token)?;
        Ok(Kube::new(client, self.clock, self.patience))
    }
}

/// Where an API server is, and how to log in there.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Its address.
    pub server: url::Url,
    /// The authorities that its certificate is checked against.
    pub ca_pem: String,
    /// Who we are.
    pub login: Login,
}

/// How a kubeconfig's user logs in.
#[derive(Debug, Clone)]
pub enum Login {
    /// By a bearer token.
    Token(Secret),
    /// By a certificate: it and its key, as PEM.
    Certificate(Secret),
}

/// What a context of a kubeconfig says, for a client other than ours. Exec
/// plugins are not run.
pub async fn credentials(
    kubeconfig: &Kubeconfig,
    context: Option<&str>,
) -> Result<Credentials, K8sError> {
    let refuse = |why: &str| K8sError::Kubeconfig(why.into());
    let config = config(kubeconfig, context).await?;
    let server = config.cluster_url.to_string();
    let server = url::Url::parse(&server).map_err(|error| K8sError::Kubeconfig(error.into()))?;
    let authorities = config.root_cert.unwrap_or_default();
    let ca_pem = authorities.into_iter().map(|der| {
        let encoded = pem::Pem::new("CERTIFICATE", der);
        pem::encode(&encoded)
    });
    let auth = &config.auth_info;
    let login = if let Some(token) = &auth.token {
        Login::Token(Secret::new(token.expose_secret()))
    } else {
        let certificate = part(
            auth.client_certificate_data.as_deref(),
            auth.client_certificate.as_deref(),
        );
        let key = auth
            .client_key_data
            .as_ref()
            .map(ExposeSecret::expose_secret);
        match (certificate?, part(key, auth.client_key.as_deref())?) {
            (Some(certificate), Some(key)) => Login::Certificate(Secret::new(key + &certificate)),
            _ => return Err(refuse("the user has neither a token nor a certificate")),
        }
    };
    Ok(Credentials {
        server,
        ca_pem: ca_pem.collect(),
        login,
    })
}

/// A part of a kubeconfig that is written in it, or in a file of its own.
fn part(data: Option<&str>, file: Option<&str>) -> Result<Option<String>, K8sError> {
    let unusable = |error: Box<dyn std::error::Error + Send + Sync>| K8sError::Kubeconfig(error);
    match (data, file) {
        (Some(data), _) => {
            let bytes = STANDARD.decode(data).map_err(|e| unusable(e.into()))?;
            let text = String::from_utf8(bytes).map_err(|e| unusable(e.into()))?;
            Ok(Some(text))
        }
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|e| unusable(e.into()))?;
            Ok(Some(text))
        }
        (None, None) => Ok(None),
    }
}

async fn config(kubeconfig: &Kubeconfig, context: Option<&str>) -> Result<Config, K8sError> {
    let kubeconfig = match kubeconfig {
        Kubeconfig::Text(text) => kube::config::Kubeconfig::from_yaml(text),
        Kubeconfig::File(path) => kube::config::Kubeconfig::read_from(path),
        Kubeconfig::Default => kube::config::Kubeconfig::read(),
    }
    .map_err(|error| K8sError::Kubeconfig(error.into()))?;
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| K8sError::Kubeconfig(error.into()))
}

fn client(mut config: Config, token: Option<TokenSource>) -> Result<kube::Client, K8sError> {
    let unusable = |error: kube::Error| K8sError::Kubeconfig(error.into());
    let Some(token) = token else {
        return Ok(ClientBuilder::try_from(config).map_err(unusable)?.build());
    };
    // A first token now tells what is wrong better than a 401 later.
    token().map_err(K8sError::Token)?;
    // The kubeconfig's exec plugin would run three times, blocking.
    config.auth_info = AuthInfo::default();
    let layer = MapRequestLayer::new(move |request| authorize(request, &token));
    Ok(ClientBuilder::try_from(config)
        .map_err(unusable)?
        .with_layer(&layer)
        .build())
}

/// Sets the token of this moment. Without one the request goes out as it is:
/// the server's 401 is then the answer.
fn authorize(mut request: http::Request<Body>, token: &TokenSource) -> http::Request<Body> {
    let header = token()
        .map_err(|error| tracing::warn!(%error, "no token for the cluster"))
        .ok()
        .and_then(|token| HeaderValue::try_from(format!("Bearer {}", token.expose())).ok());
    if let Some(mut header) = header {
        header.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, header);
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const VERSION: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n\
        {\"major\":\"1\",\"minor\":\"34\",\"gitVersion\":\"v1.34.1\",\"gitCommit\":\"\",\"gitTreeState\":\"\",\
        \"buildDate\":\"\",\"goVersion\":\"\",\"compiler\":\"\",\"platform\":\"\"}";

    fn kubeconfig(server: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters:\n- {{name: k, cluster: {{server: \"{server}\"}}}}\n\
             users:\n- name: u\n  user:\n    exec: {{apiVersion: client.authentication.k8s.io/v1, command: no-such-program, interactiveMode: Never}}\n\
             contexts:\n- {{name: c, context: {{cluster: k, user: u}}}}\n"
        )
    }

    /// Answers every request with a version, and returns the heads it saw.
    async fn server() -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let mut heads = Vec::new();
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = vec![0; 8192];
                let n = stream.read(&mut head).await.unwrap();
                heads.push(String::from_utf8_lossy(&head[..n]).to_lowercase());
                stream.write_all(VERSION.as_bytes()).await.unwrap();
            }
            heads
        });
        (address, task)
    }

    #[tokio::test]
    async fn a_login_is_a_token_or_a_certificate_and_nothing_else() {
        use base64::Engine as _;
        let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let (certificate, key) = (encoded("CERTIFICATE"), encoded("KEY;"));
        let cases = [
            ("token: secret".to_owned(), "token secret"),
            (
                format!("client-certificate-data: {certificate}, client-key-data: {key}"),
                "certificate KEY;CERTIFICATE",
            ),
            (
                format!("client-certificate-data: {certificate}"),
                "the user has neither a token nor a certificate",
            ),
            (
                "client-certificate-data: '*', client-key-data: '*'".to_owned(),
                "Invalid symbol 42, offset 0.",
            ),
            (
                "client-certificate-data: /w==, client-key-data: /w==".to_owned(),
                "invalid utf-8 sequence of 1 bytes from index 0",
            ),
        ];
        for (user, wanted) in cases {
            let text = format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
                 clusters: [{{name: k, cluster: {{server: 'https://127.0.0.1:9'}}}}]\n\
                 users: [{{name: u, user: {{{user}}}}}]\n\
                 contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n"
            );
            let found = match credentials(&Kubeconfig::Text(text), None).await {
                Ok(found) => match found.login {
                    Login::Token(token) => format!("token {}", token.expose()),
                    Login::Certificate(pem) => format!("certificate {}", pem.expose()),
                },
                Err(error) => std::error::Error::source(&error).unwrap().to_string(),
            };
            assert_eq!(found, wanted, "{user}");
        }
    }

    #[tokio::test]
    async fn each_request_carries_a_token_of_its_own_and_our_name() {
        let (address, heads) = server().await;
        let count = AtomicU32::new(0);
        let token: TokenSource = Arc::new(move || {
            let n = count.fetch_add(1, Ordering::SeqCst);
            Ok(Secret::new(format!("token-{n}")))
        });
        let connect = Connect::with_token(kubeconfig(&address), token, Clock::default());
        let kube = connect.connect().await.unwrap();
        for _ in 0..2 {
            let version = kube
                .call("read the version", async |client| {
                    client.apiserver_version().await
                })
                .await
                .unwrap();
            assert_eq!(version.git_version, "v1.34.1");
        }
        let heads = heads.await.unwrap();
        assert!(
            heads[0].contains("authorization: bearer token-1"),
            "{heads:?}"
        );
        assert!(
            heads[1].contains("authorization: bearer token-2"),
            "{heads:?}"
        );
        assert!(heads[0].contains("user-agent: todoctl/"), "{heads:?}");
    }

    /// A TLS server for 127.0.0.1 that answers every request with a version,
    /// its authority as base64 PEM, and its address.
    async fn tls_server() -> (String, String) {
        use base64::Engine as _;
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_cert = ca.self_signed(&ca_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec!["127.0.0.1".to_owned()])
            .unwrap()
            .signed_by(&key, &Issuer::new(ca, ca_key))
            .unwrap();
        let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], private)
        .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut head = vec![0; 8192];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(VERSION.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        let pem = base64::engine::general_purpose::STANDARD.encode(ca_cert.pem());
        (address, pem)
    }

    async fn version_over_tls(address: &str, authority: &str) -> Result<String, K8sError> {
        let with_authority = kubeconfig(address).replace(
            "{server:",
            &format!("{{certificate-authority-data: {authority}, server:"),
        );
        let token: TokenSource = Arc::new(|| Ok(Secret::new("t")));
        Connect::with_token(with_authority, token, Clock::default())
            .connect()
            .await?
            .call("read the version", async |client| {
                client.apiserver_version().await
            })
            .await
            .map(|version| version.git_version)
    }

    #[tokio::test]
    async fn the_authority_of_the_kubeconfig_is_the_only_one_trusted() {
        let (address, authority) = tls_server().await;
        let (_, other) = tls_server().await;
        let version = version_over_tls(&address, &authority).await.unwrap();
        assert_eq!(version, "v1.34.1");
        let error = version_over_tls(&address, &other).await.unwrap_err();
        assert_eq!(error.class(), super::super::Class::Denied, "{error:?}");
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_made_is_told_at_once() {
        let token: TokenSource = Arc::new(|| Err("the key is encrypted".into()));
        let connect =
            Connect::with_token(kubeconfig("http://127.0.0.1:1"), token, Clock::default());
        let error = connect.connect().await.unwrap_err();
        assert!(matches!(error, K8sError::Token(_)), "{error}");
    }

    #[tokio::test]
    async fn a_broken_kubeconfig_is_told() {
        let token: TokenSource = Arc::new(|| Ok(Secret::new("t")));
        let connect = Connect::with_token("users: 5".to_owned(), token, Clock::default());
        assert!(matches!(
            connect.connect().await.unwrap_err(),
            K8sError::Kubeconfig(_)
        ));
    }
}
