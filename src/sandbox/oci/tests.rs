//! The emulator's rules, request by request.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::testing::{Bench, id};

#[test]
fn a_vcn_brings_its_defaults_and_takes_them_along() {
    let mut bench = Bench::new(1);
    let body = bench.here(json!({"cidrBlocks": ["10.0.0.0/16"], "displayName": "a"}));
    let vcn = bench.post("/20160918/vcns", &body);
    let table = vcn["defaultRouteTableId"].as_str().unwrap();
    let path = format!("/20160918/routeTables/{table}");
    assert_eq!(bench.get(&path)["displayName"], "Default Route Table for a");
    assert_eq!(bench.refusal("DELETE", &path, &Value::Null), "Conflict");
    let vcn = format!("/20160918/vcns/{}", id(&vcn));
    bench.send("DELETE", &vcn, &[], &Value::Null).unwrap();
    assert_eq!(bench.get(&path)["lifecycleState"], "TERMINATED");
    bench.pass(61);
    let gone = "NotAuthorizedOrNotFound";
    assert_eq!(bench.refusal("GET", &path, &Value::Null), gone);
    assert_eq!(bench.refusal("GET", &vcn, &Value::Null), gone);
}

#[test]
fn what_is_in_use_cannot_be_deleted() {
    let mut bench = Bench::new(1);
    let net = bench.network();
    for path in [
        format!("vcns/{}", net.vcn),
        format!("internetGateways/{}", net.gateway),
        format!("routeTables/{}", net.table),
        format!("securityLists/{}", net.list),
    ] {
        let path = format!("/20160918/{path}");
        assert_eq!(bench.refusal("DELETE", &path, &Value::Null), "Conflict");
    }
    for path in [
        format!("subnets/{}", net.api),
        format!("subnets/{}", net.nodes),
        format!("routeTables/{}", net.table),
        format!("securityLists/{}", net.list),
        format!("internetGateways/{}", net.gateway),
        format!("vcns/{}", net.vcn),
    ] {
        let path = format!("/20160918/{path}");
        let answer = bench.send("DELETE", &path, &[], &Value::Null).unwrap();
        assert_eq!((answer.status, answer.body), (204, None), "{path}");
    }
}

#[test]
fn wrong_bodies_are_refused_with_the_field() {
    let mut bench = Bench::new(1);
    let net = bench.network();
    let with_vcn = |bench: &Bench, more: Value| {
        let mut body = bench.here(more);
        body["vcnId"] = net.vcn.clone().into();
        body
    };
    let cases = [
        ("vcns", json!({}), "compartmentId"),
        ("vcns", bench.here(json!({})), "cidrBlocks"),
        (
            "vcns",
            bench.here(json!({"cidrBlocks": ["10.0.0.0/8"]})),
            "/16",
        ),
        ("internetGateways", with_vcn(&bench, json!({})), "isEnabled"),
        (
            "subnets",
            with_vcn(&bench, json!({"cidrBlock": "10.0.10.0/25"})),
            "overlaps",
        ),
        (
            "subnets",
            with_vcn(&bench, json!({"cidrBlock": "10.9.0.0/24"})),
            "not within",
        ),
        ("routeTables", with_vcn(&bench, json!({})), "routeRules"),
        (
            "routeTables",
            with_vcn(
                &bench,
                json!({"routeRules": [{"networkEntityId": "x", "destination": "0.0.0.0/0"}]}),
            ),
            "no gateway",
        ),
        (
            "securityLists",
            with_vcn(&bench, json!({"egressSecurityRules": []})),
            "ingressSecurityRules",
        ),
        (
            "securityLists",
            with_vcn(
                &bench,
                json!({
                    "egressSecurityRules": [],
                    "ingressSecurityRules": [{"protocol": "17", "source": "0.0.0.0/0", "tcpOptions": {}}],
                }),
            ),
            "tcpOptions",
        ),
    ];
    for (path, body, word) in cases {
        let error = bench
            .send("POST", &format!("/20160918/{path}"), &[], &body)
            .unwrap_err();
        assert_eq!(error.status, 400, "{path} {body}");
        assert!(error.message.contains(word), "{path}: {error}");
    }
}

