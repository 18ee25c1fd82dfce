//! A hermetic environment for the built executable: folders of its own, no
//! variable of the caller's, an embedded world of its own that ends with it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

use regex::Regex;
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde_json::Value;
use tempfile::TempDir;
use todoctl::sandbox::client;
use todoctl::sandbox::faults::Fault;

pub(crate) mod leaks;
pub(crate) mod page;
pub(crate) mod world;

/// How fast time passes in the worlds of the tests.
pub(crate) const RATE: u32 = 2000;
/// The seed of the profile `sandbox`, which its world has to have.
const SEED: &str = "7";
/// The longest that a command may take; a test that hangs must end.
const PATIENCE: Duration = Duration::from_mins(4);

/// An environment.
pub(crate) struct Env {
    root: TempDir,
    rate: u32,
    variables: Vec<(String, String)>,
    proves: bool,
}

/// What a command said, and how it ended.
#[must_use]
pub(crate) struct Output {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What went to stdout.
    pub stdout: String,
    /// What went to stderr.
    pub stderr: String,
}

/// A command that runs.
pub(crate) struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    what: String,
}

#[expect(
    clippy::disallowed_types,
    reason = "these tests run the built executable as a user does"
)]
type Command = std::process::Command;
type Child = std::process::Child;

/// Targets that are kept at any speed.
pub(crate) const UNHURRIED: [&str; 6] = [
    "--set",
    "verify.targets.response_ms=60000",
    "--set",
    "verify.targets.event_ms=60000",
    "--set",
    "verify.targets.publish_ms=60000",
];

impl Env {
    /// A new one, with nothing in it but a signing key for the world's account.
    pub(crate) fn new() -> Self {
        let env = Self {
            root: TempDir::with_prefix("todoctl-").unwrap(),
            rate: RATE,
            variables: Vec::new(),
            proves: false,
        };
        // Making a key takes longer than most tests.
        write(&env.world().join("oci/key.pem"), signing_key());
        env
    }

    /// The same with another rate of the world's clock.
    pub(crate) fn at_rate(mut self, rate: u32) -> Self {
        self.rate = rate;
        self
    }

    /// The same with `up` proving in the end that everything works.
    pub(crate) fn proving(mut self) -> Self {
        self.proves = true;
        self
    }

