//! Releases against the embedded cluster: records, objects, hooks, recovery.
//! A process that dies is played by dropping its runtime: the world sees its
//! connections close in the middle of a request, as it would then.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use todoctl::clock::Clock;
use todoctl::helm::chart::{Chart, ChartFile};
use todoctl::helm::values::Layers;
use todoctl::k8s::{Connect, Kube, ObjectRef, TokenSource};
use todoctl::release::{
    Options, Outcome, Record, ReleaseError, Releases, Request, Status, Uninstall,
};
use todoctl::secret::Secret;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::support::{Env, on_write, until};

/// A world with a cluster in it.
pub(crate) struct Cluster {
    pub(crate) env: Env,
    kubeconfig: String,
    token: String,
    next: AtomicU64,
}

/// A client and its runtime; dropping it is a kill.
pub(crate) struct Client {
    pub(crate) runtime: Runtime,
    pub(crate) kube: Kube,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self::of(Env::new())
    }

    /// In an environment with a clock of its own.
    pub(crate) fn of(env: Env) -> Self {
        env.ok(&["up", "--only", "account,network,cluster"]);
        let (kubeconfig, token) = env.kubeconfig();
        Self {
            token,
            kubeconfig: kubeconfig.to_string(),
            env,
            next: AtomicU64::new(1),
        }
    }

    pub(crate) fn client(&self) -> Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let token = self.token.clone();
        let source: TokenSource = Arc::new(move || Ok(Secret::new(token.clone())));
        let clock = Clock::new(2000.0, CancellationToken::new()).with_floor(Duration::from_secs(5));
        let connect = Connect::with_token(self.kubeconfig.clone(), source, clock);
        let kube = runtime.block_on(connect.connect()).unwrap();
        Client { runtime, kube }
    }

    /// A namespace that nobody has used.
    fn namespace(&self) -> String {
        format!("r{}", self.next.fetch_add(1, Ordering::Relaxed))
    }
}

fn silent(_: &str) {}

impl Client {
    fn releases(&self, namespace: &str) -> Releases {
        Releases::new(self.kube.clone(), namespace)
    }

    fn install(&self, namespace: &str, request: &Request) -> Result<Outcome, ReleaseError> {
        let releases = self.releases(namespace);
        self.runtime
            .block_on(releases.install_or_upgrade(request, &silent))
    }

    fn rollback(&self, namespace: &str, revision: Option<u64>) -> Result<Outcome, ReleaseError> {
        let releases = self.releases(namespace);
        let options = Options::default();
        self.runtime
            .block_on(releases.rollback("web", revision, &options, &silent))
    }

    fn uninstall(&self, namespace: &str, options: &Uninstall) -> bool {
        let releases = self.releases(namespace);
        self.runtime
            .block_on(releases.uninstall("web", options, &silent))
            .unwrap()
    }

    fn history(&self, namespace: &str) -> Vec<Record> {
        let releases = self.releases(namespace);
        self.runtime.block_on(releases.history("web")).unwrap()
    }

    /// `1 superseded, 2 deployed`
    fn story(&self, namespace: &str) -> String {
        let records = self.history(namespace);
        let told = records
            .iter()
            .map(|r| format!("{} {}", r.revision(), r.status()));
        told.collect::<Vec<_>>().join(", ")
    }

    fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let api_version = match kind {
            "Thing" => "example.com/v1",
            _ => "v1",
        };
        let object = ObjectRef::namespaced(api_version, kind, namespace, name);
        let found = self.runtime.block_on(self.kube.get(&object)).unwrap();
        found.map(|live| live.body().clone())
    }

    /// The names and data of what a release of our chart can consist of.
    fn objects(&self, namespace: &str) -> Vec<String> {
        let mut all = Vec::new();
        for (api_version, kind) in [
            ("v1", "ConfigMap"),
            ("v1", "Service"),
            ("v1", "Secret"),
            ("example.com/v1", "Thing"),
        ] {
            let list = self.kube.list(api_version, kind, Some(namespace), "");
            let Ok(list) = self.runtime.block_on(list) else {
                continue;
            };
            for object in list {
                let data = &object.body()["data"];
                let ours = object.label("app.kubernetes.io/managed-by") == Some("Helm")
                    || object.name().starts_with("hook");
                if ours {
                    all.push(format!("{object} {data}").replace(&format!("{namespace}/"), ""));
                }
            }
        }
        all.sort();
        all
    }
}

