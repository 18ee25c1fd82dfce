//! The topics of a broker: their rows in the store, their partitions' logs.
//!
//! A topic's folder carries the store's revision at which it was made, so a
//! topic that is deleted and made again never finds the old one's records.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::store::Store;
use super::codes::Code;
use super::log::Log;

/// Partitions a topic may have at most; a rehearsal needs no more.
const MOST_PARTITIONS: i32 = 1000;

/// A topic as it is kept in the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    made: u64,
    partitions: i32,
    replicas: i16,
    configs: BTreeMap<String, String>,
}

/// A topic with its logs. Changing it makes a new one with the same logs.
#[derive(Debug)]
pub struct Topic {
    /// The name.
    pub name: String,
    /// The logs of its partitions, by number.
    pub logs: Vec<Arc<Log>>,
    /// How many replicas were asked for.
    pub replicas: i16,
    /// The configuration that differs from the broker's.
    pub configs: BTreeMap<String, String>,
    folder: PathBuf,
    made: u64,
}

impl Topic {
    /// The log of a partition.
    pub fn log(&self, partition: i32) -> Option<&Arc<Log>> {
        self.logs.get(usize::try_from(partition).ok()?)
    }

    /// How many partitions it has.
    pub fn partitions(&self) -> i32 {
        i32::try_from(self.logs.len()).unwrap_or(i32::MAX)
    }

    /// How many bytes of a partition are kept at least.
    pub fn keep_bytes(&self, most: u64) -> u64 {
        let asked = self.config("retention.bytes").parse::<u64>();
        asked.map_or(most, |asked| asked.min(most))
    }

    /// A configuration value, own or default.
    pub fn config(&self, name: &str) -> &str {
        let own = self.configs.get(name).map(String::as_str);
        own.or_else(|| default_config(name)).unwrap_or_default()
    }

    fn row(&self) -> Row {
        Row {
            made: self.made,
            partitions: self.partitions(),
            replicas: self.replicas,
            configs: self.configs.clone(),
        }
    }
}

/// The configuration of topics that this broker knows, with Kafka's defaults.
pub const CONFIGS: [(&str, &str); 11] = [
    ("cleanup.policy", "delete"),
    ("compression.type", "producer"),
    ("delete.retention.ms", "86400000"),
    ("max.message.bytes", "1048588"),
    ("message.timestamp.type", "CreateTime"),
    ("min.compaction.lag.ms", "0"),
    ("min.insync.replicas", "1"),
    ("retention.bytes", "-1"),
    ("retention.ms", "604800000"),
    ("segment.bytes", "1073741824"),
    ("segment.ms", "604800000"),
];

fn default_config(name: &str) -> Option<&'static str> {
    let known = CONFIGS.iter().find(|(known, _)| *known == name);
    known.map(|(_, value)| *value)
}

/// What a new topic is to be.
#[derive(Debug, Clone, Default)]
pub struct NewTopic {
    /// The name.
    pub name: String,
    /// How many partitions; −1 is the broker's default.
    pub partitions: i32,
    /// How many replicas; −1 is the broker's default.
    pub replicas: i16,
    /// Configuration.
    pub configs: BTreeMap<String, String>,
}

/// Why a topic is not made or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct TopicError {
    /// The code for the wire.
    pub code: Code,
    /// The sentence.
    pub why: String,
}

fn refuse<T>(code: Code, why: impl Into<String>) -> Result<T, TopicError> {
    Err(TopicError {
        code,
        why: why.into(),
    })
}

/// All topics of a broker.
#[derive(Debug)]
pub struct Topics {
    store: Arc<Store>,
    table: String,
    dir: PathBuf,
    /// How many replicas every topic gets, whatever is asked for.
    fixed_replicas: Option<i16>,
    held: RwLock<BTreeMap<String, Arc<Topic>>>,
}

impl Topics {
    /// Opens the topics that the store knows and removes what others left.
    pub fn open(
        store: Arc<Store>,
        table: String,
        dir: PathBuf,
        fixed_replicas: Option<i16>,
    ) -> io::Result<Self> {
        let mut held = BTreeMap::new();
        for (name, row) in store.list(&table, "").0 {
            let row = Row::deserialize(&*row.value).map_err(io::Error::other)?;
            held.insert(name.to_string(), Arc::new(open(&dir, &name, row)?));
        }
        let known = |path: &Path| held.values().any(|topic| topic.folder == path);
        for entry in std::fs::read_dir(&dir).into_iter().flatten() {
            let path = entry?.path();
            if !known(&path) {
                std::fs::remove_dir_all(path)?;
            }
        }
        Ok(Self {
            store,
            table,
            dir,
            fixed_replicas,
            held: RwLock::new(held),
        })
    }

