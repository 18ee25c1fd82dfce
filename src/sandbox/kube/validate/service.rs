//! Services.

use serde_json::{Value, json};

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
        if port.get("targetPort").is_some_and(Value::is_number) {
            number(port, "targetPort", &field("targetPort"), out);
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

/// Port numbers go from 1 to 65535.
fn number(port: &Value, name: &str, field: &str, out: &mut Vec<Cause>) {
    let number = port.get(name).and_then(Value::as_i64).unwrap_or_default();
    if !(1..=65535).contains(&number) {
        let detail = "must be between 1 and 65535, inclusive";
        out.push(Cause::invalid(field, &json!(number), detail));
    }
}
