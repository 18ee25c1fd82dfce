//! Settings: flags and environment, resolved once. The only place besides
//! `oci::config` that reads the environment.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use super::args::{ColorChoice, Global};
use super::error::{CliError, Result};
use crate::files;
use crate::journal::Holder;
use crate::names::DeploymentName;
use crate::ui::{Format, Progress, Ui, UiOptions};

/// What every command may read.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The printer.
    pub ui: Ui,
    /// The profile's name or path.
    pub profile: String,
    /// `--set` arguments.
    pub sets: Vec<String>,
    /// The longest that a run may take.
    pub timeout: Option<Duration>,
    /// `-v`, counted.
    pub verbose: u8,
    environment: BTreeMap<String, String>,
}

impl Settings {
    /// Resolves the global flags against the process's environment.
    pub(super) fn new(global: &Global) -> Self {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let color = |terminal| colored(global.color, &environment, terminal);
        let stderr_terminal = std::io::stderr().is_terminal();
        let dumb = environment.get("TERM").is_some_and(|term| term == "dumb");
        let progress = match global.output {
            Format::Json | Format::Yaml if !global.streams => Progress::Off,
            Format::Json => Progress::Json,
            _ if global.quiet => Progress::Off,
            _ if global.no_progress || !stderr_terminal || dumb || global.verbose > 0 => {
                Progress::Plain
            }
            _ => Progress::Live,
        };
        let ui = Ui::new(UiOptions {
            format: global.output,
            progress,
            color_stdout: color(std::io::stdout().is_terminal()),
            color_stderr: color(stderr_terminal),
            quiet: global.quiet,
            yes: global.yes,
        });
        Self {
            ui,
            profile: global.profile.clone(),
            sets: global.set.clone(),
            timeout: global.timeout,
            verbose: global.verbose,
            environment,
        }
    }

    /// The same settings for another profile, as a saved plan names it.
    #[must_use]
    pub(super) fn with_profile(&self, profile: &str, sets: &[String]) -> Self {
        Self {
            profile: profile.to_owned(),
            sets: sets.to_vec(),
            ..self.clone()
        }
    }

    /// The same settings with more `--set` arguments.
    #[must_use]
    pub(super) fn with_sets(&self, more: &[String]) -> Self {
        let sets = self.sets.iter().chain(more).cloned().collect();
        Self {
            sets,
            ..self.clone()
        }
    }

    /// A path as people write it: `~/…` where it is below the home folder.
    pub(super) fn shown(&self, path: &std::path::Path) -> String {
        let home = self.env("HOME").filter(|home| !home.is_empty());
        match home.and_then(|home| path.strip_prefix(home).ok()) {
            Some(rest) => format!("~/{}", rest.display()),
            None => path.display().to_string(),
        }
    }

    /// A variable of the environment.
    pub(super) fn env(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    /// The folder of all that todoctl remembers.
    pub(super) fn state_dir() -> Result<PathBuf> {
        files::state_dir().map_err(|error| {
            CliError::failed("cannot tell where to keep the deployment's state")
                .caused_by(&error)
                .hint("set HOME or XDG_STATE_HOME")
        })
    }

    /// The folder of one deployment. The profile's name is part of it: the
    /// rehearsal of a deployment is another deployment than the real one.
    pub(super) fn deployment_dir(&self, deployment: &DeploymentName) -> Result<PathBuf> {
        let profile = std::path::Path::new(&self.profile);
        let name = profile
            .file_stem()
            .map_or("profile".into(), |stem| stem.to_string_lossy());
        Ok(Self::state_dir()?
            .join("deployments")
            .join(format!("{deployment}@{name}")))
    }

    /// Who a run of this process is, for the lock.
    pub(super) fn holder(&self, command: &str, run: &str, since: String) -> Holder {
        let first = |names: &[&str]| {
            let mut found = names.iter().filter_map(|name| self.env(name));
            found.next().unwrap_or("unknown").to_owned()
        };
        let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
        Holder {
            command: command.to_owned(),
            pid: std::process::id(),
            user: first(&["USER", "LOGNAME", "USERNAME"]),
            host: match host.trim() {
                "" => first(&["HOSTNAME", "COMPUTERNAME"]),
                name => name.to_owned(),
            },
            since,
            run: run.to_owned(),
        }
    }
}

impl crate::oci::Env for Settings {
    fn get(&self, name: &str) -> Option<String> {
        self.env(name).map(str::to_owned)
    }
}

/// `--color`, `NO_COLOR`, `CLICOLOR_FORCE`, and whether it is a terminal.
fn colored(choice: ColorChoice, environment: &BTreeMap<String, String>, terminal: bool) -> bool {
    let set = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if set("NO_COLOR") => false,
        ColorChoice::Auto if set("CLICOLOR_FORCE") => {
            environment.get("CLICOLOR_FORCE").is_some_and(|v| v != "0")
        }
        ColorChoice::Auto => terminal && environment.get("TERM").is_none_or(|term| term != "dumb"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_flag_then_the_environment_then_the_terminal() {
        let env = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        assert!(colored(ColorChoice::Auto, &env(&[]), true));
        assert!(!colored(ColorChoice::Auto, &env(&[]), false));
        assert!(!colored(
            ColorChoice::Auto,
            &env(&[("NO_COLOR", "1")]),
            true
        ));
        assert!(colored(
            ColorChoice::Always,
            &env(&[("NO_COLOR", "1")]),
            false
        ));
        assert!(colored(
            ColorChoice::Auto,
            &env(&[("CLICOLOR_FORCE", "1")]),
            false
        ));
    }
}
