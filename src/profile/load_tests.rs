//! Behaviour of loading: layering, `--set`, and what a mistake looks like.

use super::*;
use crate::profile::{SandboxClock, Sources};
use crate::secret::Secret;

/// A folder of profile files.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            crate::files::write_atomic(
                &dir.path().join(name),
                text.as_bytes(),
                crate::files::Access::Shared,
            )
            .unwrap();
        }
        Self(dir)
    }

    fn load(&self, name: &str, sets: &[&str]) -> Result<Loaded, Findings> {
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        load(self.0.path().join(name).to_str().unwrap(), &sets)
    }

    /// What the user reads, without the folder's name.
    fn errors(&self, name: &str, sets: &[&str]) -> String {
        let folder = format!("{}/", self.0.path().display());
        self.load(name, sets)
            .map_or_else(|findings| findings.to_string(), |_| String::new())
            .replace(&folder, "")
    }
}

fn embedded(name: &str, sets: &[&str]) -> Result<Loaded, Findings> {
    let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
    load(name, &sets)
}

const IMAGES: &[&str] = &[
    "app.services.frontend.image=ghcr.io/me/f:1",
    "app.services.backend.image=ghcr.io/me/b:1",
];

/// Looks up nothing but what it is given.
struct Fixed(&'static [(&'static str, &'static str)]);

impl Sources for Fixed {
    fn env(&self, name: &str) -> Option<String> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    }

    fn file(&self, path: &Path) -> std::io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        self.env(name).map(Secret::new)
    }
}

#[test]
fn the_embedded_profiles_are_valid() {
    let sandbox = embedded("sandbox", &[]).unwrap();
    assert!(sandbox.warnings.is_empty(), "{}", sandbox.warnings);
    assert_eq!(sandbox.profile.sandbox.unwrap().clock, SandboxClock::Fast);
    for name in ["oke", "oke-4x24", "local"] {
        let loaded = embedded(name, IMAGES).unwrap();
        assert!(loaded.warnings.is_empty());
        assert_eq!(loaded.profile.cloud.is_some(), name != "local");
    }
}

#[test]
fn oke_fits_the_allowance_and_oke_4x24_does_not() {
    let cloud = |name| embedded(name, IMAGES).unwrap().profile.cloud.unwrap();
    let (small, large) = (cloud("oke"), cloud("oke-4x24"));
    assert!(small.nodes.total_ocpus() <= small.allowance.ocpus);
    assert!(small.nodes.total_memory_gb() <= small.allowance.memory_gb);
    assert_eq!(large.nodes.total_ocpus(), 4);
    assert_eq!(large.nodes.total_memory_gb(), 24);
    assert_eq!(large.allowance, small.allowance);
}

#[test]
fn a_profile_needs_the_users_images() {
    let errors = embedded("oke", &[]).unwrap_err();
    assert_eq!(errors.len(), 2);
    insta::assert_snapshot!(errors);
}

#[test]
fn layers_merge_maps_replace_lists_and_remove_nulls() {
    let files = Files::new(&[
        (
            "base.yaml",
            "extends: sandbox\nkafka:\n  brokers: ['a:1', 'b:2']\n  tls: true\n",
        ),
        (
            "team.yaml",
            "extends: base.yaml\ndeployment: team\nkafka:\n  brokers: ['c:3']\nsandbox:\n  clock: 5\n  seed: null\n",
        ),
    ]);
    let profile = files.load("team.yaml", &[]).unwrap().profile;
    assert_eq!(profile.deployment.as_str(), "team");
    assert_eq!(profile.kafka.brokers, ["c:3"]);
    assert!(profile.kafka.tls);
    assert_eq!(profile.sandbox.unwrap().clock, SandboxClock::Rate(5.0));
    assert_eq!(profile.sandbox.unwrap().seed, 7);
    assert_eq!(profile.app.services.len(), 2);
}