    /// The same with a variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A copy of everything that is there, its sandbox being stopped.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self {
            root: TempDir::with_prefix("todoctl-").unwrap(),
            rate: self.rate,
            variables: self.variables.clone(),
            proves: self.proves,
        };
        copy_dir(self.root.path(), copy.root.path());
        copy.move_balancers();
        copy
    }

    /// Gives the world's load balancers addresses of their own: the world that
    /// this one is a copy of, and other copies, may run beside it.
    fn move_balancers(&self) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static ADDRESS: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"\b127\.[1-9]\d*\.\d+\.(\d+)\b").unwrap());
        let (a, b) = (
            1 + std::process::id() % 250,
            NEXT.fetch_add(1, Ordering::Relaxed) % 250,
        );
        for path in [
            self.world().join("world.jsonl"),
            self.deployment().join("journal.jsonl"),
        ] {
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            let moved = ADDRESS.replace_all(&text, format!("127.{a}.{b}.$1"));
            write(&path, &moved);
        }
    }

    /// The folder of everything.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Where todoctl keeps what it remembers.
    pub(crate) fn state(&self) -> PathBuf {
        self.root.path().join("state/todoctl")
    }

    /// The folder of the embedded world.
    pub(crate) fn world(&self) -> PathBuf {
        self.state().join("sandbox")
    }

    /// The folder of the deployment of the profile `sandbox`.
    pub(crate) fn deployment(&self) -> PathBuf {
        self.state().join("deployments/todo@sandbox")
    }

    /// Writes a file of the user's and returns its path.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.root.path().join("home").join(name);
        write(&path, content);
        path.display().to_string()
    }

    /// A profile for Oracle's own endpoints, or others by `--set`, with
    /// everything in it that the built-in one leaves open.
    pub(crate) fn oke(&self) -> String {
        self.file(
            "oke-team.yaml",
            "extends: oke\n\
             app:\n  services:\n    \
             - {name: frontend, image: example.com/frontend:1, port: 3000}\n\
             secrets:\n  database-url: {value: \"postgres://todo:s3cr3t@db/todo\"}\n  \
             cohere-api-key: {value: co-key}\n  better-auth-secret: {value: auth}\n",
        )
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.start(args).wait()
    }

    /// Runs a command that must end well; returns its stdout.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.code, Some(0), "todoctl {}\n{output}", args.join(" "));
        output.stdout
    }

    /// Starts a command.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        let (stdout, stderr) = (self.fresh("out"), self.fresh("err"));
        command
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap());
        Running {
            child: command.spawn().unwrap(),
            stdout,
            stderr,
            what: args.join(" "),
        }
    }

    /// The command, not yet started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let home = self.root.path().join("home");
        fs::create_dir_all(&home).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_todoctl"));
        command
            .args(args)
            .env_clear()
            .env("HOME", &home)
            .env("XDG_CONFIG_HOME", home.join(".config"))
            .env("XDG_CACHE_HOME", self.root.path().join("cache"))
            .env("XDG_STATE_HOME", self.root.path().join("state"))
            .env("TMPDIR", self.root.path())
            .env("USER", "tester")
            .env("COLUMNS", "100")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&home)
            .stdin(std::process::Stdio::null());
        // Commands on the profile `sandbox` or one of its kin.
        let takes_profile = args
            .first()
            .is_some_and(|first| !matches!(*first, "sandbox" | "version" | "--version"));
        // What `up` proves in the end has tests of its own.
        if args.first() == Some(&"up") && !self.proves {
            command.arg("--no-verify");
        }
        // Nor is any but a test of its own about speed: a busy machine keeps
        // these targets as well.
        let proves = args.first() == Some(&"verify") || args.first() == Some(&"up") && self.proves;
        if proves && !args.iter().any(|arg| arg.contains("verify.targets")) {
            command.args(UNHURRIED);
        }
        if takes_profile && !args.iter().any(|arg| arg.contains("oke")) {
            command.args(["--set", &format!("sandbox.clock={}", self.rate)]);
        }
        command
    }

    /// Starts the embedded world before anything else does.
    pub(crate) fn start_world(&self) {
        let rate = self.rate.to_string();
        self.ok(&["sandbox", "start", "--seed", SEED, "--clock", &rate]);
    }

    /// Stops the embedded world; its state stays.
    pub(crate) fn stop_world(&self) {
        wait_for(client::stop(&self.world())).unwrap();
    }

    /// The kubeconfig of the deployment's cluster, and a token for it.
    pub(crate) fn kubeconfig(&self) -> (Value, String) {
        let kubeconfig = self.ok(&["kubeconfig", "-o", "json"]);
        let kubeconfig: Value = serde_json::from_str(&kubeconfig).unwrap();
        let args = &kubeconfig["users"][0]["user"]["exec"]["args"];
        let args = args.as_array().unwrap().iter();
        let args: Vec<&str> = args.map(|arg| arg.as_str().unwrap()).collect();
        let credential: Value = serde_json::from_str(&self.ok(&args)).unwrap();
        let token = credential["status"]["token"].as_str().unwrap().to_owned();
        (kubeconfig, token)
    }

    /// Waits until every pod of the running world is ready, as after a fault or
    /// a start.
    pub(crate) fn until_pods_are_ready(&self) {
        until("the pods are ready", || {
            self.world_status()["pods"]["notReady"] == serde_json::json!([])
        });
    }

    /// Adds a fault to the plan of the running world.
    pub(crate) fn fault(&self, fault: &Fault) {
        wait_for(client::add_fault(&self.world(), fault)).unwrap();
    }

    /// Adds a fault as a user does. A no-break space stands for a space within
    /// an argument.
    pub(crate) fn fault_line(&self, line: &str) {
        let words: Vec<_> = line.split(' ').map(|w| w.replace('\u{a0}', " ")).collect();
        let mut args = vec!["sandbox", "fault"];
        args.extend(words.iter().map(String::as_str));
        self.ok(&args);
    }

    /// Empties the fault plan.
    pub(crate) fn clear_faults(&self) {
        wait_for(client::clear_faults(&self.world())).unwrap();
    }

    /// How often the only fault of the plan was matched.
    pub(crate) fn matches(&self) -> u64 {
        let faults = wait_for(client::faults(&self.world())).unwrap();
        faults.iter().map(|fault| fault.seen).sum()
    }

    /// What the world says about itself.
    pub(crate) fn world_status(&self) -> Value {
        wait_for(client::status(&self.world())).unwrap()
    }

    /// The request log from a line on.
    pub(crate) fn requests(&self, from: usize) -> Vec<Value> {
        let log = fs::read_to_string(self.world().join("requests.jsonl")).unwrap_or_default();
        let lines = log.lines().skip(from);
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// A text with everything that differs between two runs named instead.
    pub(crate) fn redact(&self, text: &str) -> String {
        let text = text.replace(&self.root.path().display().to_string(), "[ROOT]");
        redact(&text)
    }

    fn fresh(&self, kind: &str) -> PathBuf {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.root.path().join(format!("{n}.{kind}"))
    }
}

