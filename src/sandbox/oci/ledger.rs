//! The emulated account's books: resources as rows of the store, and the
//! transaction in which a request or a due event reads and writes them.
//!
//! Everything that will happen later is a row too (see [`super::events`]), so
//! a killed and restarted sandbox carries on where it was.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::account::Account;
use super::error::ApiError;
use super::events::{self, Event};
use crate::sandbox::faults::Faults;
use crate::sandbox::store::Transaction;
use crate::sandbox::world::World;

/// How long a deleted resource stays readable as TERMINATED or DELETED.
pub(super) const GHOST_MS: u64 = 60_000;
/// The region that the emulated account lives in.
pub const REGION: &str = "eu-frankfurt-1";

/// The kinds of resources, each a table of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A compartment; the tenancy's root is one too.
    Compartment,
    /// An IAM policy.
    Policy,
    /// A user's auth token.
    AuthToken,
    /// A compartment quota.
    Quota,
    /// A virtual cloud network.
    Vcn,
    /// A VCN's way to the internet.
    InternetGateway,
    /// A VCN's way to the internet for private addresses.
    NatGateway,
    /// A VCN's way to Oracle's services.
    ServiceGateway,
    /// Where packets of a subnet go.
    RouteTable,
    /// What packets of a subnet may pass.
    SecurityList,
    /// What packets of a group of VNICs may pass.
    SecurityGroup,
    /// What DHCP tells the hosts of a subnet.
    DhcpOptions,
    /// A subnet.
    Subnet,
    /// A network card; whatever has an address in a subnet holds one.
    Vnic,
    /// A reserved public address.
    PublicIp,
    /// A Kubernetes cluster.
    Cluster,
    /// A pool of worker nodes.
    NodePool,
    /// Container Engine's long-running operation.
    WorkRequest,
    /// Identity's long-running operation.
    IamWorkRequest,
    /// A virtual machine.
    Instance,
    /// A virtual machine's disk.
    BootVolume,
    /// A block volume.
    Volume,
    /// A load balancer.
    LoadBalancer,
    /// The load balancer service's long-running operation.
    LbWorkRequest,
    /// A network load balancer.
    Nlb,
    /// The network load balancer service's long-running operation.
    NlbWorkRequest,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 26] = [
        Self::Compartment,
        Self::Policy,
        Self::AuthToken,
        Self::Quota,
        Self::Vcn,
        Self::InternetGateway,
        Self::NatGateway,
        Self::ServiceGateway,
        Self::RouteTable,
        Self::SecurityList,
        Self::SecurityGroup,
        Self::DhcpOptions,
        Self::Subnet,
        Self::Vnic,
        Self::PublicIp,
        Self::Cluster,
        Self::NodePool,
        Self::WorkRequest,
        Self::IamWorkRequest,
        Self::Instance,
        Self::BootVolume,
        Self::Volume,
        Self::LoadBalancer,
        Self::LbWorkRequest,
        Self::Nlb,
        Self::NlbWorkRequest,
    ];

    /// The store table.
    pub fn table(self) -> &'static str {
        match self {
            Self::Compartment => "oci/compartments",
            Self::Policy => "oci/policies",
            Self::AuthToken => "oci/auth-tokens",
            Self::Quota => "oci/quotas",
            Self::Vcn => "oci/vcns",
            Self::InternetGateway => "oci/internet-gateways",
            Self::NatGateway => "oci/nat-gateways",
            Self::ServiceGateway => "oci/service-gateways",
            Self::RouteTable => "oci/route-tables",
            Self::SecurityList => "oci/security-lists",
            Self::SecurityGroup => "oci/security-groups",
            Self::DhcpOptions => "oci/dhcp-options",
            Self::Subnet => "oci/subnets",
            Self::Vnic => "oci/vnics",
            Self::PublicIp => "oci/public-ips",
            Self::Cluster => "oci/clusters",
            Self::NodePool => "oci/node-pools",
            Self::WorkRequest => "oci/work-requests",
            Self::IamWorkRequest => "oci/iam-work-requests",
            Self::Instance => "oci/instances",
            Self::BootVolume => "oci/boot-volumes",
            Self::Volume => "oci/volumes",
            Self::LoadBalancer => "oci/load-balancers",
            Self::LbWorkRequest => "oci/lb-work-requests",
            Self::Nlb => "oci/nlbs",
            Self::NlbWorkRequest => "oci/nlb-work-requests",
        }
    }

    /// The type part of an OCID.
    pub fn ocid_type(self) -> &'static str {
        match self {
            Self::Compartment => "compartment",
            Self::Policy => "policy",
            Self::AuthToken => "credential",
            Self::Quota => "quota",
            Self::Vcn => "vcn",
            Self::InternetGateway => "internetgateway",
            Self::NatGateway => "natgateway",
            Self::ServiceGateway => "servicegateway",
            Self::RouteTable => "routetable",
            Self::SecurityList => "securitylist",
            Self::SecurityGroup => "networksecuritygroup",
            Self::DhcpOptions => "dhcpoptions",
            Self::Subnet => "subnet",
            Self::Vnic => "vnic",
            Self::PublicIp => "publicip",
            Self::Cluster => "cluster",
            Self::NodePool => "nodepool",
            Self::WorkRequest => "clustersworkrequest",
            Self::IamWorkRequest => "identityworkrequest",
            Self::Instance => "instance",
            Self::BootVolume => "bootvolume",
            Self::Volume => "volume",
            Self::LoadBalancer => "loadbalancer",
            Self::LbWorkRequest => "loadbalancerworkrequest",
            Self::Nlb => "networkloadbalancer",
            Self::NlbWorkRequest => "networkloadbalancerworkrequest",
        }
    }

    /// Whether the OCID names the region.
    fn is_regional(self) -> bool {
        let global = [
            Self::Compartment,
            Self::Policy,
            Self::AuthToken,
            Self::Quota,
        ];
        !global.contains(&self)
    }

    /// The lifecycle state of a deleted resource.
    pub fn dead_state(self) -> &'static str {
        match self {
            Self::Compartment
            | Self::Policy
            | Self::AuthToken
            | Self::Quota
            | Self::Cluster
            | Self::NodePool
            | Self::LoadBalancer
            | Self::Nlb => "DELETED",
            _ => "TERMINATED",
        }
    }

    /// Whether rows of this kind only record what happened.
    pub fn is_record(self) -> bool {
        matches!(
            self,
            Self::WorkRequest | Self::IamWorkRequest | Self::LbWorkRequest | Self::NlbWorkRequest
        )
    }
}

