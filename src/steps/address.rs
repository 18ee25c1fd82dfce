//! Where the app is: the address of the load balancer, and whether the app's
//! page answers there. Nothing is made; `up` waits for both, and everybody who
//! prints the address has it from here.

use std::time::Duration;

use http::{HeaderValue, Method, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::access::{self, Access};
use super::cx::Cx;
use super::owned::tags_step;
use crate::clock::{Look, wait_until};
use crate::k8s::{K8sError, Kube};
use crate::manifest::Manifest;
use crate::names::StepId;
use crate::net::{Budget, Call, Http, HttpBuilder};
use crate::plan::{Change, Class, Handle, Inputs, Step, StepCx, StepError};
use crate::profile::{Ingress, Profile};
use crate::render;

/// Name of the step.
pub(super) const ID: &str = "app/address";
/// A load balancer of Oracle's takes minutes to come.
const ADDRESS_WITHIN: Duration = Duration::from_mins(15);
/// It learns of its backends by checks of ten seconds.
const ANSWER_WITHIN: Duration = Duration::from_mins(5);
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(5);
/// Real time that one request to the page may take.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// As much of a page as is read.
const PAGE_LIMIT: usize = 1 << 20;

/// Where the app is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressLive {
    /// The URL of the app's page.
    pub url: String,
    /// Whether the page answered when last asked.
    pub answers: bool,
    /// What it said instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
}

/// The way in that a profile asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Door {
    /// The path whose page counts.
    path: String,
    host: Option<String>,
    http_port: u16,
    https_port: Option<u16>,
    /// The namespace of the controller's service; none when the controller is
    /// not ours, so that only the app's Ingress knows.
    controller: Option<String>,
    namespace: String,
}

impl Door {
    /// None for an app that nobody reaches from outside.
    pub(super) fn of(profile: &Profile) -> Option<Self> {
        let ways = profile.app.services.iter();
        let ways = ways.filter_map(|service| service.ingress.as_ref());
        let way: &Ingress = ways.min_by_key(|way| way.path.len())?;
        let ingress = &profile.ingress;
        Some(Self {
            path: way.path.clone(),
            host: way.host.clone(),
            http_port: if ingress.install {
                ingress.http_port
            } else {
                80
            },
            https_port: ingress.https.as_ref().map(|https| https.port),
            controller: ingress.install.then(|| ingress.namespace.to_string()),
            namespace: profile.app.namespace.to_string(),
        })
    }

    /// What people type.
    fn url(&self, address: &str) -> String {
        let (scheme, port, usual) = match self.https_port {
            Some(port) => ("https", port, 443),
            None => ("http", self.http_port, 80),
        };
        let host = bracketed(self.host.as_deref().unwrap_or(address));
        let port = match port == usual {
            true => String::new(),
            false => format!(":{port}"),
        };
        let path = self.path.trim_end_matches('/');
        format!("{scheme}://{host}{port}{path}")
    }

    /// What is asked: always by plain HTTP, which the controller answers or
    /// leads to HTTPS. So neither a name without a record yet nor a
    /// certificate of one's own stands between the check and the app.
    fn request(&self, address: &str) -> Option<Call> {
        let host = bracketed(address);
        let text = format!("http://{host}:{}{}", self.http_port, self.path);
        let mut call = Call::new(Method::GET, Url::parse(&text).ok()?, "open the page");
        if let Some(host) = &self.host {
            let value = HeaderValue::from_str(host).ok()?;
            call.headers.insert(header::HOST, value);
        }
        call.at_most = Some(Budget {
            attempts: 1,
            total: REQUEST_WITHIN,
        });
        Some(call)
    }

    /// Whether a status is an answer of the app. The controller itself says
    /// 404 to what has no rule and 502 to 504 while nobody is behind it; below
    /// the root, an app may have no page and say 404 as well.
    fn is_answer(&self, status: u16) -> bool {
        match status {
            404 => self.path != "/",
            other => other < 500,
        }
    }