#[test]
fn a_retry_token_answers_once_more_and_never_acts_twice() {
    let mut bench = Bench::new(1);
    let token = [("opc-retry-token", "t1")];
    let body = bench.here(json!({"cidrBlocks": ["10.0.0.0/16"]}));
    let path = "/20160918/vcns";
    let first = bench.send("POST", path, &token, &body).unwrap();
    bench.pass(3600);
    let second = bench.send("POST", path, &token, &body).unwrap();
    assert_eq!(first.body, second.body);
    let other = bench.here(json!({"cidrBlocks": ["10.1.0.0/16"]}));
    let error = bench.send("POST", path, &token, &other).unwrap_err();
    assert_eq!(error.code, "InvalidParameter");
    let vcn = format!("{path}/{}", id(&first.body.unwrap()));
    bench.send("DELETE", &vcn, &[], &Value::Null).unwrap();
    let error = bench.send("POST", path, &token, &body).unwrap_err();
    assert_eq!(
        (error.status.as_u16(), error.code),
        (409, "InvalidatedRetryToken")
    );
    bench.pass(25 * 3600);
    assert!(bench.send("POST", path, &token, &body).is_ok());
}

#[test]
fn a_failed_create_leaves_its_retry_token_usable() {
    let mut bench = Bench::new(1);
    let token = [("opc-retry-token", "t2")];
    let bad = bench.here(json!({"cidrBlocks": ["nonsense"]}));
    assert!(bench.send("POST", "/20160918/vcns", &token, &bad).is_err());
    let good = bench.here(json!({"cidrBlocks": ["10.0.0.0/16"]}));
    assert!(bench.send("POST", "/20160918/vcns", &token, &good).is_ok());
}

#[test]
fn an_etag_changes_with_each_write_and_guards_the_next() {
    let mut bench = Bench::new(1);
    let net = bench.network();
    bench.pass(5);
    let path = format!("/20160918/securityLists/{}", net.list);
    let etag = |bench: &mut Bench| {
        let answer = bench.send("GET", &path, &[], &Value::Null).unwrap();
        let mut headers = answer.headers.into_iter();
        headers.find(|(name, _)| name == "etag").unwrap().1
    };
    let old = etag(&mut bench);
    let body = json!({"ingressSecurityRules": []});
    let with = |tag: &str| [("if-match", tag.to_owned())];
    let send = |bench: &mut Bench, tag: &str| {
        let headers = with(tag);
        let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        bench.send("PUT", &path, &headers, &body)
    };
    let answer = send(&mut bench, &old).unwrap();
    assert_eq!(answer.body.unwrap()["ingressSecurityRules"], json!([]));
    assert_ne!(etag(&mut bench), old);
    assert_eq!(send(&mut bench, &old).unwrap_err().code, "NoEtagMatch");
}

#[test]
fn lists_come_in_pages_that_add_up() {
    let mut bench = Bench::new(3);
    for n in 0..23 {
        let body =
            bench.here(json!({"cidrBlocks": ["10.0.0.0/16"], "displayName": format!("v{n}")}));
        bench.post("/20160918/vcns", &body);
    }
    bench.pass(5);
    for fault in [false, true] {
        if fault {
            bench.fault("pages", "4", None);
        }
        let mut names = Vec::new();
        let mut page = String::new();
        for _ in 0..60 {
            let path = format!(
                "/20160918/vcns?compartmentId={}&limit=5{page}&sortBy=DISPLAYNAME",
                bench.account.tenancy
            );
            let answer = bench.send("GET", &path, &[], &Value::Null).unwrap();
            let rows = answer.body.unwrap();
            let rows = rows.as_array().unwrap();
            assert!(rows.len() <= if fault { 4 } else { 5 });
            names.extend(rows.iter().map(|row| row["displayName"].to_string()));
            let mut headers = answer.headers.into_iter();
            match headers.find(|(name, _)| name == "opc-next-page") {
                Some((_, token)) => page = format!("&page={token}"),
                None => break,
            }
        }
        assert_eq!(names.len(), 23);
        names.dedup();
        assert_eq!(names.len(), 23);
    }
}