impl Drop for Env {
    fn drop(&mut self) {
        // A test that fails shows its own error, not this one.
        let _ = wait_for(client::stop(&self.world()));
        if !std::thread::panicking() {
            let leaks = leaks::of_the_rehearsal(self);
            assert_eq!(leaks, [""; 0], "secrets where nobody should find them");
        }
    }
}

impl Running {
    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        #[expect(clippy::disallowed_types, reason = "the shell's own way to signal")]
        let sent = std::process::Command::new("/bin/sh")
            .args(["-c", &format!("kill -{name} {}", self.pid())])
            .status();
        assert!(sent.unwrap().success());
    }

    /// What it has said on stdout so far.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap()
    }

    /// What it has said on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Output {
        let started = now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > PATIENCE {
                let said = self.stderr();
                self.kill_quietly();
                panic!("todoctl {} takes too long\n{said}", self.what);
            }
            pause();
        };
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        Output {
            code: status.code(),
            stdout: read(&self.stdout),
            stderr: read(&self.stderr),
        }
    }

    fn kill_quietly(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self
            .code
            .map_or("signal".to_owned(), |code| code.to_string());
        write!(
            f,
            "exit: {code}\n--- stdout\n{}--- stderr\n{}",
            self.stdout, self.stderr
        )
    }
}

/// A fault for every system's requests that may change something.
pub(crate) fn on_write(kind: &str, nth: u64) -> Fault {
    Fault {
        id: 0,
        system: "*".to_owned(),
        kind: kind.to_owned(),
        arg: None,
        method: Some("WRITE".to_owned()),
        path: None,
        nth,
        times: Some(1),
        seen: 0,
        since_ms: 0,
    }
}

/// Waits until something holds; panics when it does not in time.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        pause();
    }
}

/// A short wait between two looks at a process.
#[expect(clippy::disallowed_methods, reason = "the tests wait for processes")]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

#[expect(clippy::disallowed_methods, reason = "the tests' own patience")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Ids, times, durations and addresses, named.
pub(crate) fn redact(text: &str) -> String {
    static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        [
            (r"[0-9A-F]{32}(/[0-9A-F]{16,32}){0,2}", "[REQUEST]"),
            (r"ocid1\.([a-z]+)\.[a-z0-9.-]+", "[OCID $1]"),
            (
                r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
                "[UUID]",
            ),
            (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "[TIME]"),
            (r"([0-9a-f]{2}:){15}[0-9a-f]{2}", "[FINGERPRINT]"),
            (r"\boke-[a-z0-9]+(-[a-z0-9]+)+", "[NODE]"),
            (r"\b\d+ (attempts|rounds)\b", "[N] $1"),
            (r"\br[0-9]{9,10}\b", "[RUN]"),
            (r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]"),
            (r"\b[A-Z][a-z]{3}:EU-FRANKFURT", "[PREFIX]:EU-FRANKFURT"),
            (r"\b(process|pid) \d+", "$1 [PID]"),
            (r" +(\d+h\d\dm|\d+m\d\ds|\d+(\.\d+)?s)\b", " [TOOK]"),
        ]
        .map(|(pattern, name)| (Regex::new(pattern).unwrap(), name))
        .into()
    });
    RULES.iter().fold(text.to_owned(), |text, (pattern, name)| {
        pattern.replace_all(&text, *name).into_owned()
    })
}

/// Waits for a future that needs a runtime.
pub(crate) fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// One signing key for all the tests of a process.
fn signing_key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(new_key)
}

/// A new signing key, as PEM.
pub(crate) fn new_key() -> String {
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
    key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
}

#[expect(clippy::disallowed_methods, reason = "files of a test's own folder")]
pub(crate) fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
