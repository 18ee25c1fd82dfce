//! The app's Configuration: what of it the sidecar heeds.

use serde_json::{Value, json};

/// Whether spans are made, and what becomes of a request's trace context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tracing {
    /// No tracing is configured: contexts pass through as they are.
    Untouched,
    /// The sampling rate is 0: contexts are dropped.
    Off,
    /// Spans are made; whether they are sampled.
    On(bool),
}

/// A Configuration's `spec`.
#[derive(Debug, Clone, Default)]
pub(super) struct Configuration(pub(super) Value);

impl Configuration {
    pub(super) fn tracing(&self) -> Tracing {
        let tracing = &self.0["tracing"];
        let exports = !tracing["zipkin"]["endpointAddress"].is_null()
            || !tracing["otel"]["endpointAddress"].is_null()
            || tracing["stdout"] == json!(true);
        let rate = tracing["samplingRate"].as_str().map(str::trim);
        match rate.map(str::parse::<f64>) {
            Some(Ok(rate)) if rate <= 0.0 => Tracing::Off,
            Some(Ok(rate)) => Tracing::On(rate >= 1.0),
            Some(Err(_)) => Tracing::On(false),
            None if exports => Tracing::On(false),
            None => Tracing::Untouched,
        }
    }

    /// Whether calls of the API are logged, and with which exception.
    pub(super) fn api_logging(&self) -> (bool, bool) {
        let logging = &self.0["logging"]["apiLogging"];
        let is = |name: &str| logging[name] == json!(true);
        (is("enabled"), is("omitHealthChecks"))
    }

    /// Whether an app may read a secret.
    pub(super) fn allows_secret(&self, store: &str, secret: &str) -> bool {
        let scopes = self.0["secrets"]["scopes"].as_array();
        let scope = scopes
            .into_iter()
            .flatten()
            .find(|scope| scope["storeName"] == store);
        let Some(scope) = scope else { return true };
        let lists = |name: &str| {
            let list = scope[name].as_array();
            list.is_some_and(|list| list.iter().any(|entry| entry == secret))
        };
        if scope["allowedSecrets"]
            .as_array()
            .is_some_and(|list| !list.is_empty())
        {
            return lists("allowedSecrets");
        }
        !lists("deniedSecrets") && scope["defaultAccess"] != "deny"
    }

    /// Whether a group of the API is there.
    pub(super) fn allows_api(&self, group: &str, version: &str, protocol: &str) -> bool {
        let listed = |list: &str| {
            let list = self.0["api"][list]
                .as_array()
                .filter(|list| !list.is_empty())?;
            Some(list.iter().any(|rule| {
                let fits = |name: &str, value: &str| {
                    rule[name]
                        .as_str()
                        .is_none_or(|told| told.is_empty() || told == value)
                };
                fits("name", group) && fits("version", version) && fits("protocol", protocol)
            }))
        };
        listed("allowed").unwrap_or(true) && !listed("denied").unwrap_or(false)
    }

    /// Whether a type of component is forbidden.
    pub(super) fn denies_component(&self, kind: &str) -> bool {
        let list = self.0["components"]["deny"].as_array();
        list.is_some_and(|list| list.iter().any(|entry| entry == kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracing_is_on_only_where_it_is_configured() {
        for (spec, expected) in [
            (json!({}), Tracing::Untouched),
            (json!({"tracing": {"samplingRate": "0"}}), Tracing::Off),
            (json!({"tracing": {"samplingRate": "1"}}), Tracing::On(true)),
            (
                json!({"tracing": {"samplingRate": "0.5"}}),
                Tracing::On(false),
            ),
            (json!({"tracing": {"stdout": true}}), Tracing::On(false)),
        ] {
            assert_eq!(Configuration(spec.clone()).tracing(), expected, "{spec}");
        }
    }

    #[test]
    fn scopes_of_secrets_are_heeded() {
        let deny = json!({"secrets": {"scopes": [
            {"storeName": "kubernetes", "defaultAccess": "deny", "allowedSecrets": ["app"]},
            {"storeName": "other", "deniedSecrets": ["x"]},
        ]}});
        let config = Configuration(deny);
        assert!(config.allows_secret("kubernetes", "app"));
        assert!(!config.allows_secret("kubernetes", "db"));
        assert!(!config.allows_secret("other", "x"));
        assert!(config.allows_secret("other", "y"));
        assert!(config.allows_secret("third", "x"));
    }
}