#[test]
fn a_new_compartment_is_invisible_for_a_while() {
    let mut bench = Bench::new(1);
    let body = bench.here(json!({"name": "todo", "description": "d"}));
    let compartment = id(&bench.post("/20160918/compartments", &body));
    let vcn = json!({"compartmentId": compartment, "cidrBlocks": ["10.0.0.0/16"]});
    let gone = "NotAuthorizedOrNotFound";
    let path = format!("/20160918/compartments/{compartment}");
    assert_eq!(bench.refusal("GET", &path, &Value::Null), gone);
    assert_eq!(bench.refusal("POST", "/20160918/vcns", &vcn), gone);
    bench.pass(30);
    assert_eq!(bench.get(&path)["lifecycleState"], "ACTIVE");
    let made = id(&bench.post("/20160918/vcns", &vcn));
    assert_eq!(bench.refusal("DELETE", &path, &Value::Null), "Conflict");
    bench
        .send(
            "DELETE",
            &format!("/20160918/vcns/{made}"),
            &[],
            &Value::Null,
        )
        .unwrap();
    bench.start("DELETE", &path, &Value::Null);
    assert_eq!(bench.get(&path)["lifecycleState"], "DELETING");
    bench.pass(245);
    assert_eq!(bench.get(&path)["lifecycleState"], "DELETED");
}

#[test]
fn a_cluster_goes_through_its_states_and_refuses_while_it_does() {
    let mut bench = Bench::new(1);
    let net = bench.network();
    let body = bench.cluster_body(&net);
    let work = bench.start("POST", "/20180222/clusters", &body);
    assert_eq!(bench.status(&work), "ACCEPTED");
    bench.pass(5);
    assert_eq!(bench.status(&work), "IN_PROGRESS");
    let cluster = bench.target(&work);
    let path = format!("/20180222/clusters/{cluster}");
    assert_eq!(bench.get(&path)["lifecycleState"], "CREATING");
    let busy = "IncorrectState";
    assert_eq!(bench.refusal("DELETE", &path, &Value::Null), busy);
    let pool = bench.pool_body(&net, &cluster, 1);
    assert_eq!(bench.refusal("POST", "/20180222/nodePools", &pool), busy);
    bench.pass(700);
    assert_eq!(
        bench.status(&work),
        "IN_PROGRESS",
        "no API server listens yet"
    );
    bench.serve(&cluster);
    bench.pass(2);
    assert_eq!(bench.status(&work), "SUCCEEDED");
    let found = bench.get(&path);
    assert_eq!(found["lifecycleState"], "ACTIVE");
    assert_eq!(found["endpoints"]["publicEndpoint"], "127.0.0.1:6443");
    let logs = format!("/20180222/workRequests/{work}/logs?compartmentId=x");
    assert_eq!(bench.get(&logs).as_array().unwrap().len(), 5);
}

#[test]
fn a_subnet_stays_until_the_last_vnic_is_released() {
    let mut bench = Bench::new(1);
    let net = bench.network();
    let cluster = bench.cluster(&net);
    let work = bench.start(
        "DELETE",
        &format!("/20180222/clusters/{cluster}"),
        &Value::Null,
    );
    bench.pass(335);
    assert_eq!(bench.status(&work), "SUCCEEDED");
    let subnet = format!("/20160918/subnets/{}", net.api);
    let list = format!("/20160918/privateIps?subnetId={}", net.api);
    let mut waited = 0;
    while bench.send("DELETE", &subnet, &[], &Value::Null).is_err() {
        bench.pass(1);
        waited += 1;
        assert!(waited < 30);
    }
    assert_eq!(
        bench.refusal("GET", &list, &Value::Null),
        "NotAuthorizedOrNotFound"
    );
}

