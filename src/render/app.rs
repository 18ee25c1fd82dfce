//! The app's own chart: its embedded files, and the values that a profile
//! comes to. What a chart renders to is the business of `helm`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::secrets::fingerprints;
use super::{APP_SECRETS, Inputs, RenderError, brokers};
use crate::helm::chart::{Chart, ChartError, ChartFile};
use crate::profile::{Profile, Service};

macro_rules! files {
    ($($name:literal,)*) => {
        &[$(($name, include_str!(concat!("../../templates/todo-app/", $name)))),*]
    };
}

/// Path and text of each file of the chart: the folder `templates/todo-app`.
pub const FILES: &[(&str, &str)] = files![
    ".helmignore",
    "Chart.yaml",
    "templates/NOTES.txt",
    "templates/_helpers.tpl",
    "templates/deployments.yaml",
    "templates/ingress.yaml",
    "templates/networkpolicies.yaml",
    "templates/poddisruptionbudgets.yaml",
    "templates/rbac.yaml",
    "templates/serviceaccounts.yaml",
    "templates/services.yaml",
    "values-local.yaml",
    "values-oke.yaml",
    "values.schema.json",
    "values.yaml",
];

/// Ports that an app may need outside of itself whatever the profile says:
/// HTTPS, the Kubernetes API, PostgreSQL, Kafka.
const EGRESS_PORTS: [u16; 5] = [443, 6443, 5432, 9092, 9093];

/// The embedded chart.
pub fn app_chart() -> Result<Chart, ChartError> {
    let files = FILES.iter().map(|(name, text)| ChartFile {
        name: (*name).to_owned(),
        data: text.as_bytes().into(),
    });
    Chart::from_files(files.collect())
}

/// The values for [`app_chart`] that a profile comes to. Its secrets must have
/// been looked up: their fingerprints decide which pods restart.
pub fn app_values(profile: &Profile, inputs: &Inputs) -> Result<Value, RenderError> {
    let prints = fingerprints(profile, inputs)?;
    let services: Vec<Value> = profile.app.services.iter().map(service).collect();
    Ok(json!({
        "services": services,
        "secret": {"name": APP_SECRETS, "fingerprints": prints.app},
        "dapr": {
            "namespace": profile.dapr.namespace,
            "config": super::DAPR_CONFIG,
            "fingerprints": prints.components,
        },
        "ingress": {
            "className": profile.ingress.class,
            "tls": {"secretName": profile.ingress.https.as_ref().map_or("", |h| h.secret.as_str())},
        },
        "networkPolicy": {
            "ingressNamespace": profile.ingress.namespace,
            "egressPorts": egress_ports(profile, inputs)?,
        },
    }))
}

fn service(service: &Service) -> Value {
    let mut out = Map::new();
    let mut set = |key: &str, value: Value| out.insert(key.to_owned(), value);
    set("name", json!(service.name));
    set("image", json!(service.image));
    set("port", json!(service.port));
    set("replicas", json!(service.replicas));
    set(
        "resources",
        json!({"cpu": service.resources.cpu, "memory": service.resources.memory}),
    );
    if let Some(path) = &service.health_path {
        set("healthPath", json!(path));
    }
    if let Some(user) = service.run_as_user {
        set("runAsUser", json!(user));
    }
    if !service.env.is_empty() {
        set("env", json!(service.env));
    }
    if !service.secrets.is_empty() {
        set("secrets", json!(service.secrets));
    }
    if let Some(dapr) = &service.dapr {
        let port = dapr.app_port.unwrap_or(service.port);
        set("dapr", json!({"appId": dapr.app_id, "appPort": port}));
    }
    if let Some(ingress) = &service.ingress {
        let mut way = json!({"path": ingress.path});
        if let Some(host) = &ingress.host {
            way["host"] = json!(host);
        }
        set("ingress", way);
    }
    Value::Object(out)
}

