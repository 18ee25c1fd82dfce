//! Services.

use serde_json::{Value, json};

use super::at::{At, CIDR, IP, network};
use super::names;
use crate::sandbox::kube::cluster::text;
use crate::sandbox::kube::status::Cause;

pub(super) fn check(old: Option<&Value>, new: &Value, out: &mut Vec<Cause>) {
    let kind = text(new, "/spec/type");
    let known = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    let headless = text(new, "/spec/clusterIP") == "None";
    let ports = new.pointer("/spec/ports").and_then(Value::as_array);
    let ports = ports.map_or(&[][..], Vec::as_slice);
    if ports.is_empty() && !headless && kind != "ExternalName" {
        out.push(Cause::required("spec.ports", ""));
    }
    if !known.contains(&kind) {
        out.push(Cause::unsupported("spec.type", &json!(kind), &known));
    }
    if kind == "ExternalName" && text(new, "/spec/externalName").is_empty() {
        out.push(Cause::required("spec.externalName", ""));
    }
    let at = At::new(&new["spec"], "spec");
    fields(&at, kind, out);
    let mut seen: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let field = |name: &str| format!("spec.ports[{index}].{name}");
        let name = text(port, "/name");
        if name.is_empty() && ports.len() > 1 {
            out.push(Cause::required(field("name"), ""));
        } else if let Some(wrong) = names::label(name).filter(|_| !name.is_empty()) {
            out.push(Cause::invalid(field("name"), &json!(name), &wrong));
        } else if !name.is_empty() && seen.contains(&name) {
            out.push(Cause::duplicate(field("name"), &json!(name)));
        }
        seen.push(name);
        number(port, "port", &field("port"), out);
        let at = At::new(port, format!("spec.ports[{index}]"));
        at.port("targetPort", true, out);
        at.named("appProtocol", names::qualified, out);
        if kind == "ClusterIP" && at.number("nodePort").is_some_and(|n| n != 0) {
            let detail = "may not be used when `type` is 'ClusterIP'";
            out.push(Cause::forbidden(at.place("nodePort"), detail));
        }
        let same =
            |other: &&Value| other["port"] == port["port"] && other["protocol"] == port["protocol"];
        if ports.iter().take(index).any(|other| same(&other)) {
            let shown = json!({
                "Name": "", "Protocol": port["protocol"], "AppProtocol": null,
                "Port": port["port"], "TargetPort": 0, "NodePort": 0,
            });
            out.push(Cause::duplicate(at.path, &shown));
        }
        let protocol = text(port, "/protocol");
        let known = ["SCTP", "TCP", "UDP"];
        if !known.contains(&protocol) {
            out.push(Cause::unsupported(
                field("protocol"),
                &json!(protocol),
                &known,
            ));
        }
    }
    let was = old.map_or("", |o| text(o, "/spec/clusterIP"));
    let is = text(new, "/spec/clusterIP");
    let stays =
        kind != "ExternalName" && old.is_some_and(|o| text(o, "/spec/type") != "ExternalName");
    if stays && !was.is_empty() && was != is {
        let value = json!([is]);
        out.push(Cause::invalid(
            "spec.clusterIPs[0]",
            &value,
            "may not change once set",
        ));
    }
}