/// A chart out of template texts.
fn chart(version: &str, templates: &[(&str, &str)]) -> Chart {
    let mut files = vec![(
        "Chart.yaml".to_owned(),
        format!("apiVersion: v2\nname: web\nversion: {version}\nappVersion: \"{version}\"\n"),
    )];
    for (name, text) in templates {
        let folder = if name.contains('/') { "" } else { "templates/" };
        files.push((format!("{folder}{name}"), (*text).to_owned()));
    }
    let files = files.into_iter().map(|(name, text)| ChartFile {
        name,
        data: text.into_bytes().into(),
    });
    Chart::from_files(files.collect()).unwrap()
}

const SETTINGS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n\
    data: {level: \"{{ .Values.level | default \"info\" }}\"}\n";
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n\
    spec: {selector: {app: web}, ports: [{port: 80}]}\n";
const OLD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: old}\n";
const KEPT: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: kept\n  \
    annotations: {helm.sh/resource-policy: keep}\n";
const NEW: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: new}\nstringData: {k: v}\n";
const HOOK: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hook\n  annotations:\n    \
    helm.sh/hook: pre-install,pre-upgrade,pre-rollback\n";
const DEFINITION: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
    metadata: {name: things.example.com}\nspec:\n  group: example.com\n  scope: Namespaced\n  \
    names: {kind: Thing, plural: things, singular: thing, listKind: ThingList}\n  versions:\n  \
    - name: v1\n    served: true\n    storage: true\n    schema:\n      openAPIV3Schema: \
    {type: object, properties: {data: {type: object, x-kubernetes-preserve-unknown-fields: true}}}\n";
const THING: &str = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: it}\ndata: {a: 1}\n";

fn first() -> Chart {
    chart(
        "1.0.0",
        &[
            ("settings.yaml", SETTINGS),
            ("service.yaml", SERVICE),
            ("old.yaml", OLD),
            ("kept.yaml", KEPT),
            ("hook.yaml", HOOK),
            ("crds/things.yaml", DEFINITION),
            ("thing.yaml", THING),
            ("NOTES.txt", "Welcome to {{ .Release.Name }}.\n"),
        ],
    )
}

fn second() -> Chart {
    chart(
        "2.0.0",
        &[
            ("settings.yaml", SETTINGS),
            ("service.yaml", SERVICE),
            ("new.yaml", NEW),
            ("hook.yaml", HOOK),
            ("crds/things.yaml", DEFINITION),
            ("thing.yaml", THING),
        ],
    )
}

fn request(chart: Chart) -> Request {
    Request {
        name: "web".to_owned(),
        chart,
        values: Layers::default(),
        options: Options {
            create_namespace: true,
            ..Options::default()
        },
    }
}

fn with_level(chart: Chart, level: &str) -> Request {
    let mut request = request(chart);
    request.values.strings = vec![format!("level={level}")];
    request
}

