//! Webhook configurations.

use serde_json::{Value, json};

use super::at::At;
use super::names;
use crate::sandbox::kube::status::Cause;

pub(super) fn check(new: &Value, out: &mut Vec<Cause>) {
    for hook in At::new(new, "").list("webhooks") {
        let name = hook.text("name");
        if let Some(wrong) = names::subdomain(name).filter(|_| name.contains('.')) {
            out.push(hook.invalid("name", &wrong));
        } else if name.split('.').count() < 3 {
            let detail = "should be a domain with at least three segments separated by dots";
            out.push(Cause::invalid(hook.place("name"), &json!(name), detail));
        }
        for rule in hook.list("rules") {
            for operation in rule.list("operations") {
                let known = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
                if !operation.value.as_str().is_some_and(|o| known.contains(&o)) {
                    out.push(Cause::unsupported(operation.path, operation.value, &known));
                }
            }
        }
        hook.one_of("failurePolicy", &["Fail", "Ignore"], out);
        hook.one_of("matchPolicy", &["Equivalent", "Exact"], out);
        if hook.has("sideEffects") {
            hook.one_of("sideEffects", &["None", "NoneOnDryRun"], out);
        } else {
            let detail = "must specify one of None, NoneOnDryRun";
            out.push(hook.missing("sideEffects", detail));
        }
        client(&hook, out);
    }
}

fn client(hook: &At<'_>, out: &mut Vec<Cause>) {
    let config = hook.field("clientConfig");
    if config.has("url") == config.has("service") {
        let detail = "exactly one of url or service is required";
        out.push(Cause::required(config.path, detail));
        return;
    }
    if let Some((scheme, _)) = config.text("url").split_once(':')
        && scheme != "https"
    {
        let detail = "'https' is the only allowed URL scheme; desired format: https://host[/path]";
        out.push(Cause::invalid(config.place("url"), &json!(scheme), detail));
    }
}
