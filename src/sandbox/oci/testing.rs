//! What the emulator's tests share: a world whose time passes only when a
//! test says so, with the throw-away key of the signing vectors.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::call::{Answer, Call};
use super::error::ApiError;
use super::ledger::Ledger;
use super::{events, retry, route};
use crate::clock::Clock;
use crate::files::{self, Access};
use crate::sandbox::http::Request;
use crate::sandbox::plan;
use crate::sandbox::world::World;

/// A key generated for these tests and never used elsewhere.
pub(crate) const KEY: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC2V685JwivwNx8\n\
2FOfOR1vgLsxmjB/e6h50C0AGemAUuidyqpfa5yI7m/z5iKaPQbHrPCbPiZD6ZpC\n\
1Xux0T1dQt4jDlJ0JkjIm4N7S84iDie5vd36FHQq7K1mrjCFvvzlT8FelBk09YMM\n\
ctzE9gRlUpTkV6cOiES07lN6YINCscyLN0Y+E7TfSPvm7p1AFvNEIK03LdjvTj1e\n\
cpDymxB7SEhZAkhc09/Y1/udcRjzamVDgLVBV1lwG0pBkh83CXIPJAp+6jjwgjXY\n\
UZdFLPJc60GeFpZhBT//Pnz9h0XMyYo/wfI5xQH5vV7zm/VLYLNkssa5kQdy3ijN\n\
Lkga3BI5AgMBAAECggEALgTbODVdv92QyAFguWKUxztaAx7C9qmiz3t2n/vqLnS+\n\
OHSZoxNpojVrE8cVHJAiUeqXntaEmccvI4b1fN8t+YeSwI4wyReQbvCwskFjeLzR\n\
0dLVXvQijWLGMI/ttxOIh+clClWeNvtvY4jpptvgKCI7aZWll8lUbcVoVA5fkkkX\n\
2aqywEOuycMim4WT5rsk1xGpMA+2Uyi8E/bVeoCGInSgzCeJJ+3TBslGEeJlEm5n\n\
CL37LZ/TdmdX+Yc/mpPIpAR2b4BhVsPC5l47aibfhUa4wmUmJKMR1IlRH5RFI/xX\n\
WcsXVkB2Kr7ftpgRQLVXfU2CqLKenpb2RTF81RqK8QKBgQDoaLw7K11ph93cN8SV\n\
K4GH49eakOwQ1YX5Kg0Q+CgsMmsVIKvNzgkwO6mDFiw1/DRiXgKaUqrnrIoyThIL\n\
dOBw5Y3j0eWN8TSyZSdpazvI0ODAOzRuxXDpMteRpLuyRFjTGhz55rxp2zZjl69R\n\
uNlVzlGnTbuVqucotGqrsoJn6wKBgQDI2fGoR6t5gR3Ks65IB3kx448W9N6QZhIT\n\
WLFhQAFWhnvzQR+6xGwKfTsmM0+s19Sad3Y+acRjDn85/QvqX7tfhGRmInsW+4Jb\n\
+trn8stu0pWWO5pErZOersKVRwFdiwSBj7ij24ykk1YYrpQMIJLBCWTGq1WMQpXJ\n\
nPJiS6IpawKBgGP0N5BTFDfA4WBG89sb/PeOvDmTvpN24cnJlhkIQW7QuFE73egD\n\
htwhrMPeE2GceIMd34yzpSFCiaUdApG+0JB9icrDiTDE3l8jNhIWtn2lqCPE0sYZ\n\
UHhbD29qI/eFgZY5EuE/pST5zKiEojhJgd9vfpqvyc+S0xwkjAQQIBnFAoGANGNU\n\
evYmrcyVvrdbMAJzBCY8vlokazmUYWNy8NDHCJCPaAWGhyqQm7PKZ85ea9Dn7VpX\n\
hzQDO2semDt+jiVmNCXOIi3AOWBkwiUOUA2uLjvTNJpbRKqZpHwk2NbqbkHCbSDV\n\
ojez2YFspYdzqi4c2SjgFkm+SJVdiHbdafIcW/0CgYEAoWQjgklS1BwwCokxFj6k\n\
1nGntxDbAYaSMNM81IBtx70SpDCnYexsvawcwcooAJCpd5VtfnQAZsOm8PB4wzqU\n\
CVCfS9A8UG+WOZwie5l45Sf+E/LbjY2tBMG3ICOtgBOyQVJ/GOVOj9UwimDvVUFA\n\
3CDLOl9xnfLBWaAPK34u/pI=\n\
-----END PRIVATE KEY-----\n\
";

