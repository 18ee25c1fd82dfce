//! Where the controller is reached, written into its Ingresses.

use serde_json::{Value, json};

use super::super::Process;
use super::Options;

/// Writes the addresses of the controller's Service into the Ingresses that do
/// not show them yet.
pub(super) async fn report(
    process: &Process,
    options: &Options,
    ingresses: &[Value],
    services: &[Value],
) {
    let Some(name) = &options.service else { return };
    let ours = services.iter().find(|service| {
        service["metadata"]["name"] == name.as_str()
            && service["metadata"]["namespace"] == process.namespace.as_str()
    });
    let addresses = ours.map(|service| &service["status"]["loadBalancer"]["ingress"]);
    let Some(addresses) = addresses.and_then(Value::as_array) else {
        return;
    };
    // An Ingress shows addresses only.
    let shown: Vec<Value> = addresses
        .iter()
        .map(|address| match address["hostname"].as_str() {
            Some(hostname) => json!({ "hostname": hostname }),
            None => json!({"ip": address["ip"]}),
        })
        .collect();
    for ingress in ingresses {
        let held = &ingress["status"]["loadBalancer"]["ingress"];
        if held.as_array() == Some(&shown) || (held.is_null() && shown.is_empty()) {
            continue;
        }
        let mut wanted = ingress.clone();
        wanted["status"] = json!({"loadBalancer": {"ingress": shown}});
        let text = |name: &str| ingress["metadata"][name].as_str().unwrap_or_default();
        let path = format!(
            "/apis/networking.k8s.io/v1/namespaces/{}/ingresses/{}/status",
            text("namespace"),
            text("name")
        );
        if let Err(error) = process.api.update(&path, &wanted).await {
            process.log(&format!(
                "W error updating ingress status: {}",
                error.message()
            ));
        }
    }
}
