//! Rules about the sources themselves, so that the documents cannot rot.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Files that may be longer than [`LONGEST`], and why.
const LONG_FILES: &[(&str, &str)] = &[
    (
        "src/engine/run.rs",
        "planning, executing and destroying share their workers",
    ),
    (
        "src/helm/funcs/toml.rs",
        "one format, read and written as Go's library does",
    ),
    (
        "src/helm/template/exec.rs",
        "one evaluator: every kind of node and pipeline",
    ),
    ("src/helm/template/parser.rs", "one grammar"),
    (
        "src/helm/yaml11/compose.rs",
        "one stage of the YAML 1.1 reader",
    ),
    (
        "src/sandbox/kube/body.rs",
        "one reading of bodies, whatever their encoding",
    ),
    (
        "src/oci/call.rs",
        "the one way of a call: sign, send, tell failures apart, page",
    ),
    (
        "src/sandbox/oci/tests.rs",
        "the emulator's rules, one test each",
    ),
];

/// Above this a file needs a reason.
const LONGEST: usize = 600;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a folder, as paths from the root with `/`.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(root()).unwrap();
                found.push(relative.to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

fn sources(folder: &str) -> Vec<String> {
    let all = files(folder).into_iter();
    all.filter(|path| extension(path) == "rs").collect()
}

fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// A row of the floors table.
#[derive(Debug)]
struct Floor {
    /// `None` is the cellar.
    level: Option<u32>,
    /// Modules named one by one.
    named: BTreeSet<String>,
    /// Whole floors, lowest to highest.
    floors: Option<(u32, u32)>,
    everything: bool,
}

/// The floors table of `docs/architecture.md`, by module.
fn floors() -> BTreeMap<String, Floor> {
    let text = read("docs/architecture.md");
    let rows = text
        .lines()
        .skip_while(|line| !line.starts_with("| Floor | Module | Owns | May use |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut table = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [level, module, _, may_use] = cells.as_slice() else {
            panic!("a row of the floors table has not four cells: {row}");
        };
        let level = match *level {
            "cellar" => None,
            number => Some(number.parse().unwrap_or_else(|_| panic!("no floor: {row}"))),
        };
        let floor = Floor {
            level,
            named: quoted(may_use),
            floors: whole_floors(may_use),
            everything: may_use.starts_with("everything"),
        };
        let module = quoted(module).into_iter().next().unwrap_or_default();
        assert!(
            table.insert(module.clone(), floor).is_none(),
            "`{module}` has two rows in the floors table"
        );
    }
    assert!(
        !table.is_empty(),
        "docs/architecture.md has no floors table"
    );
    table
}

/// The words between backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    let parts = text.split('`').skip(1).step_by(2);
    parts.map(str::to_owned).collect()
}

/// Reads `floor 0` and `floors 0–3`.
fn whole_floors(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.split_once("floor")?;
    let rest = rest.trim_start_matches('s').trim_start();
    let word: String = rest
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '–')
        .collect();
    let (low, high) = word.split_once('–').unwrap_or((&word, &word));
    Some((low.parse().ok()?, high.parse().ok()?))
}

/// The modules that `src/lib.rs` declares.
fn modules() -> BTreeSet<String> {
    let text = read("src/lib.rs");
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    names.map(str::to_owned).collect()
}

/// Every use of one module by another: `(from, to)` with one place each.
fn edges(modules: &BTreeSet<String>) -> BTreeMap<(String, String), String> {
    let mut edges = BTreeMap::new();
    for path in sources("src") {
        let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut parts: Vec<&str> = inside.split('/').collect();
        if parts.last() == Some(&"mod") {
            parts.pop();
        }
        let from = parts[0].to_owned();
        if !modules.contains(&from) {
            continue;
        }
        let to_root = "super::".repeat(parts.len());
        for (number, line) in read(&path).lines().enumerate() {
            let code = line.trim_start();
            if code.starts_with("//") {
                continue;
            }
            for prefix in ["crate::", &to_root] {
                for (at, _) in code.match_indices(prefix) {
                    // `super::super::x` is no `super::x`, nor is `mycrate::x`.
                    let before = code[..at].chars().next_back();
                    if before.is_some_and(|c| c == ':' || c == '_' || c.is_alphanumeric()) {
                        continue;
                    }
                    let rest = &code[at + prefix.len()..];
                    for to in heads(rest) {
                        if modules.contains(&to) && to != from {
                            let place = format!("{path}:{}", number + 1);
                            edges.entry((from.clone(), to)).or_insert(place);
                        }
                    }
                }
            }
        }
    }
    edges
}

/// The first names of a path: one, or all of `{a::b, c}`.
fn heads(path: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        let chars = text.trim_start().chars();
        chars
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    match path.strip_prefix('{') {
        Some(group) => group.split(',').map(word).collect(),
        None => vec![word(path)],
    }
}

