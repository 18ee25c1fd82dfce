//! Service limits of the tenancy, what is used of them, and quotas.

use serde_json::{Map, json};

use super::call::{Answer, Call, Outcome};
use super::error::ApiError;
use super::ledger::{Doc, Kind, Ledger};
use super::{identity, listing};
use crate::sandbox::faults::Faults;

/// Where a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// In each availability domain.
    Domain,
    /// In the region.
    Region,
    /// In the whole tenancy.
    Global,
}

impl Scope {
    fn name(self) -> &'static str {
        match self {
            Self::Domain => "AD",
            Self::Region => "REGION",
            Self::Global => "GLOBAL",
        }
    }
}

/// Service, name, scope and value: a tenancy that pays as it goes.
const LIMITS: [(&str, &str, Scope, u64); 23] = [
    ("compartments", "compartment-count", Scope::Global, 1000),
    ("compute", "standard-a1-core-count", Scope::Domain, 80),
    ("compute", "standard-a1-memory-count", Scope::Domain, 512),
    (
        "compute",
        "standard-a1-core-regional-count",
        Scope::Region,
        240,
    ),
    (
        "compute",
        "standard-a1-memory-regional-count",
        Scope::Region,
        1536,
    ),
    ("compute", "standard-a2-core-count", Scope::Domain, 20),
    ("compute", "standard-a2-memory-count", Scope::Domain, 120),
    ("compute", "standard-e4-core-count", Scope::Domain, 20),
    ("compute", "standard-e4-memory-count", Scope::Domain, 320),
    ("compute", "standard-e2-micro-core-count", Scope::Domain, 2),
    ("compute", "standard-e2-memory-count", Scope::Domain, 2),
    ("container-engine", "cluster-count", Scope::Region, 15),
    ("vcn", "vcn-count", Scope::Region, 50),
    ("vcn", "subnet-count", Scope::Region, 300),
    ("vcn", "nat-gateway-count", Scope::Region, 1),
    ("vcn", "service-gateway-count", Scope::Region, 1),
    ("block-storage", "total-storage-gb", Scope::Domain, 102_400),
    ("block-storage", "total-free-storage-gb", Scope::Domain, 200),
    (
        "block-storage",
        "total-free-storage-gb-regional",
        Scope::Region,
        200,
    ),
    ("block-storage", "volume-count", Scope::Domain, 10_000),
    ("load-balancer", "lb-flexible-count", Scope::Region, 10),
    (
        "load-balancer",
        "lb-flexible-bandwidth-sum",
        Scope::Region,
        5000,
    ),
    (
        "network-load-balancer-api",
        "max-nlb-flexible-count",
        Scope::Region,
        10,
    ),
];

/// A limit's value, or what a `limit` fault makes of it.
pub(super) fn value(books: &Ledger<'_, '_>, name: &str) -> u64 {
    let faults = Faults::list_in(books.tx);
    let faked = faults
        .iter()
        .rev()
        .filter(|fault| fault.system == "oci" && fault.kind == "limit")
        .find_map(|fault| {
            let (wanted, value) = fault.arg.as_deref()?.split_once([' ', '='])?;
            (wanted == name).then(|| value.trim().parse().ok())?
        });
    let own = LIMITS.iter().find(|(_, limit, ..)| *limit == name);
    faked.unwrap_or_else(|| own.map_or(u64::MAX, |(.., value)| *value))
}

/// Fails when `total` would be more than the limit.
pub(super) fn check(books: &Ledger<'_, '_>, name: &str, total: u64) -> Result<(), ApiError> {
    if total <= value(books, name) {
        return Ok(());
    }
    Err(exceeded(name))
}

/// As [`check`], for amounts that come in fractions, and with the quotas.
pub(super) fn check_amount(books: &Ledger<'_, '_>, name: &str, total: f64) -> Result<(), ApiError> {
    let limit = u32::try_from(value(books, name)).unwrap_or(u32::MAX);
    if total > f64::from(limit) {
        return Err(exceeded(name));
    }
    match quota(books, name) {
        Some(most) if total > f64::from(u32::try_from(most).unwrap_or(u32::MAX)) => {
            let why = format!("The quota on {name} of {most} would be exceeded");
            Err(ApiError::quota_exceeded(why))
        }
        _ => Ok(()),
    }
}