#[test]
fn a_release_lives_through_install_upgrade_rollback_and_uninstall() {
    let cluster = Cluster::new();
    let client = cluster.client();
    let ns = cluster.namespace();

    let outcome = client.install(&ns, &request(first())).unwrap();
    assert_eq!((outcome.revision, outcome.changed), (1, true));
    assert_eq!(outcome.notes, "Welcome to web.\n");
    let settings = client.get("ConfigMap", &ns, "settings").unwrap();
    assert_eq!(settings["data"]["level"], "info");
    let annotations = &settings["metadata"]["annotations"];
    assert_eq!(annotations["meta.helm.sh/release-name"], "web");
    assert_eq!(annotations["meta.helm.sh/release-namespace"], ns.as_str());
    let manager = &settings["metadata"]["managedFields"][0];
    assert_eq!(
        (&manager["manager"], &manager["operation"]),
        (&json!("helm"), &json!("Apply"))
    );
    assert!(client.get("Thing", &ns, "it").is_some());
    let secret = client
        .get("Secret", &ns, "sh.helm.release.v1.web.v1")
        .unwrap();
    assert_eq!(secret["type"], "helm.sh/release.v1");
    let labels = &secret["metadata"]["labels"];
    for (key, value) in [
        ("name", "web"),
        ("owner", "helm"),
        ("status", "deployed"),
        ("version", "1"),
    ] {
        assert_eq!(labels[key], value, "{labels}");
    }

    let outcome = client.install(&ns, &with_level(second(), "debug")).unwrap();
    assert_eq!(outcome.revision, 2);
    assert_eq!(client.story(&ns), "1 superseded, 2 deployed");
    assert!(client.get("ConfigMap", &ns, "old").is_none());
    assert!(client.get("ConfigMap", &ns, "kept").is_some());
    assert!(client.get("Secret", &ns, "new").is_some());
    let settings = client.get("ConfigMap", &ns, "settings").unwrap();
    assert_eq!(settings["data"]["level"], "debug");

    let outcome = client.rollback(&ns, None).unwrap();
    assert_eq!(outcome.revision, 3);
    let history = client.history(&ns);
    assert_eq!(history[2].description(), "Rollback to 1");
    assert_eq!(history[2].rollback_of(), Some(1));
    assert_eq!(history[2].chart_version(), "1.0.0");
    assert_eq!(client.story(&ns), "1 superseded, 2 superseded, 3 deployed");
    assert!(client.get("ConfigMap", &ns, "old").is_some());
    assert!(client.get("Secret", &ns, "new").is_none());

    let keep = Uninstall {
        keep_history: true,
        ..Uninstall::default()
    };
    assert!(client.uninstall(&ns, &keep));
    assert_eq!(
        client.story(&ns),
        "1 superseded, 2 superseded, 3 uninstalled"
    );
    assert!(client.get("ConfigMap", &ns, "settings").is_none());
    let outcome = client.install(&ns, &request(first())).unwrap();
    assert_eq!(outcome.revision, 4);
    assert!(client.uninstall(&ns, &Uninstall::default()));
    assert_eq!(client.story(&ns), "");
    assert!(!client.uninstall(&ns, &Uninstall::default()));
    let left = client.objects(&ns);
    assert_eq!(left, ["ConfigMap hook null", "ConfigMap kept null"]);
}

#[test]
fn a_second_run_writes_nothing_and_drift_is_put_right() {
    let cluster = Cluster::new();
    let client = cluster.client();
    let ns = cluster.namespace();
    let mut wanted = request(second());
    client.install(&ns, &wanted).unwrap();
    wanted.options.create_namespace = false;
    let before = cluster.env.requests(0).len();
    let outcome = client.install(&ns, &wanted).unwrap();
    assert_eq!((outcome.revision, outcome.changed), (1, false));
    let requests = cluster.env.requests(before);
    let writes: Vec<_> = requests
        .iter()
        .filter(|r| {
            r["method"] != "GET" && !r["target"].as_str().unwrap_or_default().contains("dryRun")
        })
        .collect();
    assert!(writes.is_empty(), "{writes:#?}");

    let options = todoctl::k8s::DeleteOptions::default();
    let service = ObjectRef::namespaced("v1", "Service", &ns, "web");
    client
        .runtime
        .block_on(client.kube.delete(&service, &options))
        .unwrap();
    let outcome = client.install(&ns, &wanted).unwrap();
    assert_eq!((outcome.revision, outcome.changed), (2, true));
    assert!(client.get("Service", &ns, "web").is_some());
}

