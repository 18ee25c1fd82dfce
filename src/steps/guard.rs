//! The guard: what a plan would use, what is used already, what the tenancy
//! allows, and what it costs. It also recognises a tenancy on which OKE cannot
//! run at all. Everything is read before anything is created.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::cx::Cloud;
use crate::finding::Finding;
use crate::oci::{self, OciError, Resource as _};
use crate::plan::StepError;

/// Hours of a month, as Oracle bills them.
const HOURS: f64 = 744.0;

/// Oracle's list prices in US dollars (pricing page, 2026). They are for
/// orientation: contracts and regions differ.
mod price {
    /// A1, per OCPU and hour.
    pub(super) const OCPU: f64 = 0.01;
    /// A1, per GB of memory and hour.
    pub(super) const MEMORY: f64 = 0.0015;
    /// Boot and block volumes (balanced), per GB and month.
    pub(super) const STORAGE: f64 = 0.0425;
    /// A flexible load balancer, per hour, beyond the free one.
    pub(super) const BALANCER: f64 = 0.0113;
    /// Load balancer bandwidth beyond the free 10 Mbit/s, per Mbit/s and hour.
    pub(super) const BANDWIDTH: f64 = 0.0001;
}

/// One line of the bill.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BillLine {
    /// What is counted.
    pub item: &'static str,
    /// In which unit.
    pub unit: &'static str,
    /// What the deployment uses when it is up.
    pub planned: f64,
    /// What others in the tenancy use of the same allowance.
    pub others: f64,
    /// What is free.
    pub free: f64,
    /// US dollars a month for what is beyond, at list prices.
    pub monthly: f64,
}

impl BillLine {
    fn new(
        item: &'static str,
        unit: &'static str,
        planned: f64,
        others: f64,
        free: f64,
        price: f64,
    ) -> Self {
        let beyond = (planned + others - free).clamp(0.0, planned);
        Self {
            item,
            unit,
            planned,
            others,
            free,
            monthly: beyond * price,
        }
    }

    /// Whether it goes beyond what is free.
    pub fn is_beyond(&self) -> bool {
        self.planned > 0.0 && self.planned + self.others > self.free
    }
}

/// What a deployment uses and costs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Bill {
    /// Its lines.
    pub lines: Vec<BillLine>,
}

impl Bill {
    /// US dollars a month at list prices.
    pub fn monthly(&self) -> f64 {
        self.lines.iter().map(|line| line.monthly).sum()
    }

    /// Whether any line goes beyond what is free.
    pub fn is_beyond(&self) -> bool {
        self.lines.iter().any(BillLine::is_beyond)
    }
}

/// What others in the tenancy use.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Others {
    ocpus: f64,
    memory: f64,
    storage: f64,
    balancers: f64,
}

/// The bill of the profile, given what others in the tenancy use.
fn bill(cloud: &crate::profile::Cloud, others: Others) -> Bill {
    let (nodes, free) = (&cloud.nodes, &cloud.allowance);
    let f = f64::from;
    let storage = f(nodes.count) * f(nodes.boot_volume_gb);
    let extra_mbps = f(cloud.load_balancer.max_mbps);
    Bill {
        lines: vec![
            BillLine::new(
                "Arm OCPU",
                "OCPU",
                f(nodes.total_ocpus()),
                others.ocpus,
                f(free.ocpus),
                price::OCPU * HOURS,
            ),
            BillLine::new(
                "Arm memory",
                "GB",
                f(nodes.total_memory_gb()),
                others.memory,
                f(free.memory_gb),
                price::MEMORY * HOURS,
            ),
            BillLine::new(
                "boot and block volumes",
                "GB",
                storage,
                others.storage,
                f(free.block_storage_gb),
                price::STORAGE,
            ),
            BillLine::new(
                "load balancers",
                "",
                1.0,
                others.balancers,
                f(free.load_balancers),
                price::BALANCER * HOURS,
            ),
            BillLine::new(
                "load balancer bandwidth",
                "Mbit/s",
                extra_mbps,
                0.0,
                f(free.load_balancer_mbps),
                price::BANDWIDTH * HOURS,
            ),
            BillLine::new("basic cluster control plane", "", 1.0, 0.0, 1.0, 0.0),
        ],
    }
}

/// What the guard found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What it costs.
    pub bill: Bill,
    /// What makes it impossible, all of it.
    pub obstacles: Vec<Finding>,
}

/// A limit that a new deployment needs room in.
struct Need {
    /// The step that takes the room.
    step: &'static str,
    service: &'static str,
    name: &'static str,
    amount: f64,
    per_domain: bool,
    what: &'static str,
}

