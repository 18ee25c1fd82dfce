"""Drives the OCI emulator with Oracle's own Python SDK and command line.

Neither is patched: they get an endpoint and a configuration file, as anybody
would give them. Run by `tests/interop/run`, which installs both; the binary
under test is named by the environment variable TODOCTL.
"""

import base64
import json
import os
import pathlib
import subprocess
import sys
import time
import traceback

import oci

from world import Sandbox as Process
from world import check, finish

TAGS = {"todoctl": "interop"}


class Sandbox(Process):
    """A sandbox, and how Oracle's tools reach it."""

    def start(self):
        super().start()
        self.endpoint = self.info["ociEndpoint"]
        self.config_file = self.info["ociConfig"]
        self.config = oci.config.from_file(self.config_file)
        self.tenancy = self.config["tenancy"]

    def client(self, kind, **options):
        options.setdefault("retry_strategy", oci.retry.NoneRetryStrategy())
        return kind(self.config, service_endpoint=self.endpoint, **options)

    def fault(self, *words):
        command = [os.environ["TODOCTL"], "sandbox", "--state-dir", str(self.dir), "fault", *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def cli(self, *words, ok=True):
        """Runs the command line; returns its parsed output, or its error."""
        binary = str(pathlib.Path(sys.executable).parent / "oci")
        command = [binary, "--config-file", self.config_file, "--endpoint", self.endpoint]
        environment = {**os.environ, "OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING": "True"}
        done = subprocess.run(
            [*command, *map(str, words)], capture_output=True, text=True, env=environment
        )
        if ok and done.returncode != 0:
            raise AssertionError(f"oci {' '.join(map(str, words))}\n{done.stderr}{done.stdout}")
        if not ok:
            return done.stderr
        text = done.stdout
        start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)
        return json.loads(text[start:]) if start >= 0 else text


def refused(call, status, code):
    """Whether a call fails with this status and code."""
    try:
        call()
    except oci.exceptions.ServiceError as error:
        if (error.status, error.code) != (status, code):
            print(f"  got {error.status} {error.code}: {error.message}")
        return (error.status, error.code) == (status, code) and bool(error.request_id)
    return False


def done(client, work_request_id, limit=60):
    """Polls a Container Engine work request to its end."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        answer = client.get_work_request(work_request_id)
        if answer.data.status in ("SUCCEEDED", "FAILED", "CANCELED"):
            return answer.data
        time.sleep(0.05)
    raise AssertionError(f"{work_request_id} does not end")


def eventually(look, limit=20):
    """Looks again until the answer is truthy."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        try:
            if found := look():
                return found
        except oci.exceptions.ServiceError as error:
            if error.status not in (404, 409):
                raise
        time.sleep(0.02)
    return None


def identity(world):
    client = world.client(oci.identity.IdentityClient)
    domains = client.list_availability_domains(world.tenancy).data
    check("three availability domains", len(domains) == 3)
    check("their names end in AD-n", domains[0].name.endswith("EU-FRANKFURT-1-AD-1"))
    faults = client.list_fault_domains(world.tenancy, domains[0].name).data
    check("fault domains", [f.name for f in faults] == [f"FAULT-DOMAIN-{n}" for n in (1, 2, 3)])
    regions = client.list_region_subscriptions(world.tenancy).data
    check("home region", regions[0].is_home_region and regions[0].region_name == "eu-frankfurt-1")
    check("tenancy", client.get_tenancy(world.tenancy).data.home_region_key == "FRA")
    check("user", client.get_user(world.config["user"]).data.id == world.config["user"])
    details = oci.identity.models.CreateCompartmentDetails(
        compartment_id=world.tenancy, name="interop", description="d", freeform_tags=TAGS
    )
    made = client.create_compartment(details)
    check("compartment has an etag", bool(made.headers.get("etag")))
    seen = eventually(lambda: client.get_compartment(made.data.id).data)
    check("compartment appears", seen and seen.lifecycle_state == "ACTIVE")
    check(
        "compartment names are unique",
        refused(lambda: client.create_compartment(details), 409, "NotAuthorizedOrResourceAlreadyExists"),
    )
    listed = client.list_compartments(world.tenancy, name="interop").data
    check("compartment is listed", [c.id for c in listed] == [made.data.id])
    gone = client.delete_compartment(made.data.id)
    check("deleting a compartment is a work request", bool(gone.headers["opc-work-request-id"]))
    work = eventually(
        lambda: (w := client.get_work_request(gone.headers["opc-work-request-id"]).data)
        and w.status == "SUCCEEDED"
        and w
    )
    check("compartment work request ends", work and work.operation_type == "DELETE_COMPARTMENT")


