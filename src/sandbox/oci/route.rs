//! Which operation a method and a path mean. All services share one port: the
//! first segment is the version, by which they can be told apart.

use super::call::Operation;
use super::error::ApiError;
use super::ledger::Ledger;
use super::{
    blockstorage, call, cluster, compute, identity, limits, loadbalancer, network, node_pool,
    options, registry, search, work,
};

type Run = fn(&mut Ledger<'_, '_>, &call::Call<'_>) -> call::Outcome;

#[expect(
    clippy::unnecessary_wraps,
    reason = "the routes are options of operations"
)]
fn op(name: &'static str, run: Run) -> Option<Operation> {
    Some(Operation {
        name,
        run,
        retry_token: false,
    })
}

/// An operation that makes something and honours retry tokens.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the routes are options of operations"
)]
fn once(name: &'static str, run: Run) -> Option<Operation> {
    Some(Operation {
        name,
        run,
        retry_token: true,
    })
}

/// The operation of a request.
pub(super) fn find(method: &str, path: &[&str]) -> Result<Operation, ApiError> {
    let method = if method == "HEAD" { "GET" } else { method };
    if let Some(found) = lookup(method, path) {
        return Ok(found);
    }
    let mut others = ["GET", "POST", "PUT", "DELETE"].into_iter();
    if others.any(|other| lookup(other, path).is_some()) {
        return Err(ApiError::method_not_allowed(method));
    }
    Err(ApiError::unknown_path(&format!("/{}", path.join("/"))))
}

fn lookup(method: &str, path: &[&str]) -> Option<Operation> {
    let (version, rest) = path.split_first()?;
    match *version {
        "20160918" => identity(method, rest)
            .or_else(|| virtual_network(method, rest))
            .or_else(|| core(method, rest))
            .or_else(|| registry(method, rest)),
        "20180222" => containers(method, rest),
        "20170115" => load_balancers(method, rest),
        "20200501" => network_load_balancers(method, rest),
        "20190729" | "20181025" => tenancy_limits(method, rest),
        "20180409" => match (method, rest) {
            ("POST", ["resources"]) => op("SearchResources", search::resources),
            _ => None,
        },
        "n" => match (method, rest) {
            ("GET", [] | [""]) => op("GetNamespace", registry::namespace),
            _ => None,
        },
        _ => None,
    }
}

fn identity(method: &str, rest: &[&str]) -> Option<Operation> {
    match (method, rest) {
        ("GET", ["availabilityDomains"]) => {
            op("ListAvailabilityDomains", identity::availability_domains)
        }
        ("GET", ["faultDomains"]) => op("ListFaultDomains", identity::fault_domains),
        ("GET", ["regions"]) => op("ListRegions", identity::regions),
        ("GET", ["tenancies", _]) => op("GetTenancy", identity::tenancy),
        ("GET", ["tenancies", _, "regionSubscriptions"]) => {
            op("ListRegionSubscriptions", identity::region_subscriptions)
        }
        ("GET", ["users", _]) => op("GetUser", identity::user),
        ("GET", ["users", _, "apiKeys"]) => op("ListApiKeys", identity::api_keys),
        ("GET", ["users", _, "authTokens"]) => op("ListAuthTokens", identity::list_auth_tokens),
        ("POST", ["users", _, "authTokens"]) => {
            once("CreateAuthToken", identity::create_auth_token)
        }
        ("DELETE", ["users", _, "authTokens", _]) => {
            op("DeleteAuthToken", identity::delete_auth_token)
        }
        ("GET", ["compartments"]) => op("ListCompartments", identity::list_compartments),
        ("POST", ["compartments"]) => once("CreateCompartment", identity::create_compartment),
        ("GET", ["compartments", _]) => op("GetCompartment", identity::get_compartment),
        ("PUT", ["compartments", _]) => op("UpdateCompartment", identity::update_compartment),
        ("DELETE", ["compartments", _]) => op("DeleteCompartment", identity::delete_compartment),
        ("GET", ["policies"]) => op("ListPolicies", identity::list_policies),
        ("POST", ["policies"]) => once("CreatePolicy", identity::create_policy),
        ("GET", ["policies", _]) => op("GetPolicy", identity::get_policy),
        ("DELETE", ["policies", _]) => op("DeletePolicy", identity::delete_policy),
        ("GET", ["workRequests", id]) if id.starts_with("ocid1.identityworkrequest.") => {
            op("GetWorkRequest", identity::work_request)
        }
        _ => None,
    }
}

