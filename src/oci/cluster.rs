//! Calls to the container engine: clusters, node pools, kubeconfigs.

use http::Method;
use serde::Serialize;

use super::call::Request;
pub use super::cluster_types::*;
use super::network::short;
pub use super::node_types::*;
use super::{Accepted, Client, OciError, Service, Versioned};

/// Calls to the container engine.
#[derive(Debug, Clone, Copy)]
pub struct Clusters<'c> {
    pub(super) client: &'c Client,
}

/// Which images and versions to ask for. The service takes the filters as
/// hints, so filter the answer too.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodePoolQuery<'a> {
    /// The compartment.
    pub compartment: Option<&'a str>,
    /// `AARCH64` or `X86_64`.
    pub architecture: Option<&'a str>,
    /// A version, with a leading `v`.
    pub kubernetes_version: Option<&'a str>,
}

/// How a pool's nodes are emptied when they are deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Drain {
    /// As the pool says, by default for up to an hour.
    #[default]
    AsConfigured,
    /// Not at all.
    Skip,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AskKubeconfig<'a> {
    token_version: &'a str,
    endpoint: &'a KubeconfigEndpoint,
}

impl<'c> Clusters<'c> {
    fn request(self, method: Method, path: &[&str]) -> Request<'c> {
        self.client.request(method, Service::ContainerEngine, path)
    }

    /// The clusters of a compartment, all or those of one name; also those
    /// that are gone but still shown.
    pub async fn list(
        self,
        compartment: &str,
        name: Option<&str>,
    ) -> Result<Vec<Cluster>, OciError> {
        self.request(Method::GET, &["clusters"])
            .named("ListClusters", "list the clusters")
            .query("compartmentId", compartment)
            .query_opt("name", name)
            .list()
            .await
    }

    /// A cluster.
    pub async fn get(self, id: &str) -> Result<Versioned<Cluster>, OciError> {
        self.request(Method::GET, &["clusters", id])
            .named("GetCluster", format!("read the cluster {}", short(id)))
            .one()
            .await
    }

    /// Starts to create a cluster. Its OCID comes with the work request.
    pub async fn create(self, body: &CreateCluster, token: &str) -> Result<Accepted, OciError> {
        self.request(Method::POST, &["clusters"])
            .named("CreateCluster", format!("create cluster `{}`", body.name))
            .json(body)
            .token(token)
            .accepted()
            .await
    }

    /// Starts to change a cluster, if it still has the entity tag.
    pub async fn update(
        self,
        id: &str,
        body: &UpdateCluster,
        etag: Option<&str>,
    ) -> Result<Accepted, OciError> {
        self.request(Method::PUT, &["clusters", id])
            .named("UpdateCluster", format!("change the cluster {}", short(id)))
            .json(body)
            .if_match(etag)
            .accepted()
            .await
    }

    /// Starts to delete a cluster with its node pools.
    pub async fn delete(self, id: &str) -> Result<Accepted, OciError> {
        self.request(Method::DELETE, &["clusters", id])
            .named("DeleteCluster", format!("delete the cluster {}", short(id)))
            .accepted()
            .await
    }

    /// The kubeconfig that the service writes for the cluster. Read it with
    /// [`super::ClusterAccess::parse`].
    pub async fn kubeconfig(
        self,
        id: &str,
        endpoint: &KubeconfigEndpoint,
    ) -> Result<String, OciError> {
        self.request(Method::POST, &["clusters", id, "kubeconfig", "content"])
            .named(
                "CreateKubeconfig",
                format!("fetch the kubeconfig of cluster {}", short(id)),
            )
            .json(&AskKubeconfig {
                token_version: "2.0.0",
                endpoint,
            })
            .only_reads()
            .text()
            .await
    }

    /// What clusters can be made with.
    pub async fn options(self, compartment: &str) -> Result<ClusterOptionsOffered, OciError> {
        let reply = self
            .request(Method::GET, &["clusterOptions", "all"])
            .named("GetClusterOptions", "read which versions clusters can have")
            .query("compartmentId", compartment)
            .one()
            .await?;
        Ok(reply.value)
    }

    /// The node pools of a compartment, all or those of one cluster. Their
    /// nodes are left out.
    pub async fn node_pools(
        self,
        compartment: &str,
        cluster: Option<&str>,
    ) -> Result<Vec<NodePool>, OciError> {
        self.request(Method::GET, &["nodePools"])
            .named("ListNodePools", "list the node pools")
            .query("compartmentId", compartment)
            .query_opt("clusterId", cluster)
            .list()
            .await
    }

    /// A node pool with its nodes.
    pub async fn node_pool(self, id: &str) -> Result<Versioned<NodePool>, OciError> {
        self.request(Method::GET, &["nodePools", id])
            .named("GetNodePool", format!("read the node pool {}", short(id)))
            .one()
            .await
    }

    /// Starts to create a node pool. Its OCID comes with the work request.
    pub async fn create_node_pool(
        self,
        body: &CreateNodePool,
        token: &str,
    ) -> Result<Accepted, OciError> {
        self.request(Method::POST, &["nodePools"])
            .named(
                "CreateNodePool",
                format!("create node pool `{}`", body.name),
            )
            .json(body)
            .token(token)
            .accepted()
            .await
    }

    /// Starts to change a node pool, if it still has the entity tag. The same
    /// size again makes the nodes that are missing.
    pub async fn update_node_pool(
        self,
        id: &str,
        body: &UpdateNodePool,
        etag: Option<&str>,
    ) -> Result<Accepted, OciError> {
        self.request(Method::PUT, &["nodePools", id])
            .named(
                "UpdateNodePool",
                format!("change the node pool {}", short(id)),
            )
            .json(body)
            .if_match(etag)
            .accepted()
            .await
    }

    /// Starts to delete a node pool.
    pub async fn delete_node_pool(self, id: &str, drain: Drain) -> Result<Accepted, OciError> {
        self.request(Method::DELETE, &["nodePools", id])
            .named(
                "DeleteNodePool",
                format!("delete the node pool {}", short(id)),
            )
            .drain(drain)
            .accepted()
            .await
    }

    /// Starts to delete one node; the pool makes a new one.
    pub async fn delete_node(
        self,
        pool: &str,
        node: &str,
        drain: Drain,
    ) -> Result<Accepted, OciError> {
        self.request(Method::DELETE, &["nodePools", pool, "node", node])
            .named("DeleteNode", format!("delete the node {}", short(node)))
            .query("isDecrementSize", "false")
            .drain(drain)
            .accepted()
            .await
    }

    /// What node pools can be made with.
    pub async fn node_pool_options(
        self,
        query: &NodePoolQuery<'_>,
    ) -> Result<NodePoolOptions, OciError> {
        let reply = self
            .request(Method::GET, &["nodePoolOptions", "all"])
            .named("GetNodePoolOptions", "read which images nodes can have")
            .query_opt("compartmentId", query.compartment)
            .query_opt("nodePoolOsArch", query.architecture)
            .query_opt("nodePoolK8sVersion", query.kubernetes_version)
            .one()
            .await?;
        Ok(reply.value)
    }
}

