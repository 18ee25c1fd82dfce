//! Calls about virtual networks. All kinds of objects in them are listed,
//! read, created, changed and deleted alike, so the calls are generic.

use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::Request;
use super::network_types::{
    CreateInternetGateway, CreateNatGateway, CreateRouteTable, CreateSecurityGroup,
    CreateSecurityList, CreateServiceGateway, CreateSubnet, CreateVcn, InternetGateway, NatGateway,
    OracleService, PrivateIp, PublicIp, RouteTable, SecurityGroup, SecurityList, ServiceGateway,
    Subnet, UpdateNaming, UpdateRouteTable, UpdateSecurityList, UpdateSubnet, Vcn, Vnic,
};
use super::{Class, Client, OciError, Resource, Service, Versioned};

/// How often a change is made again because somebody else was faster.
const MOST_ROUNDS: u32 = 5;

/// A kind of network object.
pub trait NetworkResource: Resource + DeserializeOwned + Send + Sync {
    /// Its collection in paths: `routeTables`.
    const COLLECTION: &'static str;
    /// Its name within operation names, as `(Get, List, Update, Delete)`.
    const OPERATIONS: [&'static str; 4];
    /// What can be changed.
    type Update: Serialize + Send + Sync;
}

/// A body that creates a network object.
pub trait NetworkCreate: Serialize + Sync {
    /// What it creates.
    type Made: NetworkResource;
    /// The operation's name.
    const OPERATION: &'static str;

    /// The name that the object will have.
    fn name(&self) -> &str;
}

macro_rules! network_resource {
    ($type:ty, $create:ty, $update:ty, $collection:literal, $word:literal, $words:literal) => {
        impl NetworkResource for $type {
            const COLLECTION: &'static str = $collection;
            const OPERATIONS: [&'static str; 4] = [
                concat!("Get", $word),
                concat!("List", $words),
                concat!("Update", $word),
                concat!("Delete", $word),
            ];
            type Update = $update;
        }

        impl NetworkCreate for $create {
            type Made = $type;
            const OPERATION: &'static str = concat!("Create", $word);

            fn name(&self) -> &str {
                self.display_name.as_deref().unwrap_or_default()
            }
        }
    };
}

network_resource!(Vcn, CreateVcn, UpdateNaming, "vcns", "Vcn", "Vcns");
network_resource!(
    InternetGateway,
    CreateInternetGateway,
    UpdateNaming,
    "internetGateways",
    "InternetGateway",
    "InternetGateways"
);
network_resource!(
    NatGateway,
    CreateNatGateway,
    UpdateNaming,
    "natGateways",
    "NatGateway",
    "NatGateways"
);
network_resource!(
    ServiceGateway,
    CreateServiceGateway,
    UpdateNaming,
    "serviceGateways",
    "ServiceGateway",
    "ServiceGateways"
);
network_resource!(
    RouteTable,
    CreateRouteTable,
    UpdateRouteTable,
    "routeTables",
    "RouteTable",
    "RouteTables"
);
network_resource!(
    SecurityList,
    CreateSecurityList,
    UpdateSecurityList,
    "securityLists",
    "SecurityList",
    "SecurityLists"
);
network_resource!(
    SecurityGroup,
    CreateSecurityGroup,
    UpdateNaming,
    "networkSecurityGroups",
    "NetworkSecurityGroup",
    "NetworkSecurityGroups"
);
network_resource!(
    Subnet,
    CreateSubnet,
    UpdateSubnet,
    "subnets",
    "Subnet",
    "Subnets"
);

/// Which objects to list.
#[derive(Debug, Clone, Copy)]
pub struct VcnScope<'a> {
    /// The compartment.
    pub compartment: &'a str,
    /// Only those of this network.
    pub vcn: Option<&'a str>,
}

impl<'a> VcnScope<'a> {
    /// Everything in a compartment.
    pub fn compartment(compartment: &'a str) -> Self {
        Self {
            compartment,
            vcn: None,
        }
    }

    /// Everything in a network.
    pub fn vcn(compartment: &'a str, vcn: &'a str) -> Self {
        Self {
            compartment,
            vcn: Some(vcn),
        }
    }
}

/// Calls to the network part of the core service.
#[derive(Debug, Clone, Copy)]
pub struct Network<'c> {
    pub(super) client: &'c Client,
}