def signing(world):
    config = dict(world.config)
    stranger = oci.identity.IdentityClient(
        {**config, "fingerprint": "00:" * 15 + "00"},
        service_endpoint=world.endpoint,
        retry_strategy=oci.retry.NoneRetryStrategy(),
    )
    check(
        "an unknown key is refused",
        refused(lambda: stranger.list_regions(), 401, "NotAuthenticated"),
    )
    network = world.client(oci.core.VirtualNetworkClient)
    answer = network.list_vcns(world.tenancy, display_name="blanks and /slashes: +%&=ü")
    check("odd characters in queries verify", answer.data == [])
    world.fault("oci", "skew", "10m")
    check(
        "a wrong clock is refused",
        refused(lambda: network.list_vcns(world.tenancy), 401, "NotAuthenticated"),
    )
    world.fault("clear")
    world.fault("oci", "status", "429", "--times", "2")
    patient = world.client(oci.core.VirtualNetworkClient, retry_strategy=oci.retry.DEFAULT_RETRY_STRATEGY)
    check("429s are retried", patient.list_vcns(world.tenancy).status == 200)
    world.fault("clear")


def network(world):
    m = oci.core.models
    client = world.client(oci.core.VirtualNetworkClient)
    details = m.CreateVcnDetails(
        compartment_id=world.tenancy,
        cidr_blocks=["10.0.0.0/16"],
        display_name="interop",
        dns_label="interop",
        freeform_tags=TAGS,
    )
    made = client.create_vcn(details, opc_retry_token="interop-vcn-1")
    vcn = made.data
    again = client.create_vcn(details, opc_retry_token="interop-vcn-1").data
    check("a retry token makes one VCN", again.id == vcn.id)
    check("VCN has an etag", bool(made.headers.get("etag")))
    check("VCN has defaults", vcn.default_route_table_id and vcn.default_security_list_id)
    vcn = oci.wait_until(client, client.get_vcn(vcn.id), "lifecycle_state", "AVAILABLE", max_interval_seconds=1).data
    check("VCN answers its tags", vcn.freeform_tags == TAGS)
    listed = eventually(lambda: client.list_vcns(world.tenancy, display_name="interop").data)
    check("VCN is listed", [v.id for v in listed] == [vcn.id])
    bad = m.CreateVcnDetails(compartment_id=world.tenancy, cidr_blocks=["10.0.0.1/16"])
    check("a bad CIDR is refused", refused(lambda: client.create_vcn(bad), 400, "InvalidParameter"))
    etag = client.get_vcn(vcn.id).headers["etag"]
    update = m.UpdateVcnDetails(display_name="interop-2")
    check("VCN updates", client.update_vcn(vcn.id, update, if_match=etag).data.display_name == "interop-2")
    check(
        "an old etag is refused",
        refused(lambda: client.update_vcn(vcn.id, update, if_match=etag), 412, "NoEtagMatch"),
    )

    common = {"compartment_id": world.tenancy, "vcn_id": vcn.id, "freeform_tags": TAGS}
    igw = client.create_internet_gateway(
        m.CreateInternetGatewayDetails(is_enabled=True, display_name="igw", **common)
    ).data
    check(
        "one internet gateway per VCN",
        refused(
            lambda: client.create_internet_gateway(m.CreateInternetGatewayDetails(is_enabled=True, **common)),
            400,
            "LimitExceeded",
        ),
    )
    nat = client.create_nat_gateway(m.CreateNatGatewayDetails(display_name="nat", **common)).data
    check("NAT gateway has an address", bool(nat.nat_ip))
    services = client.list_services().data
    check("two services", len(services) == 2)
    every = next(s for s in services if s.cidr_block.startswith("all-"))
    answer = client.create_service_gateway(
        m.CreateServiceGatewayDetails(
            services=[m.ServiceIdRequestDetails(service_id=every.id)], display_name="sgw", **common
        )
    )
    sgw = answer.data
    check("service gateway answers without an etag", "etag" not in answer.headers)
    check("service gateway names its service", sgw.services[0].service_name == every.name)
    rules = [
        m.RouteRule(network_entity_id=igw.id, destination="0.0.0.0/0", destination_type="CIDR_BLOCK"),
    ]
    table = client.create_route_table(
        m.CreateRouteTableDetails(route_rules=rules, display_name="public", **common)
    ).data
    check("route rule reads back", table.route_rules[0].network_entity_id == igw.id)
    wrong = [m.RouteRule(network_entity_id=igw.id + "x", destination="0.0.0.0/0")]
    check(
        "a route to nowhere is refused",
        refused(
            lambda: client.create_route_table(m.CreateRouteTableDetails(route_rules=wrong, **common)),
            400,
            "InvalidParameter",
        ),
    )
    private = client.create_route_table(
        m.CreateRouteTableDetails(
            route_rules=[
                m.RouteRule(network_entity_id=nat.id, destination="0.0.0.0/0"),
                m.RouteRule(
                    network_entity_id=sgw.id,
                    destination=every.cidr_block,
                    destination_type="SERVICE_CIDR_BLOCK",
                ),
            ],
            display_name="private",
            **common,
        )
    ).data
    check("private routes", len(private.route_rules) == 2)
    every_way = m.EgressSecurityRule(protocol="all", destination="0.0.0.0/0")
    https = m.IngressSecurityRule(
        protocol="6",
        source="0.0.0.0/0",
        tcp_options=m.TcpOptions(destination_port_range=m.PortRange(min=443, max=443)),
    )
    lists = client.create_security_list(
        m.CreateSecurityListDetails(
            egress_security_rules=[every_way], ingress_security_rules=[https], display_name="list", **common
        )
    ).data
    check("port range reads back", lists.ingress_security_rules[0].tcp_options.destination_port_range.max == 443)
    lists = client.update_security_list(
        lists.id, m.UpdateSecurityListDetails(ingress_security_rules=[https, https])
    ).data
    check("PUT replaces the rules", len(lists.ingress_security_rules) == 2)
    subnet = client.create_subnet(
        m.CreateSubnetDetails(
            cidr_block="10.0.10.0/24",
            route_table_id=table.id,
            security_list_ids=[lists.id],
            display_name="nodes",
            dns_label="nodes",
            **common,
        )
    ).data
    check("subnet has a router", subnet.virtual_router_ip == "10.0.10.1")
    for cidr in ("10.0.10.128/25", "10.1.0.0/24"):
        details = m.CreateSubnetDetails(cidr_block=cidr, **common)
        check(f"subnet {cidr} is refused", refused(lambda: client.create_subnet(details), 400, "InvalidParameter"))
    group = client.create_network_security_group(
        m.CreateNetworkSecurityGroupDetails(display_name="group", **common)
    ).data
    rule = m.AddSecurityRuleDetails(direction="INGRESS", protocol="6", source="10.0.0.0/16")
    added = client.add_network_security_group_security_rules(
        group.id, m.AddNetworkSecurityGroupSecurityRulesDetails(security_rules=[rule])
    ).data.security_rules
    check("group rules have ids", len(added[0].id) == 6)
    check("group rules are listed", len(client.list_network_security_group_security_rules(group.id).data) == 1)
    client.remove_network_security_group_security_rules(
        group.id, m.RemoveNetworkSecurityGroupSecurityRulesDetails(security_rule_ids=[added[0].id])
    )
    check("group rules go", client.list_network_security_group_security_rules(group.id).data == [])
    dhcp = client.list_dhcp_options(world.tenancy, vcn_id=vcn.id).data
    check("DHCP options decode", dhcp[0].options[0].server_type == "VcnLocalPlusInternet")

    ends = [
        ("VCN with children", lambda: client.delete_vcn(vcn.id)),
        ("gateway with routes", lambda: client.delete_internet_gateway(igw.id)),
        ("route table in use", lambda: client.delete_route_table(table.id)),
        ("security list in use", lambda: client.delete_security_list(lists.id)),
    ]
    for name, call in ends:
        check(f"deleting a {name} is refused", refused(call, 409, "Conflict"))
    for call, what in [
        (client.delete_network_security_group, group),
        (client.delete_subnet, subnet),
        (client.delete_route_table, table),
        (client.delete_route_table, private),
        (client.delete_security_list, lists),
        (client.delete_internet_gateway, igw),
        (client.delete_nat_gateway, nat),
        (client.delete_service_gateway, sgw),
        (client.delete_vcn, vcn),
    ]:
        check(f"deleting {what.id.split('.')[1]}", call(what.id).status == 204)
    gone = eventually(
        lambda: refused(lambda: client.get_vcn(vcn.id), 404, "NotAuthorizedOrNotFound"), limit=5
    )
    check("a deleted VCN is gone in the end", gone)
    check(
        "the retry token of a deleted VCN is void",
        refused(
            lambda: client.create_vcn(
                m.CreateVcnDetails(
                    compartment_id=world.tenancy,
                    cidr_blocks=["10.0.0.0/16"],
                    display_name="interop",
                    dns_label="interop",
                    freeform_tags=TAGS,
                ),
                opc_retry_token="interop-vcn-1",
            ),
            409,
            "InvalidatedRetryToken",
        ),
    )
    many = [client.create_vcn(m.CreateVcnDetails(compartment_id=world.tenancy, cidr_blocks=["10.0.0.0/16"], display_name=f"page-{n}")).data.id for n in range(7)]
    time.sleep(0.05)
    found = oci.pagination.list_call_get_all_results(client.list_vcns, world.tenancy, limit=2, lifecycle_state="AVAILABLE").data
    check("pages add up", {v.id for v in found} >= set(many))
    for one in many:
        client.delete_vcn(one)