/// A request as it comes off the wire.
pub(crate) fn request(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Request {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = url::form_urlencoded::parse(query.as_bytes());
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.insert(name, HeaderValue::from_str(value).unwrap());
    }
    Request {
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        target: target.to_owned(),
        path: path.to_owned(),
        query: query.into_owned().collect(),
        headers: map,
        body: body.to_vec().into(),
        upgrade: None,
    }
}

/// A world on a bench.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) world: World,
    pub(crate) account: Account,
    pub(crate) age: u64,
}

impl Bench {
    pub(crate) fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("oci/key.pem");
        files::write_atomic(&key, KEY.as_bytes(), Access::Private).unwrap();
        let (world, account) = open(dir.path(), seed);
        Self {
            dir,
            world,
            account,
            age: 1_000_000,
        }
    }

    /// The process is killed and started again.
    pub(crate) fn restart(self) -> Self {
        let Self {
            dir, world, age, ..
        } = self;
        let seed = world.seed + 1;
        drop(world);
        let (world, account) = open(dir.path(), seed);
        Self {
            dir,
            world,
            account,
            age,
        }
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, seconds: u64) {
        self.age += seconds * 1000;
        events::advance(&self.world, &self.account, self.age);
    }

    /// A request with a retry token, an `if-match` or neither.
    pub(crate) fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Answer, ApiError> {
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            serde_json::to_vec(body).unwrap()
        };
        self.send_raw(method, target, headers, &bytes)
    }

    pub(crate) fn send_raw(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ApiError> {
        let request = request(method, target, headers, body);
        let segments = request.segments();
        let segments: Vec<_> = segments.iter().map(String::as_str).collect();
        let operation = route::find(method, &segments)?;
        let call = Call::read(&request)?;
        events::advance(&self.world, &self.account, self.age);
        self.world.store.write(|tx| {
            let mut books = Ledger {
                world: &self.world,
                account: &self.account,
                age: self.age,
                tx,
            };
            retry::run(&mut books, operation, &call)
        })
    }

    /// The cloud controllers look at their Services.
    pub(crate) fn control(&self) {
        let done: Result<(), ApiError> = self.world.store.write(|tx| {
            let mut books = Ledger {
                world: &self.world,
                account: &self.account,
                age: self.age,
                tx,
            };
            super::control(&mut books);
            Ok(())
        });
        done.unwrap();
    }

    pub(crate) fn get(&mut self, target: &str) -> Value {
        let answer = self.send("GET", target, &[], &Value::Null).unwrap();
        answer.body.unwrap()
    }

    /// A POST; its answer's body.
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Value {
        let answer = self.send("POST", path, &[], body).unwrap();
        answer.body.unwrap_or_default()
    }

    /// The code that a request is refused with.
    pub(crate) fn refusal(&mut self, method: &str, target: &str, body: &Value) -> &'static str {
        match self.send(method, target, &[], body) {
            Ok(answer) => panic!("{method} {target} answers {answer:?}"),
            Err(error) => error.code,
        }
    }

    /// A request that opens a work request; its OCID.
    pub(crate) fn start(&mut self, method: &str, target: &str, body: &Value) -> String {
        let answer = self.send(method, target, &[], body).unwrap();
        assert_eq!(answer.status, 202);
        let mut headers = answer.headers.into_iter();
        let header = headers.find(|(name, _)| name == "opc-work-request-id");
        header.unwrap().1
    }

    pub(crate) fn fault(&self, kind: &str, arg: &str, times: Option<u64>) {
        let mut fault = plan::check("oci", Some(kind), arg).unwrap();
        fault.times = times;
        self.world.faults.add(fault);
    }

    /// Something in the tenancy's root compartment.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers write the fields as literals"
    )]
    pub(crate) fn here(&self, fields: Value) -> Value {
        let mut body = json!({"compartmentId": self.account.tenancy});
        let fields = fields.as_object().cloned().unwrap();
        body.as_object_mut().unwrap().extend(fields);
        body
    }

    /// A VCN with a way out, an open security list and two subnets.
    pub(crate) fn network(&mut self) -> Net {
        let body = self.here(json!({"cidrBlocks": ["10.0.0.0/16"], "displayName": "net"}));
        let vcn = id(&self.post("/20160918/vcns", &body));
        let body = self.here(json!({"vcnId": vcn, "isEnabled": true}));
        let gateway = id(&self.post("/20160918/internetGateways", &body));
        let rule = json!({"networkEntityId": gateway, "destination": "0.0.0.0/0"});
        let body = self.here(json!({"vcnId": vcn, "routeRules": [rule]}));
        let table = id(&self.post("/20160918/routeTables", &body));
        let body = self.here(json!({
            "vcnId": vcn,
            "ingressSecurityRules": [{"protocol": "all", "source": "0.0.0.0/0"}],
            "egressSecurityRules": [{"protocol": "all", "destination": "0.0.0.0/0"}],
        }));
        let list = id(&self.post("/20160918/securityLists", &body));
        let mut subnet = |name: &str, cidr: &str| {
            let body = self.here(json!({
                "vcnId": vcn,
                "cidrBlock": cidr,
                "displayName": name,
                "routeTableId": table,
                "securityListIds": [list],
            }));
            id(&self.post("/20160918/subnets", &body))
        };
        let (api, nodes) = (
            subnet("api", "10.0.0.0/28"),
            subnet("nodes", "10.0.10.0/24"),
        );
        Net {
            vcn,
            gateway,
            table,
            list,
            api,
            nodes,
        }
    }

    pub(crate) fn cluster_body(&self, net: &Net) -> Value {
        self.here(json!({
            "name": "todo",
            "vcnId": net.vcn,
            "kubernetesVersion": "v1.34.1",
            "endpointConfig": {"subnetId": net.api, "isPublicIpEnabled": true},
            "options": {"serviceLbSubnetIds": [net.nodes]},
        }))
    }

    /// An ACTIVE cluster.
    pub(crate) fn cluster(&mut self, net: &Net) -> String {
        let body = self.cluster_body(net);
        let work = self.start("POST", "/20180222/clusters", &body);
        self.pass(10);
        let cluster = self.target(&work);
        self.serve(&cluster);
        self.pass(700);
        assert_eq!(self.status(&work), "SUCCEEDED");
        cluster
    }

    /// Says that a cluster's API server listens.
    pub(crate) fn serve(&self, cluster: &str) {
        let row = json!({"address": "127.0.0.1:6443", "ca": ""});
        self.world
            .store
            .put(super::cluster::ENDPOINTS, cluster, row);
    }

    pub(crate) fn pool_body(&mut self, net: &Net, cluster: &str, size: u64) -> Value {
        let options = self
            .get("/20180222/nodePoolOptions/all?nodePoolOsArch=AARCH64&nodePoolK8sVersion=v1.34.1");
        let image = options["sources"][0]["imageId"].clone();
        let domain = self.account.domains()[0].clone();
        self.here(json!({
            "name": "a1",
            "clusterId": cluster,
            "nodeShape": "VM.Standard.A1.Flex",
            "nodeShapeConfig": {"ocpus": 1, "memoryInGBs": 6},
            "nodeSourceDetails": {"sourceType": "IMAGE", "imageId": image, "bootVolumeSizeInGBs": 50},
            "nodeConfigDetails": {
                "size": size,
                "placementConfigs": [{"availabilityDomain": domain, "subnetId": net.nodes}],
            },
        }))
    }

    /// The OCID of what a started work request is about.
    pub(crate) fn target(&mut self, work: &str) -> String {
        let work = self.get(&format!("/20180222/workRequests/{work}"));
        work["resources"][0]["identifier"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) fn status(&mut self, work: &str) -> String {
        let work = self.get(&format!("/20180222/workRequests/{work}"));
        work["status"].as_str().unwrap().to_owned()
    }
}