#[test]
fn what_belongs_to_others_is_not_taken_over_unless_asked() {
    let cluster = Cluster::new();
    let client = cluster.client();
    let ns = cluster.namespace();
    let other = Request {
        name: "other".to_owned(),
        ..request(chart("1.0.0", &[("settings.yaml", SETTINGS)]))
    };
    client.install(&ns, &other).unwrap();
    let mut wanted = with_level(first(), "debug");
    let error = client.install(&ns, &wanted).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!(
            "ConfigMap \"settings\" in namespace \"{ns}\" exists and cannot be imported into the \
             current release: invalid ownership metadata; annotation validation error: key \
             \"meta.helm.sh/release-name\" must equal \"web\": current value is \"other\""
        )),
        "{error}"
    );
    assert_eq!(client.story(&ns), "");
    wanted.options.take_ownership = true;
    client.install(&ns, &wanted).unwrap();
    let settings = client.get("ConfigMap", &ns, "settings").unwrap();
    assert_eq!(settings["data"]["level"], "debug");
}

const BROKEN: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: broken}\n\
    spec: {ports: [{port: 123456789}]}\n";

#[test]
fn an_upgrade_that_fails_goes_back_by_itself() {
    let cluster = Cluster::new();
    let client = cluster.client();
    let ns = cluster.namespace();
    client.install(&ns, &request(first())).unwrap();
    let mut wanted = request(chart(
        "3.0.0",
        &[
            ("settings.yaml", SETTINGS),
            ("broken.yaml", BROKEN),
            ("new.yaml", NEW),
        ],
    ));
    wanted.options.rollback_on_failure = Some(Duration::from_mins(1));
    let error = client.install(&ns, &wanted).unwrap_err();
    assert!(matches!(error, ReleaseError::Undone { .. }), "{error:?}");
    assert_eq!(client.story(&ns), "1 superseded, 2 failed, 3 deployed");
    let history = client.history(&ns);
    let why = history[1].description();
    assert!(
        why.starts_with("Upgrade \"web\" failed: cannot apply Service"),
        "{why}"
    );
    assert!(client.get("Secret", &ns, "new").is_none());
    assert!(client.get("ConfigMap", &ns, "old").is_some());

    let fresh = cluster.namespace();
    let error = client.install(&fresh, &wanted).unwrap_err();
    assert!(matches!(error, ReleaseError::Undone { .. }), "{error:?}");
    assert_eq!(client.story(&fresh), "");
    assert_eq!(client.objects(&fresh), [""; 0]);
}

#[test]
fn what_another_manager_has_set_is_left_to_it() {
    let cluster = Cluster::new();
    let client = cluster.client();
    let ns = cluster.namespace();
    client.install(&ns, &request(second())).unwrap();
    let theirs = todoctl::manifest::Manifest::new(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": ns}, "data": {"level": "theirs"}
    }))
    .unwrap();
    let options = todoctl::k8s::ApplyOptions {
        force: true,
        dry_run: false,
    };
    let set = client.kube.apply_as(&theirs, "somebody", options);
    client.runtime.block_on(set).unwrap();
    let level = || client.get("ConfigMap", &ns, "settings").unwrap()["data"]["level"].clone();

    let mut wanted = with_level(second(), "ours");
    assert!(client.install(&ns, &wanted).unwrap().changed);
    assert_eq!(level(), "theirs");
    assert!(!client.install(&ns, &wanted).unwrap().changed);
    wanted.options.force_conflicts = true;
    wanted.values.strings = vec!["level=forced".to_owned()];
    assert!(client.install(&ns, &wanted).unwrap().changed);
    assert_eq!(level(), "forced");
}

#[test]
fn the_history_is_limited() {
    let cluster = Cluster::new();
    let client = cluster.client();
    let ns = cluster.namespace();
    for level in 0..6 {
        let mut wanted = with_level(first(), &format!("l{level}"));
        wanted.options.history_limit = 3;
        client.install(&ns, &wanted).unwrap();
    }
    assert_eq!(client.story(&ns), "4 superseded, 5 superseded, 6 deployed");
}

/// What a process does when it is struck.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Install,
    Upgrade,
    Rollback,
}

fn act(client: &Client, ns: &str, act: Act) -> Result<Outcome, ReleaseError> {
    match act {
        Act::Install => client.install(ns, &request(first())),
        Act::Upgrade => client.install(ns, &with_level(second(), "debug")),
        Act::Rollback => client.rollback(ns, Some(1)),
    }
}

fn prepare(client: &Client, ns: &str, what: Act) {
    if what != Act::Install {
        act(client, ns, Act::Install).unwrap();
    }
    if what == Act::Rollback {
        act(client, ns, Act::Upgrade).unwrap();
    }
}

