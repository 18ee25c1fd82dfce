//! Ingresses, their classes, and network policies.

use serde_json::{Value, json};

use super::at::{At, CIDR, network, selector};
use super::names;
use crate::sandbox::kube::status::Cause;

pub(super) fn ingress(new: &Value, out: &mut Vec<Cause>) {
    let at = At::new(&new["spec"], "spec");
    if at.list("rules").is_empty() && !at.has("defaultBackend") {
        let detail = "either `defaultBackend` or `rules` must be specified";
        out.push(Cause::invalid("spec", &Value::Null, detail));
    }
    if at.has("defaultBackend") {
        backend(&at.field("defaultBackend"), out);
    }
    for rule in at.list("rules") {
        let host = rule.text("host");
        if host.parse::<std::net::IpAddr>().is_ok() {
            let detail = "must be a DNS name, not an IP address";
            out.push(rule.invalid("host", detail));
        } else if host.contains('*') {
            rule.named("host", names::wildcard, out);
        } else if !host.is_empty() {
            rule.named("host", names::subdomain, out);
        }
        if rule.has("http") {
            paths(&rule.field("http"), out);
        }
    }
    for tls in at.list("tls") {
        for host in tls.list("hosts") {
            let name = host.value.as_str().unwrap_or_default();
            let rule = if name.contains('*') {
                names::wildcard
            } else {
                names::subdomain
            };
            if let Some(wrong) = rule(name) {
                out.push(Cause::invalid(host.path, host.value, &wrong));
            }
        }
        if !tls.text("secretName").is_empty() {
            tls.named("secretName", names::subdomain, out);
        }
    }
    at.named("ingressClassName", names::subdomain, out);
}

fn paths(at: &At<'_>, out: &mut Vec<Cause>) {
    let paths = at.list("paths");
    if paths.is_empty() {
        out.push(at.missing("paths", ""));
    }
    for path in paths {
        let known = ["Exact", "ImplementationSpecific", "Prefix"];
        if path.has("pathType") {
            path.one_of("pathType", &known, out);
        } else {
            out.push(path.missing("pathType", "pathType must be specified"));
        }
        let kind = path.text("pathType");
        let text = path.text("path");
        if text.is_empty() {
            if kind != "ImplementationSpecific" {
                let detail = "must be an absolute path";
                out.push(path.invalid("path", detail));
            }
        } else if !text.starts_with('/') && known.contains(&kind) {
            out.push(path.invalid("path", "must be an absolute path"));
        } else if matches!(kind, "Exact" | "Prefix") {
            for bad in ["//", "/./", "/../", "%2f", "%2F"] {
                if text.contains(bad) {
                    out.push(path.invalid("path", &format!("must not contain '{bad}'")));
                }
            }
        }
        backend(&path.field("backend"), out);
    }
}

fn backend(at: &At<'_>, out: &mut Vec<Cause>) {
    let empty = json!("");
    match (at.has("service"), at.has("resource")) {
        (true, true) => {
            let detail = "cannot set both resource and service backends";
            out.push(Cause::invalid(&at.path, &empty, detail));
        }
        (false, false) => {
            let detail = "resource or service backend is required";
            out.push(Cause::invalid(&at.path, &empty, detail));
        }
        (false, true) => {}
        (true, false) => {
            let service = at.field("service");
            if service.required("name", out) {
                service.named("name", names::label_1035, out);
            }
            let port = service.field("port");
            let number = port.number("number").unwrap_or_default();
            match (port.text("name"), number) {
                ("", 0) => {
                    let detail = "port name or number is required";
                    out.push(Cause::required(&at.path, detail));
                }
                ("", _) => port.port("number", false, out),
                (name, 0) => {
                    for wrong in names::port(name) {
                        out.push(port.invalid("name", wrong));
                    }
                }
                _ => {
                    let detail = "cannot set both port name & port number";
                    out.push(Cause::invalid(&at.path, &empty, detail));
                }
            }
        }
    }
}

pub(super) fn class(new: &Value, out: &mut Vec<Cause>) {
    let at = At::new(&new["spec"], "spec");
    let controller = at.text("controller");
    let domain = controller.split_once('/');
    let fits =
        domain.is_some_and(|(domain, path)| names::subdomain(domain).is_none() && !path.is_empty());
    if controller.is_empty() {
        out.push(at.missing("controller", ""));
    } else if !fits {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        out.push(at.invalid("controller", detail));
    }
}

pub(super) fn policy(new: &Value, out: &mut Vec<Cause>) {
    let at = At::new(&new["spec"], "spec");
    selector(&at.field("podSelector"), out);
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in at.list(rules) {
            for port in rule.list("ports") {
                port.one_of("protocol", &["TCP", "UDP", "SCTP"], out);
                port.port("port", true, out);
                let (first, last) = (port.number("port"), port.number("endPort"));
                if first.zip(last).is_some_and(|(first, last)| last < first) {
                    let detail = "must be greater than or equal to `port`";
                    let value = json!(first);
                    out.push(Cause::invalid(port.place("endPort"), &value, detail));
                }
            }
            for peer in rule.list(peers) {
                self::peer(&peer, out);
            }
        }
    }
    for kind in at.list("policyTypes") {
        let known = ["Ingress", "Egress"];
        if !kind.value.as_str().is_some_and(|k| known.contains(&k)) {
            out.push(Cause::unsupported(kind.path, kind.value, &known));
        }
    }
}

fn peer(at: &At<'_>, out: &mut Vec<Cause>) {
    let selects = at.has("podSelector") || at.has("namespaceSelector");
    if at.has("podSelector") {
        selector(&at.field("podSelector"), out);
    }
    if at.has("namespaceSelector") {
        selector(&at.field("namespaceSelector"), out);
    }
    if at.has("ipBlock") {
        block(&at.field("ipBlock"), out);
    }
    match (at.has("ipBlock"), selects) {
        (false, false) => out.push(Cause::required(&at.path, "must specify a peer")),
        (true, true) => {
            let detail = "may not specify both ipBlock and another peer";
            out.push(Cause::forbidden(&at.path, detail));
        }
        _ => {}
    }
}

fn block(at: &At<'_>, out: &mut Vec<Cause>) {
    let Some((outer, length)) = network(at.text("cidr")) else {
        out.push(at.invalid("cidr", CIDR));
        return;
    };
    for hole in at.list("except") {
        let inner = network(hole.value.as_str().unwrap_or_default());
        let Some((inner, inner_length)) = inner else {
            out.push(Cause::invalid(hole.path, hole.value, CIDR));
            continue;
        };
        let bits = |ip: std::net::IpAddr| match ip {
            std::net::IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
            std::net::IpAddr::V6(ip) => ip.to_bits(),
        };
        let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        let within = bits(outer) & mask == bits(inner) & mask;
        if !within || inner_length <= length || outer.is_ipv4() != inner.is_ipv4() {
            let detail = "must be a strict subset of `cidr`";
            out.push(Cause::invalid(hole.path, hole.value, detail));
        }
    }
}