fn exceeded(name: &str) -> ApiError {
    ApiError::limit_exceeded(match name {
        "cluster-count" => "The cluster limit for this tenancy has been exceeded.".to_owned(),
        _ => format!(
            "The following service limits were exceeded: {name}. Request a service limit increase from the service limits page in the console."
        ),
    })
}

/// How much of a limit is used, in a domain for limits that count there.
fn used(books: &Ledger<'_, '_>, name: &str, domain: Option<&str>) -> f64 {
    let here = |doc: &Doc| domain.is_none_or(|domain| doc.str("availabilityDomain") == domain);
    let count = |kind: Kind| {
        let rows = books.live_where(kind, here).len();
        f64::from(u32::try_from(rows).unwrap_or(u32::MAX))
    };
    let sum = |kind: Kind, amount: &dyn Fn(&Doc) -> Option<f64>| -> f64 {
        let rows = books.live_where(kind, here);
        rows.iter().filter_map(amount).sum()
    };
    let shape = |prefix: &'static str, field: &'static str| {
        move |doc: &Doc| {
            let fits = doc.str("shape").starts_with(prefix);
            fits.then(|| doc.body["shapeConfig"][field].as_f64())?
        }
    };
    let gigabytes = |doc: &Doc| doc.body["sizeInGBs"].as_f64();
    match name {
        "compartment-count" => count(Kind::Compartment) - 1.0,
        "cluster-count" => count(Kind::Cluster),
        "vcn-count" => count(Kind::Vcn),
        "subnet-count" => count(Kind::Subnet),
        "nat-gateway-count" => count(Kind::NatGateway),
        "service-gateway-count" => count(Kind::ServiceGateway),
        "volume-count" => count(Kind::Volume),
        "lb-flexible-count" => count(Kind::LoadBalancer),
        "max-nlb-flexible-count" => count(Kind::Nlb),
        "lb-flexible-bandwidth-sum" => sum(Kind::LoadBalancer, &|doc| {
            doc.body["shapeDetails"]["maximumBandwidthInMbps"].as_f64()
        }),
        _ if name.contains("storage-gb") => {
            sum(Kind::Volume, &gigabytes) + sum(Kind::BootVolume, &gigabytes)
        }
        _ if name.starts_with("standard-a1-core") => {
            sum(Kind::Instance, &shape("VM.Standard.A1.", "ocpus"))
        }
        _ if name.starts_with("standard-a1-memory") => {
            sum(Kind::Instance, &shape("VM.Standard.A1.", "memoryInGBs"))
        }
        _ => 0.0,
    }
}

/// `ListServices` of the limits API.
pub(super) fn services(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    root(books, call)?;
    let mut names: Vec<_> = LIMITS.iter().map(|(service, ..)| *service).collect();
    names.dedup();
    let rows = names
        .into_iter()
        .map(|name| json!({"name": name, "description": name}))
        .collect();
    listing::page(books, call, rows)
}

/// `ListLimitDefinitions`.
pub(super) fn definitions(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    root(books, call)?;
    let service = call.request.param("serviceName");
    let name = call.request.param("name");
    let rows = LIMITS
        .iter()
        .filter(|(of, limit, ..)| {
            service.is_none_or(|service| service == *of) && name.is_none_or(|name| name == *limit)
        })
        .map(|(of, limit, scope, _)| {
            json!({
                "name": limit,
                "serviceName": of,
                "description": limit,
                "scopeType": scope.name(),
                "areQuotasSupported": true,
                "isResourceAvailabilitySupported": true,
                "isDeprecated": false,
                "isEligibleForLimitIncrease": true,
                "isDynamic": false,
            })
        })
        .collect();
    listing::page(books, call, rows)
}

