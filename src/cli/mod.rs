//! The roof: arguments, settings, one file a command, errors to exit codes.

#[cfg(unix)]
mod animate;
mod args;
mod chart;
mod down;
mod error;
mod events;
mod exit;
mod history;
mod kubeconfig;
mod logs;
mod plan;
mod profile;
mod sandbox;
mod scale;
mod secrets;
mod session;
mod settings;
mod status;
mod summary;
mod up;
mod vault;
mod verify;

pub use args::Cli;
pub use exit::Exit;

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use self::args::Command;
use self::error::{CliError, Result};
use self::settings::Settings;
use crate::ui::Ui;

pub mod render;

/// Runs todoctl with the process's arguments and environment.
pub fn main() -> ExitCode {
    let mut cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, and go to stdout.
            let _ = error.print();
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            return exit.into();
        }
    };
    cli.global.streams = cli.command.streams();
    let settings = Settings::new(&cli.global);
    match dispatch(&settings, cli.command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            if error.exit() != Exit::Done {
                error.print(&settings.ui);
            }
            error.exit().into()
        }
    }
}

fn dispatch(settings: &Settings, command: Command) -> Result {
    match command {
        // These need neither a runtime nor a connection.
        Command::Version => version(&settings.ui),
        Command::Schema => profile::schema(settings),
        Command::Profile(args) => profile::run(settings, &args),
        Command::Completions { shell } => completions(&settings.ui, shell),
        Command::Man => man(&settings.ui),
        Command::Explain(args) => verify::explain(settings, &args),
        other => with_runtime(settings, other),
    }
}

fn with_runtime(settings: &Settings, command: Command) -> Result {
    // Installing fails only when somebody has installed one before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    trace(settings);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::failed("cannot start").caused_by(&error))?;
    let follows = command.follows();
    let result = runtime.block_on(async {
        let cancel = CancellationToken::new();
        tokio::select! {
            result = run(settings, command, cancel.clone()) => result,
            () = interrupted(settings, &cancel, follows) => Ok(Exit::Interrupted),
        }
    });
    // What still runs has nothing to finish; one that does not give way must
    // not keep the process.
    runtime.shutdown_timeout(LEFTOVERS);
    result
}

/// How long tasks that are still running get to give way at the end.
const LEFTOVERS: std::time::Duration = std::time::Duration::from_secs(1);

async fn run(settings: &Settings, command: Command, cancel: CancellationToken) -> Result {
    match command {
        Command::Up(args) => Box::pin(up::run(settings, &args, cancel)).await,
        Command::Plan(args) => Box::pin(plan::run(settings, &args, cancel)).await,
        Command::Down(args) => Box::pin(down::run(settings, &args, cancel)).await,
        Command::Verify(args) => Box::pin(verify::run(settings, &args, cancel)).await,
        Command::Status => Box::pin(status::run(settings, cancel)).await,
        Command::Logs(args) => Box::pin(logs::run(settings, &args, cancel)).await,
        Command::History(args) => Box::pin(history::history(settings, &args, cancel)).await,
        Command::Rollback(args) => Box::pin(history::rollback(settings, &args, cancel)).await,
        Command::Scale(args) => Box::pin(scale::run(settings, &args, cancel)).await,
        Command::Kubeconfig(args) => Box::pin(kubeconfig::run(settings, &args, cancel)).await,
        Command::Token(args) => Box::pin(kubeconfig::token(settings, &args)).await,
        Command::Events(args) => Box::pin(events::run(settings, &args, cancel)).await,
        Command::Secrets(args) => Box::pin(secrets::run(settings, args, cancel)).await,
        Command::Render(args) => Box::pin(chart::render(settings, args, cancel)).await,
        Command::Why(args) => Box::pin(chart::why(settings, args, cancel)).await,
        Command::Sandbox(args) => Box::pin(sandbox::command(settings, args, cancel)).await,
        _ => Ok(Exit::Done),
    }
}

/// The first signal asks the run to reach a safe point; the second ends it on
/// the spot, with the journal intact. A command that `follows` something has
/// nothing to say about it: this is how it ends.
async fn interrupted(settings: &Settings, cancel: &CancellationToken, follows: bool) {
    signal().await;
    cancel.cancel();
    if !follows {
        settings
            .ui
            .stderr("interrupted: waiting for a safe point (once more to stop at once)");
    }
    signal().await;
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

#[cfg(not(unix))]
async fn signal() {
    drop(tokio::signal::ctrl_c().await);
}

/// `-vv` shows every remote call, without credentials or bodies.
fn trace(settings: &Settings) {
    use tracing_subscriber::EnvFilter;
    let level = match settings.verbose {
        0 | 1 => return,
        2 => "todoctl=debug",
        _ => "todoctl=trace,kube=debug",
    };
    let writer = {
        let ui = settings.ui.clone();
        move || LineWriter {
            ui: ui.clone(),
            text: Vec::new(),
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_ansi(settings.ui.options().color_stderr)
        .with_writer(writer)
        .init();
}

/// Collects one event and prints it through the printer, which redacts it.
struct LineWriter {
    ui: Ui,
    text: Vec<u8>,
}

impl std::io::Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.ui.stderr(&String::from_utf8_lossy(&self.text));
        }
    }
}

fn version(ui: &Ui) -> Result {
    let version = env!("CARGO_PKG_VERSION");
    ui.document(&serde_json::json!({"version": version}), || {
        format!("todoctl {version}")
    })?;
    Ok(Exit::Done)
}

fn completions(ui: &Ui, shell: clap_complete::Shell) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::whole(), "todoctl", &mut script);
    ui.data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

fn man(ui: &Ui) -> Result {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::whole()).render(&mut page)?;
    ui.data(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Done)
}