#[test]
fn a_circle_of_profiles_is_named() {
    let files = Files::new(&[
        ("a.yaml", "extends: sub/b.yaml\n"),
        ("sub/b.yaml", "extends: ../sub/../a.yaml\n"),
    ]);
    let errors = files.errors("a.yaml", &[]);
    assert!(
        errors.contains("in a circle: a.yaml -> sub/b.yaml -> sub/../sub/../a.yaml"),
        "{errors}"
    );
}

#[test]
fn set_reaches_maps_lists_and_named_entries() {
    let profile = embedded(
        "sandbox",
        &[
            "app.services.backend.replicas=3",
            "app.services[0].port=3001",
            "app.services.frontend.env.MODE=1",
            "dapr.chart.version=1.10",
            "kafka.topics=[{name: only}]",
            "endpoints.oci=http://127.0.0.1:1234",
            "cloud.region=eu-frankfurt-1",
        ],
    )
    .unwrap()
    .profile;
    assert_eq!(profile.service("backend").unwrap().replicas, 3);
    assert_eq!(profile.service("frontend").unwrap().port, 3001);
    assert_eq!(profile.service("frontend").unwrap().env["MODE"], "1");
    assert_eq!(profile.service("frontend").unwrap().env.len(), 2);
    assert_eq!(profile.kafka.topics.len(), 1);
    assert_eq!(profile.dapr.chart.version.as_deref(), Some("1.10"));
    assert_eq!(profile.cloud.unwrap().region.unwrap(), "eu-frankfurt-1");
    let local = embedded("sandbox", &["cloud="]).unwrap().profile;
    assert_eq!(local.cloud, None);
}

#[test]
fn a_bad_set_names_the_nearest_key() {
    let mut shown = String::new();
    for set in [
        "app.services.backend.replica=3",
        "app.services.backed.replicas=3",
        "app.services[5].port=1",
        "app.services.backend.port=eighty",
        "deployment.name=x",
        "app..x=1",
        "nothing",
        "kafka.brokers=[a",
    ] {
        let errors = embedded("sandbox", &[set]).unwrap_err();
        shown += &["## ", set, "\n", &errors.to_string(), "\n"].concat();
    }
    insta::assert_snapshot!(shown);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(100))]
    #[test]
    fn any_set_is_taken_or_refused_with_a_finding(
        path in "(app|kafka|cloud|secrets|x)(\\.(services|topics|nodes|count|backend|[a-z]{1,3})|\\[[0-9]\\]){0,3}",
        value in "[a-z0-9:{}\\[\\], \"$~-]{0,12}",
    ) {
        if let Err(findings) = embedded("sandbox", &[&format!("{path}={value}")]) {
            proptest::prop_assert!(findings.has_errors());
            proptest::prop_assert!(findings.iter().all(|f| f.span.is_some()), "{}", findings);
        }
    }
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let files = Files::new(&[
        (
            "base.yaml",
            "extends: sandbox\ncloud:\n  network: {node_subnet: 10.9.0.0/24, lb_subnet: 10.0.0.0/29}\n  nodes:\n    memory_gb: 65\n",
        ),
        (
            "team.yaml",
            "extends: base.yaml\nkafka:\n  topics:\n    - {name: a}\n    - {name: a}\n",
        ),
        (
            "bad.yaml",
            "extends: base.yaml\ndeployment: To Do\nclowd: {}\ncloud:\n  network:\n    vcn_cidr: 10.0.0.1/16\n  nodes:\n    count: \"2\"\n    ocpus: 0\ndapr:\n  version: 1.18\nkafka: {provider: strimzy}\napp:\n  services:\n    - name: web\n      replica: 2\n      port: 70000\n      env: {A-B: x}\n",
        ),
    ]);
    insta::assert_snapshot!("bad_structure", files.errors("bad.yaml", &[]));
    insta::assert_snapshot!("bad_meaning", files.errors("team.yaml", &[]));
}