/// `ListLimitValues`: the compartment must be the tenancy.
pub(super) fn values(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    root(books, call)?;
    let service = call.need_param("serviceName")?;
    if !LIMITS.iter().any(|(of, ..)| *of == service) {
        return Err(ApiError::not_found(service));
    }
    let name = call.request.param("name");
    let scope = call.request.param("scopeType");
    let domain = call.request.param("availabilityDomain");
    let mut rows = Vec::new();
    for (of, limit, at, _) in LIMITS {
        let wanted = of == service
            && name.is_none_or(|name| name == limit)
            && scope.is_none_or(|scope| scope == at.name());
        if !wanted {
            continue;
        }
        let number = value(books, limit);
        let row = |domain: Option<&str>| {
            json!({
                "name": limit,
                "scopeType": at.name(),
                "availabilityDomain": domain,
                "value": number,
            })
        };
        if at == Scope::Domain {
            let domains = books.account.domains();
            let domains = domains.iter().map(String::as_str);
            rows.extend(
                domains
                    .filter(|d| domain.is_none_or(|w| w == *d))
                    .map(|d| row(Some(d))),
            );
        } else if domain.is_none() {
            rows.push(row(None));
        }
    }
    listing::page(books, call, rows)
}

fn root(books: &Ledger<'_, '_>, call: &Call<'_>) -> Result<(), ApiError> {
    let id = call.need_param("compartmentId")?;
    if id == books.account.tenancy {
        return Ok(());
    }
    let why = "compartmentId must be the OCID of the tenancy";
    Err(ApiError::invalid(why))
}

/// `GetResourceAvailability`: `services/{service}/limits/{name}/…`.
pub(super) fn availability(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    identity::compartment(books, call.need_param("compartmentId")?)?;
    let (service, name) = (call.segment(2), call.segment(4));
    let (_, _, scope, _) = LIMITS
        .into_iter()
        .find(|(of, limit, ..)| *of == service && *limit == name)
        .ok_or_else(|| ApiError::not_found(name))?;
    let domain = call.request.param("availabilityDomain");
    match (scope, domain) {
        (Scope::Domain, Some(domain)) => identity::check_domain(books, domain)?,
        (Scope::Domain, None) => {
            let why = format!("availabilityDomain is required for the limit {name}");
            return Err(ApiError::invalid(why));
        }
        (_, Some(_)) => {
            let why = format!("availabilityDomain is not allowed for the limit {name}");
            return Err(ApiError::invalid(why));
        }
        (_, None) => {}
    }
    let limit = u32::try_from(value(books, name)).unwrap_or(u32::MAX);
    let used = used(books, name, domain);
    let available = (f64::from(limit) - used).max(0.0);
    Ok(Answer::ok(json!({
        "used": whole(used.ceil()),
        "available": whole(available.floor()),
        "fractionalUsage": used,
        "fractionalAvailability": available,
        "effectiveQuotaValue": quota(books, name),
    })))
}

#[expect(clippy::cast_possible_truncation, reason = "limits are small")]
fn whole(amount: f64) -> i64 {
    amount as i64
}

/// `ListQuotas`.
pub(super) fn list_quotas(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    listing::list(books, call, Kind::Quota, &["name"])
}

/// `GetQuota`.
pub(super) fn get_quota(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let quota = books.get(Kind::Quota, call.id())?;
    Ok(Answer::doc(books, &quota))
}