    /// The load balancer's address; none while it has none.
    async fn address(&self, kube: &Kube) -> Result<Option<String>, K8sError> {
        let found = if let Some(namespace) = &self.controller {
            let selector = format!("app.kubernetes.io/instance={}", render::ingress::RELEASE);
            kube.list("v1", "Service", Some(namespace), &selector)
                .await?
        } else {
            let ingress = "networking.k8s.io/v1";
            kube.list(ingress, "Ingress", Some(&self.namespace), "")
                .await?
        };
        Ok(found.iter().find_map(address_of))
    }
}

fn bracketed(host: &str) -> String {
    match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    }
}

/// The first address that an object's load balancer has.
fn address_of(object: &Manifest) -> Option<String> {
    let entry = object.body().pointer("/status/loadBalancer/ingress/0")?;
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    let address = text("ip").or_else(|| text("hostname"))?;
    (!address.is_empty()).then(|| address.to_owned())
}

/// Waits until the app can be reached.
pub(super) struct AddressStep {
    pub(super) door: Door,
    pub(super) access: Handle<Access>,
    pub(super) after: Vec<StepId>,
}

impl AddressStep {
    async fn kube(&self, cx: &StepCx<Cx>) -> Result<Kube, StepError> {
        let access = cx.input(&self.access)?;
        cx.cx.cluster.get(cx, &access).await
    }

    /// One look at the page.
    async fn open(&self, http: &Http, address: &str) -> AddressLive {
        let says = match self.door.request(address) {
            None => Some(format!("`{address}` is no address")),
            Some(call) => match http.send(call).await {
                Ok((answer, _)) => {
                    let status = answer.status.as_u16();
                    (!self.door.is_answer(status)).then(|| format!("it answers {}", answer.status))
                }
                Err(error) => Some(error.to_string()),
            },
        };
        AddressLive {
            url: self.door.url(address),
            answers: says.is_none(),
            says,
        }
    }
}

fn client(cx: &StepCx<Cx>) -> Result<Http, StepError> {
    let builder = HttpBuilder::new(cx.clock.clone())
        .attempt_timeout(REQUEST_WITHIN)
        .body_limit(PAGE_LIMIT);
    // The emulated world's addresses are this machine's own.
    let builder = match cx.cx.profile.sandbox {
        Some(_) => builder.loopback(),
        None => builder,
    };
    builder.build().map_err(|error| {
        StepError::new(Class::Unreachable, "cannot open the app's page").caused_by(error)
    })
}

impl Step<Cx> for AddressStep {
    type Live = AddressLive;

    fn id(&self) -> StepId {
        tags_step(ID)
    }

    fn title(&self) -> String {
        "the app's address".to_owned()
    }

    fn needs(&self) -> Vec<StepId> {
        access::needs(&self.access, &self.after)
    }