/// One resource: what answers show, and what only the emulator knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Doc {
    /// Counts the visible writes; etags are made of it.
    pub version: u64,
    /// The world's age at creation, in milliseconds.
    pub born: u64,
    /// The world's age from which lists show it.
    pub listed_from: u64,
    /// The world's age from which it is gone; such a row is a ghost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<u64>,
    /// The resource as answers show it.
    pub body: Map<String, Value>,
    /// What only the emulator knows about it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub hidden: Map<String, Value>,
}

impl Doc {
    /// The OCID.
    pub(super) fn id(&self) -> &str {
        self.str("id")
    }

    /// A text field of the answer; empty when it is absent.
    pub(super) fn str(&self, field: &str) -> &str {
        self.body.get(field).and_then(Value::as_str).unwrap_or("")
    }

    /// The lifecycle state.
    pub(super) fn state(&self) -> &str {
        self.str("lifecycleState")
    }

    /// Whether the resource exists (a ghost only looks as if).
    pub(super) fn is_live(&self) -> bool {
        self.gone.is_none()
    }

    /// Sets a field of the answer.
    pub(super) fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.body.insert(field.to_owned(), value.into());
    }

    /// A hidden text field; empty when it is absent.
    pub(super) fn note(&self, field: &str) -> &str {
        self.hidden.get(field).and_then(Value::as_str).unwrap_or("")
    }

    /// Sets a hidden field.
    pub(super) fn set_note(&mut self, field: &str, value: impl Into<Value>) {
        self.hidden.insert(field.to_owned(), value.into());
    }

    /// The items of an array field.
    pub(super) fn array(&self, field: &str) -> &[Value] {
        self.body
            .get(field)
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    /// Whether an array field holds this text.
    pub(super) fn array_has(&self, field: &str, text: &str) -> bool {
        self.array(field).iter().any(|v| v.as_str() == Some(text))
    }
}

/// A transaction over the books.
pub(super) struct Ledger<'a, 't> {
    /// The world.
    pub world: &'a World,
    /// Whose books they are.
    pub account: &'a Account,
    /// The store's transaction.
    pub tx: &'a mut Transaction<'t>,
    /// The world's age, in milliseconds; for a due event: when it was due.
    pub age: u64,
}

impl Ledger<'_, '_> {
    /// Now as answers write it.
    pub(super) fn now(&self) -> String {
        self.time_at(self.age)
    }

    /// The wall clock's time at an age of the world, as answers write it.
    pub(super) fn time_at(&self, age: u64) -> String {
        let at = self.world.wall_at(std::time::Duration::from_millis(age));
        format!("{at:.3}")
    }

    /// A resource, ghosts included.
    pub(super) fn find(&self, kind: Kind, id: &str) -> Option<Doc> {
        let row = self.tx.get(kind.table(), id)?;
        Doc::deserialize(&*row.value).ok()
    }

    /// A resource that exists.
    pub(super) fn live(&self, kind: Kind, id: &str) -> Option<Doc> {
        self.find(kind, id).filter(Doc::is_live)
    }

