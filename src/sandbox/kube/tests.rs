//! The server under unmodified clients.

use super::*;
use crate::clock::Clock;

struct OneToken;

impl Authenticator for OneToken {
    fn authenticate(&self, _: &str, bearer: &str) -> Result<User, String> {
        let groups: &[&str] = match bearer {
            "admin" => &["system:masters", "system:authenticated"],
            "nobody" => &["system:authenticated"],
            _ => return Err("unknown token".to_owned()),
        };
        Ok(User::new(bearer, groups))
    }
}

fn kubeconfig(endpoint: &Endpoint) -> String {
    use base64::Engine as _;
    let ca = base64::engine::general_purpose::STANDARD.encode(&endpoint.ca_pem);
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {{server: 'https://{}', certificate-authority-data: {ca}}}\nusers:\n- name: u\n  user: {{token: admin}}\ncontexts:\n- name: c\n  context: {{cluster: c, user: u}}\ncurrent-context: c\n",
        endpoint.address
    )
}

pub(super) struct Rig {
    _dir: tempfile::TempDir,
    pub(super) clusters: Arc<Clusters>,
    pub(super) world: Arc<World>,
    pub(super) endpoint: Endpoint,
    pub(super) client: ::kube::Client,
}

pub(super) const OCID: &str = "ocid1.cluster.test";

/// A cluster whose controllers and kubelets run.
async fn rig() -> Rig {
    open(Clusters::new).await
}

/// A cluster with nothing but its API server.
pub(super) async fn still() -> Rig {
    open(Clusters::still).await
}

async fn open(serve: impl FnOnce(Arc<World>, Arc<dyn Authenticator>) -> Arc<Clusters>) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::new(1000.0, CancellationToken::new());
    let world = Arc::new(World::open(dir.path(), clock, 7).unwrap());
    let clusters = serve(world.clone(), Arc::new(OneToken));
    let endpoint = clusters.ensure(OCID).await.unwrap();
    let client = client(&endpoint).await;
    Rig {
        _dir: dir,
        clusters,
        world,
        endpoint,
        client,
    }
}

impl Rig {
    /// A TLS connection to the server.
    pub(super) async fn tls(&self) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
        use rustls::pki_types::pem::PemObject as _;
        use rustls::pki_types::{CertificateDer, ServerName};
        let mut roots = rustls::RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.endpoint.ca_pem.as_bytes()).unwrap();
        roots.add(authority).unwrap();
        let config = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let socket = tokio::net::TcpStream::connect(self.endpoint.address).await;
        let name = ServerName::try_from("localhost").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, socket.unwrap())
            .await
            .unwrap()
    }
}

async fn client(endpoint: &Endpoint) -> ::kube::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = ::kube::config::Kubeconfig::from_yaml(&kubeconfig(endpoint)).unwrap();
    let options = ::kube::config::KubeConfigOptions::default();
    let config = ::kube::Config::from_custom_kubeconfig(config, &options)
        .await
        .unwrap();
    ::kube::Client::try_from(config).unwrap()
}

use ::kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Secret};

fn config_map(name: &str, data: &serde_json::Value) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

