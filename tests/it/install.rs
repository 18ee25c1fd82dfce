//! `install.sh` puts a checked binary where it was told to, and nothing else.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// The SHA-256 of a text, in hexadecimal.
fn checksum(content: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, content.as_bytes());
    let mut text = String::new();
    for byte in digest.as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

const CONTENT: &str = "#!/bin/sh\necho todoctl 0.0.0\n";

fn install(dir: &Path, args: &[&str]) -> (bool, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/install.sh");
    let output = std::process::Command::new("sh")
        .arg(script)
        .args(args)
        .current_dir(dir)
        .env("HOME", dir)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.success(), text)
}

/// A folder with a file that stands for the released binary.
fn release() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "todoctl-linux", CONTENT);
    dir
}

fn put(dir: &Path, name: &str, content: &str) {
    let path = dir.join(name);
    todoctl::files::write_atomic(&path, content.as_bytes(), todoctl::files::Access::Shared)
        .unwrap();
}

#[test]
fn a_local_file_is_installed_when_its_checksum_fits() {
    let dir = release();
    put(
        dir.path(),
        "todoctl-linux.sha256",
        &format!("{}  todoctl-linux\n", checksum(CONTENT)),
    );
    let args = ["--from", "todoctl-linux", "--prefix", "opt"];
    let (good, said) = install(dir.path(), &args);
    assert!(good, "{said}");
    let installed = dir.path().join("opt/bin/todoctl");
    assert_eq!(fs::read_to_string(&installed).unwrap(), CONTENT);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&installed).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }
}

#[test]
fn a_checksum_on_the_command_line_does_too() {
    let dir = release();
    let sum = checksum(CONTENT);
    let args = [
        "--from",
        "todoctl-linux",
        "--sha256",
        &sum,
        "--prefix",
        "opt",
    ];
    let (good, said) = install(dir.path(), &args);
    assert!(good, "{said}");
    assert!(dir.path().join("opt/bin/todoctl").exists());
}

#[test]
fn a_wrong_or_missing_checksum_installs_nothing() {
    let dir = release();
    let wrong = "0".repeat(64);
    for (more, why) in [
        (vec!["--sha256", wrong.as_str()], "checksum"),
        (vec![], "no checksum"),
    ] {
        let mut args = vec!["--from", "todoctl-linux", "--prefix", "opt"];
        args.extend(more);
        let (good, said) = install(dir.path(), &args);
        assert!(!good && said.contains(why), "{said}");
        assert!(!dir.path().join("opt").exists());
    }
}

#[test]
fn a_dry_run_only_says_what_it_would_do() {
    let dir = release();
    let sum = checksum(CONTENT);
    let args = [
        "--dry-run",
        "--from",
        "todoctl-linux",
        "--sha256",
        &sum,
        "--prefix",
        "opt",
    ];
    let (good, said) = install(dir.path(), &args);
    assert!(good, "{said}");
    assert!(said.contains("opt/bin/todoctl"), "{said}");
    assert!(!dir.path().join("opt").exists());

    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (good, said) = install(checkout, &["--dry-run"]);
    assert!(good && said.contains("cargo install"), "{said}");
}

#[test]
fn an_unknown_flag_is_refused() {
    let dir = release();
    let (good, said) = install(dir.path(), &["--sudo"]);
    assert!(!good && said.contains("--sudo"), "{said}");
}
