//! Secrets that are where they should not be, in any form in which a careless
//! program would write them.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use regex::Regex;
use todoctl::sandbox::store::Store;

use super::Env;

/// What the built-in profile `sandbox` plants in every test.
const REHEARSED: [&str; 4] = [
    "postgres://todo:rehearsal@db.sandbox.invalid/todo",
    "rehearsal-cohere-key",
    "rehearsal-better-auth-secret",
    "rehearsal-password",
];

/// Every form of a secret: as it is, and in the encodings of the trade.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    forms.push(url::form_urlencoded::byte_serialize(secret.as_bytes()).collect());
    let json = serde_json::to_string(secret).unwrap();
    forms.push(json.trim_matches('"').to_owned());
    forms.push(URL_SAFE_NO_PAD.encode(secret));
    // Inside longer base64 a text is written in one of three ways; the parts
    // that depend on its neighbours are cut off.
    for shift in 0..3 {
        let padded = format!("{}{secret}", "x".repeat(shift));
        let text = STANDARD.encode(padded);
        forms.push(text.get(4..text.len() - 4).unwrap().to_owned());
    }
    forms
}

/// Finds any form of any of the secrets.
fn pattern(secrets: &[&str]) -> Regex {
    let all = secrets.iter().flat_map(|secret| forms(secret));
    let all: Vec<String> = all.map(|form| regex::escape(&form)).collect();
    Regex::new(&all.join("|")).unwrap()
}

/// Where these secrets stand below a folder: which, and in which file. Each
/// file counts but those that `is_home` says may hold them.
pub(crate) fn below(root: &Path, secrets: &[&str], is_home: impl Fn(&Path) -> bool) -> Vec<String> {
    let pattern = pattern(secrets);
    let mut found = Vec::new();
    for path in files(root).into_iter().filter(|path| !is_home(path)) {
        let text = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        if let Some(hit) = pattern.find(&text) {
            found.push(format!("{} in {}", hit.as_str(), path.display()));
        }
    }
    found
}

/// The world's own store, which has the cluster's secrets in it.
pub(crate) fn is_the_cluster(path: &Path) -> bool {
    path.ends_with("sandbox/world.jsonl")
}

/// Where the rehearsal's own secrets stand in an environment, but in the
/// cluster itself.
pub(crate) fn of_the_rehearsal(env: &Env) -> Vec<String> {
    below(env.root(), &REHEARSED, is_the_cluster)
}

/// The revisions of all releases of a stopped world, as text.
pub(crate) fn release_records(env: &Env) -> Vec<String> {
    let store = Store::open(&env.world()).unwrap();
    let mut records = Vec::new();
    let tables = store.tables();
    let secrets = tables
        .iter()
        .filter(|(name, _)| name.ends_with("/core/secrets"));
    for (_, row) in secrets.flat_map(|(table, _)| store.list(table, "").0) {
        if row.value["type"] != "helm.sh/release.v1" {
            continue;
        }
        let outer = row.value["data"]["release"].as_str().unwrap();
        let inner = STANDARD.decode(outer).unwrap();
        let packed = STANDARD.decode(inner).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(packed.as_slice())
            .read_to_string(&mut text)
            .unwrap();
        records.push(text);
    }
    records
}

/// Whether a text holds any of these secrets.
pub(crate) fn holds(text: &str, secrets: &[&str]) -> bool {
    pattern(secrets).is_match(text)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => all.extend(files(&path)),
            Ok(kind) if kind.is_file() => all.push(path),
            _ => {}
        }
    }
    all
}