/// The ports of [`EGRESS_PORTS`] and those of the brokers.
fn egress_ports(profile: &Profile, inputs: &Inputs) -> Result<BTreeSet<u16>, RenderError> {
    let brokers = brokers(profile, inputs)?;
    let of_brokers = brokers
        .iter()
        .filter_map(|broker| broker.rsplit_once(':')?.1.parse().ok());
    Ok(EGRESS_PORTS.into_iter().chain(of_brokers).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helm::render::{PrintOptions, RenderOptions, render_with};
    use crate::helm::values::from_json;
    use crate::profile::Sources;
    use crate::secret::Secret;
    use std::path::Path;

    struct Nothing;

    impl Sources for Nothing {
        fn env(&self, _: &str) -> Option<String> {
            None
        }

        fn file(&self, _: &Path) -> std::io::Result<String> {
            Err(std::io::ErrorKind::NotFound.into())
        }

        fn secret(&self, _: &str) -> Option<Secret> {
            None
        }
    }

    fn profile(sets: &[&str]) -> Profile {
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        let loaded = crate::profile::load("sandbox", &sets).unwrap();
        loaded.resolve(&Nothing).unwrap()
    }

    fn rendered(profile: &Profile) -> String {
        let values = app_values(profile, &Inputs::default()).unwrap();
        let values = from_json(&values).as_map().unwrap().clone();
        let options = RenderOptions {
            release_name: "todo-app".to_owned(),
            namespace: profile.app.namespace.to_string(),
            ..RenderOptions::default()
        };
        let rendered = render_with(app_chart().unwrap(), values, &options).unwrap();
        rendered.text(&PrintOptions::default()).unwrap()
    }

    fn object(text: &str, kind: &str, name: &str) -> Value {
        let all: Vec<Value> = crate::yaml::documents(text, "chart").unwrap();
        let found = all
            .into_iter()
            .find(|o| o["kind"] == kind && o["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    fn pod_annotations(text: &str, name: &str) -> Value {
        object(text, "Deployment", name)["spec"]["template"]["metadata"]["annotations"].clone()
    }

    #[test]
    fn the_table_and_the_folder_agree() {
        fn walk(folder: &Path, prefix: &str, out: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if path.is_dir() {
                    walk(&path, &format!("{prefix}{name}/"), out);
                } else {
                    out.push(format!("{prefix}{name}"));
                }
            }
        }
        let mut found = Vec::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        walk(&root.join("templates/todo-app"), "", &mut found);
        found.sort();
        let table: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(found, table);
    }

    #[test]
    fn the_app_of_the_sandbox() {
        insta::assert_snapshot!(rendered(&profile(&[])));
    }

    #[test]
    fn only_pods_that_use_a_changed_secret_restart() {
        let before = rendered(&profile(&[]));
        let after = rendered(&profile(&["secrets.cohere-api-key.value=another-key"]));
        assert_ne!(
            pod_annotations(&before, "backend")["checksum/secrets"],
            pod_annotations(&after, "backend")["checksum/secrets"]
        );
        assert_eq!(
            pod_annotations(&before, "frontend"),
            pod_annotations(&after, "frontend")
        );
    }

    #[test]
    fn sidecars_restart_when_a_components_secret_changes() {
        let before = rendered(&profile(&[]));
        let after = rendered(&profile(&["dapr.state_secret=cohere-api-key"]));
        let (before, after) = (
            pod_annotations(&before, "backend"),
            pod_annotations(&after, "backend"),
        );
        assert_eq!(before["checksum/secrets"], after["checksum/secrets"]);
        assert_ne!(before["checksum/dapr"], after["checksum/dapr"]);
    }

    #[test]
    fn no_secret_is_in_the_values() {
        let profile = profile(&[]);
        let values = app_values(&profile, &Inputs::default())
            .unwrap()
            .to_string();
        for secret in profile.known_secrets() {
            assert!(!values.contains(secret.expose()));
        }
        assert!(values.contains(&Secret::new("rehearsal-cohere-key").fingerprint()));
    }

    #[test]
    fn secrets_must_be_looked_up_first() {
        let loaded = crate::profile::load("sandbox", &[]).unwrap();
        let result = app_values(&loaded.profile, &Inputs::default());
        assert!(matches!(result, Err(RenderError::Unresolved(_))));
    }

    #[test]
    fn hosts_share_one_ingress_and_foreign_brokers_are_let_through() {
        let text = rendered(&profile(&[
            "app.services.frontend.ingress={path: /, host: todo.example.com}",
            "kafka.provider=external",
            "kafka.brokers=[b.example.com:19092]",
        ]));
        let rules = &object(&text, "Ingress", "todo-app")["spec"]["rules"];
        assert_eq!(rules[0]["http"]["paths"][0]["path"], "/api");
        assert_eq!(rules[1]["host"], "todo.example.com");
        let policy = object(&text, "NetworkPolicy", "backend").to_string();
        assert!(policy.contains("19092"), "{policy}");
    }
}