/// Strikes at the first write of an operation, the second, and so on.
fn everywhere(what: Act) {
    let cluster = Cluster::new();
    let client = cluster.client();
    let ns = cluster.namespace();
    prepare(&client, &ns, what);
    act(&client, &ns, what).unwrap();
    let wanted = client.objects(&ns);
    let mut points = 0;
    for kind in ["hold", "hold-reply", "lose-reply"] {
        for nth in 1.. {
            assert!(nth < 60, "{what:?} does not end making requests");
            let ns = cluster.namespace();
            prepare(&client, &ns, what);
            cluster.env.clear_faults();
            cluster.env.fault(&on_write(kind, nth));
            let hit = strike(&cluster, &ns, what, kind, nth);
            cluster.env.clear_faults();
            if !hit {
                break;
            }
            points += 1;
            let place = format!("{what:?} {kind} {nth}");
            if kind != "lose-reply" {
                act(&client, &ns, what).unwrap_or_else(|e| panic!("{place}: {e}"));
            }
            let history = client.history(&ns);
            let story = client.story(&ns);
            assert!(
                !history.iter().any(|r| r.status().is_pending()),
                "{place}: {story}"
            );
            let last = history.last().map(Record::status);
            assert_eq!(last, Some(Status::Deployed), "{place}: {story}");
            let deployed = history.iter().filter(|r| r.status() == Status::Deployed);
            assert_eq!(deployed.count(), 1, "{place}: {story}");
            let mut seen = client.objects(&ns);
            // The record of a hook's run is in the release's Secrets.
            seen.retain(|line| !line.contains("sh.helm.release"));
            assert_eq!(seen, wanted, "{place}: {story}");
        }
    }
    println!("{what:?}: {points} points");
    assert!(points > 15, "only {points} points: the faults do not hit");
}

/// One point. False when the operation has no n-th write.
fn strike(cluster: &Cluster, ns: &str, what: Act, kind: &str, nth: u64) -> bool {
    let victim = cluster.client();
    if kind == "lose-reply" {
        let done = act(&victim, ns, what);
        done.unwrap_or_else(|e| panic!("{what:?} that loses answer {nth}: {e}"));
        return cluster.env.matches() >= nth;
    }
    let (sender, ended) = std::sync::mpsc::channel::<bool>();
    let dead = CancellationToken::new();
    let (mut hit, mut over) = (false, None);
    std::thread::scope(|scope| {
        let token = dead.clone();
        scope.spawn(move || {
            let releases = victim.releases(ns);
            let (upgrade, install) = (with_level(second(), "debug"), request(first()));
            let options = Options::default();
            let operation = async {
                match what {
                    Act::Install => releases.install_or_upgrade(&install, &silent).await,
                    Act::Upgrade => releases.install_or_upgrade(&upgrade, &silent).await,
                    Act::Rollback => releases.rollback("web", Some(1), &options, &silent).await,
                }
            };
            victim.runtime.block_on(async {
                tokio::select! {
                    result = operation => { let _ = sender.send(result.is_ok()); }
                    () = token.cancelled() => {}
                }
            });
            // Its lines are closed before the hold ends.
            victim.runtime.shutdown_timeout(Duration::from_secs(5));
        });
        until("the request is held, or the operation ends", || {
            hit = cluster.env.matches() >= nth;
            over = ended.try_recv().ok();
            hit || over.is_some()
        });
        dead.cancel();
    });
    if !hit {
        assert_eq!(over, Some(true), "{what:?} fails undisturbed");
    }
    hit
}

#[test]
fn an_installation_struck_at_any_write_is_taken_up_again() {
    everywhere(Act::Install);
}

#[test]
fn an_upgrade_struck_at_any_write_is_made_good() {
    everywhere(Act::Upgrade);
}

#[test]
fn a_rollback_struck_at_any_write_is_made_good() {
    everywhere(Act::Rollback);
}