fn fields(at: &At<'_>, kind: &str, out: &mut Vec<Cause>) {
    let balanced = kind == "LoadBalancer";
    let outside = balanced || kind == "NodePort" || at.has("externalIPs");
    for (key, value) in at.entries("selector") {
        let place = at.place("selector");
        if let Some(wrong) = names::qualified(key) {
            out.push(Cause::invalid(&place, &json!(key), &wrong));
        }
        if let Some(wrong) = names::label_value(value.as_str().unwrap_or_default()) {
            out.push(Cause::invalid(&place, value, &wrong));
        }
    }
    at.one_of("sessionAffinity", &["ClientIP", "None"], out);
    for ip in at.list("externalIPs") {
        if ip
            .value
            .as_str()
            .is_none_or(|t| t.parse::<std::net::IpAddr>().is_err())
        {
            out.push(Cause::invalid(ip.path, ip.value, IP));
        }
    }
    let address = at.text("clusterIP");
    if address == "None" && balanced {
        let detail = "may not be set to 'None' for LoadBalancer services";
        out.push(Cause::invalid("spec.clusterIPs[0]", &json!("None"), detail));
    } else if !matches!(address, "" | "None") {
        match address.parse::<std::net::Ipv4Addr>() {
            Err(_) => out.push(Cause::invalid("spec.clusterIPs[0]", &json!(address), IP)),
            Ok(ip) if ip.octets().starts_with(&[10, 96]) => {}
            Ok(_) => {
                let detail = format!(
                    "failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. The range of valid IPs is 10.96.0.0/16"
                );
                out.push(Cause::invalid(
                    "spec.clusterIPs",
                    &json!([address]),
                    &detail,
                ));
            }
        }
    }
    ranges(at, balanced, out);
    if at.has("loadBalancerClass") && !balanced {
        let detail = "may only be used when `type` is 'LoadBalancer'";
        out.push(Cause::forbidden(at.place("loadBalancerClass"), detail));
    }
    if kind == "ExternalName" && !at.text("externalName").is_empty() {
        at.named("externalName", names::subdomain, out);
    }
    policies(at, outside, balanced, out);
}

fn ranges(at: &At<'_>, balanced: bool, out: &mut Vec<Cause>) {
    let ranges = at.list("loadBalancerSourceRanges");
    let place = at.place("LoadBalancerSourceRanges");
    if !ranges.is_empty() && !balanced {
        let detail = "may only be used when `type` is 'LoadBalancer'";
        out.push(Cause::forbidden(&place, detail));
    }
    for (index, range) in ranges.iter().enumerate() {
        let text = range.value.as_str().unwrap_or_default().trim();
        let detail = match network(text) {
            None => CIDR,
            Some((std::net::IpAddr::V4(ip), length))
                if u64::from(ip.to_bits()) << length & u64::from(u32::MAX) != 0 =>
            {
                "must not have bits set beyond the prefix length"
            }
            Some(_) => continue,
        };
        out.push(Cause::invalid(
            format!("{place}[{index}]"),
            range.value,
            detail,
        ));
    }
}

fn policies(at: &At<'_>, outside: bool, balanced: bool, out: &mut Vec<Cause>) {
    let known = ["Cluster", "Local"];
    if at.has("externalTrafficPolicy") {
        if outside {
            at.one_of("externalTrafficPolicy", &known, out);
        } else {
            let detail = "may only be set for externally-accessible services";
            out.push(at.invalid("externalTrafficPolicy", detail));
        }
    }
    let local = balanced && at.text("externalTrafficPolicy") == "Local";
    if at.number("healthCheckNodePort").is_some_and(|n| n != 0) && !local {
        let detail =
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        out.push(at.invalid("healthCheckNodePort", detail));
    }
    at.one_of("internalTrafficPolicy", &known, out);
    for family in at.list("ipFamilies") {
        match family.value.as_str() {
            Some("IPv4") => {}
            Some("IPv6") => {
                let detail = "not configured on this cluster";
                out.push(Cause::invalid(family.path, family.value, detail));
            }
            _ => out.push(Cause::unsupported(
                family.path,
                family.value,
                &["IPv4", "IPv6"],
            )),
        }
    }
    if at.text("ipFamilyPolicy") == "RequireDualStack" {
        let detail = "this cluster is not configured for dual-stack services";
        out.push(at.invalid("ipFamilyPolicy", detail));
    }
}

/// Port numbers go from 1 to 65535.
fn number(port: &Value, name: &str, field: &str, out: &mut Vec<Cause>) {
    let number = port.get(name).and_then(Value::as_i64).unwrap_or_default();
    if !(1..=65535).contains(&number) {
        let detail = "must be between 1 and 65535, inclusive";
        out.push(Cause::invalid(field, &json!(number), detail));
    }
}