#[test]
fn modules_use_only_what_the_floors_table_lets_them() {
    let (table, modules) = (floors(), modules());
    let listed: BTreeSet<String> = table.keys().cloned().collect();
    assert_eq!(
        listed, modules,
        "the floors table and src/lib.rs list the same modules"
    );

    let edges = edges(&modules);
    let mut wrong = Vec::new();
    for ((from, to), place) in &edges {
        let row = &table[from];
        let by_floor = table[to]
            .level
            .zip(row.floors)
            .is_some_and(|(level, (low, high))| (low..=high).contains(&level));
        if !row.everything && !by_floor && !row.named.contains(to) {
            wrong.push(format!("{place}: `{from}` may not use `{to}`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_floors_table_declares_no_upward_and_no_unused_edge() {
    let table = floors();
    let edges = edges(&modules());
    for (module, row) in &table {
        for name in &row.named {
            let other = table
                .get(name)
                .unwrap_or_else(|| panic!("`{module}` may use `{name}`, which is no module"));
            let upward = row.level.zip(other.level).is_some_and(|(own, l)| l > own);
            assert!(!upward, "`{module}` may use `{name}`, which is above it");
            assert!(
                edges.contains_key(&(module.clone(), name.clone())),
                "`{module}` may use `{name}` but does not: strike it from the table"
            );
        }
        let own = row.level.unwrap_or(u32::MAX);
        let highest = row.floors.map_or(0, |(_, high)| high);
        assert!(
            own == 0 && highest == 0 || highest < own,
            "`{module}` may use floors up to {highest}, and is on floor {own}"
        );
    }
}

#[test]
fn every_file_of_the_behaviour_tests_is_part_of_the_binary() {
    let main = read("tests/it/main.rs");
    for path in sources("tests/it") {
        let inside = path.trim_start_matches("tests/it/");
        let module = inside.trim_end_matches(".rs").trim_end_matches("/mod");
        if module != "main" && !module.contains('/') {
            let line = format!("mod {module};");
            assert!(main.contains(&line), "tests/it/main.rs lacks `{line}`");
        }
    }
}

#[test]
fn a_long_file_has_a_reason() {
    for path in sources("src") {
        let lines = read(&path).lines().count();
        let known = LONG_FILES.iter().any(|(file, _)| *file == path);
        assert!(
            known || lines <= LONGEST,
            "{path} has {lines} lines: split it"
        );
    }
    for (file, _) in LONG_FILES {
        assert!(root().join(file).exists(), "{file} is gone: strike it");
    }
}

#[test]
fn what_is_left_to_do_names_its_issue() {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let text_file = |path: &String| matches!(extension(path), "rs" | "md" | "yaml" | "hbs");
    for folder in ["src", "tests/it", "docs", "profiles", "templates"] {
        for path in files(folder).into_iter().filter(text_file) {
            for (number, line) in read(&path).lines().enumerate() {
                let marked = line
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .any(|word| words.contains(&word));
                assert!(
                    !marked || line.contains('#'),
                    "{path}:{}: name the issue, such as #12",
                    number + 1
                );
            }
        }
    }
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let homes = ["home", "Users", "root"].map(|name| format!("/{name}/"));
    let checkout = root().to_str().unwrap().to_owned();
    let mut all: Vec<String> = ["src", "tests/it", "docs", "profiles", "templates", ".cargo"]
        .iter()
        .flat_map(|folder| files(folder))
        .collect();
    all.extend([".ci/run", "install.sh", "README.md", "Cargo.toml"].map(str::to_owned));
    for path in all {
        // A checkout such as `/app` is no telling name.
        let telling = checkout.matches('/').count() > 1;
        // A picture is no text, and may name places as well.
        let text = fs::read(root().join(&path)).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(!telling || !text.contains(&checkout), "{path}: {checkout}");
        for home in &homes {
            // In a URL it is a path of somebody's server, and behind a redacted
            // root it is a test's own folder.
            let found = text
                .match_indices(home.as_str())
                .any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == ']'));
            assert!(!found, "{path} names a place below {home}");
        }
    }
}

/// The packages of the `*dependencies` tables of `Cargo.toml`.
fn dependencies() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in read("Cargo.toml").lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if let Some((key, value)) = line.split_once('=').filter(|_| inside) {
            let renamed = value
                .split_once("package = \"")
                .and_then(|(_, rest)| rest.split_once('"'));
            let name = renamed.map_or(key.trim(), |(name, _)| name);
            if !name.starts_with('#') {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let text = read("docs/dependencies.md");
    let explained: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(
        dependencies(),
        explained,
        "Cargo.toml (left) and docs/dependencies.md (right) list the same crates"
    );
}