/// As many objects of as many kinds as Dapr's chart has.
fn platform() -> Chart {
    let mut templates: Vec<(String, String)> = Vec::new();
    let mut add = |n: usize, api: &str, kind: &str, rest: &str| {
        for i in 0..n {
            let name = format!("{}-{i}", kind.to_lowercase());
            let mut text = String::new();
            let _ = write!(
                text,
                "apiVersion: {api}\nkind: {kind}\nmetadata:\n  name: {name}\n{rest}\n"
            );
            templates.push((format!("{name}.yaml"), text.replace("NAME", &name)));
        }
    };
    let rbac = "rbac.authorization.k8s.io/v1";
    let subject = "subjects: [{kind: ServiceAccount, name: serviceaccount-0, namespace: {{ .Release.Namespace }}}]";
    let pod = "selector: {matchLabels: {app: NAME}}\n  template:\n    metadata: {labels: {app: NAME}}\n    \
        spec: {containers: [{name: c, image: example.com/c:1}]}";
    add(5, "v1", "ServiceAccount", "");
    add(2, "v1", "Secret", "stringData: {k: v}");
    add(2, "v1", "ConfigMap", "data: {k: v}");
    add(
        4,
        rbac,
        "ClusterRole",
        "rules: [{apiGroups: [\"\"], resources: [pods], verbs: [get]}]",
    );
    add(
        4,
        rbac,
        "ClusterRoleBinding",
        &format!(
            "roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: clusterrole-0}}\n{subject}"
        ),
    );
    add(
        4,
        rbac,
        "Role",
        "rules: [{apiGroups: [\"\"], resources: [pods], verbs: [get]}]",
    );
    add(
        4,
        rbac,
        "RoleBinding",
        &format!(
            "roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: role-0}}\n{subject}"
        ),
    );
    add(
        6,
        "v1",
        "Service",
        "spec: {selector: {app: x}, ports: [{port: 80}]}",
    );
    add(3, "apps/v1", "Deployment", &format!("spec:\n  {pod}"));
    add(
        2,
        "apps/v1",
        "StatefulSet",
        &format!("spec:\n  serviceName: x\n  {pod}"),
    );
    add(
        1,
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "webhooks: []",
    );
    add(
        1,
        "policy/v1",
        "PodDisruptionBudget",
        "spec: {minAvailable: 1, selector: {matchLabels: {app: x}}}",
    );
    add(1, "example.com/v1", "Thing", "data: {a: 1}");
    add(1, "v1", "ResourceQuota", "spec: {hard: {pods: \"100\"}}");
    for i in 0..7 {
        let definition = match i {
            0 => DEFINITION.to_owned(),
            _ => DEFINITION
                .replace("thing", &format!("thing{i}x"))
                .replace("Thing", &format!("Thing{i}x")),
        };
        templates.push((format!("crds/{i}.yaml"), definition));
    }
    let templates: Vec<(&str, &str)> = templates
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    chart("1.0.0", &templates)
}

#[test]
fn forty_objects_take_sixty_requests() {
    let cluster = Cluster::new();
    let client = cluster.client();
    let wanted = request(platform());
    let before = cluster.env.requests(0).len();
    client.install(&cluster.namespace(), &wanted).unwrap();
    let mut requests = cluster.env.requests(before);
    // Looking again whether a definition is served yet takes as long as it takes.
    let mut looks = std::collections::HashSet::new();
    requests.retain(|request| {
        let target = request["target"].as_str().unwrap().to_owned();
        let is_look = request["method"] == "GET" && target.contains("customresourcedefinitions");
        !is_look || looks.insert(target)
    });
    assert!(
        requests.len() <= 60,
        "{} requests: {requests:#?}",
        requests.len()
    );

    // Every answer 50 ms late, in real time. Objects of the whole cluster are
    // the first release's, hence the taking over.
    let mut late = on_write("delay", 1);
    late.system = "kube".to_owned();
    late.arg = Some(format!("{}ms", 50 * crate::support::RATE));
    (late.method, late.times) = (None, None);
    cluster.env.fault(&late);
    let mut wanted = request(platform());
    wanted.options.take_ownership = true;
    let (namespace, client) = (cluster.namespace(), cluster.client());
    let before = cluster.env.requests(0).len();
    client.install(&namespace, &wanted).unwrap();
    let requests = cluster.env.requests(before);
    let together = most_at_once(&requests);
    println!("{} requests, {together} at once", requests.len());
    assert!(together >= 8, "{together} at once: {requests:#?}");
}

