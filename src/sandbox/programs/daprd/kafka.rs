//! `pubsub.kafka`: the component's rules, and a bus to the broker that its
//! addresses lead to.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use super::super::super::kafka::{Client, ClientError, Code, Mechanism, Place, Record};
use super::super::brokers::{self, Entry};
use super::super::{Process, ids};
use super::bus::{Bus, BusError, Claim, Message};

/// What a component says.
#[derive(Debug, Clone)]
struct Settings {
    brokers: Vec<String>,
    /// User, password and mechanism.
    login: Option<(String, String, Mechanism)>,
    tls: bool,
    ca: String,
    skip_verify: bool,
    group: String,
    oldest: bool,
}

/// A broker, as one app uses it.
pub(super) struct Kafka {
    process: Process,
    settings: Settings,
    /// The connection, made again after an error.
    client: Mutex<Option<(Client, Entry)>>,
}

impl Settings {
    fn read(fields: &BTreeMap<String, String>, app_id: &str) -> Result<Self, String> {
        let get = |name: &str| {
            let found = fields
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name));
            found
                .map(|(_, value)| value.as_str())
                .filter(|value| !value.is_empty())
        };
        let truth = |name: &str| matches!(get(name), Some("true" | "True" | "TRUE" | "1"));
        let brokers = get("brokers").ok_or("kafka error: missing 'brokers' attribute")?;
        let auth = get("authType").map(str::to_ascii_lowercase);
        let auth = auth.ok_or("kafka error: 'authType' attribute was missing or empty")?;
        let login = match auth.as_str() {
            "none" => None,
            "password" => {
                let user = get("saslUsername");
                let user =
                    user.ok_or("kafka error: missing SASL Username for authType 'password'")?;
                let password = get("saslPassword");
                let password =
                    password.ok_or("kafka error: missing SASL Password for authType 'password'")?;
                // Any other text means PLAIN, without a word.
                let mechanism = match get("saslMechanism") {
                    Some("SHA-256") => Mechanism::Sha256,
                    Some("SHA-512") => Mechanism::Sha512,
                    _ => Mechanism::Plain,
                };
                Some((user.to_owned(), password.to_owned(), mechanism))
            }
            "mtls" | "certificate" | "oidc" | "oidc_private_key_jwt" | "awsiam" => {
                return Err(format!(
                    "kafka error: authType '{auth}' is not part of the rehearsal"
                ));
            }
            _ => return Err("kafka error: invalid value for 'authType' attribute".to_owned()),
        };
        let ca = get("caCert").unwrap_or_default();
        if !ca.is_empty() && !ca.contains("BEGIN CERTIFICATE") {
            return Err("kafka error: invalid ca certificate".to_owned());
        }
        let oldest = match get("initialOffset") {
            None | Some("newest") => false,
            Some("oldest") => true,
            Some(other) => return Err(format!("kafka error: invalid initialOffset: {other}")),
        };
        let group = get("consumerGroup").or(get("consumerID")).unwrap_or(app_id);
        Ok(Self {
            brokers: brokers
                .split(',')
                .map(|broker| broker.trim().to_owned())
                .collect(),
            tls: login.is_some() && !truth("disableTls"),
            login,
            ca: ca.trim().to_owned(),
            skip_verify: truth("skipVerify"),
            group: group.to_owned(),
            oldest,
        })
    }
}

fn unreachable(cause: &str) -> BusError {
    BusError {
        text: format!("kafka: client has run out of available brokers to talk to: {cause}"),
        passes: true,
    }
}

/// What Dapr's client says about an answer.
fn worded(error: &ClientError) -> BusError {
    let server = |text: &str, passes| BusError {
        text: format!("kafka server: {text}"),
        passes,
    };
    match error {
        ClientError::Away => unreachable("dial tcp: connect: connection refused"),
        ClientError::Dropped => unreachable("EOF"),
        ClientError::Denied => unreachable("kafka server: SASL Authentication failed"),
        ClientError::Refused(code) => match code {
            Code::UnknownTopicOrPartition => server(
                "Request was for a topic or partition that does not exist on this broker",
                false,
            ),
            Code::TopicAuthorizationFailed => {
                server("The client is not authorized to access this topic", false)
            }
            Code::GroupAuthorizationFailed => {
                server("The client is not authorized to access this group", false)
            }
            Code::LeaderNotAvailable | Code::NotLeaderOrFollower => server(
                "In the middle of a leadership election, there is currently no leader for this \
                 partition and hence it is unavailable for writes",
                true,
            ),
            other => server(&format!("{other:?}"), false),
        },
    }
}