#[test]
fn bad_syntax_and_missing_files_are_findings() {
    let files = Files::new(&[
        ("syntax.yaml", "app: [1,\nx: 2\n"),
        ("missing.yaml", "extends: ./nowhere.yaml\n"),
        ("name.yaml", "extends: sandbx\n"),
        ("list.yaml", "- a\n"),
    ]);
    let mut shown = String::new();
    for name in ["syntax.yaml", "missing.yaml", "name.yaml", "list.yaml"] {
        shown += &files.errors(name, &[]);
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn a_secret_never_shows_in_a_finding() {
    let files = Files::new(&[
        (
            "a.yaml",
            "extends: oke\nsecrets:\n  database-url: hunter2hunter2\n",
        ),
        (
            "b.yaml",
            "extends: oke\nsecrets:\n  database-url: {value: hunter2hunter2, x: 1}\n",
        ),
        (
            "c.yaml",
            "extends: oke\nkafka: {auth: {pasword: x, password: hunter2hunter2}}\n",
        ),
        (
            "d.yaml",
            "extends: oke\nsecrets: {a: {value: \"hunter2hunter2}}\n",
        ),
        (
            "e.yaml",
            "extends: oke\nsecrets:\n  a:\n    value: \"${env:hunter2hunter2\n",
        ),
    ]);
    for (name, text) in [
        (
            "int.yaml",
            "secrets:\n  a:\n    value: !!int hunter2hunter2\n",
        ),
        ("alias.yaml", "secrets:\n  a:\n    value: *hunter2hunter2\n"),
        (
            "escape.yaml",
            "secrets:\n  a:\n    value: \"hunter2hunter2\\q\"\n",
        ),
        (
            "colon.yaml",
            "secrets:\n  a:\n    value: hunter2hunter2: x: y\n",
        ),
        (
            "block.yaml",
            "secrets:\n  a:\n    value: |\n      x\n   hunter2hunter2\n",
        ),
        (
            "folded.yaml",
            "secrets:\n  a:\n    value: \"x\n      hunter2hunter2\n",
        ),
        (
            "list.yaml",
            "secrets:\n  a:\n    value: [hunter2hunter2, hunter2hunter2]\n",
        ),
        (
            "env.yaml",
            "extends: sandbox\napp: {services: [{name: a, env: {API_TOKEN: hunter2hunter2, X: 1}}]}\n",
        ),
    ] {
        let files = Files::new(&[(name, text)]);
        let errors = files.errors(name, &[]);
        assert!(!errors.is_empty(), "{name}");
        assert!(!errors.contains("hunter2"), "{name}: {errors}");
    }
    for name in ["a.yaml", "b.yaml", "c.yaml", "d.yaml"] {
        let errors = files.errors(name, IMAGES);
        assert!(!errors.is_empty());
        assert!(!errors.contains("hunter2"), "{name}: {errors}");
    }
    let errors = files.errors(
        "b.yaml",
        &["secrets.x.value=hunter2hunter2", "secrets.x.y=1"],
    );
    assert!(!errors.contains("hunter2"), "{errors}");
    let errors = files.errors("b.yaml", &["secrets.x.value=[hunter2hunter2"]);
    assert!(!errors.contains("hunter2"), "{errors}");
    let errors = files.errors("b.yaml", &["secrets.x.value:hunter2hunter2"]);
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn a_secret_written_out_is_a_warning_outside_the_sandbox() {
    let set = "secrets.database-url.value=hunter2hunter2";
    let sets: Vec<&str> = IMAGES.iter().copied().chain([set]).collect();
    let loaded = embedded("oke", &sets).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    let text = loaded.warnings.to_string();
    assert!(
        text.contains("secrets.database-url.value=[redacted]"),
        "{text}"
    );
}

#[test]
fn references_resolve_late_into_secrets_and_texts() {
    let files = Files::new(&[
        ("token.txt", "from a file\n"),
        (
            "team.yaml",
            "extends: oke\nsecrets:\n  cohere-api-key: {value: \"${file:token.txt}\"}\n  better-auth-secret: {value: \"${secret:kept}\"}\napp:\n  services:\n    - {name: web, image: \"ghcr.io/me/web:${env:TAG}\", port: 80, env: {PRICE: \"$${x}\"}}\n",
        ),
    ]);
    let loaded = files.load("team.yaml", &[]).unwrap();
    assert_eq!(
        loaded.profile.app.services[0].image,
        "ghcr.io/me/web:${env:TAG}"
    );
    let profile = loaded
        .resolve(&Fixed(&[
            ("TAG", "3"),
            ("DATABASE_URL", "postgres://x"),
            ("kept", "k"),
        ]))
        .unwrap();
    assert_eq!(profile.app.services[0].image, "ghcr.io/me/web:3");
    assert_eq!(profile.app.services[0].env["PRICE"], "${x}");
    let secrets: Vec<&str> = profile
        .secrets
        .values()
        .map(|entry| entry.value.secret().unwrap().expose())
        .collect();
    assert_eq!(secrets, ["k", "from a file", "postgres://x"]);
    assert!(!format!("{profile:?}").contains("postgres://x"));
    assert!(
        !serde_json::to_string(&profile)
            .unwrap()
            .contains("postgres://x")
    );
}

#[test]
fn what_is_missing_is_found_at_its_use() {
    let loaded = embedded("oke", IMAGES).unwrap();
    let errors = loaded
        .resolve(&Fixed(&[("DATABASE_URL", "x")]))
        .unwrap_err();
    insta::assert_snapshot!(errors);
}

#[test]
fn an_empty_secret_is_a_missing_one() {
    let loaded = embedded("sandbox", &["secrets.cohere-api-key.value=${env:EMPTY}"]).unwrap();
    let errors = loaded.resolve(&Fixed(&[("EMPTY", "")])).unwrap_err();
    assert!(
        errors
            .to_string()
            .contains("`secrets.cohere-api-key.value` is empty"),
        "{errors}"
    );
}

#[test]
fn a_resolved_value_obeys_the_rules_too() {
    let loaded = embedded("sandbox", &["app.services.backend.image=${env:IMAGE}"]).unwrap();
    let errors = loaded.resolve(&Fixed(&[("IMAGE", "nginx")])).unwrap_err();
    assert!(
        errors.to_string().contains("lacks its registry"),
        "{errors}"
    );
    assert!(
        loaded
            .resolve(&Fixed(&[("IMAGE", "ghcr.io/a/b:1")]))
            .is_ok()
    );
}

#[test]
fn a_secret_reference_in_a_printable_field_is_refused() {
    let errors = embedded("sandbox", &["app.services.backend.env.X=${secret:x}"]).unwrap_err();
    assert!(errors.to_string().contains("may be printed"), "{errors}");
}

#[test]
fn the_digest_follows_the_profile_and_not_the_layers() {
    let digest = |sets: &[&str]| embedded("sandbox", sets).unwrap().profile.digest();
    assert_eq!(digest(&[]), digest(&["deployment=todo"]));
    assert_ne!(digest(&[]), digest(&["deployment=other"]));
    assert_eq!(digest(&[]).len(), 64);
}

#[test]
fn explain_tells_where_each_value_came_from() {
    let loaded = embedded("sandbox", &["app.services.backend.port=9000"]).unwrap();
    let told = loaded.explain();
    let find = |path: &str| told.iter().find(|e| e.path == path).unwrap();
    assert_eq!(find("app.services[1].port").from, "--set");
    assert!(
        find("cloud.nodes.count")
            .from
            .starts_with("builtin/oke.yaml:")
    );
    assert_eq!(find("secrets.cohere-api-key.value").value, "\"[redacted]\"");
}