    fn system(&self) -> &'static str {
        "kubernetes"
    }

    fn quiet_limit(&self) -> Duration {
        ADDRESS_WITHIN + Duration::from_mins(1)
    }

    fn only_reads(&self) -> bool {
        true
    }

    async fn inspect(&self, cx: &StepCx<Cx>) -> Result<Option<AddressLive>, StepError> {
        if cx.cx.teardown || cx.known(&self.access).is_none() {
            return Ok(None);
        }
        let kube = self.kube(cx).await?;
        match self.door.address(&kube).await? {
            Some(address) => Ok(Some(self.open(&client(cx)?, &address).await)),
            None => Ok(None),
        }
    }

    fn plan(&self, _: &Cx, _: &Inputs, live: Option<&AddressLive>) -> Change {
        match live {
            None => Change::create(&json!({})).then_known("url"),
            Some(live) if live.answers => Change::none(),
            Some(live) => Change::update(&json!({"answers": false}), &json!({"answers": true}))
                .because(format!(
                    "{}: {}",
                    live.url,
                    live.says.as_deref().unwrap_or("no answer")
                )),
        }
    }

    async fn apply(
        &self,
        cx: &StepCx<Cx>,
        _: Option<AddressLive>,
    ) -> Result<AddressLive, StepError> {
        let kube = self.kube(cx).await?;
        let address = wait_until(&cx.clock, ADDRESS_WITHIN, async || {
            if let Some(address) = self.door.address(&kube).await? {
                return Ok::<_, StepError>(Look::Done(address));
            }
            let seen = "the load balancer has no address yet".to_owned();
            cx.progress(&seen);
            Ok(Look::Wait(seen, PAUSE))
        });
        let address = address.await.map_err(|error| {
            super::fault::waited("an address for the app", error).with_hint(
                "look at `kubectl -n NAMESPACE describe service`: a limit of the tenancy, or a \
                 cluster without load balancers",
            )
        })?;
        let http = client(cx)?;
        let page = wait_until(&cx.clock, ANSWER_WITHIN, async || {
            let live = self.open(&http, &address).await;
            let Some(says) = &live.says else {
                return Ok::<_, StepError>(Look::Done(live));
            };
            let seen = format!("{}: {says}", live.url);
            cx.progress(&seen);
            Ok(Look::Wait(seen, PAUSE))
        });
        page.await.map_err(|error| {
            super::fault::waited("an answer of the app's page", error)
                .with_hint("look at what the app says: `todoctl logs`")
        })
    }

    async fn destroy(&self, _: &StepCx<Cx>, _: AddressLive) -> Result<(), StepError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(sets: &[&str]) -> Door {
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        Door::of(&crate::profile::load("sandbox", &sets).unwrap().profile).unwrap()
    }

    #[test]
    fn the_url_names_only_what_is_not_usual() {
        for (sets, address, url) in [
            (&[][..], "127.1.2.3", "http://127.1.2.3:8080"),
            (&["ingress.http_port=80"], "192.0.2.1", "http://192.0.2.1"),
            (
                &["ingress.http_port=80"],
                "2001:db8::1",
                "http://[2001:db8::1]",
            ),
            (
                &[
                    "ingress.https={secret: tls}",
                    "app.services.frontend.ingress.host=todo.example",
                ],
                "192.0.2.1",
                "https://todo.example",
            ),
            (
                &["ingress.http_port=80", "app.services.frontend.ingress=null"],
                "192.0.2.1",
                "http://192.0.2.1/api",
            ),
        ] {
            assert_eq!(door(sets).url(address), url, "{sets:?}");
        }
    }

    #[test]
    fn a_name_without_a_record_is_asked_at_the_address() {
        let door = door(&["app.services.frontend.ingress.host=todo.example"]);
        let call = door.request("192.0.2.1").unwrap();
        assert_eq!(call.url.as_str(), "http://192.0.2.1:8080/");
        assert_eq!(call.headers["host"], "todo.example");
    }

    #[test]
    fn what_only_the_controller_says_is_no_answer() {
        let root = door(&[]);
        let below = door(&["app.services.frontend.ingress=null"]);
        for (status, at_root, at_path) in [
            (200, true, true),
            (301, true, true),
            (401, true, true),
            (404, false, true),
            (502, false, false),
            (503, false, false),
        ] {
            let answers = (root.is_answer(status), below.is_answer(status));
            assert_eq!(answers, (at_root, at_path), "{status}");
        }
    }

    #[test]
    fn an_address_is_a_number_or_a_name() {
        let of = |status: Value| {
            let body = json!({"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "s"}, "status": status});
            address_of(&Manifest::new(body).unwrap())
        };
        let at = |entry: Value| json!({"loadBalancer": {"ingress": [entry]}});
        assert_eq!(of(at(json!({"ip": "192.0.2.1"}))).unwrap(), "192.0.2.1");
        assert_eq!(
            of(at(json!({"hostname": "lb.example"}))).unwrap(),
            "lb.example"
        );
        assert_eq!(of(json!({"loadBalancer": {}})), None);
    }

    #[test]
    fn an_app_without_a_way_in_has_no_address() {
        let sets = [
            "app.services.frontend.ingress=null",
            "app.services.backend.ingress=null",
        ];
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        let loaded = crate::profile::load("sandbox", &sets).unwrap();
        assert_eq!(Door::of(&loaded.profile), None);
    }
}