impl Kafka {
    /// Connects, as the component's initialisation does: it fails when no
    /// broker can be talked to.
    pub(super) fn open(
        process: &Process,
        fields: &BTreeMap<String, String>,
        app_id: &str,
    ) -> Result<Self, String> {
        let kafka = Self {
            process: process.clone(),
            settings: Settings::read(fields, app_id)?,
            client: Mutex::new(None),
        };
        kafka.connect().map_err(|error| error.text)?;
        Ok(kafka)
    }

    fn connect(&self) -> Result<Client, BusError> {
        let held = |client: &Mutex<Option<(Client, Entry)>>| {
            let client = client
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            client.as_ref().map(|(client, _)| client.clone())
        };
        if let Some(client) = held(&self.client) {
            return Ok(client);
        }
        let mut last = "no brokers".to_owned();
        for address in &self.settings.brokers {
            match self.dial(address) {
                Ok((client, entry)) => {
                    let mut held = self
                        .client
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    *held = Some((client.clone(), entry));
                    return Ok(client);
                }
                Err(why) => last = why,
            }
        }
        Err(unreachable(&last))
    }

    /// The broker behind an address, if it speaks as the component expects.
    fn dial(&self, address: &str) -> Result<(Client, Entry), String> {
        let socket = self.socket(address)?;
        let entry = brokers::find(socket)
            .ok_or_else(|| format!("dial tcp {address}: connect: connection refused"))?;
        match (self.settings.tls, entry.tls) {
            (true, false) => {
                return Err("tls: first record does not look like a TLS handshake".to_owned());
            }
            (false, true) => return Err("EOF".to_owned()),
            (true, true) => self.verify(&entry)?,
            (false, false) => {}
        }
        let client = match (&self.settings.login, entry.sasl) {
            (Some((user, password, mechanism)), true) => {
                Client::login(&entry.broker, *mechanism, user, password)
                    .map_err(|error| worded_cause(&error))?
            }
            (None, true) => return Err("EOF".to_owned()),
            _ => Client::anonymous(&entry.broker),
        };
        if entry.broker.is_away() {
            return Err(format!("dial tcp {address}: connect: connection refused"));
        }
        Ok((client, entry))
    }

    fn verify(&self, entry: &Entry) -> Result<(), String> {
        let Some(ca) = &entry.ca_pem else {
            return Ok(());
        };
        if self.settings.skip_verify || self.settings.ca.contains(ca.trim()) {
            return Ok(());
        }
        Err(
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
                .to_owned(),
        )
    }

