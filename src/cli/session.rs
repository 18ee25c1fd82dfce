//! A session: the profile, the clients and the engine that a command works
//! with. `up`, `plan`, `down` and `status` differ only in what they do with it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::{CliError, Result};
use super::exit::Exit;
use super::settings::Settings;
use crate::clock::Clock;
use crate::engine::{Engine, InspectError, Limits};
use crate::files;
use crate::journal::{Journal, RunLock};
use crate::plan::Plan;
use crate::profile::{self, Loaded, Profile, Sources};
use crate::secret::Secret;
use crate::steps::{self, Cx};
use crate::ui::Reporter;

/// How many steps may work on a system at once.
const AT_ONCE: [(&str, usize); 2] = [("oci", 8), ("kubernetes", 8)];

/// What a rehearsal's limits leave at least, in real time.
const REHEARSAL_FLOOR: Duration = Duration::from_secs(5);

/// A command's world.
pub(super) struct Session {
    /// The profile with its references looked up.
    pub profile: Profile,
    /// What it is called in plans: the digest of the profile.
    pub digest: String,
    /// The folder of the deployment.
    pub dir: PathBuf,
    /// The run's name.
    pub run: String,
    /// Time, waits and cancellation.
    pub clock: Clock,
    /// The clients.
    pub cx: Arc<Cx>,
    /// The journal.
    pub journal: Arc<Journal>,
    /// Progress.
    pub reporter: Reporter,
    /// The engine over the profile's steps.
    pub engine: Engine<Cx>,
}

/// Why a session is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To look, or to make it so.
    Build,
    /// To remove it.
    TearDown,
}

impl Session {
    /// Opens a session: reads the profile, starts the embedded world if the
    /// profile wants it, reads credentials. Nothing is changed anywhere else.
    pub(super) async fn open(
        settings: &Settings,
        cancel: CancellationToken,
        purpose: Purpose,
    ) -> Result<Self> {
        let loaded = load(settings)?;
        for warning in &loaded.warnings {
            settings.ui.stderr(&warning.to_string());
        }
        let digest = loaded.profile.digest();
        let mut profile = resolve(settings, &loaded, purpose)?;
        for secret in profile.known_secrets() {
            settings.ui.learn(&secret);
        }
        let dir = settings.deployment_dir(&profile.deployment)?;
        super::sandbox::prepare(&mut profile).await?;

        let mut clock = Clock::new(profile.endpoints.clock_rate, cancel);
        if clock.rate() > 1.0 {
            clock = clock.with_floor(REHEARSAL_FLOOR);
        }
        let run = format!("r{:09.0}", clock.jitter() * 1e9);
        let journal = Arc::new(Journal::open(&dir, &run, clock.clone())?);
        let cx = Arc::new(Cx::new(
            &profile,
            &dir,
            &clock,
            settings,
            purpose == Purpose::TearDown,
        )?);
        let graph = steps::graph(&profile)
            .map_err(|error| CliError::failed("the steps do not fit together").caused_by(&error))?;
        let reporter = Reporter::new(&settings.ui, &clock);
        let engine = Engine::new(
            graph,
            cx.clone(),
            clock.clone(),
            journal.clone(),
            Limits::new(4, &AT_ONCE),
            reporter.sink(),
        );
        Ok(Self {
            profile,
            digest,
            dir,
            run,
            clock,
            cx,
            journal,
            reporter,
            engine,
        })
    }

    /// Takes the deployment's lock for a command.
    pub(super) fn lock(&self, settings: &Settings, command: &str) -> Result<RunLock> {
        files::create_dir(&self.dir, files::Access::Private)?;
        let holder = settings.holder(command, &self.run, self.clock.now().to_string());
        match RunLock::take(&self.dir, &holder)? {
            Ok(lock) => Ok(lock),
            Err(Some(holder)) => Err(CliError::new(
                Exit::Locked,
                format!(
                    "`todoctl {}` works on deployment `{}` since {} (process {} of {} on {})",
                    holder.command,
                    self.profile.deployment,
                    holder.since,
                    holder.pid,
                    holder.user,
                    holder.host
                ),
            )
            .hint("wait until it ends, then run the same command again")),
            Err(None) => Err(CliError::new(
                Exit::Locked,
                format!(
                    "another run has just begun on deployment `{}`",
                    self.profile.deployment
                ),
            )
            .hint("wait until it ends, then run the same command again")),
        }
    }

    /// Runs something within the user's time limit; then it is cancelled, as
    /// an interrupt would.
    pub(super) async fn within<T>(
        &self,
        limit: Option<Duration>,
        work: impl Future<Output = T>,
    ) -> T {
        let Some(limit) = limit else {
            return work.await;
        };
        let watch = async {
            if self.clock.sleep(limit).await.is_ok() {
                self.reporter
                    .say("the time limit has passed: waiting for a safe point");
                self.clock.cancellation().cancel();
            }
            futures::future::pending::<()>().await;
        };
        tokio::select! {
            result = work => result,
            () = watch => unreachable!("invariant: the watch never ends"),
        }
    }

    /// Looks at everything.
    pub(super) async fn plan(&self) -> Result<Plan> {
        self.engine
            .plan()
            .await
            .map_err(|InspectError { failures }| {
                let mut failures = failures.into_iter();
                let Some((step, error)) = failures.next() else {
                    return CliError::failed("cannot look at the deployment");
                };
                let more = failures.count();
                let error = CliError::from(error)
                    .about(&format!("cannot look at {step}; nothing was touched"));
                match more {
                    0 => error,
                    n => error.note(format!("{n} other step(s) could not be looked at either")),
                }
            })
    }
}

/// Reads and checks the profile.
pub(super) fn load(settings: &Settings) -> Result<Loaded> {
    Ok(profile::load(&settings.profile, &settings.sets)?)
}

/// Looks up the profile's references. A teardown needs no secrets.
pub(super) fn resolve(settings: &Settings, loaded: &Loaded, purpose: Purpose) -> Result<Profile> {
    let sources = Lookup(settings);
    Ok(match purpose {
        Purpose::Build => loaded.resolve(&sources)?,
        Purpose::TearDown => loaded.resolve_without_secrets(&sources)?,
    })
}

/// Looks up the references of a command that needs the secrets of one section
/// only.
pub(super) fn resolve_section(
    settings: &Settings,
    loaded: &Loaded,
    section: &str,
) -> Result<Profile> {
    Ok(loaded.resolve_section(&Lookup(settings), section)?)
}

struct Lookup<'a>(&'a Settings);

impl Sources for Lookup<'_> {
    fn env(&self, name: &str) -> Option<String> {
        self.0.env(name).map(str::to_owned)
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn secret(&self, _: &str) -> Option<Secret> {
        None
    }
}