class Net:
    """The network that a cluster needs, made with the SDK."""

    def __init__(self, world):
        m = oci.core.models
        self.client = client = world.client(oci.core.VirtualNetworkClient)
        self.vcn = client.create_vcn(
            m.CreateVcnDetails(compartment_id=world.tenancy, cidr_blocks=["10.0.0.0/16"], display_name="net")
        ).data
        common = {"compartment_id": world.tenancy, "vcn_id": self.vcn.id}
        self.igw = client.create_internet_gateway(
            m.CreateInternetGatewayDetails(is_enabled=True, **common)
        ).data
        self.table = client.create_route_table(
            m.CreateRouteTableDetails(
                route_rules=[m.RouteRule(network_entity_id=self.igw.id, destination="0.0.0.0/0")], **common
            )
        ).data
        self.list = client.create_security_list(
            m.CreateSecurityListDetails(
                egress_security_rules=[m.EgressSecurityRule(protocol="all", destination="0.0.0.0/0")],
                ingress_security_rules=[m.IngressSecurityRule(protocol="all", source="0.0.0.0/0")],
                **common,
            )
        ).data
        self.api, self.nodes, self.lb = (
            client.create_subnet(
                m.CreateSubnetDetails(
                    cidr_block=cidr,
                    route_table_id=self.table.id,
                    security_list_ids=[self.list.id],
                    display_name=name,
                    **common,
                )
            ).data
            for name, cidr in (("api", "10.0.0.0/28"), ("nodes", "10.0.10.0/24"), ("lb", "10.0.20.0/24"))
        )

    def delete(self):
        client = self.client
        for subnet in (self.api, self.nodes, self.lb):
            gone = eventually(lambda s=subnet: client.delete_subnet(s.id).status == 204)
            check(f"subnet {subnet.display_name} goes once its VNICs are released", gone)
        client.delete_route_table(self.table.id)
        client.delete_security_list(self.list.id)
        client.delete_internet_gateway(self.igw.id)
        check("the cluster's VCN goes", client.delete_vcn(self.vcn.id).status == 204)