#[tokio::test]
async fn kube_rs_discovers_applies_conflicts_and_deletes() {
    let rig = rig().await;
    let discovery = ::kube::Discovery::new(rig.client.clone())
        .run_aggregated()
        .await
        .unwrap();
    let gvk = ::kube::core::GroupVersionKind::gvk("apps", "v1", "Deployment");
    assert_eq!(discovery.resolve_gvk(&gvk).unwrap().0.plural, "deployments");

    let maps: Api<ConfigMap> = Api::namespaced(rig.client.clone(), "default");
    let apply = |manager: &str| PatchParams::apply(manager);
    let one = config_map("a", &json!({"k": "1"}));
    let made = maps
        .patch("a", &apply("one").validation_strict(), &Patch::Apply(&one))
        .await
        .unwrap();
    let again = maps
        .patch("a", &apply("one"), &Patch::Apply(&one))
        .await
        .unwrap();
    assert_eq!(
        made.metadata.resource_version,
        again.metadata.resource_version
    );

    let two = config_map("a", &json!({"k": "2"}));
    let refused = maps.patch("a", &apply("two"), &Patch::Apply(&two)).await;
    let Err(::kube::Error::Api(status)) = refused else {
        panic!("a conflict")
    };
    assert_eq!(status.code, 409);
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"one\": .data.k"
    );
    let forced = maps
        .patch("a", &apply("two").force(), &Patch::Apply(&two))
        .await
        .unwrap();
    assert_eq!(forced.data.unwrap()["k"], "2");

    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn a_writer_states_and_resets_the_managers() {
    let rig = rig().await;
    let maps: Api<ConfigMap> = Api::namespaced(rig.client.clone(), "default");
    let map = config_map("a", &json!({"k": "1"}));
    let before = PostParams {
        field_manager: Some("before".to_owned()),
        ..PostParams::default()
    };
    let map = serde_json::from_value(map).unwrap();
    let made = maps.create(&before, &map).await.unwrap();
    let mut entries = serde_json::to_value(made.metadata.managed_fields).unwrap();
    assert_eq!(entries[0]["manager"], "before");
    assert!(entries[0]["fieldsV1"]["f:data"].is_object());
    entries[0]["manager"] = json!("after");
    entries[0]["operation"] = json!("Apply");
    let cases = [
        (entries.clone(), entries.clone(), "stated"),
        (json!([{"manager": "x"}]), entries.clone(), "unreadable"),
        (json!([]), serde_json::Value::Null, "an empty list"),
        (entries.clone(), entries, "stated again"),
        (json!([{}]), serde_json::Value::Null, "an empty entry"),
    ];
    for (stated, wanted, case) in cases {
        let patch = json!([{"op": "add", "path": "/metadata/managedFields", "value": stated}]);
        let patch = Patch::Json::<ConfigMap>(serde_json::from_value(patch).unwrap());
        let written = maps.patch("a", &PatchParams::default(), &patch).await;
        let left = written.unwrap().metadata.managed_fields;
        assert_eq!(serde_json::to_value(left).unwrap(), wanted, "{case}");
    }
}

#[tokio::test]
async fn a_watcher_sees_what_a_selector_selects() {
    use ::kube::runtime::{WatchStreamExt as _, watcher};
    use futures::StreamExt as _;
    let rig = rig().await;
    let secrets: Api<Secret> = Api::namespaced(rig.client.clone(), "default");
    let config = watcher::Config::default()
        .labels("app=todo")
        .streaming_lists();
    let mut seen = Box::pin(watcher(secrets.clone(), config).touched_objects());
    let secret = |name: &str, app: &str| {
        serde_json::from_value::<Secret>(json!({
            "metadata": {"name": name, "labels": {"app": app}}, "stringData": {"p": "w"}
        }))
        .unwrap()
    };
    let made = secrets
        .create(&PostParams::default(), &secret("no", "other"))
        .await;
    made.unwrap();
    let made = secrets
        .create(&PostParams::default(), &secret("yes", "todo"))
        .await;
    assert_eq!(made.unwrap().data.unwrap()["p"].0, b"w");
    let first = seen.next().await.unwrap().unwrap();
    assert_eq!(first.metadata.name.as_deref(), Some("yes"));
}