impl Request<'_> {
    fn drain(self, drain: Drain) -> Self {
        match drain {
            Drain::AsConfigured => self,
            Drain::Skip => self
                .query("overrideEvictionGraceDuration", "PT0M")
                .query("isForceDeletionAfterOverrideGraceDuration", "true"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::net::testing::{Server, reply};
    use crate::oci::testing::{client, fast_clock};
    use crate::oci::{Lifecycle, Tags, VolumeAttachment};

    fn tags() -> Tags {
        Tags::from([("todoctl".into(), "RUN".into())])
    }

    fn tagged() -> TaggedConfig {
        TaggedConfig {
            freeform_tags: tags(),
        }
    }

    fn create_cluster() -> CreateCluster {
        CreateCluster {
            name: "todo".into(),
            compartment_id: "c".into(),
            vcn_id: "v".into(),
            kubernetes_version: "v1.34.1".into(),
            cluster_type: ClusterType::Basic,
            endpoint_config: ClusterEndpointConfig {
                subnet_id: Some("API".into()),
                is_public_ip_enabled: Some(true),
                nsg_ids: Vec::new(),
            },
            cluster_pod_network_options: vec![ClusterPodNetworkOption {
                cni_type: CniType::Flannel,
            }],
            options: ClusterOptions {
                service_lb_subnet_ids: vec!["LB".into()],
                kubernetes_network_config: Some(KubernetesNetworkConfig {
                    pods_cidr: Some("10.244.0.0/16".into()),
                    services_cidr: Some("10.96.0.0/16".into()),
                }),
                service_lb_config: Some(tagged()),
                persistent_volume_config: Some(tagged()),
            },
            freeform_tags: tags(),
        }
    }

    fn create_pool() -> CreateNodePool {
        CreateNodePool {
            compartment_id: "c".into(),
            cluster_id: "k".into(),
            name: "a1".into(),
            kubernetes_version: "v1.34.1".into(),
            node_shape: "VM.Standard.A1.Flex".into(),
            node_shape_config: Some(NodeShapeConfig {
                ocpus: Some(1.0),
                memory_in_gbs: Some(6.0),
            }),
            node_source_details: NodeSourceDetails::image("i", Some(50)),
            node_config_details: NodeConfigDetails {
                size: 2,
                placement_configs: vec![NodePlacement {
                    availability_domain: "Uocm:AD-1".into(),
                    subnet_id: "N".into(),
                    fault_domains: vec!["FAULT-DOMAIN-1".into()],
                }],
                pod_network: Some(NodePodNetwork {
                    cni_type: CniType::Flannel,
                }),
                freeform_tags: tags(),
            },
            node_eviction: Some(NodeEviction {
                eviction_grace_duration: Some("PT5M".into()),
                is_force_delete_after_grace_duration: Some(true),
            }),
            initial_node_labels: vec![KeyValue {
                key: "app".into(),
                value: "todo".into(),
            }],
            node_metadata: std::collections::BTreeMap::new(),
            ssh_public_key: None,
            freeform_tags: tags(),
        }
    }

    #[tokio::test]
    async fn creations_send_the_documented_bodies() {
        let server = Server::start([reply(202, "").with("opc-work-request-id", "w1")]).await;
        let client = client(&server, fast_clock());
        let accepted = client
            .clusters()
            .create(&create_cluster(), "t")
            .await
            .unwrap();
        assert_eq!(accepted.work_request, "w1");
        client
            .clusters()
            .create_node_pool(&create_pool(), "t")
            .await
            .unwrap();

        let run = json!({"todoctl": "RUN"});
        let expected = [
            json!({
                "name": "todo", "compartmentId": "c", "vcnId": "v",
                "kubernetesVersion": "v1.34.1", "type": "BASIC_CLUSTER", "freeformTags": run,
                "endpointConfig": {"subnetId": "API", "isPublicIpEnabled": true},
                "clusterPodNetworkOptions": [{"cniType": "FLANNEL_OVERLAY"}],
                "options": {
                    "serviceLbSubnetIds": ["LB"],
                    "kubernetesNetworkConfig": {
                        "podsCidr": "10.244.0.0/16", "servicesCidr": "10.96.0.0/16",
                    },
                    "serviceLbConfig": {"freeformTags": run},
                    "persistentVolumeConfig": {"freeformTags": run},
                },
            }),
            json!({
                "compartmentId": "c", "clusterId": "k", "name": "a1",
                "kubernetesVersion": "v1.34.1", "nodeShape": "VM.Standard.A1.Flex",
                "nodeShapeConfig": {"ocpus": 1.0, "memoryInGBs": 6.0},
                "nodeSourceDetails": {
                    "sourceType": "IMAGE", "imageId": "i", "bootVolumeSizeInGBs": 50,
                },
                "nodeConfigDetails": {
                    "size": 2, "freeformTags": run,
                    "placementConfigs": [{
                        "availabilityDomain": "Uocm:AD-1", "subnetId": "N",
                        "faultDomains": ["FAULT-DOMAIN-1"],
                    }],
                    "nodePoolPodNetworkOptionDetails": {"cniType": "FLANNEL_OVERLAY"},
                },
                "nodeEvictionNodePoolSettings": {
                    "evictionGraceDuration": "PT5M", "isForceDeleteAfterGraceDuration": true,
                },
                "initialNodeLabels": [{"key": "app", "value": "todo"}], "freeformTags": run,
            }),
        ];
        let seen = server.seen();
        for (seen, expected) in seen.iter().zip(expected) {
            let body: Value = serde_json::from_str(&seen.body).unwrap();
            assert_eq!(body, expected);
        }
    }

    #[test]
    fn answers_are_read_with_what_is_absent_null_or_new() {
        let pool: NodePool = serde_json::from_value(json!({
            "id": "np", "lifecycleState": "NEEDS_ATTENTION", "freeformTags": null, "novel": {},
            "nodeSource": {"sourceType": "IMAGE", "sourceName": "n", "imageId": "i"},
            "nodes": [
                {"id": "i1", "name": "oke-1", "privateIp": "10.0.10.5", "lifecycleState": "ACTIVE",
                 "nodeError": null},
                {"id": null, "lifecycleState": "FAILING", "nodeError": {
                    "code": "InternalError", "message": "Out of host capacity.", "status": null,
                    "opc-request-id": "R"}},
            ],
        }))
        .unwrap();
        assert_eq!(pool.lifecycle_state, Lifecycle::NeedsAttention);
        let ready: Vec<bool> = pool.nodes.iter().map(Node::is_ready).collect();
        assert_eq!(ready, [true, false]);
        let error = pool.nodes[1].node_error.as_ref().unwrap();
        assert!(error.is_capacity());
        assert_eq!(error.request_id.as_deref(), Some("R"));

        let cluster: Cluster = serde_json::from_value(json!({
            "id": "k", "type": "NEW_KIND", "lifecycleState": "ACTIVE", "options": {},
            "endpoints": {"publicEndpoint": "203.0.113.10:6443"},
            "clusterPodNetworkOptions": [{"cniType": "FLANNEL_OVERLAY"}],
            "metadata": {"timeCreated": "2026-02-03T04:05:06.123Z"},
        }))
        .unwrap();
        assert_eq!(
            cluster.cluster_type,
            Some(ClusterType::Other("NEW_KIND".into()))
        );
    }

    #[tokio::test]
    async fn every_call_goes_where_the_documentation_says() {
        let answer = reply(200, "[]").with("opc-work-request-id", "w");
        let server = Server::start([answer]).await;
        let client = client(&server, fast_clock());
        let query = NodePoolQuery {
            compartment: Some("c"),
            architecture: Some("AARCH64"),
            kubernetes_version: Some("v1.34.1"),
        };
        // What the answers hold does not matter here, and most are refused.
        let clusters = client.clusters();
        let _ = clusters.delete_node_pool("np", Drain::Skip).await;
        let _ = clusters.delete_node("np", "i", Drain::AsConfigured).await;
        let _ = clusters.node_pool_options(&query).await;
        let _ = clusters.kubeconfig("k", &KubeconfigEndpoint::Public).await;
        let _ = clusters.list("c", Some("todo")).await;
        let limits = client.limits();
        let _ = limits.values("t", "compute", None).await;
        let ad = "Uocm:AD-1";
        let _ = limits.availability("c", "compute", "cores", Some(ad)).await;
        let _ = client.balancers().delete("lb").await;
        let _ = client.network_balancers().list("c").await;
        let _ = client.search().by_tag("todoctl", "it's").await;
        let _ = client.compute().capacity("t", ad, &[]).await;
        let _ = client.network().public_ips("c").await;
        let _ = client.identity().fault_domains("c", ad).await;
        let _: Vec<VolumeAttachment> = client.storage().volume_attachments("c").await.unwrap();
        let lines: Vec<String> = server
            .seen()
            .into_iter()
            .map(|s| format!("{} {}", s.line, s.body).trim_end().to_owned())
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        DELETE /20180222/nodePools/np?overrideEvictionGraceDuration=PT0M&isForceDeletionAfterOverrideGraceDuration=true
        DELETE /20180222/nodePools/np/node/i?isDecrementSize=false
        GET /20180222/nodePoolOptions/all?compartmentId=c&nodePoolOsArch=AARCH64&nodePoolK8sVersion=v1.34.1
        POST /20180222/clusters/k/kubeconfig/content {"tokenVersion":"2.0.0","endpoint":"PUBLIC_ENDPOINT"}
        GET /20180222/clusters?compartmentId=c&name=todo
        GET /20190729/limitValues?compartmentId=t&serviceName=compute
        GET /20190729/services/compute/limits/cores/resourceAvailability?compartmentId=c&availabilityDomain=Uocm%3AAD-1
        DELETE /20170115/loadBalancers/lb
        GET /20200501/networkLoadBalancers?compartmentId=c
        POST /20180409/resources {"type":"Structured","query":"query all resources where freeformTags.key = 'todoctl' && freeformTags.value = 'it\\'s'"}
        POST /20160918/computeCapacityReports {"compartmentId":"t","availabilityDomain":"Uocm:AD-1","shapeAvailabilities":[]}
        GET /20160918/publicIps?scope=REGION&lifetime=RESERVED&compartmentId=c
        GET /20160918/faultDomains?compartmentId=c&availabilityDomain=Uocm%3AAD-1
        GET /20160918/volumeAttachments?compartmentId=c
        "#);
    }
}