def cluster_details(world, net, name="interop"):
    m = oci.container_engine.models
    return m.CreateClusterDetails(
        name=name,
        compartment_id=world.tenancy,
        vcn_id=net.vcn.id,
        kubernetes_version="v1.34.1",
        type="BASIC_CLUSTER",
        freeform_tags=TAGS,
        endpoint_config=m.CreateClusterEndpointConfigDetails(subnet_id=net.api.id, is_public_ip_enabled=True),
        cluster_pod_network_options=[m.FlannelOverlayClusterPodNetworkOptionDetails()],
        options=m.ClusterCreateOptions(
            service_lb_subnet_ids=[net.lb.id],
            kubernetes_network_config=m.KubernetesNetworkConfig(
                pods_cidr="10.244.0.0/16", services_cidr="10.96.0.0/16"
            ),
            service_lb_config=m.ServiceLbConfigDetails(freeform_tags=TAGS),
            persistent_volume_config=m.PersistentVolumeConfigDetails(freeform_tags=TAGS),
        ),
    )


def pool_details(world, net, cluster_id, image, size=2):
    m = oci.container_engine.models
    identity = world.client(oci.identity.IdentityClient)
    domain = identity.list_availability_domains(world.tenancy).data[0].name
    return m.CreateNodePoolDetails(
        compartment_id=world.tenancy,
        cluster_id=cluster_id,
        name="a1",
        kubernetes_version="v1.34.1",
        node_shape="VM.Standard.A1.Flex",
        node_shape_config=m.CreateNodeShapeConfigDetails(ocpus=1, memory_in_gbs=6),
        node_source_details=m.NodeSourceViaImageDetails(image_id=image, boot_volume_size_in_gbs=50),
        node_config_details=m.CreateNodePoolNodeConfigDetails(
            size=size,
            freeform_tags=TAGS,
            placement_configs=[m.NodePoolPlacementConfigDetails(availability_domain=domain, subnet_id=net.nodes.id)],
        ),
        freeform_tags=TAGS,
    )


def worker_image(client, arch="AARCH64"):
    options = client.get_node_pool_options("all", node_pool_os_arch=arch, node_pool_k8s_version="v1.34.1").data
    return next(s.image_id for s in options.sources if "OKE-1.34.1-" in s.source_name and "GPU" not in s.source_name)