fn virtual_network(method: &str, rest: &[&str]) -> Option<Operation> {
    match (method, rest) {
        ("GET", ["services"]) => op("ListServices", network::address::list_services),
        ("GET", ["vnics", _]) => op("GetVnic", network::address::get_vnic),
        ("GET", ["privateIps"]) => op("ListPrivateIps", network::address::list_private),
        ("POST", ["publicIps", "actions", "getByIpAddress"]) => op(
            "GetPublicIpByIpAddress",
            network::address::public_by_address,
        ),
        ("GET", ["networkSecurityGroups", _, "vnics"]) => {
            op("ListNetworkSecurityGroupVnics", network::group::list_vnics)
        }
        ("GET", ["networkSecurityGroups", _, "securityRules"]) => op(
            "ListNetworkSecurityGroupSecurityRules",
            network::group::list_rules,
        ),
        ("POST", ["networkSecurityGroups", _, "actions", "addSecurityRules"]) => op(
            "AddNetworkSecurityGroupSecurityRules",
            network::group::add_rules,
        ),
        ("POST", ["networkSecurityGroups", _, "actions", "updateSecurityRules"]) => op(
            "UpdateNetworkSecurityGroupSecurityRules",
            network::group::update_rules,
        ),
        ("POST", ["networkSecurityGroups", _, "actions", "removeSecurityRules"]) => op(
            "RemoveNetworkSecurityGroupSecurityRules",
            network::group::remove_rules,
        ),
        (_, [collection]) => {
            network::kind_of(collection)?;
            match method {
                "GET" => op("List", network::list),
                "POST" => once(create_name(collection), network::create),
                _ => None,
            }
        }
        (_, [collection, _]) => {
            network::kind_of(collection)?;
            match method {
                "GET" => op("Get", network::get),
                "PUT" => op("Update", network::update),
                "DELETE" => op("Delete", network::delete),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Retry tokens are scoped to the operation, so each create has its own name.
fn create_name(collection: &str) -> &'static str {
    match collection {
        "vcns" => "CreateVcn",
        "internetGateways" => "CreateInternetGateway",
        "natGateways" => "CreateNatGateway",
        "serviceGateways" => "CreateServiceGateway",
        "routeTables" => "CreateRouteTable",
        "securityLists" => "CreateSecurityList",
        "networkSecurityGroups" => "CreateNetworkSecurityGroup",
        "dhcps" => "CreateDhcpOptions",
        "subnets" => "CreateSubnet",
        _ => "CreatePublicIp",
    }
}

fn core(method: &str, rest: &[&str]) -> Option<Operation> {
    match (method, rest) {
        ("GET", ["shapes"]) => op("ListShapes", compute::shapes),
        ("GET", ["images"]) => op("ListImages", compute::images),
        ("GET", ["instances"]) => op("ListInstances", compute::list),
        ("GET", ["instances", _]) => op("GetInstance", compute::get),
        ("DELETE", ["instances", _]) => op("TerminateInstance", compute::delete),
        ("GET", ["vnicAttachments"]) => op("ListVnicAttachments", compute::vnic_attachments),
        ("POST", ["computeCapacityReports"]) => {
            once("CreateComputeCapacityReport", compute::capacity_report)
        }
        ("GET", ["volumes" | "bootVolumes"]) => op("ListVolumes", blockstorage::list),
        ("GET", ["volumes" | "bootVolumes", _]) => op("GetVolume", blockstorage::get),
        ("POST", ["volumes"]) => once("CreateVolume", blockstorage::create),
        ("DELETE", ["volumes" | "bootVolumes", _]) => op("DeleteVolume", blockstorage::delete),
        ("GET", ["bootVolumeAttachments"]) => {
            op("ListBootVolumeAttachments", blockstorage::boot_attachments)
        }
        ("GET", ["volumeAttachments"]) => op("ListVolumeAttachments", blockstorage::attachments),
        _ => None,
    }
}

fn registry(method: &str, rest: &[&str]) -> Option<Operation> {
    match (method, rest) {
        ("GET", ["container", "configuration"]) => {
            op("GetContainerConfiguration", registry::configuration)
        }
        ("GET", ["container", "repositories" | "images"]) => {
            op("ListContainerRepositories", registry::nothing)
        }
        _ => None,
    }
}

fn containers(method: &str, rest: &[&str]) -> Option<Operation> {
    match (method, rest) {
        ("GET", ["clusters"]) => op("ListClusters", cluster::list),
        ("POST", ["clusters"]) => once("CreateCluster", cluster::create),
        ("GET", ["clusters", _]) => op("GetCluster", cluster::get),
        ("PUT", ["clusters", _]) => op("UpdateCluster", cluster::update),
        ("DELETE", ["clusters", _]) => op("DeleteCluster", cluster::delete),
        ("POST", ["clusters", _, "actions", "updateEndpointConfig"]) => {
            op("UpdateClusterEndpointConfig", cluster::update_endpoint)
        }
        ("POST", ["clusters", _, "kubeconfig", "content"]) => {
            op("CreateKubeconfig", cluster::kubeconfig)
        }
        ("GET", ["clusterOptions", _]) => op("GetClusterOptions", options::of_cluster),
        ("GET", ["nodePools"]) => op("ListNodePools", node_pool::list),
        ("POST", ["nodePools"]) => once("CreateNodePool", node_pool::create),
        ("GET", ["nodePools", _]) => op("GetNodePool", node_pool::get),
        ("PUT", ["nodePools", _]) => op("UpdateNodePool", node_pool::update),
        ("DELETE", ["nodePools", _]) => op("DeleteNodePool", node_pool::delete),
        ("DELETE", ["nodePools", _, "node", _]) => op("DeleteNode", node_pool::delete_node),
        ("GET", ["nodePoolOptions", _]) => op("GetNodePoolOptions", options::of_node_pool),
        ("GET", ["workRequests"]) => op("ListWorkRequests", work::list),
        ("GET", ["workRequests", _]) => op("GetWorkRequest", work::get),
        ("DELETE", ["workRequests", _]) => op("DeleteWorkRequest", work::cancel),
        ("GET", ["workRequests", _, "errors"]) => op("ListWorkRequestErrors", work::errors),
        ("GET", ["workRequests", _, "logs"]) => op("ListWorkRequestLogs", work::logs),
        _ => None,
    }
}

fn load_balancers(method: &str, rest: &[&str]) -> Option<Operation> {
    match (method, rest) {
        ("GET", ["loadBalancers"]) => op("ListLoadBalancers", loadbalancer::list),
        ("POST", ["loadBalancers"]) => once("CreateLoadBalancer", loadbalancer::create),
        ("GET", ["loadBalancers", _]) => op("GetLoadBalancer", loadbalancer::get),
        ("PUT", ["loadBalancers", _]) => op("UpdateLoadBalancer", loadbalancer::update),
        ("DELETE", ["loadBalancers", _]) => op("DeleteLoadBalancer", loadbalancer::delete),
        ("GET", ["loadBalancers", _, "workRequests"]) => {
            op("ListWorkRequests", loadbalancer::work_requests)
        }
        ("GET", ["loadBalancerWorkRequests", _]) => {
            op("GetWorkRequest", loadbalancer::work_request)
        }
        _ => None,
    }
}

fn network_load_balancers(method: &str, rest: &[&str]) -> Option<Operation> {
    match (method, rest) {
        ("GET", ["networkLoadBalancers"]) => {
            op("ListNetworkLoadBalancers", loadbalancer::list_nlbs)
        }
        ("POST", ["networkLoadBalancers"]) => {
            once("CreateNetworkLoadBalancer", loadbalancer::create_nlb)
        }
        ("GET", ["networkLoadBalancers", _]) => op("GetNetworkLoadBalancer", loadbalancer::get_nlb),
        ("DELETE", ["networkLoadBalancers", _]) => {
            op("DeleteNetworkLoadBalancer", loadbalancer::delete_nlb)
        }
        ("GET", ["workRequests", _]) => op("GetWorkRequest", loadbalancer::nlb_work_request),
        _ => None,
    }
}

fn tenancy_limits(method: &str, rest: &[&str]) -> Option<Operation> {
    match (method, rest) {
        ("GET", ["services"]) => op("ListServices", limits::services),
        ("GET", ["limitDefinitions"]) => op("ListLimitDefinitions", limits::definitions),
        ("GET", ["limitValues"]) => op("ListLimitValues", limits::values),
        ("GET", ["services", _, "limits", _, "resourceAvailability"]) => {
            op("GetResourceAvailability", limits::availability)
        }
        ("GET", ["quotas"]) => op("ListQuotas", limits::list_quotas),
        ("POST", ["quotas"]) => once("CreateQuota", limits::create_quota),
        ("GET", ["quotas", _]) => op("GetQuota", limits::get_quota),
        ("DELETE", ["quotas", _]) => op("DeleteQuota", limits::delete_quota),
        _ => None,
    }
}