#[tokio::test]
async fn lists_are_paged_at_one_revision() {
    let rig = rig().await;
    let maps: Api<ConfigMap> = Api::namespaced(rig.client.clone(), "kube-public");
    for n in 0..5 {
        let map = serde_json::from_value(config_map(&format!("m{n}"), &json!({}))).unwrap();
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    let fields = ListParams::default().limit(2);
    let first = maps.list(&fields).await.unwrap();
    maps.delete("m4", &DeleteParams::default()).await.unwrap();
    let token = first.metadata.continue_.clone().unwrap();
    let rest = maps
        .list(&ListParams::default().continue_token(&token))
        .await
        .unwrap();
    assert_eq!(
        first.metadata.resource_version,
        rest.metadata.resource_version
    );
    let names: Vec<_> = first
        .iter()
        .chain(rest.iter())
        .filter_map(|m| m.metadata.name.clone())
        .collect();
    assert!(names.contains(&"m4".to_owned()), "{names:?}");
}

#[tokio::test]
async fn a_namespace_goes_with_what_is_in_it() {
    let rig = rig().await;
    let namespaces: Api<Namespace> = Api::all(rig.client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": "n"}})).unwrap();
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(rig.client.clone(), "n");
    let map = serde_json::from_value(config_map("m", &json!({}))).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    namespaces
        .delete("n", &DeleteParams::default())
        .await
        .unwrap();
    let gone = async {
        while namespaces.get_opt("n").await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(2), gone)
        .await
        .unwrap();
    assert!(
        maps.list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn a_node_becomes_ready_and_goes() {
    let rig = rig().await;
    let spec = NodeSpec {
        name: "10.0.10.2".to_owned(),
        provider_id: "ocid1.instance.x".to_owned(),
        internal_ip: "10.0.10.2".to_owned(),
        cpus: 2,
        memory_gb: 12,
        arch: "arm64".to_owned(),
        kubelet_version: "v1.34.1".to_owned(),
        zone: "AD-1".to_owned(),
        fault_domain: "FAULT-DOMAIN-1".to_owned(),
        labels: BTreeMap::new(),
        pods: 31,
    };
    rig.clusters.register_node(OCID, spec);
    let nodes: Api<Node> = Api::all(rig.client.clone());
    let ready = async {
        loop {
            let node = nodes.get("10.0.10.2").await.unwrap();
            let conditions = node.status.and_then(|s| s.conditions).unwrap();
            if conditions
                .iter()
                .any(|c| c.type_ == "Ready" && c.status == "True")
            {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(2), ready)
        .await
        .unwrap();
    rig.clusters.remove_node(OCID, "10.0.10.2");
    assert!(nodes.get_opt("10.0.10.2").await.unwrap().is_none());
}

#[tokio::test]
async fn a_restarted_cluster_has_its_address_and_objects() {
    let dir = tempfile::tempdir().unwrap();
    let start = || async {
        let clock = Clock::new(1000.0, CancellationToken::new());
        let world = Arc::new(World::open(dir.path(), clock, 7).unwrap());
        Clusters::new(world, Arc::new(OneToken))
    };
    let clusters = start().await;
    let endpoint = clusters.ensure(OCID).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client(&endpoint).await, "default");
    let map = serde_json::from_value(config_map("kept", &json!({"a": "b"}))).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    clusters.stop_all();
    // The listener closes when its task notices.
    while tokio::net::TcpListener::bind(endpoint.address)
        .await
        .is_err()
    {
        tokio::task::yield_now().await;
    }
    let clusters = start().await;
    assert_eq!(clusters.ensure(OCID).await.unwrap(), endpoint);
    assert!(maps.get_opt("kept").await.unwrap().is_some());
    clusters.remove(OCID);
    assert!(clusters.world.store.list("kube/clusters", "").0.is_empty());
    let tables = clusters.world.store.tables();
    assert!(
        tables.iter().all(|(t, _)| !t.starts_with("kube/ocid1")),
        "{tables:?}"
    );
}

#[tokio::test]
async fn a_stranger_is_told_so() {
    let rig = rig().await;
    let text = kubeconfig(&rig.endpoint).replace("token: admin", "token: stranger");
    let config = ::kube::config::Kubeconfig::from_yaml(&text).unwrap();
    let config = ::kube::Config::from_custom_kubeconfig(
        config,
        &::kube::config::KubeConfigOptions::default(),
    )
    .await;
    let stranger = ::kube::Client::try_from(config.unwrap()).unwrap();
    let Err(::kube::Error::Api(status)) = Api::<Node>::all(stranger)
        .list(&ListParams::default())
        .await
    else {
        panic!("a refusal")
    };
    assert_eq!(
        (status.code, status.reason.as_str(), status.message.as_str()),
        (401, "Unauthorized", "Unauthorized")
    );
}

#[tokio::test]
async fn acting_for_another_needs_the_right_to() {
    let rig = rig().await;
    let ask = |token: &'static str, name: &'static str| {
        let text = kubeconfig(&rig.endpoint)
            .replace("token: admin", &format!("token: {token}, as: {name}"));
        async move {
            let config = ::kube::config::Kubeconfig::from_yaml(&text).unwrap();
            let options = ::kube::config::KubeConfigOptions::default();
            let config = ::kube::Config::from_custom_kubeconfig(config, &options).await;
            let client = ::kube::Client::try_from(config.unwrap()).unwrap();
            match Api::<Node>::all(client).list(&ListParams::default()).await {
                Ok(_) => "listed".to_owned(),
                Err(::kube::Error::Api(status)) => status.message.clone(),
                Err(other) => panic!("{other}"),
            }
        }
    };
    assert_eq!(ask("admin", "system:node:n").await, "listed");
    assert_eq!(
        ask("admin", "bob").await,
        "nodes is forbidden: User \"bob\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"
    );
    assert_eq!(
        ask("nobody", "bob").await,
        "users \"bob\" is forbidden: User \"nobody\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"
    );
}