def containers(world):
    net = Net(world)
    client = world.client(oci.container_engine.ContainerEngineClient)
    options = client.get_cluster_options("all").data
    check("cluster options", "v1.34.1" in options.kubernetes_versions)
    details = cluster_details(world, net)
    made = client.create_cluster(details, opc_retry_token="interop-cluster")
    check("creating a cluster answers 202 and no body", made.status == 202 and made.data is None)
    request = made.headers["opc-work-request-id"]
    twice = client.create_cluster(details, opc_retry_token="interop-cluster")
    check("a retry token makes one cluster", twice.headers["opc-work-request-id"] == request)
    running = eventually(lambda: (w := client.get_work_request(request)).data.resources and w)
    check("the cluster's OCID shows early", running.data.resources[0].entity_type.lower() == "cluster")
    work = done(client, request)
    check("cluster work request", (work.status, work.operation_type) == ("SUCCEEDED", "CLUSTER_CREATE"))
    cluster_id = work.resources[0].identifier
    cluster = client.get_cluster(cluster_id).data
    check("cluster is ACTIVE", cluster.lifecycle_state == "ACTIVE")
    check("cluster has an endpoint", cluster.endpoints.public_endpoint.startswith("127.0.0.1:"))
    check("cluster answers its network", cluster.cluster_pod_network_options[0].cni_type == "FLANNEL_OVERLAY")
    listed = client.list_clusters(world.tenancy, name="interop", lifecycle_state=["ACTIVE", "CREATING"]).data
    check("cluster is listed", [c.id for c in listed] == [cluster_id])
    logs = client.list_work_request_logs(world.tenancy, request).data
    check("work request has logs", len(logs) >= 4)
    check("work request has no errors", client.list_work_request_errors(world.tenancy, request).data == [])

    x86 = worker_image(client, "X86_64")
    check(
        "an x86 image on Arm is refused",
        refused(lambda: client.create_node_pool(pool_details(world, net, cluster_id, x86)), 400, "InvalidParameter"),
    )
    world.fault("oci", "out-of-capacity", "--times", "3")
    image = worker_image(client)
    made = client.create_node_pool(pool_details(world, net, cluster_id, image))
    request = made.headers["opc-work-request-id"]
    pool_id = eventually(
        lambda: (w := client.get_work_request(request)).data.resources and w.data.resources[0].identifier
    )
    other = oci.container_engine.models.UpdateNodePoolDetails(name="other")
    check("a busy node pool refuses", refused(lambda: client.update_node_pool(pool_id, other), 409, "IncorrectState"))
    work = done(client, request)
    check("out of capacity fails the work request", work.status == "FAILED")
    errors = client.list_work_request_errors(world.tenancy, request).data
    check("the error says so", "Out of host capacity" in errors[0].message)
    pool = client.get_node_pool(pool_id).data
    check("the node says so", any(n.node_error and "capacity" in n.node_error.message for n in pool.nodes))
    world.fault("clear")
    resize = oci.container_engine.models.UpdateNodePoolDetails(
        node_config_details=oci.container_engine.models.UpdateNodePoolNodeConfigDetails(size=2)
    )
    work = done(client, client.update_node_pool(pool_id, resize).headers["opc-work-request-id"])
    check("an update mends the pool", work.status == "SUCCEEDED")
    pool = client.get_node_pool(pool_id).data
    check("all nodes are ACTIVE", [n.lifecycle_state for n in pool.nodes] == ["ACTIVE"] * 2)
    check("no node has an error", all(n.node_error is None for n in pool.nodes))
    listed = eventually(lambda: client.list_node_pools(world.tenancy, cluster_id=cluster_id).data)
    check("node pool is listed", [p.id for p in listed] == [pool_id])
    compute = world.client(oci.core.ComputeClient)
    instances = compute.list_instances(world.tenancy, lifecycle_state="RUNNING").data
    check("instances run", len(instances) == 2 and all(i.freeform_tags == TAGS for i in instances))
    storage = world.client(oci.core.BlockstorageClient)
    volumes = storage.list_boot_volumes(availability_domain=instances[0].availability_domain, compartment_id=world.tenancy).data
    check("boot volumes are 50 GB", [v.size_in_gbs for v in volumes if v.lifecycle_state == "AVAILABLE"] == [50, 50])
    held = net.client.list_private_ips(subnet_id=net.nodes.id).data
    check("nodes hold addresses", len(held) == 2)
    check("vnics read", net.client.get_vnic(held[0].vnic_id).data.private_ip == held[0].ip_address)
    check("a subnet with nodes stays", refused(lambda: net.client.delete_subnet(net.nodes.id), 409, "Conflict"))
    text = client.create_kubeconfig(
        cluster_id, create_cluster_kubeconfig_content_details=oci.container_engine.models.CreateClusterKubeconfigContentDetails(token_version="2.0.0", endpoint="PUBLIC_ENDPOINT")
    ).data.content.decode()
    check("kubeconfig has an empty kind", 'kind: ""' in text and "generate-token" in text)

    gone = client.delete_node_pool(
        pool_id, override_eviction_grace_duration="PT0M", is_force_deletion_after_override_grace_duration=True
    )
    check("node pool goes", done(client, gone.headers["opc-work-request-id"]).status == "SUCCEEDED")
    gone = client.delete_cluster(cluster_id)
    check("cluster goes", done(client, gone.headers["opc-work-request-id"]).status == "SUCCEEDED")
    net.delete()