    /// A topic by name.
    pub fn get(&self, name: &str) -> Option<Arc<Topic>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.get(name).cloned()
    }

    /// All topics, by name.
    pub fn all(&self) -> Vec<Arc<Topic>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.values().cloned().collect()
    }

    /// Makes a topic; `only_check` just says whether it could be made.
    pub fn create(&self, new: &NewTopic, only_check: bool) -> Result<(), TopicError> {
        check_name(&new.name)?;
        check_configs(&new.configs)?;
        if self.get(&new.name).is_some() {
            let why = format!("Topic '{}' already exists.", new.name);
            return refuse(Code::TopicAlreadyExists, why);
        }
        let partitions = match new.partitions {
            -1 => 1,
            n if (1..=MOST_PARTITIONS).contains(&n) => n,
            _ => return refuse(Code::InvalidPartitions, "Number of partitions is invalid."),
        };
        let replicas = match (self.fixed_replicas, new.replicas) {
            (Some(fixed), _) => fixed,
            (None, -1 | 1) => 1,
            (None, n) if n < 1 => {
                let why = "Replication factor must be larger than 0.";
                return refuse(Code::InvalidReplicationFactor, why);
            }
            (None, n) => {
                let why = format!(
                    "Unable to replicate the partition {n} time(s): \
                     The target replication factor of {n} cannot be reached because only 1 \
                     broker(s) are registered."
                );
                return refuse(Code::InvalidReplicationFactor, why);
            }
        };
        if only_check {
            return Ok(());
        }
        let row = Row {
            made: self.store.revision() + 1,
            partitions,
            replicas,
            configs: new.configs.clone(),
        };
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.contains_key(&new.name) {
            return refuse(Code::TopicAlreadyExists, "Topic already exists.");
        }
        let topic = open(&self.dir, &new.name, row).map_err(storage)?;
        self.store.put(&self.table, &new.name, json!(topic.row()));
        held.insert(new.name.clone(), Arc::new(topic));
        Ok(())
    }

    /// Removes a topic and its records; whether it was there.
    pub fn delete(&self, name: &str) -> bool {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let Some(topic) = held.remove(name) else {
            return false;
        };
        self.store.delete(&self.table, name);
        // What stays behind is removed on the next opening.
        let _ = std::fs::remove_dir_all(&topic.folder);
        true
    }

    /// Raises the number of partitions.
    pub fn grow(&self, name: &str, partitions: i32, only_check: bool) -> Result<(), TopicError> {
        self.change(name, only_check, |row| {
            if partitions <= row.partitions {
                let why = format!(
                    "The topic {name} currently has {} partition(s); {partitions} would not be \
                     an increase.",
                    row.partitions
                );
                return refuse(Code::InvalidPartitions, why);
            }
            if partitions > MOST_PARTITIONS {
                return refuse(Code::InvalidPartitions, "Number of partitions is invalid.");
            }
            row.partitions = partitions;
            Ok(())
        })
    }

    /// Changes configuration values; none goes back to the default.
    pub fn configure(
        &self,
        name: &str,
        changes: &[(String, Option<String>)],
        only_check: bool,
    ) -> Result<(), TopicError> {
        self.change(name, only_check, |row| {
            for (key, value) in changes {
                match value {
                    Some(value) => row.configs.insert(key.clone(), value.clone()),
                    None => row.configs.remove(key),
                };
            }
            check_configs(&row.configs)
        })
    }

    fn change(
        &self,
        name: &str,
        only_check: bool,
        change: impl FnOnce(&mut Row) -> Result<(), TopicError>,
    ) -> Result<(), TopicError> {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let Some(topic) = held.get(name) else {
            let why = "This server does not host this topic-partition.";
            return refuse(Code::UnknownTopicOrPartition, why);
        };
        let mut row = topic.row();
        change(&mut row)?;
        if only_check {
            return Ok(());
        }
        let mut logs = topic.logs.clone();
        for partition in topic.partitions()..row.partitions {
            logs.push(open_log(&topic.folder, partition).map_err(storage)?);
        }
        self.store.put(&self.table, name, json!(row));
        let changed = Topic {
            name: name.to_owned(),
            logs,
            replicas: row.replicas,
            configs: row.configs,
            folder: topic.folder.clone(),
            made: row.made,
        };
        held.insert(name.to_owned(), Arc::new(changed));
        Ok(())
    }
}

fn open(dir: &Path, name: &str, row: Row) -> io::Result<Topic> {
    let folder = dir.join(format!("{name}.{}", row.made));
    let logs = (0..row.partitions)
        .map(|partition| open_log(&folder, partition))
        .collect::<io::Result<_>>()?;
    Ok(Topic {
        name: name.to_owned(),
        logs,
        replicas: row.replicas,
        configs: row.configs,
        folder,
        made: row.made,
    })
}

fn open_log(folder: &Path, partition: i32) -> io::Result<Arc<Log>> {
    Log::open(&folder.join(format!("{partition}.log"))).map(Arc::new)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn storage(error: io::Error) -> TopicError {
    TopicError {
        code: Code::KafkaStorage,
        why: error.to_string(),
    }
}

fn check_name(name: &str) -> Result<(), TopicError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty()
        || name == "."
        || name == ".."
        || name.len() > 249
        || !name.chars().all(legal)
    {
        let why = format!(
            "Topic name is invalid: '{name}' contains one or more characters other than ASCII \
             alphanumerics, '.', '_' and '-'"
        );
        return refuse(Code::InvalidTopic, why);
    }
    Ok(())
}

fn check_configs(configs: &BTreeMap<String, String>) -> Result<(), TopicError> {
    for (name, value) in configs {
        let Some(default) = default_config(name) else {
            let why = format!("Unknown topic config name: {name}");
            return refuse(Code::InvalidConfig, why);
        };
        if default.parse::<i64>().is_ok() && value.parse::<i64>().is_err() {
            let why = format!("Invalid value {value} for configuration {name}: Not a number");
            return refuse(Code::InvalidConfig, why);
        }
    }
    Ok(())
}
