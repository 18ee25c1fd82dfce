//! The reference pages equal what the program says of itself, and every
//! command that a page shows does what the page says.
//!
//! `UPDATE_DOCS=1 cargo test --test it docs` writes the reference pages anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clap::{Arg, Command};
use tempfile::TempDir;
use todoctl::cli::{Cli, Exit};
use todoctl::profile;
use todoctl::sandbox::plan as faults;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares a generated page with its file, or writes it.
fn assert_page(path: &str, text: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        todoctl::files::write_atomic(&file, text.as_bytes(), todoctl::files::Access::Shared)
            .unwrap();
        return;
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == text,
        "{path} is out of date: run `UPDATE_DOCS=1 cargo test --test it docs`"
    );
}

#[test]
fn the_exit_codes_are_documented() {
    let mut page = String::from(
        "# Exit codes\n\nMade from `src/cli/exit.rs`.\n\n| code | meaning |\n| ---: | --- |\n",
    );
    for (exit, meaning) in Exit::ALL {
        let _ = writeln!(page, "| {} | {meaning} |", exit as u8);
    }
    assert_page("docs/reference/exit-codes.md", &page);
}

#[test]
fn the_profile_is_documented() {
    assert_page("docs/reference/profile.md", &profile::schema::reference());
    let schema = serde_json::to_string_pretty(&profile::schema::schema()).unwrap();
    assert_page("profiles/profile.schema.json", &(schema + "\n"));
}

#[test]
fn the_checks_of_verify_are_documented() {
    assert_page("docs/verify.md", &crate::verify::page());
}

#[test]
fn the_faults_of_the_sandbox_are_documented() {
    let mut page = String::from(
        "# Faults of the sandbox\n\n\
         Made from the sandbox's own tables. A fault is set while the sandbox runs and stays until it \
         is spent or cleared:\n\n\
         ```text\n\
         todoctl sandbox fault SYSTEM KIND [ARG] [--match 'METHOD PATH-GLOB'] [--nth N] [--times N]\n\
         todoctl sandbox fault list\n\
         todoctl sandbox fault clear\n\
         ```\n\n\
         `--match` chooses requests (`*` matches anything), `--nth` the first match that is hit, \
         `--times` how many are.\n",
    );
    for system in ["oci", "kube", "dapr", "app", "kafka", "redpanda"] {
        let _ = write!(
            page,
            "\n## {system}\n\n| kind | what happens, and its argument |\n| --- | --- |\n"
        );
        for (kind, meaning) in faults::kinds(system) {
            let _ = writeln!(page, "| `{kind}` | {} |", cell(meaning));
        }
    }
    assert_page("docs/reference/faults.md", &page);
}

#[test]
fn the_command_line_is_documented() {
    let mut root = Cli::whole();
    root.build();
    let mut page = String::from(
        "# Command line\n\nMade from the program's own help.\n\n\
         stdout is data; stderr is progress and prose. With `-o json` stdout is one JSON document, or \
         JSON lines where a command streams. How a command ends is in [exit codes](exit-codes.md).\n\n\
         ## Global options\n\n",
    );
    page += &table(&root, &[]);
    describe(&root, "todoctl", 2, &[&root], &mut page);
    assert_page("docs/reference/cli.md", &page);
}

/// A section for each visible subcommand, and for theirs.
fn describe(of: &Command, path: &str, level: usize, above: &[&Command], page: &mut String) {
    for command in of
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
    {
        let path = format!("{path} {}", command.get_name());
        let about = command.get_long_about().or(command.get_about());
        let about = about.map(ToString::to_string).unwrap_or_default();
        let usage = command.clone().render_usage().to_string();
        let _ = write!(
            page,
            "\n{} {path}\n\n{about}.\n\n```text\n{}\n```\n",
            "#".repeat(level),
            usage.trim_start_matches("Usage: ")
        );
        let rows = table(command, above);
        if !rows.is_empty() {
            let _ = write!(page, "\n{rows}");
        }
        if let Some(more) = command.get_after_help() {
            let _ = write!(page, "\n```text\n{}\n```\n", more.to_string().trim_end());
        }
        let above: Vec<&Command> = above.iter().copied().chain([command]).collect();
        describe(command, &path, level + 1, &above, page);
    }
}

/// The arguments of a command that those above it do not have.
fn table(command: &Command, above: &[&Command]) -> String {
    let inherited = |arg: &Arg| {
        above
            .iter()
            .flat_map(|command| command.get_arguments())
            .any(|other| {
                other.get_id() == arg.get_id() && (other.is_global_set() || arg.get_id() == "set")
            })
    };
    let generated = |arg: &Arg| matches!(arg.get_id().as_str(), "help" | "version");
    let rows: Vec<String> = command
        .get_arguments()
        .filter(|arg| !inherited(arg) && !generated(arg) && !arg.is_hide_set())
        .map(row)
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("| argument | meaning |\n| --- | --- |\n{}", rows.concat())
}