    /// A resource, ghosts included; 404 when there is none.
    pub(super) fn get(&self, kind: Kind, id: &str) -> Result<Doc, ApiError> {
        self.find(kind, id).ok_or_else(|| ApiError::not_found(id))
    }

    /// A resource that a request wants to change or use; 404 when there is
    /// none.
    pub(super) fn get_live(&self, kind: Kind, id: &str) -> Result<Doc, ApiError> {
        self.live(kind, id).ok_or_else(|| ApiError::not_found(id))
    }

    /// All resources of a kind, ghosts included, oldest first.
    pub(super) fn all(&self, kind: Kind) -> Vec<Doc> {
        let mut docs: Vec<Doc> = self
            .tx
            .list(kind.table(), "")
            .iter()
            .filter_map(|(_, row)| Doc::deserialize(&*row.value).ok())
            .collect();
        docs.sort_by(|a, b| (a.born, a.id()).cmp(&(b.born, b.id())));
        docs
    }

    /// The existing resources of a kind that `wanted` accepts.
    pub(super) fn live_where(&self, kind: Kind, wanted: impl Fn(&Doc) -> bool) -> Vec<Doc> {
        let mut docs = self.all(kind);
        docs.retain(|doc| doc.is_live() && wanted(doc));
        docs
    }

    /// Writes a resource; its etag changes.
    pub(super) fn put(&mut self, kind: Kind, doc: &mut Doc) {
        doc.version += 1;
        let id = doc.id().to_owned();
        self.tx.put(kind.table(), &id, json!(doc));
    }

    /// Makes a resource of a body without `id`, and returns it. Its identifier
    /// depends on the seed, the kind, the subject and how many of that subject
    /// there were before, and on nothing else.
    pub(super) fn create(&mut self, kind: Kind, subject: &str, body: Map<String, Value>) -> Doc {
        let id = self.new_id(kind, subject);
        let mut whole = Map::new();
        whole.insert("id".to_owned(), id.clone().into());
        whole.extend(body);
        let lag = self.draw_ms(&format!("list-lag {id}"), 0, 1500);
        let mut doc = Doc {
            version: 0,
            born: self.age,
            listed_from: self.age + lag,
            gone: None,
            body: whole,
            hidden: Map::new(),
        };
        self.put(kind, &mut doc);
        doc
    }

    /// Turns a resource into a ghost in its dead state, removed later.
    pub(super) fn bury(&mut self, kind: Kind, doc: &mut Doc) {
        doc.gone = Some(self.age);
        doc.set("lifecycleState", kind.dead_state());
        self.put(kind, doc);
        let id = doc.id().to_owned();
        self.after(GHOST_MS, &Event::Purge { kind, id });
    }

    /// A new OCID.
    pub(super) fn new_id(&mut self, kind: Kind, subject: &str) -> String {
        let subject = format!("{} {subject}", kind.ocid_type());
        let nth = self.count(&subject);
        let mut unique = self.world.letters(&format!("ocid {subject} {nth}"), 56);
        let suffix = match kind {
            Kind::Cluster => Some("c"),
            Kind::NodePool => Some("n"),
            Kind::Subnet => Some("s"),
            _ => None,
        };
        if let Some(letter) = suffix {
            let at = unique.len() - 11;
            unique.replace_range(at..=at, letter);
        }
        let region = if kind.is_regional() { REGION } else { "" };
        format!("ocid1.{}.oc1.{region}.aaaa{unique}", kind.ocid_type())
    }

    /// How often this was counted before.
    pub(super) fn count(&mut self, subject: &str) -> u64 {
        let before = self
            .tx
            .get("oci/counts", subject)
            .and_then(|row| row.value.as_u64())
            .unwrap_or(0);
        self.tx.put("oci/counts", subject, json!(before + 1));
        before
    }

    /// Milliseconds between `low` and `high`, drawn from the seed and a subject.
    pub(super) fn draw_ms(&self, subject: &str, low: u64, high: u64) -> u64 {
        low + self.world.draw(subject) % (high.saturating_sub(low) + 1)
    }

    /// Lets an event happen `ms` from now.
    pub(super) fn after(&mut self, ms: u64, event: &Event) {
        events::schedule(self.tx, self.age + ms, event);
    }

    /// Whether a fault of the plan hits now, and its argument.
    pub(super) fn fault(
        &mut self,
        kind: &str,
        subject: &str,
        wanted: impl Fn(Option<&str>) -> bool,
    ) -> Option<String> {
        Faults::take_in(self.tx, "oci", kind, subject, wanted).map(Option::unwrap_or_default)
    }

    /// The etag of a resource.
    pub(super) fn etag(&self, doc: &Doc) -> String {
        etag(self.world, doc)
    }
}

/// The etag of a resource: it changes with every visible write.
pub(super) fn etag(world: &World, doc: &Doc) -> String {
    let drawn = world.draw(&format!("etag {} {}", doc.id(), doc.version));
    format!("{drawn:016x}")
}
