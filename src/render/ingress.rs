//! The values of the ingress controller's chart: F5's NGINX Ingress Controller.

use serde_json::{Value, json};

use crate::manifest::Edit;
use crate::profile::Profile;

/// Name of the controller's release.
pub const RELEASE: &str = "nginx-ingress";

/// The values of the controller's chart.
pub fn values(profile: &Profile) -> Value {
    let ingress = &profile.ingress;
    let https = ingress.https.as_ref();
    let mut controller = json!({
        "replicaCount": 1,
        "ingressClass": {"name": ingress.class, "create": true},
        // Plain Ingress objects are all that is used, so the chart's own
        // resource definitions are not needed.
        "enableCustomResources": false,
        // The way in is a bare address until somebody owns a name for it.
        "allowEmptyIngressHost": true,
        "healthStatus": true,
        "telemetryReporting": {"enable": false},
        "config": {"entries": {"server-tokens": "False"}},
        "resources": {
            "requests": {"cpu": "50m", "memory": "128Mi"},
            "limits": {"memory": "256Mi"},
        },
        // The old pod serves until the new one does, and goes on until the
        // load balancer has heard of it.
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        },
        "lifecycle": {"preStop": {"sleep": {"seconds": 15}}},
        "terminationGracePeriodSeconds": 60,
        "service": {
            "type": "LoadBalancer",
            // With `Local`, requests would fail from the moment that the pod
            // moves until the load balancer's checks have noticed. It hides
            // the client's address either way.
            "externalTrafficPolicy": "Cluster",
            "httpPort": {"enable": true, "port": ingress.http_port},
            "httpsPort": {
                "enable": https.is_some(),
                "port": https.map_or(443, |https| https.port),
            },
        },
    });
    if let Some(https) = https {
        let secret = format!("{}/{}", profile.app.namespace, https.secret);
        controller["defaultTLS"] = json!({"secret": secret});
    }
    if let Some(cloud) = &profile.cloud {
        let balancer = &cloud.load_balancer;
        // Without these Oracle makes a load balancer of 100 Mbps, which costs.
        controller["service"]["annotations"] = json!({
            "oci.oraclecloud.com/load-balancer-type": "lb",
            "service.beta.kubernetes.io/oci-load-balancer-shape": "flexible",
            "service.beta.kubernetes.io/oci-load-balancer-shape-flex-min":
                balancer.min_mbps.to_string(),
            "service.beta.kubernetes.io/oci-load-balancer-shape-flex-max":
                balancer.max_mbps.to_string(),
        });
    }
    json!({"controller": controller})
}

/// The changes to what the chart renders. Until 2.7.0 the chart passes
/// `allowEmptyIngressHost` on only together with its own resource definitions;
/// the controller knows the flag without them.
pub fn edits() -> Vec<Edit> {
    vec![Edit::new("rules without a host", |object| {
        if object["kind"] != "Deployment" {
            return false;
        }
        let args = object.pointer_mut("/spec/template/spec/containers/0/args");
        let Some(args) = args.and_then(Value::as_array_mut) else {
            return false;
        };
        let says = |arg: &Value, flag: &str| arg.as_str().is_some_and(|a| a.starts_with(flag));
        let controller = args.iter().any(|arg| says(arg, "-ingress-class="));
        let known = args
            .iter()
            .any(|arg| says(arg, "-allow-empty-ingress-host"));
        if controller && !known {
            args.push(json!("-allow-empty-ingress-host=true"));
        }
        controller && !known
    })]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values_of(name: &str, sets: &[&str]) -> Value {
        let mut all = vec![
            "app.services.frontend.image=ghcr.io/example/f:1".to_owned(),
            "app.services.backend.image=ghcr.io/example/b:1".to_owned(),
        ];
        all.extend(sets.iter().map(|s| (*s).to_owned()));
        let profile = crate::profile::load(name, &all).unwrap().profile;
        values(&profile)["controller"].clone()
    }

    #[test]
    fn the_load_balancer_stays_within_the_free_allowance() {
        let service = &values_of("oke", &[])["service"];
        let annotations = &service["annotations"];
        for end in ["shape-flex-min", "shape-flex-max"] {
            let key = format!("service.beta.kubernetes.io/oci-load-balancer-{end}");
            assert_eq!(annotations[&key], "10");
        }
        assert_eq!(service["httpPort"]["port"], 80);
        assert_eq!(service["httpsPort"]["enable"], false);
    }

    #[test]
    fn the_controller_takes_rules_without_a_host() {
        let of = |args: Value| {
            let mut object = json!({
                "kind": "Deployment",
                "spec": {"template": {"spec": {"containers": [{"args": args}]}}},
            });
            let changed = edits().iter().any(|edit| edit.apply(&mut object));
            let args = &object["spec"]["template"]["spec"]["containers"][0]["args"];
            (changed, args.as_array().unwrap().len())
        };
        assert_eq!(of(json!(["-ingress-class=nginx"])), (true, 2));
        let both = json!(["-ingress-class=nginx", "-allow-empty-ingress-host=true"]);
        assert_eq!(of(both), (false, 2));
        assert_eq!(of(json!(["--other"])), (false, 1));
    }

    #[test]
    fn https_brings_its_port_and_certificate() {
        let controller = values_of("local", &["ingress.https={secret: todo-tls}"]);
        assert_eq!(controller["defaultTLS"]["secret"], "todo/todo-tls");
        assert_eq!(
            controller["service"]["httpsPort"],
            json!({"enable": true, "port": 443})
        );
        assert_eq!(controller["service"].get("annotations"), None);
    }
}