    /// Where an address leads: inside the cluster first, then outside.
    fn socket(&self, address: &str) -> Result<SocketAddr, String> {
        let (host, port) = super::options::host_port(address)
            .ok_or_else(|| format!("address {address}: missing port in address"))?;
        let net = &self.process.net;
        match net.endpoint(&self.process.namespace, host, port) {
            Ok((pod, port)) => {
                if let Some(socket) = net.socket(pod, port) {
                    return Ok(socket);
                }
                let direct = SocketAddr::from((pod, port));
                match brokers::find(direct) {
                    Some(_) => Ok(direct),
                    None => Err(format!("dial tcp {address}: connect: connection refused")),
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let unknown = || format!("dial tcp: lookup {host}: no such host");
                let all: Vec<SocketAddr> = (host, port)
                    .to_socket_addrs()
                    .map_err(|_| unknown())?
                    .collect();
                let ours = all.iter().find(|at| brokers::find(**at).is_some());
                ours.or(all.first()).copied().ok_or_else(unknown)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// An answer, or the end of this connection.
    fn heard<T>(&self, answer: Result<T, ClientError>) -> Result<T, BusError> {
        answer.map_err(|error| {
            if matches!(error, ClientError::Away | ClientError::Dropped) {
                let mut held = self
                    .client
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                *held = None;
            }
            worded(&error)
        })
    }
}

fn worded_cause(error: &ClientError) -> String {
    match error {
        ClientError::Denied => "kafka server: SASL Authentication failed".to_owned(),
        other => other.to_string(),
    }
}

#[async_trait]
impl Bus for Kafka {
    async fn publish(
        &self,
        topic: &str,
        partition: Option<i32>,
        message: Message,
    ) -> Result<(i32, i64), BusError> {
        let client = self.connect()?;
        let place = match (partition, &message.key) {
            (Some(partition), _) => Place::Partition(partition),
            (None, Some(_)) => Place::Key,
            (None, None) => {
                let partitions = self.heard(client.bounds(topic).await)?.len() as u64;
                Place::Partition(i32::try_from(ids::below(partitions)).unwrap_or(0))
            }
        };
        let record = Record {
            offset: 0,
            time: self.process.world.clock.now().as_millisecond(),
            key: message.key,
            value: Some(message.value),
            headers: message.headers,
        };
        self.heard(client.append(topic, place, record).await)
    }

    async fn bounds(&self, topic: &str) -> Result<Vec<(i64, i64)>, BusError> {
        self.heard(self.connect()?.bounds(topic).await)
    }

    async fn fetch(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        wait: Duration,
    ) -> Result<(Vec<Message>, i64), BusError> {
        let answer = self.connect()?.fetch(topic, partition, offset, wait).await;
        let (records, next) = self.heard(answer)?;
        let message = |record: Record| Message {
            key: record.key,
            value: record.value.unwrap_or_default(),
            headers: record.headers,
            offset: record.offset,
            time: record.time,
        };
        Ok((records.into_iter().map(message).collect(), next))
    }

    async fn committed(&self, topic: &str, partition: i32) -> Result<Option<i64>, BusError> {
        let group = &self.settings.group;
        self.heard(self.connect()?.committed(group, topic, partition).await)
    }

    async fn commit(&self, topic: &str, partition: i32, offset: i64) -> Result<(), BusError> {
        let group = &self.settings.group;
        self.heard(
            self.connect()?
                .commit(group, topic, partition, offset)
                .await,
        )
    }

    async fn claim(&self, topic: &str, partition: i32) -> Claim {
        let entry = {
            let held = self
                .client
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            held.as_ref().map(|(_, entry)| entry.clone())
        };
        match entry {
            Some(entry) => {
                let group = &self.settings.group;
                Box::new(brokers::claim(&entry.broker, group, topic, partition).await)
            }
            None => Box::new(()),
        }
    }

    fn starts_at_oldest(&self) -> bool {
        self.settings.oldest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&str, &str)]) -> Result<Settings, String> {
        let fields = fields
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Settings::read(&fields.collect(), "backend")
    }

    #[test]
    fn what_is_missing_is_said_in_daprs_words() {
        let login = [
            ("brokers", "b:9092"),
            ("authType", "password"),
            ("saslUsername", "u"),
        ];
        for (fields, why) in [
            (&[][..], "kafka error: missing 'brokers' attribute"),
            (
                &login[..1],
                "kafka error: 'authType' attribute was missing or empty",
            ),
            (
                &login[..2],
                "kafka error: missing SASL Username for authType 'password'",
            ),
            (
                &login[..3],
                "kafka error: missing SASL Password for authType 'password'",
            ),
        ] {
            assert_eq!(read(fields).unwrap_err(), why);
        }
    }

    #[test]
    fn only_two_texts_mean_scram() {
        for (text, mechanism) in [
            ("SHA-256", Mechanism::Sha256),
            ("SHA-512", Mechanism::Sha512),
            ("SCRAM-SHA-256", Mechanism::Plain),
            ("sha-256", Mechanism::Plain),
        ] {
            let fields = [
                ("brokers", "b:9092"),
                ("authType", "password"),
                ("saslUsername", "u"),
                ("saslPassword", "p"),
                ("saslMechanism", text),
            ];
            let settings = read(&fields).unwrap();
            assert_eq!(settings.login.unwrap().2, mechanism, "{text}");
            assert!(settings.tls);
            assert_eq!(settings.group, "backend");
        }
    }
}