/// How many of these requests were under way at the same moment.
fn most_at_once(requests: &[Value]) -> usize {
    let span = |request: &Value| {
        let answered: jiff::Timestamp = request["time"].as_str()?.parse().ok()?;
        let took = jiff::SignedDuration::from_secs_f64(request["ms"].as_f64()? / 1000.0);
        Some((answered - took, answered))
    };
    let spans: Vec<_> = requests.iter().filter_map(span).collect();
    let under_way = |at| spans.iter().filter(|(a, b)| *a <= at && at < *b).count();
    let starts = spans.iter().map(|(begun, _)| under_way(*begun));
    starts.max().unwrap_or_default()
}

/// One operation on the cluster of a kubeconfig, as `RELEASE_REQUEST` says it
/// in JSON; its outcome goes to stdout. `tests/interop/releases.py` drives it,
/// beside the helm command line.
#[test]
#[ignore = "it is driven by tests/interop/releases.py"]
fn driver() {
    #[expect(
        clippy::disallowed_methods,
        reason = "how the script hands over its request"
    )]
    let asked = std::env::var("RELEASE_REQUEST").expect("RELEASE_REQUEST holds the request");
    let asked: Value = serde_json::from_str(&asked).unwrap();
    let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let connect = Connect {
        kubeconfig: todoctl::k8s::Kubeconfig::File(text("kubeconfig").into()),
        context: None,
        token: None,
        clock: Clock::default(),
        patience: todoctl::k8s::Patience::default(),
    };
    let kube = runtime.block_on(connect.connect()).unwrap();
    let releases = Releases::new(kube, &text("namespace"));
    let name = text("name");
    let flag = |key: &str| asked[key].as_bool().unwrap_or(false);
    let options = Options {
        wait: flag("wait").then(|| todoctl::release::Waiting::within(Duration::from_mins(1))),
        create_namespace: flag("createNamespace"),
        take_ownership: flag("takeOwnership"),
        ..Options::default()
    };
    let say = |line: &str| println!("PROGRESS {line}");
    let started = crate::support::now();
    let outcome = match text("operation").as_str() {
        "install" => {
            let sets = asked["set"].as_array().cloned().unwrap_or_default();
            let request = Request {
                name,
                chart: Chart::load(std::path::Path::new(&text("chart"))).unwrap(),
                values: Layers {
                    set: sets
                        .iter()
                        .map(|s| s.as_str().unwrap().to_owned())
                        .collect(),
                    ..Layers::default()
                },
                options,
            };
            runtime
                .block_on(releases.install_or_upgrade(&request, &say))
                .map(|done| json!({"revision": done.revision, "changed": done.changed}))
        }
        "rollback" => runtime
            .block_on(releases.rollback(&name, asked["revision"].as_u64(), &options, &say))
            .map(|done| json!({"revision": done.revision, "changed": done.changed})),
        "uninstall" => {
            let how = Uninstall {
                keep_history: flag("keepHistory"),
                ..Uninstall::default()
            };
            runtime
                .block_on(releases.uninstall(&name, &how, &say))
                .map(|done| json!({"changed": done}))
        }
        "history" => runtime.block_on(releases.history(&name)).map(|all| {
            let rows = all.iter().map(|r| {
                json!({"revision": r.revision(), "status": r.status().as_str(),
                       "description": r.description(), "chart": r.chart_version()})
            });
            Value::Array(rows.collect())
        }),
        other => panic!("no operation {other:?}"),
    };
    let took = started.elapsed().as_millis();
    let answer = match outcome {
        Ok(done) => json!({"ok": done, "ms": took}),
        Err(error) => {
            let mut causes = vec![error.to_string()];
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                causes.push(cause.to_string());
                source = cause.source();
            }
            json!({"error": causes, "ms": took})
        }
    };
    println!("ANSWER {answer}");
}
