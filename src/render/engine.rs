//! The handlebars engine with our helpers.
//!
//! Strict: a variable that is absent is an error. No escaping: templates are
//! YAML, so every value that is not a literal goes through `quote` or `json`,
//! whose output is YAML whatever the value is.

use base64::Engine as _;
use handlebars::{Handlebars, handlebars_helper, no_escape};
use serde::Serialize;
use serde_json::Value;

use super::templates::TEMPLATES;
use crate::finding::Finding;
use crate::manifest::{Manifest, ManifestError};

/// Why rendering failed.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A template does not compile.
    #[error("the template {name} does not compile")]
    Template {
        /// The template's name.
        name: &'static str,
        /// The engine's reason.
        #[source]
        source: Box<handlebars::TemplateError>,
    },
    /// A template does not fit its context.
    #[error("the template {name} does not render")]
    Render {
        /// The template's name.
        name: String,
        /// The engine's reason.
        #[source]
        source: Box<handlebars::RenderError>,
    },
    /// What a template gave is not YAML.
    #[error("the template {name} does not give YAML: {}", finding.summary)]
    Yaml {
        /// The template's name.
        name: String,
        /// Where it goes wrong.
        finding: Box<Finding>,
    },
    /// What a template gave is no Kubernetes object.
    #[error("the template {name} does not give a manifest")]
    Manifest {
        /// The template's name.
        name: String,
        /// What is missing.
        #[source]
        source: ManifestError,
    },
    /// Nobody has said yet where Kafka is.
    #[error("the Kafka brokers are not known yet")]
    NoBrokers,
    /// Nobody has said yet how to log in to Kafka.
    #[error("the Kafka user name and password are not known yet")]
    NoLogin,
    /// A secret has not been looked up.
    #[error("the secret field `{0}` has not been looked up")]
    Unresolved(String),
}

handlebars_helper!(quote: |value: Value| match value {
    Value::String(text) => Value::String(text.clone()).to_string(),
    other => Value::String(other.to_string()).to_string(),
});
handlebars_helper!(json: |value: Value| value.to_string());
handlebars_helper!(b64: |text: str| base64::engine::general_purpose::STANDARD.encode(text));
handlebars_helper!(join: |items: array, separator: str| items
    .iter()
    .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
    .collect::<Vec<_>>()
    .join(separator));
handlebars_helper!(indent: |text: str, width: usize| text
    .replace('\n', &format!("\n{}", " ".repeat(width))));

/// The compiled templates.
pub(super) struct Engine {
    handlebars: Handlebars<'static>,
}

impl Engine {
    pub(super) fn new() -> Result<Self, RenderError> {
        let mut handlebars = Handlebars::new();
        handlebars.set_strict_mode(true);
        handlebars.register_escape_fn(no_escape);
        handlebars.register_helper("quote", Box::new(quote));
        handlebars.register_helper("json", Box::new(json));
        handlebars.register_helper("b64", Box::new(b64));
        handlebars.register_helper("join", Box::new(join));
        handlebars.register_helper("indent", Box::new(indent));
        for (name, text) in TEMPLATES {
            handlebars
                .register_template_string(name, text)
                .map_err(|e| RenderError::Template {
                    name,
                    source: Box::new(e),
                })?;
        }
        Ok(Self { handlebars })
    }

    /// The manifests that a template gives for a context.
    pub(super) fn manifests(
        &self,
        name: &str,
        context: &impl Serialize,
    ) -> Result<Vec<Manifest>, RenderError> {
        let text = self
            .handlebars
            .render(name, context)
            .map_err(|source| RenderError::Render {
                name: name.to_owned(),
                source: Box::new(source),
            })?;
        let documents: Vec<Value> =
            crate::yaml::documents(&text, name).map_err(|finding| RenderError::Yaml {
                name: name.to_owned(),
                finding: Box::new(finding),
            })?;
        documents
            .into_iter()
            .map(|document| {
                Manifest::new(document).map_err(|source| RenderError::Manifest {
                    name: name.to_owned(),
                    source,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn render(template: &str, context: &Value) -> Result<String, handlebars::RenderError> {
        Engine::new()
            .unwrap()
            .handlebars
            .render_template(template, context)
    }

    #[test]
    fn helpers_give_yaml() {
        let context = json!({"t": "a: \"b\"\nc", "n": 2, "l": ["x", 3]});
        for (template, text) in [
            ("{{quote t}}", "\"a: \\\"b\\\"\\nc\""),
            ("{{quote n}}", "\"2\""),
            ("{{json l}}", "[\"x\",3]"),
            ("{{join l \",\"}}", "x,3"),
            ("{{b64 \"hi\"}}", "aGk="),
            ("k: |\n  {{indent t 2}}", "k: |\n  a: \"b\"\n  c"),
        ] {
            assert_eq!(render(template, &context).unwrap(), text, "{template}");
        }
    }

    #[test]
    fn an_absent_variable_is_an_error() {
        assert!(render("{{quote nothing}}", &json!({})).is_err());
        assert!(render("{{nothing}}", &json!({})).is_err());
    }

    #[test]
    fn a_broken_context_names_the_template() {
        let engine = Engine::new().unwrap();
        let error = engine.manifests("namespace", &json!({})).unwrap_err();
        assert_eq!(error.to_string(), "the template namespace does not render");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn a_quoted_text_reads_back(text in "\\PC{0,30}") {
            let yaml = render("k: {{quote t}}\n", &json!({"t": text})).unwrap();
            let back: Value = crate::yaml::from_str(&yaml, "t").unwrap();
            prop_assert_eq!(back["k"].as_str(), Some(text.as_str()));
        }
    }
}
