//! The client: credentials, region and addresses put together.

use std::sync::Arc;

use super::call::Request;
use super::endpoint::{Endpoints, Service};
use super::sign::Signing;
use super::types::hex;
use super::{
    Balancers, Clusters, Compute, ConfigError, Credentials, Identity, Limits, Mode, Network,
    NetworkBalancers, Region, Search, Settings, Signer, Storage,
};
use crate::clock::{Clock, Deadline};
use crate::net::{Http, HttpBuilder, Limiter, Observer, Retrying, Trust, TrustError};

/// Settings that rarely matter.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose certificates count. Ignored when every endpoint is plain HTTP.
    pub trust: Trust,
    /// How many calls may be in flight at most.
    pub at_a_time: usize,
    /// Real time that one attempt may take; `None` for the usual.
    pub attempt_timeout: Option<std::time::Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            trust: Trust::System,
            at_a_time: 16,
            attempt_timeout: None,
        }
    }
}

/// Settings that make no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The key or the session token cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificate authorities cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// A client for one region, cheap to clone.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    region: Region,
    mode: Mode,
    observer: Option<Observer>,
}

struct Shared {
    http: Http,
    endpoints: Endpoints,
    clock: Clock,
    signer: Signer,
    limiter: Limiter,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("region", &self.region)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client for the region.
    pub fn new(
        credentials: &Credentials,
        region: Region,
        endpoints: Endpoints,
        clock: Clock,
        options: Options,
    ) -> Result<Self, TrustError> {
        let signer = Signer::new(credentials);
        let limiter = Limiter::new(options.at_a_time);
        let mut http = HttpBuilder::new(clock.clone())
            .limiter(limiter.clone())
            .prepare(Arc::new(Signing {
                signer: signer.clone(),
                clock: clock.clone(),
            }));
        if endpoints.is_loopback() {
            http = http.loopback();
        }
        http = http.trust(if endpoints.is_plain() {
            Trust::Only(Vec::new())
        } else {
            options.trust
        });
        if let Some(timeout) = options.attempt_timeout {
            http = http.attempt_timeout(timeout);
        }
        Ok(Self {
            shared: Arc::new(Shared {
                http: http.build()?,
                endpoints,
                clock,
                signer,
                limiter,
            }),
            region,
            mode: Mode::Plain,
            observer: None,
        })
    }

    /// A client as the settings say, with their endpoint and authorities.
    pub fn connect(settings: &Settings, clock: Clock) -> Result<Self, ConnectError> {
        let options = Options {
            trust: match &settings.ca_bundle {
                Some(path) => Trust::with_file(path.clone())?,
                None => Trust::System,
            },
            ..Options::default()
        };
        Ok(Self::new(
            &settings.credentials()?,
            settings.region.clone(),
            settings
                .endpoint
                .clone()
                .map_or_else(Endpoints::default, Endpoints::all),
            clock,
            options,
        )?)
    }

    /// The same client in another region, for instance the home region.
    #[must_use]
    pub fn in_region(&self, region: Region) -> Self {
        Self {
            region,
            ..self.clone()
        }
    }

    /// The same client for calls that depend on something just created. Until
    /// the deadline ([`super::CREATION_WINDOW`] after that), "not found" is
    /// tried again.
    #[must_use]
    pub fn creating(&self, until: Deadline) -> Self {
        Self {
            mode: Mode::Creating(until),
            ..self.clone()
        }
    }

    /// The same client for a teardown: conflicts are tried again for minutes.
    #[must_use]
    pub fn tearing_down(&self) -> Self {
        Self {
            mode: Mode::TearingDown,
            ..self.clone()
        }
    }

    /// The same client for somebody who waits: it gives up after the second
    /// attempt.
    #[must_use]
    pub fn hasty(&self) -> Self {
        Self {
            mode: Mode::Hasty,
            ..self.clone()
        }
    }

    /// The same client, telling somebody about every repeated attempt.
    #[must_use]
    pub fn observed(&self, observer: impl Fn(&Retrying) + Send + Sync + 'static) -> Self {
        Self {
            observer: Some(Arc::new(observer)),
            ..self.clone()
        }
    }

    /// Tenancy, compartments and availability domains.
    pub fn identity(&self) -> Identity<'_> {
        Identity { client: self }
    }

    /// Virtual networks.
    pub fn network(&self) -> Network<'_> {
        Network { client: self }
    }

    /// Kubernetes clusters and node pools.
    pub fn clusters(&self) -> Clusters<'_> {
        Clusters { client: self }
    }

    /// Shapes, instances and capacity.
    pub fn compute(&self) -> Compute<'_> {
        Compute { client: self }
    }

    /// Block and boot volumes.
    pub fn storage(&self) -> Storage<'_> {
        Storage { client: self }
    }

    /// Service limits.
    pub fn limits(&self) -> Limits<'_> {
        Limits { client: self }
    }

    /// Load balancers.
    pub fn balancers(&self) -> Balancers<'_> {
        Balancers { client: self }
    }

    /// Network load balancers.
    pub fn network_balancers(&self) -> NetworkBalancers<'_> {
        NetworkBalancers { client: self }
    }

    /// Search over all objects.
    pub fn search(&self) -> Search<'_> {
        Search { client: self }
    }

    /// The region that this client talks to.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The clock that its waits follow.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// How many calls may be in flight, which shrinks under throttling.
    pub fn limiter(&self) -> &Limiter {
        &self.shared.limiter
    }

    pub(super) fn signer(&self) -> &Signer {
        &self.shared.signer
    }

    pub(super) fn http(&self) -> &Http {
        &self.shared.http
    }

    pub(super) fn endpoints(&self) -> &Endpoints {
        &self.shared.endpoints
    }

    pub(super) fn mode(&self) -> &Mode {
        &self.mode
    }

    pub(super) fn observer(&self) -> Option<&Observer> {
        self.observer.as_ref()
    }

    pub(super) fn request(
        &self,
        method: http::Method,
        service: Service,
        path: &[&str],
    ) -> Request<'_> {
        Request::new(self, method, service, path)
    }
}

/// A retry token: the first 32 hexadecimal digits of the SHA-256 of the parts.
/// The same parts name the same creation, also after a crash.
pub fn retry_token(parts: &[&str]) -> String {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for part in parts {
        digest.update(part.as_bytes());
        // A separator that no part contains, so that ("ab", "c") is not ("a", "bc").
        digest.update(&[0]);
    }
    let mut token = hex(digest.finish().as_ref());
    token.truncate(32);
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_tokens_are_stable_and_tell_parts_apart() {
        let token = retry_token(&["run", "network/vcn", "1"]);
        assert_eq!(token, retry_token(&["run", "network/vcn", "1"]));
        assert_eq!(token.len(), 32);
        assert_ne!(retry_token(&["ab", "c"]), retry_token(&["a", "bc"]));
    }
}