def tenancy_limits(world):
    client = world.client(oci.limits.LimitsClient)
    values = client.list_limit_values(world.tenancy, "container-engine").data
    check("cluster-count", values[0].name == "cluster-count" and values[0].value > 0)
    cores = client.list_limit_values(world.tenancy, "compute", name="standard-a1-core-count").data
    check("A1 cores count per domain", len(cores) == 3 and cores[0].scope_type == "AD")
    domain = cores[0].availability_domain
    free = client.get_resource_availability(
        "compute", "standard-a1-core-count", world.tenancy, availability_domain=domain
    ).data
    check("A1 cores are free", free.available == cores[0].value and free.used == 0)
    for name, options in [("standard-a1-core-count", {}), ("standard-a1-core-regional-count", {"availability_domain": domain})]:
        check(
            f"{name} with the wrong scope is refused",
            refused(lambda: client.get_resource_availability("compute", name, world.tenancy, **options), 400, "InvalidParameter"),
        )
    world.fault("oci", "limit", "cluster-count 0")
    check("a faked limit shows", client.list_limit_values(world.tenancy, "container-engine").data[0].value == 0)
    net = Net(world)
    engine = world.client(oci.container_engine.ContainerEngineClient)
    check(
        "a tenancy without clusters says so",
        refused(lambda: engine.create_cluster(cluster_details(world, net)), 400, "LimitExceeded"),
    )
    world.fault("clear")
    net.delete()
    m = oci.core.models
    report = world.client(oci.core.ComputeClient).create_compute_capacity_report(
        m.CreateComputeCapacityReportDetails(
            compartment_id=world.tenancy,
            availability_domain=domain,
            shape_availabilities=[
                m.CreateCapacityReportShapeAvailabilityDetails(
                    instance_shape="VM.Standard.A1.Flex",
                    instance_shape_config=m.CapacityReportInstanceShapeConfig(ocpus=1, memory_in_gbs=6),
                )
            ],
        )
    ).data
    check("capacity report", report.shape_availabilities[0].availability_status == "AVAILABLE")
    quotas = world.client(oci.limits.QuotasClient)
    statement = "set compute-core quota standard-a1-core-count to 2 in compartment todo"
    details = oci.limits.models.CreateQuotaDetails(
        compartment_id=world.tenancy, name="free", description="d", statements=[statement]
    )
    quota = quotas.create_quota(details).data
    free = client.get_resource_availability(
        "compute", "standard-a1-core-count", world.tenancy, availability_domain=domain
    ).data
    check("a quota shows as the effective value", free.effective_quota_value == 2)
    check("the quota goes", quotas.delete_quota(quota.id).status == 204)


def restart(world):
    """The world goes on where it was when the process is killed."""
    net = Net(world)
    client = world.client(oci.container_engine.ContainerEngineClient)
    request = client.create_cluster(cluster_details(world, net, "killed")).headers["opc-work-request-id"]
    endpoint = world.endpoint
    world.kill()
    world.start()
    check("the address stays", world.endpoint == endpoint)
    client = world.client(oci.container_engine.ContainerEngineClient)
    work = done(client, request)
    check("the work request goes on after SIGKILL", work.status == "SUCCEEDED")
    gone = client.delete_cluster(work.resources[0].identifier).headers["opc-work-request-id"]
    check("the cluster goes", done(client, gone).status == "SUCCEEDED")
    net.delete()