fn row(arg: &Arg) -> String {
    let values = arg.get_value_names().unwrap_or_default();
    let takes = arg.get_action().takes_values();
    let values = if takes {
        values.join(" ")
    } else {
        String::new()
    };
    let names: Vec<String> = [
        arg.get_short().map(|short| format!("-{short}")),
        arg.get_long().map(|long| format!("--{long}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let name = format!("{} {values}", names.join(", "));
    let mut meaning = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let possible: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|_| takes)
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !possible.is_empty() {
        let _ = write!(meaning, ": {}", possible.join(", "));
    }
    let defaults = arg.get_default_values().first().filter(|_| takes);
    if let Some(default) = defaults {
        let _ = write!(meaning, " (default `{}`)", default.to_string_lossy());
    }
    if let Some(variable) = arg.get_env() {
        let _ = write!(meaning, " (environment `{}`)", variable.to_string_lossy());
    }
    format!("| `{}` | {} |\n", cell(name.trim()), cell(&meaning))
}

/// Text inside a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut pages: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
        .iter()
        .map(|name| root().join(name))
        .collect();
    for folder in ["docs", "docs/guides", "docs/decisions", "docs/reference"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            pages.extend(path.extension().is_some_and(|e| e == "md").then_some(path));
        }
    }
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for (_, rest) in text
            .match_indices("](")
            .map(|(at, _)| text.split_at(at + 2))
        {
            let target = rest.split(')').next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || target.contains("://") {
                continue;
            }
            let at = page.parent().unwrap_or(Path::new(".")).join(file);
            assert!(at.exists(), "{}: {target} does not exist", page.display());
        }
    }
}

/// A home folder of its own, in which a page's commands run one after the
/// other.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Runs a command line without a shell; returns its exit code and what it
    /// printed.
    fn run(&self, line: &str) -> (i32, String) {
        let line = line.replacen("cargo run --release --", "todoctl", 1);
        let mut words = words(&line).into_iter();
        assert_eq!(
            words.next().as_deref(),
            Some("todoctl"),
            "only todoctl's own commands can be tested: {line}"
        );
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_todoctl"))
            .args(words)
            .env_clear()
            .env("HOME", self.0.path())
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let code = output.status.code().unwrap_or(-1);
        let text = [output.stdout, output.stderr].concat();
        (code, String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.run("todoctl sandbox stop");
    }
}

/// Splits at spaces, but not inside single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in line.split('\'').enumerate() {
        match number % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// A command of a page with what the page shows of its output.
struct Shown {
    command: String,
    exit: i32,
    lines: Vec<String>,
}

/// The commands of a page's `console` blocks. The block's `exit=N` is the exit
/// code of its commands, 0 without one.
fn shown(page: &str) -> Vec<Shown> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let mut all: Vec<Shown> = Vec::new();
    let mut block = None;
    for line in text.lines() {
        if let Some(fence) = line.strip_prefix("```") {
            block = fence.strip_prefix("console").map(|options| {
                let exit = options.trim().strip_prefix("exit=");
                exit.map_or(0, |code| code.parse().unwrap())
            });
        } else if let Some(exit) = block {
            if let Some(command) = line.strip_prefix("$ ") {
                all.push(Shown {
                    command: command.to_owned(),
                    exit,
                    lines: Vec::new(),
                });
            } else {
                let last = all.last_mut();
                let last = last.expect("a console block begins with `$ `");
                last.lines.push(line.to_owned());
            }
        }
    }
    all
}

/// A line without what differs from run to run: durations and the width of
/// columns.
fn essence(line: &str) -> String {
    let words: Vec<&str> = line
        .split_whitespace()
        .map(|word| if is_duration(word) { "TIME" } else { word })
        .collect();
    words.join(" ")
}

/// Whether a word is a duration as todoctl prints it: `0.4s`, `12s`, `3m05s`.
fn is_duration(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.ends_with(['s', 'm'])
        && word
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'h' | 'm' | 's'))
}

/// Runs the commands of a page in a home of their own. Lines that the page
/// shows must be among those printed, in any order (steps run at once); `...`
/// stands for what is left out.
fn assert_page_holds(page: &str) {
    // One rehearsal at a time: its clock is fast, so a machine that is short of
    // processors soon looks like a far side that is stuck.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let home = Home::new();
    let commands = shown(page);
    assert!(!commands.is_empty(), "{page} shows no command");
    for shown in commands {
        let (exit, printed) = home.run(&shown.command);
        assert_eq!(
            exit, shown.exit,
            "{page}: `{}` ended otherwise:\n{printed}",
            shown.command
        );
        let home_text = home.0.path().to_str().unwrap();
        let printed = printed.replace(home_text, "~");
        let printed: Vec<String> = printed.lines().map(essence).collect();
        for line in shown.lines.iter().filter(|line| line.trim() != "...") {
            assert!(
                printed.contains(&essence(line)),
                "{page}: `{}` does not print\n{line}\nbut\n{}",
                shown.command,
                printed.join("\n")
            );
        }
    }
}

#[test]
fn the_readme_tells_the_truth() {
    assert_page_holds("README.md");
}

#[test]
fn the_guide_to_the_sandbox_tells_the_truth() {
    assert_page_holds("docs/guides/sandbox.md");
}

#[test]
fn the_guide_to_tearing_down_tells_the_truth() {
    assert_page_holds("docs/guides/tearing-down.md");
}

#[test]
fn the_guide_to_troubleshooting_tells_the_truth() {
    assert_page_holds("docs/guides/troubleshooting.md");
}
