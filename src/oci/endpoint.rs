//! Where each service is: its host in a region, or the address that stands in
//! for it.

use std::collections::BTreeMap;

use url::Url;

use super::Region;

/// The services that todoctl calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Tenancy, compartments, availability domains.
    Identity,
    /// Network, compute and block storage.
    Core,
    /// Kubernetes clusters and node pools.
    ContainerEngine,
    /// Load balancers.
    LoadBalancer,
    /// Network load balancers.
    NetworkLoadBalancer,
    /// Service limits and their use.
    Limits,
    /// Search over all objects.
    Search,
}

impl Service {
    /// Its path prefix: the version of its interface.
    fn version(self) -> &'static str {
        match self {
            Self::Identity | Self::Core => "20160918",
            Self::ContainerEngine => "20180222",
            Self::LoadBalancer => "20170115",
            Self::NetworkLoadBalancer => "20200501",
            Self::Limits => "20190729",
            Self::Search => "20180409",
        }
    }

    fn host(self, region: &Region) -> String {
        let (name, domain) = (region.name(), region.domain());
        match self {
            // The oldest services never got the `oci` label.
            Self::Core | Self::LoadBalancer => format!("iaas.{name}.{domain}"),
            Self::Identity => format!("identity.{name}.oci.{domain}"),
            Self::ContainerEngine => format!("containerengine.{name}.oci.{domain}"),
            Self::NetworkLoadBalancer => {
                format!("network-load-balancer-api.{name}.oci.{domain}")
            }
            Self::Limits => format!("limits.{name}.oci.{domain}"),
            Self::Search => format!("query.{name}.oci.{domain}"),
        }
    }
}

/// Addresses that stand in for Oracle's own. Empty means Oracle's.
#[derive(Debug, Clone, Default)]
pub struct Endpoints {
    all: Option<Url>,
    each: BTreeMap<Service, Url>,
}

impl Endpoints {
    /// One address for every service. It may have a path; the service's
    /// version comes after it.
    pub fn all(base: Url) -> Self {
        Self {
            all: Some(base),
            each: BTreeMap::new(),
        }
    }

    /// The same with another address for one service.
    #[must_use]
    pub fn with(mut self, service: Service, base: Url) -> Self {
        self.each.insert(service, base);
        self
    }

    /// Whether every service is on this machine, so that no proxy is needed.
    pub fn is_loopback(&self) -> bool {
        self.every(is_loopback)
    }

    /// Whether every service is spoken to without TLS.
    pub fn is_plain(&self) -> bool {
        self.every(|url| url.scheme() == "http")
    }

    fn every(&self, holds: impl Fn(&Url) -> bool) -> bool {
        self.all.as_ref().is_some_and(&holds) && self.each.values().all(holds)
    }

    /// The address of a service's operation. Segments are encoded here.
    pub(super) fn url(
        &self,
        service: Service,
        region: &Region,
        segments: &[&str],
    ) -> Result<Url, url::ParseError> {
        let mut url = match self.each.get(&service).or(self.all.as_ref()) {
            Some(base) => base.clone(),
            None => Url::parse(&format!("https://{}", service.host(region)))?,
        };
        url.set_query(None);
        url.path_segments_mut()
            .map_err(|()| url::ParseError::RelativeUrlWithCannotBeABaseBase)?
            .pop_if_empty()
            .push(service.version())
            .extend(segments);
        Ok(url)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_their_hosts_and_versions() {
        let cases = [
            (
                Service::Identity,
                "https://identity.eu-frankfurt-1.oci.oraclecloud.com/20160918/x",
            ),
            (
                Service::Core,
                "https://iaas.eu-frankfurt-1.oraclecloud.com/20160918/x",
            ),
            (
                Service::ContainerEngine,
                "https://containerengine.eu-frankfurt-1.oci.oraclecloud.com/20180222/x",
            ),
            (
                Service::LoadBalancer,
                "https://iaas.eu-frankfurt-1.oraclecloud.com/20170115/x",
            ),
            (
                Service::NetworkLoadBalancer,
                "https://network-load-balancer-api.eu-frankfurt-1.oci.oraclecloud.com/20200501/x",
            ),
            (
                Service::Limits,
                "https://limits.eu-frankfurt-1.oci.oraclecloud.com/20190729/x",
            ),
            (
                Service::Search,
                "https://query.eu-frankfurt-1.oci.oraclecloud.com/20180409/x",
            ),
        ];
        let region = Region::parse("fra").unwrap();
        for (service, url) in cases {
            let made = Endpoints::default().url(service, &region, &["x"]);
            assert_eq!(made.unwrap().as_str(), url);
        }
    }

    #[test]
    fn an_override_keeps_its_path_and_encodes_segments() {
        let region = Region::parse("fra").unwrap();
        let endpoints = Endpoints::all(Url::parse("http://127.0.0.1:8080").unwrap()).with(
            Service::Core,
            Url::parse("http://localhost:9/base/").unwrap(),
        );
        assert!(endpoints.is_loopback() && endpoints.is_plain());
        let url = |s, p: &[&str]| endpoints.url(s, &region, p).unwrap().to_string();
        assert_eq!(
            url(Service::Limits, &["services", "a/b"]),
            "http://127.0.0.1:8080/20190729/services/a%2Fb"
        );
        assert_eq!(
            url(Service::Core, &["vcns"]),
            "http://localhost:9/base/20160918/vcns"
        );
        assert!(!Endpoints::default().is_loopback());
    }
}
