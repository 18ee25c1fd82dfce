//! Rules that a schema cannot say: what fits together, what repeats, what
//! Kubernetes and Oracle Cloud will refuse.

use std::collections::BTreeSet;

use super::path::{self, join};
use super::{Cidr, Cloud, Kafka, KafkaProvider, Profile, Resources, SaslMechanism, Service};
use crate::finding::{Finding, Findings};
use crate::names::nearest;
use crate::yaml::Node;

/// Every rule that the profile breaks.
pub(super) fn check(profile: &Profile, tree: &Node) -> Findings {
    let mut rules = Rules {
        tree,
        findings: Findings::default(),
    };
    if let Some(cloud) = &profile.cloud {
        rules.network(cloud);
        rules.nodes(cloud);
    }
    rules.services(profile);
    rules.charts(profile);
    rules.kafka(&profile.kafka);
    rules.subscriptions(profile);
    rules.way_in(profile);
    rules.secrets(profile);
    rules.endpoints(profile);
    rules.findings
}

struct Rules<'a> {
    tree: &'a Node,
    findings: Findings,
}

/// Whether a text still waits for its references.
fn is_open(text: &str) -> bool {
    text.contains("${")
}

impl Rules<'_> {
    fn place(&self, path: &str) -> crate::finding::Span {
        path::nearest(self.tree, path).place.span()
    }

    fn error(&mut self, path: &str, summary: String, hint: &str) {
        let finding = Finding::error(summary).at(self.place(path));
        self.findings.push(if hint.is_empty() {
            finding
        } else {
            finding.hint(hint)
        });
    }

    fn network(&mut self, cloud: &Cloud) {
        let network = &cloud.network;
        let vcn = network.vcn_cidr;
        let subnets = [
            ("cloud.network.api_subnet", network.api_subnet),
            ("cloud.network.node_subnet", network.node_subnet),
            ("cloud.network.lb_subnet", network.lb_subnet),
        ];
        if !(16..=30).contains(&vcn.prefix()) {
            self.error(
                "cloud.network.vcn_cidr",
                format!("`{vcn}` cannot be a virtual cloud network"),
                "Oracle Cloud takes /16 to /30",
            );
        }
        for (i, (path, subnet)) in subnets.iter().enumerate() {
            if !vcn.contains(*subnet) {
                self.error(
                    path,
                    format!("`{subnet}` is not inside the network `{vcn}`"),
                    "",
                );
            } else if subnet.prefix() > 30 {
                self.error(
                    path,
                    format!("`{subnet}` is too small for a subnet"),
                    "/30 is the smallest",
                );
            }
            for (other_path, other) in subnets.iter().take(i) {
                if subnet.overlaps(*other) {
                    self.error(
                        path,
                        format!("`{subnet}` overlaps `{other_path}` ({other})"),
                        "",
                    );
                }
            }
        }
        self.overlays(cloud, vcn);
    }

    /// The address ranges that exist inside the cluster only.
    fn overlays(&mut self, cloud: &Cloud, vcn: Cidr) {
        let (pods, services) = (cloud.cluster.pods_cidr, cloud.cluster.services_cidr);
        for (path, range) in [
            ("cloud.cluster.pods_cidr", pods),
            ("cloud.cluster.services_cidr", services),
        ] {
            if range.overlaps(vcn) {
                self.error(path, format!("`{range}` overlaps the network `{vcn}`"), "");
            }
        }
        if pods.overlaps(services) {
            self.error(
                "cloud.cluster.services_cidr",
                format!("`{services}` overlaps `cloud.cluster.pods_cidr` ({pods})"),
                "",
            );
        }
    }

    fn nodes(&mut self, cloud: &Cloud) {
        let nodes = &cloud.nodes;
        let flexible = nodes.shape.ends_with(".Flex");
        if flexible && (nodes.memory_gb < nodes.ocpus || nodes.memory_gb > nodes.ocpus * 64) {
            self.error(
                "cloud.nodes.memory_gb",
                format!(
                    "{} GB of memory do not go with {} OCPU",
                    nodes.memory_gb, nodes.ocpus
                ),
                "a flexible shape takes 1 to 64 GB per OCPU",
            );
        }
        let balancer = &cloud.load_balancer;
        if balancer.min_mbps > balancer.max_mbps {
            self.error(
                "cloud.load_balancer.min_mbps",
                format!(
                    "the least bandwidth ({}) is above the greatest ({})",
                    balancer.min_mbps, balancer.max_mbps
                ),
                "",
            );
        }
    }

    fn services(&mut self, profile: &Profile) {
        let services = &profile.app.services;
        if services.is_empty() && profile.app.chart.is_none() {
            self.error(
                "app.services",
                "the app has no services".to_owned(),
                "list them under `app.services`, or name a chart in `app.chart`",
            );
        }
        let mut names = BTreeSet::new();
        let mut app_ids = BTreeSet::new();
        let mut ways_in = BTreeSet::new();
        for (i, service) in services.iter().enumerate() {
            let path = format!("app.services[{i}]");
            if !names.insert(&service.name) {
                self.error(
                    &join(&path, "name"),
                    format!("a second service is named `{}`", service.name),
                    "",
                );
            }
            if let Some(dapr) = &service.dapr
                && !app_ids.insert(&dapr.app_id)
            {
                self.error(
                    &join(&path, "dapr.app_id"),
                    format!("a second service has the Dapr app ID `{}`", dapr.app_id),
                    "",
                );
            }
            if let Some(ingress) = &service.ingress {
                if !ingress.path.starts_with('/') && !is_open(&ingress.path) {
                    self.error(
                        &join(&path, "ingress.path"),
                        format!("the path `{}` must begin with `/`", ingress.path),
                        "",
                    );
                }
                if !ways_in.insert((&ingress.host, &ingress.path)) {
                    self.error(
                        &join(&path, "ingress.path"),
                        format!("a second service is reached at `{}`", ingress.path),
                        "",
                    );
                }
            }
            self.service(profile, service, &path);
        }
    }

    fn charts(&mut self, profile: &Profile) {
        for (path, source) in profile.clone().chart_sources_mut() {
            if let Some(fault) = source.fault() {
                let path = join(&path, fault.field);
                self.error(&path, fault.summary.to_owned(), fault.hint);
            }
        }
    }

    fn service(&mut self, profile: &Profile, service: &Service, path: &str) {
        if let Some((summary, hint)) = image_fault(&service.image) {
            let hint = hint.replace("NAME", service.name.as_str());
            self.error(&join(path, "image"), summary, &hint);
        }
        if let Some(health) = service.health_path.as_ref().filter(|p| !p.starts_with('/')) {
            self.error(
                &join(path, "health_path"),
                format!("the path `{health}` must begin with `/`"),
                "",
            );
        }
        self.quantities(&join(path, "resources"), &service.resources);
        for (i, secret) in service.secrets.iter().enumerate() {
            if !profile.secrets.contains_key(secret) {
                let known = profile.secrets.keys().map(AsRef::as_ref);
                let hint = match nearest(secret.as_str(), known) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("add `{secret}` to `secrets`"),
                };
                self.error(
                    &join(path, &format!("secrets[{i}]")),
                    format!("there is no secret `{secret}`"),
                    &hint,
                );
            }
        }
    }

    fn quantities(&mut self, path: &str, resources: &Resources) {
        for (key, quantity) in [("cpu", &resources.cpu), ("memory", &resources.memory)] {
            if !is_open(quantity) && !is_quantity(quantity) {
                self.error(
                    &join(path, key),
                    format!("`{quantity}` is not a Kubernetes quantity"),
                    "for instance `100m`, `0.5`, `256Mi`, `1Gi`",
                );
            }
        }
    }

    fn kafka(&mut self, kafka: &Kafka) {
        match kafka.provider {
            KafkaProvider::Strimzi => self.strimzi(kafka),
            KafkaProvider::External if kafka.brokers.is_empty() => self.error(
                "kafka.brokers",
                "an external Kafka needs its `kafka.brokers`".to_owned(),
                "for instance `[broker.example.com:9092]`",
            ),
            KafkaProvider::RedpandaCloud if kafka.redpanda_cloud.is_none() => self.error(
                "kafka.redpanda_cloud",
                "Redpanda Cloud needs `kafka.redpanda_cloud`".to_owned(),
                "client_id, client_secret and region",
            ),
            _ => {}
        }
        for (i, broker) in kafka.brokers.iter().enumerate() {
            let valid = broker.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
            });
            if !valid && !is_open(broker) {
                self.error(
                    &format!("kafka.brokers[{i}]"),
                    format!("`{broker}` is not `HOST:PORT`"),
                    "",
                );
            }
        }
        if kafka.ca.is_some() && !kafka.tls && kafka.provider == KafkaProvider::External {
            self.error(
                "kafka.ca",
                "an authority is of no use without `kafka.tls: true`".to_owned(),
                "",
            );
        }
        let mut topics = BTreeSet::new();
        for (i, topic) in kafka.topics.iter().enumerate() {
            if !topics.insert(&topic.name) {
                self.error(
                    &format!("kafka.topics[{i}].name"),
                    format!("the topic `{}` is listed twice", topic.name),
                    "",
                );
            }
        }
        let auth = &kafka.auth;
        let complete = auth.username.is_some() && auth.password.is_some();
        if kafka.provider == KafkaProvider::External
            && auth.mechanism != SaslMechanism::None
            && !complete
        {
            self.error(
                "kafka.auth",
                "authentication needs a `username` and a `password`".to_owned(),
                "",
            );
        }
        if auth.mechanism == SaslMechanism::Plain && !kafka.tls {
            self.error(
                "kafka.auth.mechanism",
                "`plain` would send the password in the clear".to_owned(),
                "set `kafka.tls: true`, or use a SCRAM mechanism",
            );
        }
    }

    /// Strimzi makes users with one kind of password only.
    fn strimzi(&mut self, kafka: &Kafka) {
        let foreign = matches!(
            kafka.auth.mechanism,
            SaslMechanism::Plain | SaslMechanism::ScramSha256
        );
        if foreign {
            self.error(
                "kafka.auth.mechanism",
                "Strimzi's users log in with SCRAM-SHA-512 only".to_owned(),
                "write `scram-sha-512`, or `none`",
            );
        }
        if kafka.auth.username.is_some() || kafka.auth.password.is_some() {
            self.error(
                "kafka.auth",
                "Strimzi makes the user and its password itself".to_owned(),
                "remove `username` and `password`; `kafka.strimzi.user` names the user",
            );
        }
        let path = "kafka.strimzi.resources";
        self.quantities(path, &kafka.strimzi.resources);
    }

    fn subscriptions(&mut self, profile: &Profile) {
        let topics: Vec<&str> = profile
            .kafka
            .topics
            .iter()
            .map(|t| t.name.as_str())
            .collect();
        let services = profile.app.services.iter();
        let app_ids: Vec<&str> = services
            .filter_map(|service| Some(service.dapr.as_ref()?.app_id.as_str()))
            .collect();
        for (i, subscription) in profile.dapr.subscriptions.iter().enumerate() {
            let path = format!("dapr.subscriptions[{i}]");
            let topic = subscription.topic.as_str();
            if !topics.contains(&topic) {
                let hint = match nearest(topic, topics.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("add `{topic}` to `kafka.topics`"),
                };
                self.error(
                    &join(&path, "topic"),
                    format!("there is no topic `{topic}`"),
                    &hint,
                );
            }
            let app_id = subscription.app_id.as_str();
            // The services of a chart of one's own may be listed elsewhere.
            if !app_ids.contains(&app_id) && profile.app.chart.is_none() {
                let hint = match nearest(app_id, app_ids.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "give a service that `dapr.app_id`".to_owned(),
                };
                self.error(
                    &join(&path, "app_id"),
                    format!("no service has the Dapr app ID `{app_id}`"),
                    &hint,
                );
            }
            if !subscription.route.starts_with('/') && !is_open(&subscription.route) {
                self.error(
                    &join(&path, "route"),
                    format!("the path `{}` must begin with `/`", subscription.route),
                    "",
                );
            }
        }
    }

    fn way_in(&mut self, profile: &Profile) {
        let ingress = &profile.ingress;
        let https = ingress.https.as_ref();
        if https.is_some_and(|https| https.port == ingress.http_port) {
            self.error(
                "ingress.https.port",
                format!("port {} is that of HTTP already", ingress.http_port),
                "",
            );
        }
    }

    fn secrets(&mut self, profile: &Profile) {
        let wanted = &profile.dapr.state_secret;
        if !profile.secrets.contains_key(wanted) {
            self.error(
                "dapr.state_secret",
                format!("the state store needs the secret `{wanted}`, which `secrets` lacks"),
                "add it under `secrets` with the PostgreSQL connection string",
            );
        }
        // A rehearsal has nothing to hide.
        if profile.sandbox.is_some() {
            return;
        }
        for (path, field) in profile.clone().secret_fields_mut() {
            if field.is_literal() {
                let finding = Finding::warning("a secret is written out in the profile")
                    .at(self.place(&path))
                    .hint(
                        "put it into the environment and write `${env:NAME}`, or into a file and \
                         write `${file:PATH}`",
                    );
                self.findings.push(finding);
            }
        }
    }

    fn endpoints(&mut self, profile: &Profile) {
        let endpoints = &profile.endpoints;
        for (path, endpoint) in [
            ("endpoints.oci", &endpoints.oci),
            ("endpoints.charts", &endpoints.charts),
            ("endpoints.registry", &endpoints.registry),
        ] {
            let Some(endpoint) = endpoint.as_ref().filter(|e| !is_open(e)) else {
                continue;
            };
            let valid = url::Url::parse(endpoint)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            if !valid {
                self.error(
                    path,
                    format!("`{endpoint}` is not an http or https URL"),
                    "",
                );
            }
        }
    }
}

