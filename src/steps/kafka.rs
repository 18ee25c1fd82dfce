//! Kafka outside of the cluster: the serverless cluster at Redpanda Cloud with
//! the app's user, and the topics of a Kafka that no operator looks after.
//!
//! The cluster is found by its name, topics and users by theirs; what todoctl
//! made carries its tag. Topics are never deleted by themselves: nothing says
//! whose events they hold.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::StepsError;
use super::cx::Cx;
use super::fault::waited;
use super::owned::tags_step;
use crate::backbone::{self, redpanda as account};
use crate::clock::{Clock, Look, wait_until};
use crate::kafka::{self, Difference, Standing, TopicSpec};
use crate::names::StepId;
use crate::plan::{Change, Class, Graph, Handle, Inputs, Step, StepCx, StepError};
use crate::profile::{KafkaProvider, KafkaTopic, Profile};
use crate::redpanda::{Acl, Cluster, DataPlane, Mechanism};

/// A serverless cluster takes seconds to minutes; their own tools allow this.
const CLUSTER_WITHIN: Duration = Duration::from_mins(31);
/// Brokers learn of a new password within seconds.
const LOGIN_WITHIN: Duration = Duration::from_secs(30);
/// The pause between two tries to log in.
const LOGIN_PAUSE: Duration = Duration::from_millis(500);

/// What the other phases need of it.
pub(super) struct Outside {
    /// The cluster at Redpanda Cloud, whose brokers the components name.
    pub(super) cluster: Option<Handle<Cluster>>,
    /// The last of its steps: then events can be published.
    pub(super) ready: StepId,
}

/// Adds the steps of a Kafka outside of the cluster; none for Strimzi's.
pub(super) fn add(graph: &mut Graph<Cx>, profile: &Profile) -> Result<Option<Outside>, StepsError> {
    let cluster = match profile.kafka.provider {
        KafkaProvider::Strimzi => return Ok(None),
        KafkaProvider::External => None,
        KafkaProvider::RedpandaCloud => Some(graph.add(ClusterStep)?),
    };
    let mut after = Vec::new();
    if let Some(cluster) = &cluster {
        let cluster = cluster.clone();
        after.push(graph.add(UserStep { cluster })?.id().clone());
    }
    let topics = graph.add(TopicsStep {
        cluster: cluster.clone(),
        after,
    })?;
    Ok(Some(Outside {
        ready: topics.id().clone(),
        cluster,
    }))
}

fn data_plane(cx: &StepCx<Cx>, cluster: &Cluster) -> Result<DataPlane, StepError> {
    Ok(cx.cx.redpanda(&cx.clock)?.data_plane(cluster)?)
}

/// A serverless cluster at Redpanda Cloud.
struct ClusterStep;

impl Step<Cx> for ClusterStep {
    type Live = Cluster;

    fn id(&self) -> StepId {
        tags_step("kafka/cluster")
    }

    fn title(&self) -> String {
        "Redpanda cluster".to_owned()
    }

    fn needs(&self) -> Vec<StepId> {
        Vec::new()
    }

    fn system(&self) -> &'static str {
        "redpanda"
    }

    fn quiet_limit(&self) -> Duration {
        CLUSTER_WITHIN
    }

    fn keeps(&self, live: &Cluster) -> bool {
        live.owner.is_none()
    }

    async fn inspect(&self, cx: &StepCx<Cx>) -> Result<Option<Cluster>, StepError> {
        let name = account::cluster_name(&cx.cx.profile);
        let found = cx.cx.redpanda(&cx.clock)?.find_cluster(&name).await?;
        let Some(cluster) = found else {
            return Ok(None);
        };
        match &cluster.owner {
            Some(owner) if *owner != cx.cx.deployment.as_str() => Err(StepError::new(
                Class::Conflict,
                format!("the Redpanda cluster `{name}` belongs to deployment `{owner}`"),
            )
            .with_hint("choose another `deployment` in the profile")),
            _ if cx.cx.teardown => Ok(Some(cluster)),
            _ => {
                cluster.check()?;
                Ok(Some(cluster))
            }
        }
    }

    fn plan(&self, cx: &Cx, _: &Inputs, live: Option<&Cluster>) -> Change {
        let region = cx.profile.kafka.redpanda_cloud.as_ref();
        let region = region.map_or("", |account| account.region.as_str());
        match live {
            None => Change::create(&json!({
                "name": account::cluster_name(&cx.profile),
                "region": region,
            }))
            .then_known("brokers"),
            Some(live) if is_usable(live) && live.region != region => Change::none().because(
                format!("it is in {}, and a cluster cannot move", live.region),
            ),
            Some(live) if is_usable(live) => Change::none(),
            Some(live) => Change::update(&json!({"state": live.state}), &json!({"state": "ready"})),
        }
    }

    async fn apply(&self, cx: &StepCx<Cx>, _: Option<Cluster>) -> Result<Cluster, StepError> {
        let profile = &cx.cx.profile;
        let name = account::cluster_name(profile);
        let region = profile.kafka.redpanda_cloud.as_ref();
        let region = region.map_or("", |account| account.region.as_str());
        let owner = cx.cx.deployment.as_str();
        let cloud = cx.cx.redpanda(&cx.clock)?;
        let made = cloud.ensure_cluster(&name, region, owner, |text| cx.progress(text));
        Ok(made.await?)
    }

    async fn destroy(&self, cx: &StepCx<Cx>, live: Cluster) -> Result<(), StepError> {
        Ok(cx.cx.redpanda(&cx.clock)?.delete_cluster(&live.id).await?)
    }
}

