//! The fuzz targets, bounded: seeds out of the template corpus, changed at
//! random. `FUZZ_SECONDS` runs each target for that long, with other changes
//! each time.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::Rng as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Inputs of one target when no time is given.
const INPUTS: usize = 60;
/// No input may take longer, on whatever machine.
const LONGEST: Duration = Duration::from_secs(20);

/// Pieces that mean something to some reader.
const TOKENS: &[&str] = &[
    "{{",
    "}}",
    "{{-",
    "-}}",
    "(",
    ")",
    "|",
    ":=",
    "=",
    ",",
    ".",
    "$",
    "\"",
    "`",
    "'",
    "\\",
    "\n",
    "---\n",
    "- ",
    ": ",
    "? ",
    "&a ",
    "*a",
    "<<: ",
    "[",
    "]",
    "{",
    "}",
    "!!binary ",
    "|-\n",
    ">+\n",
    "range ",
    "end",
    "else",
    "if ",
    "with ",
    "define ",
    "block ",
    "template ",
    "include ",
    "tpl ",
    "break",
    "nil",
    "true",
    "1e9",
    "-1",
    "9223372036854775807",
    "0x",
    "%",
    "%[1]*d",
    "\u{0}",
    "\u{fffd}",
    "\t",
    "toYaml ",
    "fromYaml ",
    "printf ",
    "until ",
    "repeat 99999 ",
    "index ",
    "regexReplaceAll ",
    "semverCompare ",
    "date ",
    "dict ",
    "set ",
    "merge ",
    "entries:\n",
    "version: 1.0.0\n",
    "urls: [x]\n",
];

fn seeds() -> Vec<Vec<u8>> {
    let mut found = vec![Vec::new()];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut folders: Vec<PathBuf> = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::metadata(&path).unwrap().len() < 8192 {
                found.push(fs::read(path).unwrap());
            }
        }
    }
    found.sort();
    let files = [
        "apiVersion: v2\nname: c\nversion: 1.0.0\n",
        "a: 1\n",
        "{{ .Values.a }}\n",
    ];
    found.push(files.join("\u{0}").into_bytes());
    found
}

/// A seed with a few changes.
fn changed(seeds: &[Vec<u8>], rng: &mut TestRng) -> Vec<u8> {
    let below = |rng: &mut TestRng, n: usize| rng.next_u32() as usize % n.max(1);
    let mut text = seeds[below(rng, seeds.len())].clone();
    for _ in 0..=below(rng, 6) {
        let (at, to) = (below(rng, text.len() + 1), below(rng, text.len() + 1));
        let (from, to) = (at.min(to), at.max(to));
        match below(rng, 5) {
            0 => drop(text.drain(from..to.min(from + 16))),
            1 => drop(text.splice(at..at, TOKENS[below(rng, TOKENS.len())].bytes())),
            2 => {
                let copied = text[from..to.min(from + 64)].to_vec();
                let times = 1 + below(rng, 4);
                drop(text.splice(at..at, copied.repeat(times)));
            }
            3 => {
                let other = &seeds[below(rng, seeds.len())];
                let cut = below(rng, other.len() + 1);
                text.truncate(at);
                text.extend_from_slice(&other[cut..]);
            }
            _ if at < text.len() => text[at] = rng.next_u32().to_le_bytes()[0],
            _ => {}
        }
    }
    text
}

#[expect(clippy::disallowed_methods, reason = "an endless loop shows in time")]
fn fuzz(target: &str) {
    let (_, run) = targets::TARGETS
        .iter()
        .find(|(name, _)| *name == target)
        .unwrap();
    let seconds = std::env::var_os("FUZZ_SECONDS").and_then(|s| s.to_str()?.parse().ok());
    let time = seconds.map(Duration::from_secs);
    let mut rng = match time {
        None => TestRng::deterministic_rng(RngAlgorithm::ChaCha),
        Some(_) => TestRunner::new(Config::default()).new_rng(),
    };
    let seeds = seeds();
    let started = Instant::now();
    let mut inputs = 0;
    while time.map_or(inputs < INPUTS, |time| started.elapsed() < time) {
        let input = changed(&seeds, &mut rng);
        let begun = Instant::now();
        let done = std::panic::catch_unwind(|| run(&input));
        let shown = || String::from_utf8_lossy(&input).into_owned();
        assert!(done.is_ok(), "{target} fails at {:?}", shown());
        assert!(
            begun.elapsed() < LONGEST,
            "{target} takes long over {:?}",
            shown()
        );
        inputs += 1;
    }
    println!("{target}: {inputs} inputs");
}

#[test]
fn any_template_parses_or_is_refused() {
    fuzz("template");
}

#[test]
fn any_template_ends() {
    fuzz("evaluator");
}

#[test]
fn any_values_are_read_or_refused() {
    fuzz("values");
}

#[test]
fn any_yaml_reads_back_as_written() {
    fuzz("yaml");
}

#[test]
fn any_index_is_read_or_refused() {
    fuzz("index");
}

#[test]
fn any_archive_is_read_or_refused() {
    fuzz("archive");
}

#[test]
fn any_chart_renders_or_is_refused() {
    fuzz("chart");
}
