//! The way into the cluster: where its API is, connections to it, and nodes
//! that take pods. Nothing here is made at Oracle.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::OnceCell;

use super::cluster::ClusterLive;
use super::cx::Cx;
use super::node_pool::NodePoolLive;
use super::owned::tags_step;
use crate::clock::Clock;
use crate::files;
use crate::k8s;
use crate::manifest::Manifest;
use crate::names::StepId;
use crate::oci::{self, ClusterAccess, KubeconfigEndpoint};
use crate::plan::{Change, Class, Handle, Inputs, Step, StepCx, StepError};

/// Where the way into the cluster is remembered.
const CACHE: &str = "access.json";
/// How long that is trusted.
const CACHED_FOR: Duration = Duration::from_hours(24);
/// A node joins within minutes of its start.
const NODES_READY_WITHIN: Duration = Duration::from_mins(20);

/// The way into a cluster. It holds no secret: tokens are made when needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// OCID of the cluster; empty for a cluster out of a kubeconfig.
    pub cluster: String,
    /// URL of the Kubernetes API.
    pub server: String,
    /// The certificate authority of the API, PEM.
    pub ca_pem: String,
}

/// Finds the way into the cluster at Oracle.
pub(super) struct AccessStep {
    pub(super) cluster: Handle<ClusterLive>,
}

impl Step<Cx> for AccessStep {
    type Live = Access;

    fn id(&self) -> StepId {
        tags_step("cluster/access")
    }

    fn title(&self) -> String {
        "access to the cluster".to_owned()
    }

    fn needs(&self) -> Vec<StepId> {
        vec![self.cluster.id().clone()]
    }

    fn system(&self) -> &'static str {
        "oci"
    }

    fn only_reads(&self) -> bool {
        true
    }

    async fn inspect(&self, cx: &StepCx<Cx>) -> Result<Option<Access>, StepError> {
        let Some(cluster) = cx.known(&self.cluster).filter(|cluster| cluster.active) else {
            return Ok(None);
        };
        let cache = cx.cx.dir.join(CACHE);
        if let Some(access) = cached(&cache, &cluster) {
            return Ok(Some(access));
        }
        let client = cx.cx.cloud()?.observed(cx);
        let endpoint = KubeconfigEndpoint::Public;
        let text = client.clusters().kubeconfig(&cluster.id, &endpoint).await?;
        let access = ClusterAccess::parse(&text).map_err(|error| {
            StepError::new(Class::Bug, "cannot use Oracle's kubeconfig").caused_by(error)
        })?;
        let access = Access {
            cluster: cluster.id,
            server: access.server,
            ca_pem: access.ca_pem,
        };
        if let Ok(text) = serde_json::to_vec_pretty(&access) {
            // Only a cache: without it the next run asks Oracle again.
            let _ = files::write_atomic(&cache, &text, files::Access::Private);
        }
        Ok(Some(access))
    }

    fn plan(&self, _: &Cx, _: &Inputs, _: Option<&Access>) -> Change {
        Change::none()
    }

    async fn apply(&self, _: &StepCx<Cx>, live: Option<Access>) -> Result<Access, StepError> {
        live.ok_or_else(|| StepError::bug("a step that only reads has nothing to apply"))
    }

    async fn destroy(&self, _: &StepCx<Cx>, _: Access) -> Result<(), StepError> {
        Ok(())
    }
}

/// What an earlier run learned, if it still fits the cluster.
fn cached(path: &Path, cluster: &ClusterLive) -> Option<Access> {
    let fresh = fs::metadata(path).ok()?.modified().ok()?.elapsed().ok()? < CACHED_FOR;
    let access: Access = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let fits = access.cluster == cluster.id && access.server.ends_with(&cluster.endpoint);
    (fresh && fits && !cluster.endpoint.is_empty()).then_some(access)
}

/// Uses the context of the user's kubeconfig.
pub(super) struct ContextAccess;

impl Step<Cx> for ContextAccess {
    type Live = Access;

    fn id(&self) -> StepId {
        tags_step("cluster/access")
    }

    fn title(&self) -> String {
        "access to the cluster".to_owned()
    }

    fn needs(&self) -> Vec<StepId> {
        Vec::new()
    }

    fn system(&self) -> &'static str {
        "kubernetes"
    }

    fn only_reads(&self) -> bool {
        true
    }

    async fn inspect(&self, cx: &StepCx<Cx>) -> Result<Option<Access>, StepError> {
        let server = cx
            .cx
            .cluster
            .by_context(&cx.cx, &cx.clock)
            .await?
            .server()
            .to_owned();
        Ok(Some(Access {
            cluster: String::new(),
            server,
            ca_pem: String::new(),
        }))
    }

    fn plan(&self, _: &Cx, _: &Inputs, _: Option<&Access>) -> Change {
        Change::none()
    }

    async fn apply(&self, _: &StepCx<Cx>, live: Option<Access>) -> Result<Access, StepError> {
        live.ok_or_else(|| StepError::bug("a step that only reads has nothing to apply"))
    }

    async fn destroy(&self, _: &StepCx<Cx>, _: Access) -> Result<(), StepError> {
        Ok(())
    }
}

