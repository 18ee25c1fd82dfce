//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{
    Arg, ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
};

use crate::plan::Plan;
use crate::ui::Format;

/// Take a Todo AI Chatbot from nothing to a verified deployment, and look after it
///
/// Without a profile everything happens in an embedded rehearsal world on this
/// machine: no account, no network, no cost.
#[derive(Debug, Parser)]
#[command(
    name = "todoctl",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
}

/// The id of `--set`.
const SET: &str = "set";

impl Cli {
    /// Reads the process's arguments.
    pub fn read() -> Result<Self, clap::Error> {
        let mut command = Self::whole();
        let matches = command.try_get_matches_from_mut(std::env::args_os())?;
        let cli = Self::from_arg_matches(&matches);
        let mut cli = cli.map_err(|error| error.format(&mut command))?;
        cli.global.set = sets(&matches);
        Ok(cli)
    }

    /// The command line with `--set` on every level. As a global argument of
    /// clap, what stands before a subcommand would be forgotten as soon as more
    /// of it stands behind.
    pub fn whole() -> clap::Command {
        let root = Self::command();
        let set = root.get_arguments().find(|arg| arg.get_id() == SET);
        let set = set.cloned();
        match set {
            Some(set) => spread(root, &set),
            None => root,
        }
    }
}

/// With an argument in each subcommand as well.
fn spread(command: clap::Command, arg: &Arg) -> clap::Command {
    command.mut_subcommands(|sub| spread(sub.arg(arg.clone()), arg))
}

/// All values of `--set`, as they stand on the command line.
fn sets(matches: &ArgMatches) -> Vec<String> {
    let own = matches.get_many::<String>(SET).into_iter().flatten();
    let mut all: Vec<String> = own.cloned().collect();
    if let Some((_, sub)) = matches.subcommand() {
        all.extend(sets(sub));
    }
    all
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Profile to use: sandbox, local, oke, oke-4x24, or the path of a file
    #[arg(
        short,
        long,
        global = true,
        env = "TODOCTL_PROFILE",
        default_value = "sandbox",
        value_name = "NAME|PATH"
    )]
    pub profile: String,
    /// Override one value of the profile; may be repeated
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Form of what goes to stdout
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub output: Format,
    /// Tell more; twice for every remote call
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Tell only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: ColorChoice,
    /// Print plain lines instead of live progress
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// Answer every question with yes
    #[arg(long, global = true)]
    pub yes: bool,
    /// Give up after this long, for instance 45m
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Whether the command streams JSON lines; set by the roof.
    #[arg(skip)]
    pub streams: bool,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the deployment as the profile says
    Up(UpArgs),
    /// Show what `up` would change
    Plan(PlanArgs),
    /// Remove everything that the deployment created
    Down(DownArgs),
    /// Prove that the deployment works
    Verify(super::verify::VerifyArgs),
    /// Show what a check means and how to mend what it finds
    Explain(super::verify::ExplainArgs),
    /// Show what exists
    Status,
    /// Show the logs of all replicas and sidecars, in order of time
    Logs(super::logs::LogsArgs),
    /// Show the revisions of the app's release, or of another
    History(super::history::HistoryArgs),
    /// Go back to a revision of the app's release, or of another
    Rollback(super::history::RollbackArgs),
    /// Set a service's number of pods, if they fit onto the nodes
    Scale(super::scale::ScaleArgs),
    /// Print a kubeconfig that needs no other tool
    Kubeconfig(KubeconfigArgs),
    /// Print a cluster token, as a kubectl credential plugin does
    Token(TokenArgs),
    /// Set, list and rotate the app's secrets
    Secrets(super::secrets::SecretsArgs),
    /// Run the embedded rehearsal world on its own
    Sandbox(super::sandbox::SandboxArgs),
    /// Watch, publish and survey events, by plain Kafka
    Events(super::events::EventsArgs),
    /// Print the manifests of the profile, or what a chart renders to
    Render(super::render::RenderArgs),
    /// Show which values line and template line made a field
    Why(WhyArgs),
    /// Show the effective profile, or where its values come from
    Profile(ProfileArgs),
    /// Print the JSON Schema of profiles
    Schema,
    /// Print a completion script
    Completions {
        /// Shell to complete in
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Print the version
    Version,
}

/// Arguments of `up`.
#[derive(Debug, Clone, Default, Args)]
pub struct UpArgs {
    /// Apply exactly this saved plan, or refuse when the world has moved
    #[arg(value_name = "PLAN")]
    pub file: Option<PathBuf>,
    /// Only show what would change
    #[arg(long, conflicts_with = "file")]
    pub dry_run: bool,
    /// Use another image for a service; may be repeated
    #[arg(long, value_name = "SERVICE=REF", value_parser = image)]
    pub image: Vec<String>,
    /// Go beyond the free allowance
    #[arg(long)]
    pub accept_cost: bool,
    /// Take over fields of the cluster's objects that others have set
    #[arg(long)]
    pub force_conflicts: bool,
    /// Do not prove afterwards that it works
    #[arg(long)]
    pub no_verify: bool,
    /// Only change steps of these phases; nothing is proved then
    #[arg(long, value_name = "PHASE", value_delimiter = ',')]
    pub only: Vec<Phase>,
    /// Change nothing in these phases
    #[arg(long, value_name = "PHASE", value_delimiter = ',')]
    pub skip: Vec<Phase>,
}