fn is_usable(cluster: &Cluster) -> bool {
    !cluster.brokers.is_empty() && cluster.data_plane.is_some()
}

/// The app's user, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct UserLive {
    user: String,
    /// Whether the brokers take its password.
    accepted: bool,
    /// How many access rules are missing.
    missing: usize,
}

/// Makes the user.
struct UserStep {
    cluster: Handle<Cluster>,
}

impl UserStep {
    fn rules(profile: &Profile, user: &str) -> Vec<Acl> {
        let topics = profile.topics();
        let topics: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        let services = profile.app.services.iter();
        let apps: Vec<&str> = services
            .filter_map(|service| Some(service.dapr.as_ref()?.app_id.as_str()))
            .collect();
        Acl::for_app(user, &topics, &apps)
    }

    /// Whether the brokers take the password.
    async fn accepts(cx: &StepCx<Cx>, cluster: &Cluster) -> Result<bool, StepError> {
        let profile = &cx.cx.profile;
        let told = account::told(profile, cluster)?;
        let client = backbone::client(profile, Some(told), &cx.clock)?;
        match client.cluster().await {
            Ok(_) => Ok(true),
            Err(kafka::Error::Denied { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Step<Cx> for UserStep {
    type Live = UserLive;

    fn id(&self) -> StepId {
        tags_step("kafka/user")
    }

    fn title(&self) -> String {
        "Kafka user".to_owned()
    }

    fn needs(&self) -> Vec<StepId> {
        vec![self.cluster.id().clone()]
    }

    fn system(&self) -> &'static str {
        "redpanda"
    }

    async fn inspect(&self, cx: &StepCx<Cx>) -> Result<Option<UserLive>, StepError> {
        let Some(cluster) = cx.known(&self.cluster).filter(is_usable) else {
            return Ok(None);
        };
        // What a cluster of ours holds goes with it.
        if cx.cx.teardown && (cluster.owner.is_some() || cluster.check().is_err()) {
            return Ok(None);
        }
        let login = account::login(&cx.cx.profile)?;
        let plane = data_plane(cx, &cluster)?;
        if !plane.users().await?.contains(&login.username) {
            return Ok(None);
        }
        let rules = Self::rules(&cx.cx.profile, &login.username);
        Ok(Some(UserLive {
            accepted: cx.cx.teardown || Self::accepts(cx, &cluster).await?,
            missing: plane.missing_acls(&rules).await?.len(),
            user: login.username,
        }))
    }

    fn plan(&self, cx: &Cx, _: &Inputs, live: Option<&UserLive>) -> Change {
        let user = account::login(&cx.profile).map(|login| login.username);
        let rules = Self::rules(&cx.profile, "").len();
        match live {
            None => Change::create(&json!({"user": user.unwrap_or_default(), "rules": rules})),
            Some(live) => Change::update(
                &json!({"passwordAccepted": live.accepted, "rules": rules - live.missing.min(rules)}),
                &json!({"passwordAccepted": true, "rules": rules}),
            ),
        }
    }

    async fn apply(&self, cx: &StepCx<Cx>, _: Option<UserLive>) -> Result<UserLive, StepError> {
        let cluster = cx.input(&self.cluster)?;
        let login = account::login(&cx.cx.profile)?;
        let plane = data_plane(cx, &cluster)?;
        let mechanism = match login.mechanism {
            kafka::Mechanism::ScramSha512 => Mechanism::ScramSha512,
            _ => Mechanism::ScramSha256,
        };
        cx.progress("setting its password");
        plane
            .set_user(&login.username, &login.password, mechanism)
            .await?;
        cx.progress("setting its access rules");
        plane
            .ensure_acls(&Self::rules(&cx.cx.profile, &login.username))
            .await?;
        let real = Clock::new(1.0, cx.clock.cancellation().clone());
        wait_until(&real, LOGIN_WITHIN, async || {
            if Self::accepts(cx, &cluster).await? {
                return Ok::<_, StepError>(Look::Done(()));
            }
            let seen = "the brokers do not know the password yet".to_owned();
            cx.progress(&seen);
            Ok(Look::Wait(seen, LOGIN_PAUSE))
        })
        .await
        .map_err(|error| waited("the first login", error))?;
        Ok(UserLive {
            user: login.username,
            accepted: true,
            missing: 0,
        })
    }

    async fn destroy(&self, cx: &StepCx<Cx>, live: UserLive) -> Result<(), StepError> {
        let cluster = cx.input(&self.cluster)?;
        let plane = data_plane(cx, &cluster)?;
        plane
            .delete_acls(&Self::rules(&cx.cx.profile, &live.user))
            .await?;
        Ok(plane.delete_user(&live.user).await?)
    }
}

/// How many partitions the wanted topics have, those of them that exist.
type TopicsLive = BTreeMap<String, i32>;

/// Makes the topics.
struct TopicsStep {
    cluster: Option<Handle<Cluster>>,
    after: Vec<StepId>,
}

/// Whoever makes topics.
enum Maker {
    Broker(kafka::Client),
    Redpanda(DataPlane),
}

impl TopicsStep {
    /// Whoever makes the topics; nobody before the cluster is there.
    fn maker(&self, cx: &StepCx<Cx>) -> Result<Option<Maker>, StepError> {
        let Some(cluster) = &self.cluster else {
            let client = backbone::client(&cx.cx.profile, None, &cx.clock)?;
            return Ok(Some(Maker::Broker(client)));
        };
        match cx.known(cluster).filter(is_usable) {
            Some(cluster) => Ok(Some(Maker::Redpanda(data_plane(cx, &cluster)?))),
            None => Ok(None),
        }
    }
}

impl Maker {
    async fn look(&self, wanted: &[KafkaTopic]) -> Result<TopicsLive, StepError> {
        match self {
            Self::Redpanda(plane) => {
                let found = plane.topics().await?;
                let wanted = |name: &str| wanted.iter().any(|topic| topic.name.as_str() == name);
                let ours = found.into_iter().filter(|topic| wanted(&topic.name));
                Ok(ours
                    .filter_map(|topic| Some((topic.name, i32::try_from(topic.partitions?).ok()?)))
                    .collect())
            }
            Self::Broker(client) => {
                let specs = specs(wanted);
                let standings = client.compare_topics(&specs).await?;
                let both = specs.into_iter().zip(standings);
                Ok(both
                    .filter_map(|(spec, standing)| {
                        let has = has(&standing, spec.partitions)?;
                        Some((spec.name, has))
                    })
                    .collect())
            }
        }
    }

    async fn create(&self, spec: &TopicSpec) -> Result<(), StepError> {
        match self {
            Self::Redpanda(plane) => {
                plane.create_topic(&spec.name, spec.partitions).await?;
            }
            Self::Broker(client) => {
                client.create_topics(std::slice::from_ref(spec)).await?;
            }
        }
        Ok(())
    }

    async fn grow(&self, spec: &TopicSpec) -> Result<(), StepError> {
        match self {
            Self::Redpanda(plane) => plane.grow_topic(&spec.name, spec.partitions).await?,
            Self::Broker(client) => client.grow_topic(&spec.name, spec.partitions).await?,
        }
        Ok(())
    }
}

fn specs(topics: &[KafkaTopic]) -> Vec<TopicSpec> {
    let topics = topics.iter();
    topics
        .map(|topic| {
            let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
            TopicSpec::new(topic.name.as_str(), partitions)
        })
        .collect()
}

/// How many partitions a topic has that is compared with so many.
fn has(standing: &Standing, wanted: i32) -> Option<i32> {
    match standing {
        Standing::Missing => None,
        Standing::Same => Some(wanted),
        Standing::Differs(differences) => {
            let counts = differences.iter().find_map(|difference| match difference {
                Difference::FewerPartitions { has, .. }
                | Difference::MorePartitions { has, .. } => Some(*has),
                Difference::Setting { .. } => None,
            });
            Some(counts.unwrap_or(wanted))
        }
    }
}

impl Step<Cx> for TopicsStep {
    type Live = TopicsLive;

    fn id(&self) -> StepId {
        tags_step("kafka/topics")
    }

    fn title(&self) -> String {
        "Kafka topics".to_owned()
    }

    fn needs(&self) -> Vec<StepId> {
        let cluster = self.cluster.iter().map(|handle| handle.id().clone());
        cluster.chain(self.after.iter().cloned()).collect()
    }

    fn system(&self) -> &'static str {
        "kafka"
    }

    fn keeps(&self, _: &TopicsLive) -> bool {
        true
    }

    async fn inspect(&self, cx: &StepCx<Cx>) -> Result<Option<TopicsLive>, StepError> {
        if cx.cx.teardown {
            return Ok(None);
        }
        let Some(maker) = self.maker(cx)? else {
            return Ok(None);
        };
        let live = maker.look(&cx.cx.profile.topics()).await?;
        Ok((!live.is_empty()).then_some(live))
    }

    fn plan(&self, cx: &Cx, _: &Inputs, live: Option<&TopicsLive>) -> Change {
        let wanted = specs(&cx.profile.topics());
        let Some(live) = live else {
            let all = wanted
                .iter()
                .map(|spec| (spec.name.clone(), spec.partitions));
            return Change::create(&json!({"partitions": all.collect::<BTreeMap<_, _>>()}));
        };
        judge(&wanted, live)
    }

    async fn apply(&self, cx: &StepCx<Cx>, _: Option<TopicsLive>) -> Result<TopicsLive, StepError> {
        let maker = self.maker(cx)?;
        let maker = maker.ok_or_else(|| StepError::bug("nobody makes topics"))?;
        let wanted = cx.cx.profile.topics();
        let live = maker.look(&wanted).await?;
        for spec in specs(&wanted) {
            match live.get(&spec.name) {
                None => {
                    cx.progress(&format!("making `{}`", spec.name));
                    maker.create(&spec).await?;
                }
                Some(has) if *has < spec.partitions => {
                    cx.progress(&format!("adding partitions to `{}`", spec.name));
                    maker.grow(&spec).await?;
                }
                Some(_) => {}
            }
        }
        maker.look(&wanted).await
    }

    async fn destroy(&self, _: &StepCx<Cx>, _: TopicsLive) -> Result<(), StepError> {
        Ok(())
    }
}

/// What becomes of topics that exist: missing ones are made, small ones grow,
/// and what Kafka cannot do is said.
fn judge(wanted: &[TopicSpec], live: &TopicsLive) -> Change {
    let (mut before, mut after) = (Map::new(), Map::new());
    let mut notes = Vec::new();
    for spec in wanted {
        let has = live.get(&spec.name).copied();
        if let Some(has) = has.filter(|has| *has != spec.partitions) {
            let difference = match has < spec.partitions {
                true => Difference::FewerPartitions {
                    has,
                    wanted: spec.partitions,
                },
                false => Difference::MorePartitions {
                    has,
                    wanted: spec.partitions,
                },
            };
            notes.push(format!("`{}` has {difference}", spec.name));
        }
        let then = has.unwrap_or(0).max(spec.partitions);
        before.insert(spec.name.clone(), has.map_or(Value::Null, Value::from));
        after.insert(spec.name.clone(), then.into());
    }
    let change = Change::update(
        &json!({"partitions": before}),
        &json!({"partitions": after}),
    );
    match notes.is_empty() {
        true => change,
        false => change.because(notes.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Action;

    #[test]
    fn topics_are_made_and_grow_and_never_shrink() {
        let wanted = [TopicSpec::new("a", 3), TopicSpec::new("b", 3)];
        let live = |pairs: &[(&str, i32)]| -> TopicsLive {
            pairs.iter().map(|(n, p)| ((*n).to_owned(), *p)).collect()
        };
        let same = judge(&wanted, &live(&[("a", 3), ("b", 3)]));
        assert_eq!((same.action, &same.reason), (Action::None, &None));
        let more = judge(&wanted, &live(&[("a", 6), ("b", 3)]));
        assert_eq!(more.action, Action::None);
        assert!(more.reason.unwrap().contains("cannot take partitions away"));
        let change = judge(&wanted, &live(&[("a", 1)]));
        assert_eq!(change.action, Action::Update);
        let paths: Vec<&str> = change.fields.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(paths, ["partitions.a", "partitions.b"]);
    }

    #[test]
    fn a_standing_tells_how_many_partitions_there_are() {
        assert_eq!(has(&Standing::Missing, 3), None);
        assert_eq!(has(&Standing::Same, 3), Some(3));
        let fewer = Difference::FewerPartitions { has: 1, wanted: 3 };
        assert_eq!(has(&Standing::Differs(vec![fewer]), 3), Some(1));
    }
}
