//! `todoctl events`: watch, publish and survey events, by plain Kafka.

mod publish;
mod tail;
mod topics;

use clap::{Args, Subcommand};
use tokio_util::sync::CancellationToken;

use super::error::{CliError, Result};
use super::exit::Exit;
use super::session;
use super::settings::Settings;
use crate::backbone::{self, BackboneError};
use crate::clock::Clock;
use crate::kafka::{self, Client};
use crate::profile::Profile;

/// Arguments of `events`.
#[derive(Debug, Clone, Args)]
pub struct EventsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Show events as they come, or from a place in the past
    Tail(tail::TailArgs),
    /// Publish one event
    Publish(publish::PublishArgs),
    /// Show topics, their partitions and leaders, and how far behind consumers are
    Topics,
}

impl EventsArgs {
    /// Whether it goes on until it is interrupted.
    pub fn follows(&self) -> bool {
        matches!(self.command, Command::Tail(_))
    }
}

/// Runs `todoctl events`.
pub(super) async fn run(
    settings: &Settings,
    args: &EventsArgs,
    cancel: CancellationToken,
) -> Result {
    let loaded = session::load(settings)?;
    let mut profile = session::resolve_section(settings, &loaded, "kafka")?;
    super::sandbox::prepare(&mut profile).await?;
    for secret in profile.known_secrets() {
        settings.ui.learn(&secret);
    }
    // Brokers live in real time, whatever a rehearsal's clock does.
    let clock = Clock::new(1.0, cancel);
    let client = connect(settings, &profile, &clock).await?;
    match &args.command {
        Command::Tail(args) => tail::run(settings, args, &profile, &client, &clock).await,
        Command::Publish(args) => publish::run(settings, args, &profile, &client).await,
        Command::Topics => topics::run(settings, &profile, &client).await,
    }
}

async fn connect(settings: &Settings, profile: &Profile, clock: &Clock) -> Result<Client> {
    let kube = match backbone::is_inside(profile) {
        true => Some(session::cluster(settings, clock.cancellation().clone()).await?),
        false => None,
    };
    let client = backbone::reach(profile, kube.as_ref(), clock).await?;
    Ok(match settings.timeout {
        Some(limit) => client.with_patience(limit),
        None => client,
    })
}

/// The names of the profile's topics.
fn topics_of(profile: &Profile) -> Vec<String> {
    let topics = profile.kafka.topics.iter();
    topics.map(|topic| topic.name.to_string()).collect()
}

impl From<kafka::Error> for CliError {
    fn from(error: kafka::Error) -> Self {
        if matches!(error, kafka::Error::Cancelled(_)) {
            return Self::new(Exit::Interrupted, "interrupted");
        }
        let hint = error.hint();
        let mut this = Self::failed(error.to_string());
        if let Some(cause) = std::error::Error::source(&error) {
            this = this.caused_by(cause);
        }
        match hint {
            Some(hint) => this.hint(hint),
            None => this,
        }
    }
}

impl From<BackboneError> for CliError {
    fn from(error: BackboneError) -> Self {
        let this = match error {
            BackboneError::Client(error) => return error.into(),
            BackboneError::Address(_) | BackboneError::NoPassword => {
                Self::usage("there is no way to Kafka")
            }
            _ => Self::failed("there is no way to Kafka"),
        };
        let this = this.caused_by(&error);
        match error.hint() {
            Some(hint) => this.hint(hint),
            None => this,
        }
    }
}