impl UpArgs {
    /// Whether it is to be proved that everything works: only when all of it
    /// was to be made.
    pub fn proves(&self) -> bool {
        !self.no_verify && self.only.is_empty() && self.skip.is_empty()
    }

    /// Leaves everything outside the wanted phases as it is.
    pub fn restrict(&self, plan: &mut Plan) {
        for step in &mut plan.steps {
            let phase = step.id.as_str().split('/').next().unwrap_or_default();
            let named = |phases: &[Phase]| phases.iter().any(|p| p.name() == phase);
            step.kept = named(&self.skip) || (!self.only.is_empty() && !named(&self.only));
        }
    }
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Network => "network",
            Self::Cluster => "cluster",
            Self::Kafka => "kafka",
            Self::Platform => "platform",
            Self::App => "app",
        }
    }
}

/// A named group of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Phase {
    /// The compartment
    Account,
    /// The virtual network
    Network,
    /// The cluster and its nodes
    Cluster,
    /// Kafka outside of the cluster: at Redpanda Cloud, or the topics of another
    Kafka,
    /// What the app needs inside the cluster
    Platform,
    /// The app itself
    App,
}

/// Arguments of `plan`.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// Use another image for a service; may be repeated
    #[arg(long, value_name = "SERVICE=REF", value_parser = image)]
    pub image: Vec<String>,
    /// Also change fields of the cluster's objects that others have set
    #[arg(long)]
    pub force_conflicts: bool,
    /// Exit with 4 when changes are pending
    #[arg(long)]
    pub exit_code: bool,
    /// Save the plan, for `up PLAN`
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Print the graph of steps in Graphviz' dot language instead
    #[arg(long, conflicts_with_all = ["exit_code", "save"])]
    pub dot: bool,
}

/// Arguments of `down`.
#[derive(Debug, Clone, Args)]
pub struct DownArgs {
    /// Remove what is inside the cluster, and keep the cluster
    #[arg(long)]
    pub keep_cluster: bool,
}

/// Arguments of `kubeconfig`.
#[derive(Debug, Clone, Args)]
pub struct KubeconfigArgs {
    /// Merge it into the user's kubeconfig instead of printing it
    #[arg(long)]
    pub write: bool,
}

/// Arguments of `token`.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// OCID of the cluster; by default the deployment's
    #[arg(long, value_name = "OCID")]
    pub cluster_id: Option<String>,
    /// Region of the cluster
    #[arg(long)]
    pub region: Option<String>,
    /// OCI configuration file to sign with
    #[arg(long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Section of the OCI configuration file
    #[arg(long, value_name = "NAME")]
    pub config_profile: Option<String>,
}

/// Arguments of `why`.
#[derive(Debug, Clone, Args)]
pub struct WhyArgs {
    /// The object
    #[arg(value_name = "KIND/NAME")]
    pub object: String,
    /// One of its fields, such as spec.replicas
    pub field: Option<String>,
    /// The chart and its values.
    #[command(flatten)]
    pub render: super::render::RenderArgs,
}

/// Arguments of `profile`.
#[derive(Debug, Clone, Args)]
pub struct ProfileArgs {
    /// Show where each value comes from
    #[arg(long)]
    pub explain: bool,
}

impl Command {
    /// Whether the command streams JSON lines with `-o json`.
    pub fn streams(&self) -> bool {
        matches!(self, Self::Up(args) if !args.dry_run)
            || matches!(self, Self::Down(_) | Self::Logs(_) | Self::Scale(_))
            || matches!(self, Self::Secrets(args) if args.rotates())
            || self.follows()
    }

    /// Whether being interrupted is how the command ends.
    pub fn follows(&self) -> bool {
        matches!(self, Self::Events(args) if args.follows())
            || matches!(self, Self::Verify(args) if args.watch)
            || matches!(self, Self::Sandbox(args) if args.follows())
    }
}

/// `backend=ghcr.io/acme/backend:1` as the `--set` argument that it stands for.
fn image(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((service, reference)) if !service.is_empty() && !reference.is_empty() => {
            Ok(format!("app.services.{service}.image={reference}"))
        }
        _ => Err("not SERVICE=REF, for instance backend=ghcr.io/acme/backend:1".to_owned()),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number
        .parse()
        .map_err(|_| "not a number with s, m or h, for instance 45m".to_owned())?;
    match unit {
        "" | "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        "h" => Ok(Duration::from_secs(number * 3600)),
        "d" => Ok(Duration::from_secs(number * 86_400)),
        _ => Err(format!("`{unit}` is not s, m, h or d")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_count_wherever_they_stand() {
        let line = "todoctl --set a=1 events --set b=2 topics --set c=3 --set d=4";
        let matches = Cli::whole().get_matches_from(line.split(' '));
        assert_eq!(sets(&matches), ["a=1", "b=2", "c=3", "d=4"]);
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::whole().debug_assert();
    }
}