/// What is wrong with an image reference, and what to do about it.
fn image_fault(image: &str) -> Option<(String, &'static str)> {
    if is_open(image) {
        return None;
    }
    if image.contains("OWNER") || image.contains("TAG") {
        return Some((
            format!("`{image}` is a placeholder"),
            "name your image with `--image NAME=REF`, `--set app.services.NAME.image=REF`, or in a \
             profile of yours that extends this one",
        ));
    }
    let (registry, rest) = image.split_once('/').unwrap_or(("", image));
    let is_registry = registry.contains('.') || registry.contains(':') || registry == "localhost";
    if !is_registry {
        return Some((
            format!("the image `{image}` lacks its registry"),
            "OKE's nodes do not complete short names; for instance `docker.io/library/nginx:1.29`",
        ));
    }
    let name = rest.rsplit('/').next().unwrap_or(rest);
    if !name.contains(':') && !name.contains('@') {
        return Some((
            format!("the image `{image}` lacks a tag or digest"),
            "a release must name what it runs, so that a rollback can bring it back",
        ));
    }
    let valid = image
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b))
        && rest.split(['/', ':', '@']).all(|part| !part.is_empty());
    (!valid).then(|| (format!("`{image}` is not an image reference"), ""))
}

/// Whether a text is a Kubernetes quantity of some resource.
fn is_quantity(text: &str) -> bool {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    number.parse::<f64>().is_ok()
        && matches!(
            suffix,
            "" | "m" | "k" | "M" | "G" | "T" | "Ki" | "Mi" | "Gi" | "Ti"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_must_be_complete() {
        for (image, good) in [
            ("ghcr.io/example/todo-frontend:0.2.0", true),
            ("localhost/app:1", true),
            ("registry:5000/app@sha256:0000", true),
            ("${env:IMAGE}", true),
            ("nginx", false),
            ("library/nginx:1", false),
            ("ghcr.io/example/app", false),
            ("registry:5000/app", false),
            ("ghcr.io/OWNER/app:1", false),
            ("ghcr.io/a b:1", false),
            ("ghcr.io/a:", false),
        ] {
            assert_eq!(image_fault(image).is_none(), good, "{image}");
        }
    }

    #[test]
    fn quantities_are_kubernetes_ones() {
        for (text, good) in [
            ("100m", true),
            ("0.5", true),
            ("256Mi", true),
            ("1G", true),
            ("", false),
            ("256MB", false),
            ("m", false),
            ("1.2.3", false),
        ] {
            assert_eq!(is_quantity(text), good, "{text}");
        }
    }
}
