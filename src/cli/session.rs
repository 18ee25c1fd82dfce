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
use super::vault::Vault;
use crate::clock::Clock;
use crate::engine::{Engine, InspectError, Limits};
use crate::files;
use crate::journal::{Journal, RunLock};
use crate::k8s::Kube;
use crate::plan::{Graph, Plan};
use crate::profile::{self, Loaded, Profile, Sources};
use crate::secret::Secret;
use crate::steps::{self, Access, Cx, StepsError};
use crate::ui::Reporter;

/// How many steps may work on a system at once.
const AT_ONCE: [(&str, usize); 2] = [("oci", 8), ("kubernetes", 8)];

/// What a rehearsal's limits leave at least, in real time.
const REHEARSAL_FLOOR: Duration = Duration::from_secs(20);

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

/// A connection to the profile's cluster, found as `status` finds it.
pub(super) async fn cluster(settings: &Settings, cancel: CancellationToken) -> Result<Kube> {
    let session = Session::open(settings, cancel, Purpose::TearDown).await?;
    session.kube().await
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
        let graph = graph(settings, &profile, purpose)?;
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

    /// A connection to the deployment's cluster, for commands that only use
    /// it. Oracle is asked only if no earlier run on this machine has been
    /// there.
    pub(super) async fn kube(&self) -> Result<Kube> {
        let access = if let Some(access) = Access::remembered(&self.cx).await {
            Some(access)
        } else {
            let plan = self.plan().await?;
            let step = plan
                .steps
                .iter()
                .find(|step| step.id.as_str() == "cluster/access");
            step.and_then(|step| serde_json::from_value(step.live.clone()?).ok())
        };
        let Some(access) = access else {
            return Err(CliError::failed("the deployment has no cluster")
                .hint("make it with `todoctl up`, or name a profile that has one with -p"));
        };
        let kube = access.connect(&self.cx, &self.clock).await;
        kube.map_err(|error| CliError::from(error).about("cannot reach the cluster"))
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

/// The profile's steps; what is doubtful about it is told.
fn graph(settings: &Settings, profile: &Profile, purpose: Purpose) -> Result<Graph<Cx>> {
    if purpose == Purpose::TearDown {
        return steps::teardown_graph(profile).map_err(unfit);
    }
    let (graph, warnings) = steps::graph(profile).map_err(unfit)?;
    for warning in warnings {
        settings.ui.stderr(&warning.to_string());
    }
    Ok(graph)
}

/// The error of a profile that does not come to steps.
pub(super) fn unfit(error: StepsError) -> CliError {
    match error {
        StepsError::Resources(findings) => {
            CliError::usage("the Dapr resources of the profile cannot work; nothing was touched")
                .findings(findings)
        }
        error => CliError::failed("the steps do not fit together").caused_by(&error),
    }
}

/// Reads and checks the profile. What `secrets set` keeps goes before the
/// profile's own sources, and the command line before both.
pub(super) fn load(settings: &Settings) -> Result<Loaded> {
    let loaded = profile::load(&settings.profile, &settings.sets)?;
    let vault = vault(settings, &loaded)?;
    let kept: Vec<String> = vault
        .names()
        .filter(|name| loaded.profile.secrets.keys().any(|n| n.as_str() == *name))
        .map(|name| format!("secrets.{name}.value={}", stored(name)))
        .collect();
    if kept.is_empty() {
        return Ok(loaded);
    }
    let sets: Vec<String> = kept.into_iter().chain(settings.sets.clone()).collect();
    Ok(profile::load(&settings.profile, &sets)?)
}

/// The reference to a value that `secrets set` keeps.
pub(super) fn stored(name: &str) -> String {
    format!("${{secret:{name}}}")
}

fn vault(settings: &Settings, loaded: &Loaded) -> Result<Vault> {
    let dir = settings.deployment_dir(&loaded.profile.deployment)?;
    super::secrets::open(&dir)
}

/// Looks up the profile's references. A teardown needs no secrets.
pub(super) fn resolve(settings: &Settings, loaded: &Loaded, purpose: Purpose) -> Result<Profile> {
    let sources = Lookup {
        settings,
        vault: vault(settings, loaded)?,
    };
    Ok(match purpose {
        Purpose::Build => loaded.resolve(&sources)?,
        // What todoctl made at Redpanda Cloud it can only remove as itself;
        // everything else needs no secrets, and goes without this one.
        Purpose::TearDown => match loaded.resolve_section(&sources, "kafka.redpanda_cloud") {
            Ok(profile) => profile,
            Err(_) => loaded.resolve_without_secrets(&sources)?,
        },
    })
}

/// The same for a command that needs the secrets of one section only.
pub(super) fn resolve_section(
    settings: &Settings,
    loaded: &Loaded,
    section: &str,
) -> Result<Profile> {
    let sources = Lookup {
        settings,
        vault: vault(settings, loaded)?,
    };
    Ok(loaded.resolve_section(&sources, section)?)
}

/// The same, with a mark in the place of whatever cannot be looked up.
pub(super) fn resolve_what_is_there(settings: &Settings, loaded: &Loaded) -> Result<Profile> {
    let sources = Lenient(Lookup {
        settings,
        vault: vault(settings, loaded)?,
    });
    Ok(loaded.resolve(&sources)?)
}

/// What stands for a reference that leads nowhere. Nobody has it as a secret:
/// it cannot be typed.
const MISSING: &str = "\u{1}missing\u{1}";

/// Whether [`resolve_what_is_there`] found no value, or only a part of it.
pub(super) fn is_missing(value: &Secret) -> bool {
    value.expose().contains(MISSING)
}

struct Lookup<'a> {
    settings: &'a Settings,
    vault: Vault,
}

impl Sources for Lookup<'_> {
    fn env(&self, name: &str) -> Option<String> {
        self.settings.env(name).map(str::to_owned)
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        self.vault.get(name).cloned()
    }
}

struct Lenient<'a>(Lookup<'a>);

impl Sources for Lenient<'_> {
    fn env(&self, name: &str) -> Option<String> {
        Some(self.0.env(name).unwrap_or_else(|| MISSING.to_owned()))
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        Ok(self.0.file(path).unwrap_or_else(|_| MISSING.to_owned()))
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        Some(self.0.secret(name).unwrap_or_else(|| Secret::new(MISSING)))
    }
}