/// Asks Oracle what there is and what is allowed. `ours` are the OCIDs of the
/// compartments whose things belong to this deployment; they do not count as
/// somebody else's. `new` are the steps that will take room which nothing of the
/// deployment holds yet.
pub async fn judge(
    cloud: &Cloud,
    ours: &[String],
    new: &BTreeSet<&str>,
) -> Result<Verdict, StepError> {
    let tenancy = cloud.settings.tenancy.clone();
    let (others, mut obstacles, limits) = tokio::try_join!(
        others(cloud, ours),
        region_obstacles(cloud),
        limit_obstacles(cloud, &tenancy, new),
    )?;
    obstacles.extend(limits);
    Ok(Verdict {
        bill: bill(&cloud.profile, others),
        obstacles,
    })
}

/// What the user may not see cannot be counted; it is not theirs to spend.
fn visible<T>(listed: Result<Vec<T>, OciError>) -> Result<Vec<T>, OciError> {
    match listed {
        Err(error) if matches!(error.class, oci::Class::NotFound | oci::Class::Denied) => {
            Ok(Vec::new())
        }
        other => other,
    }
}

/// Counts what other compartments use of the tenancy's allowance.
async fn others(cloud: &Cloud, ours: &[String]) -> Result<Others, StepError> {
    let client = &cloud.client;
    let tenancy = &cloud.settings.tenancy;
    let mut compartments = vec![tenancy.clone()];
    let all = client.identity().all_compartments(tenancy).await?;
    compartments.extend(all.into_iter().filter(oci::Resource::is_live).map(|c| c.id));
    let mut sum = Others::default();
    for id in compartments.iter().filter(|id| !ours.contains(id)) {
        let (compute, storage) = (client.compute(), client.storage());
        let (instances, volumes, boot_volumes, balancers) = tokio::try_join!(
            async { Ok::<_, StepError>(visible(compute.instances(id).await)?) },
            async { Ok(visible(storage.volumes(id).await)?) },
            async { Ok(visible(super::leftovers::boot_volumes(client, id).await)?) },
            async { Ok(visible(client.balancers().list(id).await)?) },
        )?;
        for instance in instances
            .iter()
            .filter(|i| i.is_live() && i.shape.contains(".A1."))
        {
            let shape = instance.shape_config;
            sum.ocpus += shape.as_ref().and_then(|s| s.ocpus).unwrap_or(0.0);
            sum.memory += shape.and_then(|s| s.memory_in_gbs).unwrap_or(0.0);
        }
        let size = |gb: Option<u64>| gb.map_or(0.0, |gb| gb as f64);
        sum.storage += volumes
            .iter()
            .filter(|v| v.is_live())
            .map(|v| size(v.size_in_gbs))
            .sum::<f64>();
        sum.storage += boot_volumes
            .iter()
            .filter(|v| v.is_live())
            .map(|v| size(v.size_in_gbs))
            .sum::<f64>();
        sum.balancers += balancers.iter().filter(|b| b.is_live()).count() as f64;
    }
    Ok(sum)
}

/// The region must be subscribed to; the allowance holds at home only.
async fn region_obstacles(cloud: &Cloud) -> Result<Vec<Finding>, StepError> {
    let regions = cloud
        .client
        .identity()
        .region_subscriptions(&cloud.settings.tenancy)
        .await?;
    let here = cloud.client.region().name();
    let Some(region) = regions.iter().find(|r| r.region_name == here) else {
        let names: Vec<_> = regions.iter().map(|r| r.region_name.as_str()).collect();
        return Ok(vec![
            Finding::error(format!("the tenancy is not subscribed to region {here}"))
                .code("region-not-subscribed")
                .detail(format!("it is subscribed to {}", names.join(", ")))
                .hint("set `cloud.region` to one of them"),
        ]);
    };
    if region.is_home_region {
        return Ok(Vec::new());
    }
    let home = regions
        .iter()
        .find(|r| r.is_home_region)
        .map_or("another", |r| &r.region_name);
    Ok(vec![
        Finding::warning(format!(
            "{here} is not the home region, so nothing in it is free"
        ))
        .code("region-not-home")
        .detail(format!("the home region is {home}")),
    ])
}