/// The identifiers of a network.
pub(crate) struct Net {
    pub(crate) vcn: String,
    pub(crate) gateway: String,
    pub(crate) table: String,
    pub(crate) list: String,
    pub(crate) api: String,
    pub(crate) nodes: String,
}

pub(crate) fn id(body: &Value) -> String {
    body["id"].as_str().unwrap().to_owned()
}

fn open(dir: &std::path::Path, seed: u64) -> (World, Account) {
    let clock = Clock::new(1.0, CancellationToken::new());
    let world = World::open(dir, clock, seed).unwrap();
    let account = Account::open(&world, dir).unwrap();
    (world, account)
}

/// Methods for random requests.
pub(crate) const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];

/// Where random requests start from.
pub(crate) const PATHS: [&str; 22] = [
    "/",
    "/20160918/vcns",
    "/20160918/vcns/{vcn}",
    "/20160918/subnets",
    "/20160918/routeTables",
    "/20160918/securityLists",
    "/20160918/internetGateways",
    "/20160918/natGateways",
    "/20160918/serviceGateways",
    "/20160918/networkSecurityGroups",
    "/20160918/compartments",
    "/20160918/volumes",
    "/20160918/computeCapacityReports",
    "/20160918/vcns?compartmentId={tenancy}&",
    "/20180222/clusters",
    "/20180222/nodePools",
    "/20180222/nodePoolOptions/all?",
    "/20180222/workRequests",
    "/20170115/loadBalancers",
    "/20200501/networkLoadBalancers",
    "/20180409/resources",
    "/20181025/quotas",
];