/// `CreateQuota`.
pub(super) fn create_quota(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let input = call.input();
    let compartment = input.need("compartmentId")?;
    if compartment != books.account.tenancy {
        let why = "compartmentId must be the OCID of the tenancy";
        return Err(ApiError::invalid(why));
    }
    let name = input.need("name")?;
    input.need("description")?;
    let statements = input.texts("statements")?;
    if statements.is_empty() {
        return Err(ApiError::missing("statements"));
    }
    for statement in &statements {
        if Statement::parse(statement).is_none() {
            let why = format!("statements: '{statement}' is no quota statement");
            return Err(ApiError::invalid(why));
        }
    }
    let taken = |quota: &Doc| quota.str("name") == name;
    if !books.live_where(Kind::Quota, taken).is_empty() {
        return Err(ApiError::already_exists(&format!("Quota '{name}'")));
    }
    let mut body = Map::new();
    let fields = ["compartmentId", "name", "description", "statements"];
    input.copy(&fields, &mut body);
    input.copy_tags(&mut body)?;
    body.insert("lifecycleState".into(), "ACTIVE".into());
    body.insert("timeCreated".into(), books.now().into());
    let quota = books.create(Kind::Quota, name, body);
    Ok(Answer::doc(books, &quota).made(Kind::Quota, quota.id()))
}

/// `DeleteQuota`.
pub(super) fn delete_quota(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let mut quota = books.get_live(Kind::Quota, call.id())?;
    call.check_match(books, &quota)?;
    books.bury(Kind::Quota, &mut quota);
    Ok(Answer::no_content())
}

/// What all quotas together allow of a limit; later statements win.
fn quota(books: &Ledger<'_, '_>, name: &str) -> Option<u64> {
    let quotas = books.live_where(Kind::Quota, |_| true);
    quotas
        .iter()
        .flat_map(|quota| quota.array("statements"))
        .filter_map(|text| Statement::parse(text.as_str()?))
        .rfind(|statement| statement.covers(name))
        .and_then(|statement| statement.most)
}

/// `zero FAMILY quotas in …`, `set FAMILY quota NAME to N in …`, `unset …`.
#[derive(Debug, PartialEq, Eq)]
struct Statement {
    family: String,
    name: Option<String>,
    most: Option<u64>,
}

impl Statement {
    fn parse(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split_whitespace().collect();
        let (verb, rest) = words.split_first()?;
        let (family, rest) = rest.split_first()?;
        let (noun, rest) = rest.split_first()?;
        let plain = matches!(noun.to_ascii_lowercase().as_str(), "quota" | "quotas");
        let at = rest
            .iter()
            .position(|word| word.eq_ignore_ascii_case("in"))?;
        let (about, place) = rest.split_at(at);
        let placed = place.len() >= 2;
        let (name, most) = match (verb.to_ascii_lowercase().as_str(), about) {
            ("set", [name, to, value]) if to.eq_ignore_ascii_case("to") => {
                (Some((*name).to_owned()), Some(value.parse().ok()?))
            }
            ("zero", []) => (None, Some(0)),
            ("zero", [name]) => (Some((*name).to_owned()), Some(0)),
            ("unset", []) => (None, None),
            ("unset", [name]) => (Some((*name).to_owned()), None),
            _ => return None,
        };
        (plain && placed).then(|| Self {
            family: (*family).to_owned(),
            name,
            most,
        })
    }

    fn covers(&self, limit: &str) -> bool {
        match (&self.name, self.family.as_str()) {
            (Some(name), _) => name == limit,
            (None, "compute-core") => {
                limit.contains("core-count") || limit.contains("core-regional")
            }
            (None, "compute-memory") => limit.contains("-memory-"),
            (None, family) => LIMITS
                .iter()
                .any(|(of, name, ..)| *of == family && *name == limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quota_statements_parse() {
        let some = Statement::parse(
            "set compute-core quota standard-a1-core-count to 2 in compartment todo",
        );
        assert_eq!(
            some,
            Some(Statement {
                family: "compute-core".into(),
                name: Some("standard-a1-core-count".into()),
                most: Some(2),
            })
        );
        let zero = Statement::parse("Zero compute-core quotas in tenancy X").unwrap();
        assert!(zero.covers("standard-a1-core-count") && !zero.covers("vcn-count"));
        for bad in [
            "",
            "set compute-core quota x to many in tenancy a",
            "zero compute-core quotas",
            "grant a quota b in c",
        ] {
            assert_eq!(Statement::parse(bad), None, "{bad}");
        }
    }
}