/// Everything that the tenancy's limits forbid, at once.
async fn limit_obstacles(
    cloud: &Cloud,
    tenancy: &str,
    new: &BTreeSet<&str>,
) -> Result<Vec<Finding>, StepError> {
    let nodes = &cloud.profile.nodes;
    let arm = nodes.shape.contains(".A1.");
    let mut needs = vec![
        Need {
            step: "cluster/cluster",
            service: "container-engine",
            name: "cluster-count",
            amount: 1.0,
            per_domain: false,
            what: "clusters",
        },
        Need {
            step: "network/vcn",
            service: "vcn",
            name: "vcn-count",
            amount: 1.0,
            per_domain: false,
            what: "virtual networks",
        },
        Need {
            step: "cluster/cluster",
            service: "load-balancer",
            name: "lb-flexible-count",
            amount: 1.0,
            per_domain: false,
            what: "flexible load balancers",
        },
    ];
    if cloud.profile.network.private_nodes {
        needs.push(Need {
            step: "network/nat-gateway",
            service: "vcn",
            name: "nat-gateway-count",
            amount: 1.0,
            per_domain: false,
            what: "NAT gateways",
        });
    }
    if arm {
        needs.push(Need {
            step: "cluster/node-pool",
            service: "compute",
            name: "standard-a1-core-count",
            amount: f64::from(nodes.total_ocpus()),
            per_domain: true,
            what: "Arm OCPUs",
        });
        needs.push(Need {
            step: "cluster/node-pool",
            service: "compute",
            name: "standard-a1-memory-count",
            amount: f64::from(nodes.total_memory_gb()),
            per_domain: true,
            what: "GB of Arm memory",
        });
    }
    needs.retain(|need| new.contains(need.step));
    if needs.is_empty() {
        return Ok(Vec::new());
    }
    let domains = cloud
        .client
        .identity()
        .availability_domains(tenancy)
        .await?;
    let mut services: Vec<_> = needs.iter().map(|need| need.service).collect();
    services.dedup();
    let mut values = BTreeMap::new();
    for service in services {
        values.insert(
            service,
            cloud.client.limits().values(tenancy, service, None).await?,
        );
    }
    let mut obstacles = Vec::new();
    for need in &needs {
        let known = values
            .get(need.service)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let rows: Vec<_> = known.iter().filter(|v| v.name == need.name).collect();
        // An unknown limit limits nothing that we know of.
        if rows.is_empty() {
            continue;
        }
        if rows.iter().all(|row| row.value == Some(0)) {
            obstacles.push(impossible(need));
            continue;
        }
        let scopes: Vec<Option<&str>> = match need.per_domain {
            true => domains.iter().map(|d| Some(d.name.as_str())).collect(),
            false => vec![None],
        };
        let mut most: Option<f64> = None;
        for scope in scopes {
            let limits = cloud.client.limits();
            let answer = limits
                .availability(tenancy, need.service, need.name, scope)
                .await?;
            // No number means that the service does not say.
            let available = answer.available.map_or(f64::INFINITY, |n| n as f64);
            most = Some(most.map_or(available, |m| m.max(available)));
        }
        if most.is_some_and(|most| most < need.amount) {
            obstacles.push(short(need, most.unwrap_or_default()));
        }
    }
    Ok(obstacles)
}

fn impossible(need: &Need) -> Finding {
    let finding = Finding::error(format!("this tenancy may have no {}", need.what))
        .code("tenancy-limit-zero")
        .detail(format!(
            "the limit `{}` of service {} is 0",
            need.name, need.service
        ));
    match need.name {
        "nat-gateway-count" => {
            finding.hint("set `cloud.network.private_nodes` to false, which needs no gateway")
        }
        // An expired trial that was not upgraded looks like this.
        _ => finding.hint(
            "OKE does not run on a tenancy that is Always Free only: upgrade it to pay-as-you-go \
             (what stays within the allowance stays free)",
        ),
    }
}

fn short(need: &Need, available: f64) -> Finding {
    Finding::error(format!("the tenancy has room for {available} {}, not for {}", need.what, need.amount))
        .code("tenancy-limit-short")
        .detail(format!("the limit `{}` of service {}", need.name, need.service))
        .hint("free what is not needed, or ask for more under Limits, Quotas and Usage in Oracle's console")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Cloud as Profile;

    #[test]
    fn the_default_size_is_free() {
        let bill = bill(&Profile::default(), Others::default());
        assert!(!bill.is_beyond(), "{bill:?}");
        assert!(bill.monthly().abs() < f64::EPSILON);
    }

    #[test]
    fn twice_the_size_is_billed_for_the_other_half() {
        let mut profile = Profile::default();
        profile.nodes.ocpus = 2;
        profile.nodes.memory_gb = 12;
        let bill = bill(&profile, Others::default());
        assert!(bill.is_beyond());
        let expected = 2.0 * 0.01 * 744.0 + 12.0 * 0.0015 * 744.0;
        assert!(
            (bill.monthly() - expected).abs() < 0.01,
            "{}",
            bill.monthly()
        );
    }

    #[test]
    fn what_others_use_leaves_less_that_is_free() {
        let others = Others {
            ocpus: 1.0,
            ..Others::default()
        };
        let bill = bill(&Profile::default(), others);
        assert!(bill.lines[0].is_beyond());
        assert!(!bill.lines[1].is_beyond());
    }
}