/// What a step inside the cluster needs: the way in, and others before it.
pub(super) fn needs(access: &Handle<Access>, after: &[StepId]) -> Vec<StepId> {
    let all = std::iter::once(access.id()).chain(after);
    all.cloned().collect()
}

/// What was found in the cluster. A teardown takes a cluster that cannot be
/// reached for empty: what it holds goes with it.
pub(super) fn found<T>(
    cx: &StepCx<Cx>,
    looked: Result<Option<T>, StepError>,
) -> Result<Option<T>, StepError> {
    match looked {
        Err(error) if cx.cx.teardown && error.class() == Class::Unreachable => Ok(None),
        other => other,
    }
}

impl Access {
    /// What an earlier run on this machine learned, without asking Oracle. A
    /// rehearsal is asked: there an API may listen elsewhere after a restart,
    /// because another program has its port.
    pub async fn remembered(cx: &Cx) -> Option<Self> {
        if cx.cloud_if_any().is_none() {
            return Some(Self {
                cluster: String::new(),
                server: String::new(),
                ca_pem: String::new(),
            });
        }
        let access: Self = serde_json::from_slice(&fs::read(cx.dir.join(CACHE)).ok()?).ok()?;
        if cx.profile.sandbox.is_some() {
            let clusters = cx.cloud_if_any()?.client.clusters();
            let Ok(cluster) = clusters.get(&access.cluster).await else {
                return Some(access);
            };
            let endpoint = cluster.value.endpoints?.public_endpoint?;
            return access.server.ends_with(&endpoint).then_some(access);
        }
        Some(access)
    }

    /// A connection, for commands that only use the cluster.
    pub async fn connect(&self, cx: &Cx, clock: &Clock) -> Result<k8s::Kube, StepError> {
        cx.cluster.reach(cx, clock, self).await
    }
}

/// Connections to the cluster, kept for the run.
#[derive(Default)]
pub(super) struct Connections {
    context: OnceCell<ContextConnection>,
    made: tokio::sync::Mutex<Option<(Access, k8s::Kube)>>,
    owned: OnceCell<Vec<Manifest>>,
    anew: AtomicBool,
}

/// A connection by the user's kubeconfig.
#[derive(Clone)]
pub(super) struct ContextConnection {
    kube: k8s::Kube,
    server: String,
}

impl ContextConnection {
    /// What plans call the cluster.
    pub(super) fn server(&self) -> &str {
        &self.server
    }
}

impl Connections {
    /// From now on objects are read anew each time.
    pub(super) fn read_anew(&self) {
        self.anew.store(true, Ordering::Relaxed);
    }

    /// Everything of these kinds that the deployment owns. While planning, all
    /// who ask share one look.
    pub(super) async fn owned(
        &self,
        kube: &k8s::Kube,
        kinds: &[(&str, &str)],
        deployment: &str,
    ) -> Result<Vec<Manifest>, k8s::K8sError> {
        if self.reads_anew() {
            return kube.list_owned(kinds, deployment).await;
        }
        let look = async || kube.list_owned(kinds, deployment).await;
        self.owned.get_or_try_init(look).await.cloned()
    }

    /// Whether the run is changing things by now.
    pub(super) fn reads_anew(&self) -> bool {
        self.anew.load(Ordering::Relaxed)
    }

    /// The connection by an access, made on first use.
    pub(super) async fn get(
        &self,
        cx: &StepCx<Cx>,
        access: &Access,
    ) -> Result<k8s::Kube, StepError> {
        self.reach(&cx.cx, &cx.clock, access).await
    }

    /// The same outside of a step.
    async fn reach(&self, cx: &Cx, clock: &Clock, access: &Access) -> Result<k8s::Kube, StepError> {
        if access.cluster.is_empty() {
            return Ok(self.by_context(cx, clock).await?.kube.clone());
        }
        let mut made = self.made.lock().await;
        if let Some((_, kube)) = made.as_ref().filter(|(known, _)| known == access) {
            return Ok(kube.clone());
        }
        let kube = connect(cx, clock, access).await?;
        *made = Some((access.clone(), kube.clone()));
        Ok(kube)
    }

