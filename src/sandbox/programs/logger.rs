//! Log lines as Dapr's programs write them: JSON or logrus' key=value text,
//! with a scope.

use serde_json::{Map, Value, json};

use super::{Process, tag};

/// A log of one program.
#[derive(Clone)]
pub struct Logger {
    process: Process,
    json: bool,
    debug: bool,
    scope: &'static str,
    app_id: Option<String>,
    fields: Map<String, Value>,
}

impl Logger {
    /// The log of a program, in the format that its arguments ask for.
    pub fn new(process: &Process, scope: &'static str) -> Self {
        let has = |flag: &str| {
            let args = &process.args;
            args.iter()
                .any(|arg| arg == flag || *arg == format!("{flag}=true"))
        };
        let mut level = process.args.iter().skip_while(|arg| *arg != "--log-level");
        Self {
            process: process.clone(),
            json: has("--log-as-json"),
            debug: level.nth(1).is_some_and(|level| level == "debug"),
            scope,
            app_id: None,
            fields: Map::new(),
        }
    }

    /// The same log for an app's sidecar.
    #[must_use]
    pub fn for_app(mut self, app_id: &str) -> Self {
        self.app_id = Some(app_id.to_owned());
        self
    }

    /// The same log under another scope.
    #[must_use]
    pub fn scope(&self, scope: &'static str) -> Self {
        Self {
            scope,
            ..self.clone()
        }
    }

    /// The same log with one more field.
    #[must_use]
    pub fn with(&self, name: &str, value: impl Into<Value>) -> Self {
        let mut log = self.clone();
        log.fields.insert(name.to_owned(), value.into());
        log
    }

    /// Whether debug lines are written.
    pub fn is_debug(&self) -> bool {
        self.debug
    }

    /// Something that only those want who look for trouble.
    pub fn debug(&self, message: &str) {
        if self.debug {
            self.write("debug", message);
        }
    }

    /// Something that happened.
    pub fn info(&self, message: &str) {
        self.write("info", message);
    }

    /// Something that may be wrong.
    pub fn warn(&self, message: &str) {
        self.write("warning", message);
    }

    /// Something that is wrong.
    pub fn error(&self, message: &str) {
        self.write("error", message);
    }

    /// The reason why the program ends.
    pub fn fatal(&self, message: &str) {
        self.write("fatal", message);
    }

    fn write(&self, level: &str, message: &str) {
        let time = self.process.world.clock.now().to_string();
        let version = tag(&self.process.image);
        let mut line = json!({
            "time": time,
            "level": level,
            "type": "log",
            "scope": self.scope,
            "msg": message,
            "instance": self.process.pod,
            "ver": version,
        });
        if let Some(app_id) = &self.app_id {
            line["app_id"] = json!(app_id);
        }
        for (name, value) in &self.fields {
            line[name] = value.clone();
        }
        if self.json {
            self.process.log(&line.to_string());
        } else {
            self.process.log(&text(&line));
        }
    }
}

/// `time="…" level=info msg="…" app_id=…`, as logrus orders it.
fn text(line: &Value) -> String {
    let show = |name: &str| match &line[name] {
        Value::String(text) if text.chars().all(is_bare) && !text.is_empty() => text.clone(),
        other => other.to_string(),
    };
    let first = ["time", "level", "msg"];
    let mut parts = vec![
        format!("time={}", line["time"]),
        format!("level={}", show("level")),
        format!("msg={}", line["msg"]),
    ];
    let mut rest: Vec<&String> = line
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, _)| k)
        .collect();
    rest.retain(|name| !first.contains(&name.as_str()));
    rest.sort();
    parts.extend(
        rest.into_iter()
            .map(|name| format!("{name}={}", show(name))),
    );
    parts.join(" ")
}

fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._/@^+".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_as_logrus_prints_it() {
        let line = json!({
            "time": "2026-08-20T00:00:00Z", "level": "info", "type": "log", "scope": "dapr.runtime",
            "msg": "it runs", "ver": "1.18.3", "app_id": "a b",
        });
        let expected = "time=\"2026-08-20T00:00:00Z\" level=info msg=\"it runs\" app_id=\"a b\" \
                        scope=dapr.runtime type=log ver=1.18.3";
        assert_eq!(text(&line), expected);
    }
}