def command_line(world):
    cli = world.cli
    tenancy = world.tenancy
    wait = ("--wait-interval-seconds", "1")
    check("oci iam availability-domain list", len(cli("iam", "availability-domain", "list")["data"]) == 3)
    regions = cli("iam", "region-subscription", "list", "--tenancy-id", tenancy)["data"]
    check("oci iam region-subscription list", regions[0]["is-home-region"])
    made = cli("iam", "compartment", "create", "--compartment-id", tenancy, "--name", "cli", "--description", "d")["data"]
    eventually(lambda: world.client(oci.identity.IdentityClient).get_compartment(made["id"]).data)
    names = [c["name"] for c in cli("iam", "compartment", "list", "--compartment-id", tenancy, "--all")["data"]]
    check("oci iam compartment list", "cli" in names)
    gone = cli("iam", "compartment", "delete", "--compartment-id", made["id"], "--force", "--wait-for-state", "SUCCEEDED", *wait)
    check("oci iam compartment delete", gone["data"]["status"] == "SUCCEEDED")

    vcn = cli("network", "vcn", "create", "--compartment-id", tenancy, "--cidr-blocks", '["10.0.0.0/16"]', "--display-name", "cli", "--wait-for-state", "AVAILABLE", *wait)["data"]
    check("oci network vcn create", vcn["lifecycle-state"] == "AVAILABLE")
    check("oci network vcn list", len(cli("network", "vcn", "list", "--compartment-id", tenancy, "--display-name", "cli")["data"]) == 1)
    vcn = cli("network", "vcn", "update", "--vcn-id", vcn["id"], "--display-name", "cli-2", "--force")["data"]
    check("oci network vcn update", vcn["display-name"] == "cli-2")
    of_vcn = ("--compartment-id", tenancy, "--vcn-id", vcn["id"])
    igw = cli("network", "internet-gateway", "create", *of_vcn, "--is-enabled", "true")["data"]
    nat = cli("network", "nat-gateway", "create", *of_vcn)["data"]
    services = cli("network", "service", "list")["data"]
    every = next(s for s in services if s["cidr-block"].startswith("all-"))
    sgw = cli("network", "service-gateway", "create", *of_vcn, "--services", json.dumps([{"serviceId": every["id"]}]))["data"]
    check("oci network service-gateway create", sgw["services"][0]["service-id"] == every["id"])
    rules = [{"networkEntityId": igw["id"], "destination": "0.0.0.0/0", "destinationType": "CIDR_BLOCK"}]
    table = cli("network", "route-table", "create", *of_vcn, "--route-rules", json.dumps(rules))["data"]
    check("oci network route-table get", cli("network", "route-table", "get", "--rt-id", table["id"])["data"]["route-rules"][0]["destination"] == "0.0.0.0/0")
    ingress = [{"protocol": "all", "source": "0.0.0.0/0"}]
    egress = [{"protocol": "all", "destination": "0.0.0.0/0"}]
    lists = cli("network", "security-list", "create", *of_vcn, "--ingress-security-rules", json.dumps(ingress), "--egress-security-rules", json.dumps(egress))["data"]
    lists = cli("network", "security-list", "update", "--security-list-id", lists["id"], "--ingress-security-rules", json.dumps(ingress), "--force")["data"]
    check("oci network security-list update", len(lists["ingress-security-rules"]) == 1)
    group = cli("network", "nsg", "create", *of_vcn, "--display-name", "group")["data"]
    added = cli("network", "nsg", "rules", "add", "--nsg-id", group["id"], "--security-rules", json.dumps([{"direction": "INGRESS", "protocol": "6", "source": "10.0.0.0/16"}]))
    check("oci network nsg rules add", len(added["data"]["security-rules"]) == 1)
    subnets = {}
    for name, cidr in (("api", "10.0.0.0/28"), ("nodes", "10.0.10.0/24")):
        subnets[name] = cli("network", "subnet", "create", *of_vcn, "--cidr-block", cidr, "--display-name", name, "--route-table-id", table["id"], "--security-list-ids", json.dumps([lists["id"]]), "--wait-for-state", "AVAILABLE", *wait)["data"]
    check("oci network subnet create", subnets["nodes"]["cidr-block"] == "10.0.10.0/24")

    options = cli("ce", "cluster-options", "get", "--cluster-option-id", "all")["data"]
    check("oci ce cluster-options get", "v1.34.1" in options["kubernetes-versions"])
    made = cli("ce", "cluster", "create", "--name", "cli", "--compartment-id", tenancy, "--vcn-id", vcn["id"], "--kubernetes-version", "v1.34.1", "--endpoint-subnet-id", subnets["api"]["id"], "--endpoint-public-ip-enabled", "true", "--wait-for-state", "SUCCEEDED", *wait)["data"]
    check("oci ce cluster create", made["status"] == "SUCCEEDED")
    cluster = made["resources"][0]["identifier"]
    check("oci ce cluster get", cli("ce", "cluster", "get", "--cluster-id", cluster)["data"]["lifecycle-state"] == "ACTIVE")
    check("oci ce cluster list", len(cli("ce", "cluster", "list", "--compartment-id", tenancy, "--name", "cli")["data"]) == 1)
    images = cli("ce", "node-pool-options", "get", "--node-pool-option-id", "all")["data"]["sources"]
    image = next(i for i in images if "aarch64" in i["source-name"] and "OKE-1.34.1-" in i["source-name"])
    domain = cli("iam", "availability-domain", "list")["data"][0]["name"]
    placement = [{"availabilityDomain": domain, "subnetId": subnets["nodes"]["id"]}]
    pool = cli("ce", "node-pool", "create", "--cluster-id", cluster, "--compartment-id", tenancy, "--name", "a1", "--node-shape", "VM.Standard.A1.Flex", "--node-shape-config", '{"ocpus": 1, "memoryInGBs": 6}', "--node-source-details", json.dumps({"sourceType": "IMAGE", "imageId": image["image-id"]}), "--size", "1", "--placement-configs", json.dumps(placement), "--kubernetes-version", "v1.34.1", "--wait-for-state", "SUCCEEDED", *wait)["data"]
    check("oci ce node-pool create", pool["status"] == "SUCCEEDED")
    pool = pool["resources"][0]["identifier"]
    got = cli("ce", "node-pool", "get", "--node-pool-id", pool)["data"]
    check("oci ce node-pool get", got["nodes"][0]["lifecycle-state"] == "ACTIVE")
    check("oci ce node-pool list", len(cli("ce", "node-pool", "list", "--compartment-id", tenancy, "--cluster-id", cluster)["data"]) == 1)
    grown = cli("ce", "node-pool", "update", "--node-pool-id", pool, "--size", "2", "--force", "--wait-for-state", "SUCCEEDED", *wait)["data"]
    check("oci ce node-pool update", grown["status"] == "SUCCEEDED")
    requests = cli("ce", "work-request", "list", "--compartment-id", tenancy, "--cluster-id", cluster)["data"]
    check("oci ce work-request list", len(requests) >= 3)
    request = requests[0]["id"]
    check("oci ce work-request get", cli("ce", "work-request", "get", "--work-request-id", request)["data"]["id"] == request)
    logs = cli("ce", "work-request-log-entry", "list", "--work-request-id", request, "--compartment-id", tenancy)["data"]
    check("oci ce work-request-log-entry list", len(logs) > 0)
    errors = cli("ce", "work-request-error", "list", "--work-request-id", request, "--compartment-id", tenancy)
    check("oci ce work-request-error list", not errors or errors["data"] == [])
    kubeconfig = world.dir / "kubeconfig"
    cli("ce", "cluster", "create-kubeconfig", "--cluster-id", cluster, "--file", kubeconfig, "--token-version", "2.0.0", "--kube-endpoint", "PUBLIC_ENDPOINT")
    check("oci ce cluster create-kubeconfig", "generate-token" in kubeconfig.read_text())
    token = cli("ce", "cluster", "generate-token", "--cluster-id", cluster)["status"]["token"]
    check("oci ce cluster generate-token", b"/cluster_request/" in base64.urlsafe_b64decode(token))
    check("the cluster accepts the token", nodes_by_token(kubeconfig, token) == 2)
    check("the cluster refuses another", nodes_by_token(kubeconfig, token[:-8] + "AAAAAAA=") == 401)

    check("oci limits value list", cli("limits", "value", "list", "--compartment-id", tenancy, "--service-name", "container-engine")["data"][0]["name"] == "cluster-count")
    used = cli("limits", "resource-availability", "get", "--compartment-id", tenancy, "--service-name", "compute", "--limit-name", "standard-a1-core-count", "--availability-domain", domain)["data"]
    check("oci limits resource-availability get", used["used"] == 2)
    cli("bv", "volume", "list", "--compartment-id", tenancy)
    cli("lb", "load-balancer", "list", "--compartment-id", tenancy)
    found = eventually(lambda: [r for r in cli("search", "resource", "structured-search", "--query-text", "query ClustersCluster resources where displayName = 'cli'")["data"]["items"]])
    check("oci search resource structured-search", found and found[0]["identifier"] == cluster)
    error = cli("network", "vcn", "get", "--vcn-id", vcn["id"] + "x", "--no-retry", ok=False)
    check("errors print their code", "NotAuthorizedOrNotFound" in error and "opc-request-id" in error)

    gone = cli("ce", "node-pool", "delete", "--node-pool-id", pool, "--force", "--override-eviction-grace-duration", "PT0M", "--is-force-deletion-after-override-grace-duration", "true", "--wait-for-state", "SUCCEEDED", *wait)["data"]
    check("oci ce node-pool delete", gone["status"] == "SUCCEEDED")
    gone = cli("ce", "cluster", "delete", "--cluster-id", cluster, "--force", "--wait-for-state", "SUCCEEDED", *wait)["data"]
    check("oci ce cluster delete", gone["status"] == "SUCCEEDED")
    time.sleep(0.2)
    for subnet in subnets.values():
        cli("network", "subnet", "delete", "--subnet-id", subnet["id"], "--force", "--wait-for-state", "TERMINATED", *wait)
    cli("network", "nsg", "delete", "--nsg-id", group["id"], "--force")
    cli("network", "route-table", "delete", "--rt-id", table["id"], "--force")
    cli("network", "security-list", "delete", "--security-list-id", lists["id"], "--force")
    cli("network", "internet-gateway", "delete", "--ig-id", igw["id"], "--force")
    cli("network", "nat-gateway", "delete", "--nat-gateway-id", nat["id"], "--force")
    cli("network", "service-gateway", "delete", "--service-gateway-id", sgw["id"], "--force")
    cli("network", "vcn", "delete", "--vcn-id", vcn["id"], "--force", "--wait-for-state", "TERMINATED", *wait)
    left = world.client(oci.core.VirtualNetworkClient).list_vcns(tenancy, lifecycle_state="AVAILABLE").data
    check("nothing is left", left == [])


def nodes_by_token(kubeconfig, token):
    """The number of nodes that the cluster lists, or the status it refuses with."""
    import ssl
    import urllib.error
    import urllib.request

    import yaml

    cluster = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    request = urllib.request.Request(
        cluster["server"] + "/api/v1/nodes", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, context=context) as answer:
            return len(json.load(answer)["items"])
    except urllib.error.HTTPError as error:
        return error.code


def main():
    wanted = sys.argv[1:]
    world = Sandbox()
    parts = [identity, signing, network, containers, tenancy_limits, restart, command_line]
    for part in parts:
        if wanted and part.__name__ not in wanted:
            continue
        started = time.monotonic()
        try:
            part(world)
        except Exception:
            traceback.print_exc()
            check(f"{part.__name__} runs to its end", False)
        print(f"{part.__name__}: {time.monotonic() - started:.1f} s")
    try:
        world.close()
    finally:
        world.process.kill()
    finish()


if __name__ == "__main__":
    main()