    /// The connection by the profile's kubeconfig and context.
    pub(super) async fn by_context(
        &self,
        cx: &Cx,
        clock: &Clock,
    ) -> Result<&ContextConnection, StepError> {
        let made = self.context.get_or_try_init(async || {
            let wanted = &cx.profile.kubernetes;
            let kubeconfig = match &wanted.kubeconfig {
                Some(path) => k8s::Kubeconfig::File(files::expand_home(path)),
                None => k8s::Kubeconfig::Default,
            };
            let connect = k8s::Connect {
                kubeconfig,
                context: wanted.context.clone(),
                token: None,
                clock: clock.clone(),
                patience: k8s::Patience::default(),
            };
            let server = wanted
                .context
                .clone()
                .unwrap_or_else(|| "current context".to_owned());
            Ok::<_, StepError>(ContextConnection {
                kube: connect.connect().await?,
                server,
            })
        });
        made.await
    }
}

/// The refusals of a cluster that has just become active pass.
const UNAUTHORIZED_FOR: Duration = Duration::from_mins(3);
/// A token is made anew this long before it expires.
const TOKEN_MARGIN: Duration = Duration::from_mins(1);

async fn connect(cx: &Cx, clock: &Clock, access: &Access) -> Result<k8s::Kube, StepError> {
    let tokens = cx.cloud()?.client.cluster_tokens();
    let (cluster, token_clock) = (access.cluster.clone(), clock.clone());
    let last: std::sync::Mutex<Option<oci::ClusterToken>> = std::sync::Mutex::default();
    let source: k8s::TokenSource = Arc::new(move || {
        let mut last = last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let good_until = token_clock.now().checked_add(TOKEN_MARGIN)?;
        if let Some(token) = last.as_ref().filter(|token| token.expires > good_until) {
            return Ok(token.token.clone());
        }
        let token = tokens.mint(&cluster)?;
        *last = Some(token.clone());
        Ok(token.token)
    });
    let mut connect = k8s::Connect::with_token(kubeconfig(access), source, clock.clone());
    connect.patience.unauthorized = UNAUTHORIZED_FOR;
    Ok(connect.connect().await?)
}

/// A kubeconfig without credentials, for this process.
fn kubeconfig(access: &Access) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {
            "server": access.server,
            "certificate-authority-data": STANDARD.encode(&access.ca_pem),
        }}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    })
    .to_string()
}

/// How many nodes take pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NodesLive {
    ready: usize,
}

/// Waits until the nodes take pods.
pub(super) struct NodesStep {
    pub(super) access: Handle<Access>,
    pub(super) pool: Handle<NodePoolLive>,
}

impl Step<Cx> for NodesStep {
    type Live = NodesLive;

    fn id(&self) -> StepId {
        tags_step("cluster/nodes")
    }

    fn title(&self) -> String {
        "nodes ready".to_owned()
    }

    fn needs(&self) -> Vec<StepId> {
        vec![self.access.id().clone(), self.pool.id().clone()]
    }

    fn system(&self) -> &'static str {
        "kubernetes"
    }

    fn quiet_limit(&self) -> Duration {
        NODES_READY_WITHIN + Duration::from_mins(1)
    }

    fn only_reads(&self) -> bool {
        true
    }

    async fn inspect(&self, cx: &StepCx<Cx>) -> Result<Option<NodesLive>, StepError> {
        let Some(access) = cx.known(&self.access).filter(|_| !cx.cx.teardown) else {
            return Ok(None);
        };
        let nodes = cx.cx.cluster.get(cx, &access).await?.nodes().await?;
        Ok(Some(NodesLive {
            ready: nodes.iter().filter(|node| node.ready).count(),
        }))
    }

    fn plan(&self, cx: &Cx, _: &Inputs, live: Option<&NodesLive>) -> Change {
        let wanted = cx
            .cloud_if_any()
            .map_or(0, |cloud| cloud.profile.nodes.count as usize);
        match live {
            None => Change::create(&json!({"ready": wanted})),
            Some(live) if live.ready < wanted => {
                Change::update(&json!({"ready": live.ready}), &json!({"ready": wanted}))
            }
            Some(_) => Change::none(),
        }
    }

    async fn apply(&self, cx: &StepCx<Cx>, _: Option<NodesLive>) -> Result<NodesLive, StepError> {
        let wanted = cx.cx.cloud()?.profile.nodes.count as usize;
        let access = cx.input(&self.access)?;
        let kube = cx.cx.cluster.get(cx, &access).await?;
        let nodes = kube
            .wait_for_nodes(wanted, NODES_READY_WITHIN, |seen| cx.progress(seen))
            .await?;
        Ok(NodesLive {
            ready: nodes.iter().filter(|node| node.ready).count(),
        })
    }

    async fn destroy(&self, _: &StepCx<Cx>, _: NodesLive) -> Result<(), StepError> {
        Ok(())
    }
}
