//! What `verify` should know about the app: its task API, its login, its own
//! features, and the targets.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::fixed;
use super::secret_text::SecretText;
use crate::names::Topic;

/// What `verify` should know about the app.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Verify {
    /// The API of tasks. Without it no task is created, and the suite
    /// `events` looks at the brokers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<TaskApi>,
    /// How to log in before tasks are created. Without it nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
    /// What else the app can do, as requests and what must answer.
    pub scenarios: Vec<Scenario>,
    /// What is fast and small enough.
    pub targets: Targets,
}

/// An API of tasks: POST to `path` creates one and answers with its `id`; PUT
/// and DELETE of `path/ID` change and remove it, PATCH of `path/ID/complete`
/// ticks it off, and GET of `path/ID` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskApi {
    /// Path of the tasks at the public address.
    #[serde(default = "tasks_path")]
    pub path: String,
    /// Topic that gets an event for each change of a task.
    #[serde(default = "tasks_topic")]
    pub topic: Topic,
}

/// A login: a POST whose answer holds a bearer token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Path of the login at the public address.
    pub path: String,
    /// Members of the JSON object that is posted, for instance
    /// `password: ${env:PROBE_PASSWORD}`. All of them are treated as secrets.
    pub body: BTreeMap<String, SecretText>,
    /// JSON pointer to the token in the answer.
    #[serde(default = "token_pointer")]
    pub token: String,
}

/// A feature of the app: requests in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What is shown for it.
    pub name: String,
    /// The requests.
    pub steps: Vec<ScenarioStep>,
}

/// One request to the public address, and what must answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScenarioStep {
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// The path. `{NAME}` stands for what an earlier step has saved.
    pub path: String,
    /// The JSON body. Texts may hold `{NAME}`, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// What must answer.
    #[serde(default)]
    pub expect: Expect,
    /// Parts of the answer for later steps: a name, and a JSON pointer.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
}

/// What an answer must be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// The status. By default any from 200 to 299.
    #[schemars(range(min = 100, max = 599))]
    pub status: Option<u16>,
    /// A text that the body contains.
    pub contains: Option<String>,
    /// Values in the body: a JSON pointer, and what is there.
    pub json: BTreeMap<String, Value>,
}

/// What is fast and small enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Targets {
    /// An answer of the app, in milliseconds.
    #[schemars(range(min = 1))]
    pub response_ms: u32,
    /// From the request to its event in Kafka, in milliseconds.
    #[schemars(range(min = 1))]
    pub event_ms: u32,
    /// Nineteen of twenty publications by the sidecar, in milliseconds.
    #[schemars(range(min = 1))]
    pub publish_ms: u32,
    /// Memory of a sidecar, in millions of bytes.
    #[schemars(range(min = 1))]
    pub sidecar_memory_mb: u32,
    /// From a pod's place on a node to its readiness, in seconds.
    #[schemars(range(min = 1))]
    pub start_s: u32,
}

impl Default for Targets {
    fn default() -> Self {
        Self {
            response_ms: 2000,
            event_ms: 1000,
            publish_ms: 50,
            sidecar_memory_mb: 128,
            start_s: 30,
        }
    }
}

fn tasks_path() -> String {
    "/api/tasks".to_owned()
}

fn tasks_topic() -> Topic {
    fixed("task-events")
}

fn token_pointer() -> String {
    "/access_token".to_owned()
}

fn get() -> String {
    "GET".to_owned()
}