impl<'c> Network<'c> {
    fn request(self, method: Method, path: &[&str]) -> Request<'c> {
        self.client.request(method, Service::Core, path)
    }

    /// Lists objects, also those that are gone but still shown: filter with
    /// [`Resource::is_live`].
    pub async fn list<R: NetworkResource>(self, scope: &VcnScope<'_>) -> Result<Vec<R>, OciError> {
        let [_, operation, ..] = R::OPERATIONS;
        self.request(Method::GET, &[R::COLLECTION])
            .named(operation, format!("list the {}s", R::NOUN))
            .query("compartmentId", scope.compartment)
            .query_opt("vcnId", scope.vcn)
            .list()
            .await
    }

    /// Reads an object.
    pub async fn get<R: NetworkResource>(self, id: &str) -> Result<Versioned<R>, OciError> {
        let [operation, ..] = R::OPERATIONS;
        self.request(Method::GET, &[R::COLLECTION, id])
            .named(operation, format!("read the {} {}", R::NOUN, short(id)))
            .one()
            .await
    }

    /// Creates an object; the same token and body never make a second one.
    pub async fn create<C: NetworkCreate>(
        self,
        body: &C,
        token: &str,
    ) -> Result<Versioned<C::Made>, OciError> {
        let doing = format!("create {} `{}`", C::Made::NOUN, body.name());
        self.request(Method::POST, &[C::Made::COLLECTION])
            .named(C::OPERATION, doing)
            .json(body)
            .token(token)
            .one()
            .await
    }

    /// Changes an object, if it still has the entity tag. [`Self::modify`] is
    /// safer where others change it too.
    pub async fn update<R: NetworkResource>(
        self,
        id: &str,
        body: &R::Update,
        etag: Option<&str>,
    ) -> Result<Versioned<R>, OciError> {
        let [_, _, operation, _] = R::OPERATIONS;
        self.request(Method::PUT, &[R::COLLECTION, id])
            .named(operation, format!("change the {} {}", R::NOUN, short(id)))
            .json(body)
            .if_match(etag)
            .one()
            .await
    }

    /// Deletes an object, if it still has the entity tag.
    pub async fn delete<R: NetworkResource>(
        self,
        id: &str,
        etag: Option<&str>,
    ) -> Result<(), OciError> {
        let [.., operation] = R::OPERATIONS;
        self.request(Method::DELETE, &[R::COLLECTION, id])
            .named(operation, format!("delete the {} {}", R::NOUN, short(id)))
            .if_match(etag)
            .done()
            .await
    }

    /// Reads an object and changes it as `change` says, which returns nothing
    /// when it is right already. When somebody else was faster, or when a lost
    /// reply makes it look so, it reads and asks again.
    pub async fn modify<R: NetworkResource>(
        self,
        id: &str,
        change: impl Fn(&R) -> Option<R::Update> + Send + Sync,
    ) -> Result<Versioned<R>, OciError> {
        let mut rounds = 0;
        loop {
            let current = self.get::<R>(id).await?;
            let Some(body) = change(&current) else {
                return Ok(current);
            };
            rounds += 1;
            match self.update::<R>(id, &body, current.etag.as_deref()).await {
                Err(error) if error.class == Class::Precondition && rounds < MOST_ROUNDS => {}
                other => return other,
            }
        }
    }

    /// Empties a route table, so that gateways it points at can be deleted.
    pub async fn clear_routes(self, id: &str) -> Result<(), OciError> {
        self.modify::<RouteTable>(id, |table| {
            (!table.route_rules.is_empty()).then(|| UpdateRouteTable {
                route_rules: Some(Vec::new()),
                ..UpdateRouteTable::default()
            })
        })
        .await
        .map(drop)
    }

    /// The sets of Oracle services that a service gateway can lead to.
    pub async fn services(self) -> Result<Vec<OracleService>, OciError> {
        self.request(Method::GET, &["services"])
            .named("ListServices", "list Oracle's network services")
            .list()
            .await
    }

    /// The private addresses in use in a subnet.
    pub async fn private_ips(self, subnet: &str) -> Result<Vec<PrivateIp>, OciError> {
        self.request(Method::GET, &["privateIps"])
            .named(
                "ListPrivateIps",
                format!("list the addresses in use in subnet {}", short(subnet)),
            )
            .query("subnetId", subnet)
            .list()
            .await
    }

    /// A network card.
    pub async fn vnic(self, id: &str) -> Result<Vnic, OciError> {
        let request = self.request(Method::GET, &["vnics", id]);
        let doing = format!("read the network card {}", short(id));
        Ok(request.named("GetVnic", doing).one().await?.value)
    }

    /// The network cards that hold a subnet. Those that vanish meanwhile, or
    /// that the user may not see, are shown by their address alone.
    pub async fn holders(self, subnet: &str) -> Result<Vec<String>, OciError> {
        let mut names = Vec::new();
        for ip in self.private_ips(subnet).await? {
            let vnic = match &ip.vnic_id {
                Some(id) => super::found(self.vnic(id).await)?,
                None => None,
            };
            let name = vnic.map_or(ip.display_name, |v| v.display_name);
            let address = ip.ip_address.unwrap_or(ip.id);
            names.push(if name.is_empty() {
                address
            } else {
                format!("{name} ({address})")
            });
        }
        Ok(names)
    }

    /// The region's public addresses of a compartment.
    pub async fn public_ips(self, compartment: &str) -> Result<Vec<PublicIp>, OciError> {
        self.request(Method::GET, &["publicIps"])
            .named("ListPublicIps", "list the public addresses")
            .query("scope", "REGION")
            .query("lifetime", "RESERVED")
            .query("compartmentId", compartment)
            .list()
            .await
    }

    /// Gives a reserved public address back.
    pub async fn delete_public_ip(self, id: &str) -> Result<(), OciError> {
        self.request(Method::DELETE, &["publicIps", id])
            .named(
                "DeletePublicIp",
                format!("delete the public address {}", short(id)),
            )
            .done()
            .await
    }
}

/// The end of an OCID, by which people tell two of them apart.
pub(super) fn short(id: &str) -> String {
    const WHOLE: usize = 24;
    const TAIL: usize = 6;
    let length = id.chars().count();
    if length <= WHOLE {
        return id.to_owned();
    }
    let tail: String = id.chars().skip(length - TAIL).collect();
    format!("…{tail}")
}