#[test]
fn nodes_launch_join_and_go() {
    let mut bench = Bench::new(1);
    let net = bench.network();
    let cluster = bench.cluster(&net);
    let body = bench.pool_body(&net, &cluster, 2);
    let work = bench.start("POST", "/20180222/nodePools", &body);
    bench.pass(5);
    let pool = bench.target(&work);
    let path = format!("/20180222/nodePools/{pool}");
    let states = |bench: &mut Bench| -> Vec<String> {
        let pool = bench.get(&path);
        let nodes = pool["nodes"].as_array().unwrap().iter();
        nodes
            .map(|node| node["lifecycleState"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(states(&mut bench), ["CREATING", "CREATING"]);
    let update = json!({"nodeConfigDetails": {"size": 1}});
    assert_eq!(bench.refusal("PUT", &path, &update), "IncorrectState");
    bench.pass(345);
    assert_eq!(bench.status(&work), "SUCCEEDED");
    assert_eq!(states(&mut bench), ["ACTIVE", "ACTIVE"]);
    let found = bench.get(&path);
    assert_eq!(found["nodes"][0]["privateIp"], "10.0.10.2");
    assert!(found["nodes"][1]["name"].as_str().unwrap().ends_with("-1"));
    bench.start("PUT", &path, &update);
    bench.pass(60);
    assert_eq!(states(&mut bench), ["ACTIVE"]);
    let query = "overrideEvictionGraceDuration=PT0M";
    let work = bench.start("DELETE", &format!("{path}?{query}"), &Value::Null);
    bench.pass(130);
    assert_eq!(bench.status(&work), "SUCCEEDED");
    assert_eq!(bench.get(&path)["lifecycleState"], "DELETED");
    let tenancy = bench.account.tenancy.clone();
    let running = format!("/20160918/instances?compartmentId={tenancy}&lifecycleState=RUNNING");
    assert_eq!(bench.get(&running), json!([]));
}

#[test]
fn a_full_domain_fails_the_nodes_and_an_update_mends_them() {
    let mut bench = Bench::new(1);
    let net = bench.network();
    let cluster = bench.cluster(&net);
    bench.fault("out-of-capacity", "AD-1", None);
    let mut body = bench.pool_body(&net, &cluster, 1);
    let work = bench.start("POST", "/20180222/nodePools", &body);
    bench.pass(80);
    assert_eq!(bench.status(&work), "FAILED");
    let errors = bench.get(&format!(
        "/20180222/workRequests/{work}/errors?compartmentId=x"
    ));
    let message = errors[0]["message"].as_str().unwrap();
    assert_eq!(message, "(500, InternalError, false) Out of host capacity.");
    let pool = bench.target(&work);
    let path = format!("/20180222/nodePools/{pool}");
    let found = bench.get(&path);
    assert_eq!(found["lifecycleState"], "NEEDS_ATTENTION");
    assert_eq!(found["nodes"][0]["nodeError"]["code"], "InternalError");
    let mut details = body["nodeConfigDetails"].take();
    details["placementConfigs"][0]["availabilityDomain"] =
        bench.account.domains()[1].clone().into();
    let work = bench.start("PUT", &path, &json!({"nodeConfigDetails": details}));
    bench.pass(345);
    assert_eq!(bench.status(&work), "SUCCEEDED");
    let found = bench.get(&path);
    assert_eq!(found["lifecycleState"], "ACTIVE");
    assert_eq!(found["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(found["nodes"][0]["nodeError"], Value::Null);
}

#[test]
fn a_full_fault_domain_moves_the_node_next_door() {
    let mut bench = Bench::new(1);
    let net = bench.network();
    let cluster = bench.cluster(&net);
    bench.fault("out-of-capacity", "AD-1/FAULT-DOMAIN-1", None);
    let body = bench.pool_body(&net, &cluster, 1);
    let work = bench.start("POST", "/20180222/nodePools", &body);
    bench.pass(5);
    let pool = bench.target(&work);
    let found = bench.get(&format!("/20180222/nodePools/{pool}"));
    assert_eq!(found["nodes"][0]["faultDomain"], "FAULT-DOMAIN-2");
}

#[test]
fn a_node_that_cannot_reach_the_control_plane_never_registers() {
    let mut bench = Bench::new(1);
    let net = bench.network();
    let cluster = bench.cluster(&net);
    let closed = json!({"ingressSecurityRules": []});
    let list = format!("/20160918/securityLists/{}", net.list);
    bench.send("PUT", &list, &[], &closed).unwrap();
    let body = bench.pool_body(&net, &cluster, 1);
    let work = bench.start("POST", "/20180222/nodePools", &body);
    bench.pass(600);
    assert_eq!(bench.status(&work), "IN_PROGRESS");
    bench.pass(1000);
    assert_eq!(bench.status(&work), "FAILED");
    let errors = bench.get(&format!(
        "/20180222/workRequests/{work}/errors?compartmentId=x"
    ));
    assert!(
        errors[0]["message"]
            .as_str()
            .unwrap()
            .contains("register timeout")
    );
}

#[test]
fn faults_stop_slow_or_fail_work_requests() {
    for (arg, after_700, after_3000) in [
        ("stuck", "IN_PROGRESS", "IN_PROGRESS"),
        ("fail", "FAILED", "FAILED"),
        ("slow 3", "IN_PROGRESS", "SUCCEEDED"),
    ] {
        let mut bench = Bench::new(1);
        let net = bench.network();
        bench.fault("work-request", arg, Some(1));
        let body = bench.cluster_body(&net);
        let work = bench.start("POST", "/20180222/clusters", &body);
        bench.pass(10);
        let cluster = bench.target(&work);
        bench.serve(&cluster);
        bench.pass(700);
        assert_eq!(bench.status(&work), after_700, "{arg}");
        bench.pass(2300);
        assert_eq!(bench.status(&work), after_3000, "{arg}");
    }
}

#[test]
fn limits_refuse_and_show() {
    let mut bench = Bench::new(1);
    let net = bench.network();
    bench.fault("limit", "cluster-count 0", None);
    let body = bench.cluster_body(&net);
    assert_eq!(
        bench.refusal("POST", "/20180222/clusters", &body),
        "LimitExceeded"
    );
    let tenancy = bench.account.tenancy.clone();
    let values =
        format!("/20190729/limitValues?compartmentId={tenancy}&serviceName=container-engine");
    assert_eq!(bench.get(&values)[0]["value"], 0);
    let cores = "services/compute/limits/standard-a1-core-count/resourceAvailability";
    let path = format!("/20190729/{cores}?compartmentId={tenancy}");
    assert_eq!(
        bench.refusal("GET", &path, &Value::Null),
        "InvalidParameter"
    );
    let domain = bench.account.domains()[0].replace(':', "%3A");
    let free = bench.get(&format!("{path}&availabilityDomain={domain}"));
    assert_eq!((&free["used"], &free["available"]), (&json!(0), &json!(80)));
}

#[test]
fn a_restart_in_the_middle_loses_nothing() {
    let mut bench = Bench::new(5);
    let net = bench.network();
    let body = bench.cluster_body(&net);
    let work = bench.start("POST", "/20180222/clusters", &body);
    bench.pass(100);
    let cluster = bench.target(&work);
    let tenancy = bench.account.tenancy.clone();
    let mut bench = bench.restart();
    assert_eq!((bench.world.seed, &bench.account.tenancy), (5, &tenancy));
    assert_eq!(bench.status(&work), "IN_PROGRESS");
    bench.serve(&cluster);
    bench.pass(700);
    assert_eq!(bench.status(&work), "SUCCEEDED");
    assert_eq!(
        bench.get(&format!("/20180222/clusters/{cluster}"))["lifecycleState"],
        "ACTIVE"
    );
}

#[test]
fn the_same_seed_brings_the_same_identifiers_and_times() {
    let run = |seed: u64| {
        let mut bench = Bench::new(seed);
        let net = bench.network();
        let cluster = bench.cluster(&net);
        let took: Vec<_> = (0..5)
            .map(|n| bench.world.draw(&format!("takes {n}")))
            .collect();
        (
            bench.account.tenancy.clone(),
            net.vcn,
            net.nodes,
            cluster,
            took,
        )
    };
    assert_eq!(run(11), run(11));
    let (one, other) = (run(11), run(12));
    assert_ne!(one.1, other.1);
    assert_ne!(one.4, other.4);
}

#[test]
fn identifiers_do_not_depend_on_the_order_of_creation() {
    let make = |names: [&str; 2]| {
        let mut bench = Bench::new(1);
        let mut ids: Vec<_> = names
            .iter()
            .map(|name| {
                let body = bench.here(json!({"cidrBlocks": ["10.0.0.0/16"], "displayName": name}));
                id(&bench.post("/20160918/vcns", &body))
            })
            .collect();
        ids.sort();
        ids
    };
    assert_eq!(make(["a", "b"]), make(["b", "a"]));
}

const SERVICE: &str = "service.beta.kubernetes.io/oci-load-balancer-";

#[test]
fn a_load_balancer_service_gets_an_address_and_leaves_nothing() {
    let mut bench = Bench::new(1);
    let net = bench.network();
    let cluster = bench.cluster(&net);
    let table = format!("kube/{cluster}/core/services");
    let service = json!({
        "metadata": {
            "name": "web", "namespace": "d", "uid": "u-1",
            "annotations": {
                format!("{SERVICE}shape"): "flexible",
                format!("{SERVICE}shape-flex-min"): "10",
                format!("{SERVICE}shape-flex-max"): "10",
            },
        },
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30080}]},
        "status": {"loadBalancer": {}},
    });
    bench.world.store.put(&table, "d/web", service);
    bench.control();
    bench.pass(60);
    bench.control();
    let row = bench.world.store.get(&table, "d/web").unwrap();
    assert!(row.value["status"]["loadBalancer"]["ingress"][0]["ip"].is_string());
    let tenancy = bench.account.tenancy.clone();
    let list = format!("/20170115/loadBalancers?compartmentId={tenancy}&displayName=u-1");
    let balancer = &bench.get(&list)[0];
    assert_eq!(balancer["shapeDetails"]["maximumBandwidthInMbps"], 10);
    let rules = format!("/20160918/securityLists/{}", net.list);
    let opened = bench.get(&rules)["ingressSecurityRules"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(opened, 2);

    let mut leaving = row.value.as_ref().clone();
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    bench.world.store.put(&table, "d/web", leaving);
    bench.control();
    assert!(bench.world.store.get(&table, "d/web").is_some());
    bench.pass(70);
    bench.control();
    assert!(bench.world.store.get(&table, "d/web").is_none());
    let left = bench.get(&rules)["ingressSecurityRules"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(left, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Thirty random requests per case, on a world with something in it.
    #[test]
    fn no_request_brings_the_emulator_down(
        requests in proptest::collection::vec(
            (
                0..super::testing::METHODS.len(),
                0..super::testing::PATHS.len(),
                "[a-zA-Z0-9%:&=?./-]{0,20}",
                any_body(),
            ),
            30,
        ),
    ) {
        let mut bench = Bench::new(1);
        let net = bench.network();
        for (method, path, more, body) in requests {
            let method = super::testing::METHODS[method];
            let target = super::testing::PATHS[path]
                .replace("{tenancy}", &bench.account.tenancy)
                .replace("{vcn}", &net.vcn);
            let body = body
                .replace("{tenancy}", &bench.account.tenancy)
                .replace("{vcn}", &net.vcn)
                .replace("{subnet}", &net.nodes);
            let target = format!("{target}{more}");
            if let Err(error) = bench.send_raw(method, &target, &[], body.as_bytes()) {
                prop_assert!(error.status.as_u16() < 500, "{error}");
            }
            bench.pass(1);
        }
    }
}

/// Bodies with the API's own fields and any kind of value in them.
fn any_body() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|v| json!(v)),
        any::<i64>().prop_map(|v| json!(v)),
        "[ -~]{0,12}".prop_map(|v| json!(v)),
        Just(json!("{tenancy}")),
        Just(json!("{vcn}")),
        Just(json!("{subnet}")),
        Just(json!("10.0.0.0/16")),
        Just(json!("v1.34.1")),
    ];
    let field = proptest::sample::select(vec![
        "compartmentId",
        "vcnId",
        "cidrBlock",
        "cidrBlocks",
        "displayName",
        "name",
        "routeRules",
        "ingressSecurityRules",
        "egressSecurityRules",
        "protocol",
        "source",
        "tcpOptions",
        "endpointConfig",
        "subnetId",
        "kubernetesVersion",
        "options",
        "freeformTags",
        "nodeConfigDetails",
        "placementConfigs",
        "size",
        "nodeShape",
        "nodeShapeConfig",
        "statements",
        "isEnabled",
        "services",
        "description",
        "query",
        "type",
    ]);
    let value = leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|v| json!(v)),
            proptest::collection::vec((field.clone(), inner), 0..6).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    });
    prop_oneof![
        9 => value.prop_map(|v| v.to_string()),
        1 => "[ -~]{0,30}",
    ]
}
