//! The context of the steps: clients, names, and what they share.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::Serialize;
use tokio::sync::OnceCell;

use super::charts::Indexes;
use super::compartment::CompartmentLive;
use super::scale::Wish;
use super::survey::Looked;
use crate::backbone;
use crate::clock::Clock;
use crate::names::{DeploymentName, StepId};
use crate::net;
use crate::oci::{self, Client, Endpoints, NetworkResource, OciError, VcnScope};
use crate::plan::{Class, StepCx, StepError};
use crate::profile::{self, Profile};
use crate::redpanda;

/// How often a retry token may have been used up by a deleted thing.
const GENERATIONS: u32 = 32;

/// What all steps share.
pub struct Cx {
    /// The profile, with its references looked up.
    pub profile: Profile,
    /// The deployment's name.
    pub deployment: DeploymentName,
    /// The deployment's folder.
    pub dir: PathBuf,
    /// Whether everything is being removed: then a cluster that does not
    /// answer any more is no failure.
    pub teardown: bool,
    survey: Mutex<Vec<Looked>>,
    wish: OnceLock<Wish>,
    forces: AtomicBool,
    pub(super) indexes: Indexes,
    /// Access to the cluster, made when first needed.
    pub(super) cluster: super::access::Connections,
    cloud: Option<Cloud>,
    redpanda: OnceLock<redpanda::Cloud>,
}

/// The Oracle side of the context.
pub struct Cloud {
    /// The client for the profile's region.
    pub client: Client,
    /// Who we are.
    pub settings: oci::Settings,
    /// What the profile says about the cloud.
    pub profile: profile::Cloud,
    lists: Lists,
}

/// The context cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CxError {
    /// The OCI configuration.
    #[error("cannot read the credentials for Oracle Cloud")]
    Config(#[source] oci::ConfigError),
    /// The region.
    #[error(transparent)]
    Region(#[from] oci::UnknownRegion),
    /// The base URL.
    #[error("`endpoints.oci` of the profile is not a usable URL")]
    Endpoint(#[source] url::ParseError),
    /// The trust store.
    #[error("cannot set up secure connections")]
    Trust(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Cx {
    /// Makes the context; reads credentials, opens no connection.
    pub fn new(
        profile: &Profile,
        dir: &Path,
        clock: &Clock,
        env: &dyn oci::Env,
        teardown: bool,
    ) -> Result<Self, CxError> {
        let cloud = profile
            .cloud
            .as_ref()
            .map(|cloud| Cloud::new(cloud, profile, clock, env));
        Ok(Self {
            profile: profile.clone(),
            deployment: profile.deployment.clone(),
            dir: dir.to_owned(),
            teardown,
            survey: Mutex::default(),
            wish: OnceLock::new(),
            forces: AtomicBool::new(false),
            indexes: Indexes::default(),
            cluster: super::access::Connections::default(),
            cloud: cloud.transpose()?,
            redpanda: OnceLock::new(),
        })
    }

    /// The client of Redpanda Cloud, made on first use.
    pub(super) fn redpanda(&self, clock: &Clock) -> Result<redpanda::Cloud, StepError> {
        if let Some(cloud) = self.redpanda.get() {
            return Ok(cloud.clone());
        }
        let cloud = backbone::redpanda::cloud(&self.profile, clock)?;
        Ok(self.redpanda.get_or_init(|| cloud).clone())
    }

    /// The Oracle side; a bug where the profile has none.
    pub fn cloud(&self) -> Result<&Cloud, StepError> {
        self.cloud
            .as_ref()
            .ok_or_else(|| StepError::bug("the profile has no cloud"))
    }

    /// The Oracle side, if the profile has one.
    pub fn cloud_if_any(&self) -> Option<&Cloud> {
        self.cloud.as_ref()
    }

    /// The display name of one of the deployment's things.
    pub fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.deployment)
    }

    /// Keeps what a teardown looked at, for its report.
    pub(super) fn surveyed(&self, looked: Vec<Looked>) {
        *self.survey.lock().unwrap_or_else(PoisonError::into_inner) = looked;
    }

    /// What a teardown looked at before it deleted the compartment.
    pub fn survey(&self) -> Vec<Looked> {
        self.survey
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// This run is to change nothing of the app but a service's number of pods.
    pub fn wish(&self, wish: Wish) {
        // There is one wish in a run.
        let _ = self.wish.set(wish);
    }

    /// From now on fields that others have set are taken over from them.
    pub fn force(&self) {
        self.forces.store(true, Ordering::Relaxed);
    }

    /// Whether fields are taken over.
    pub(super) fn forces(&self) -> bool {
        self.forces.load(Ordering::Relaxed)
    }

    /// The wish of this run.
    pub(super) fn wished(&self) -> Option<&Wish> {
        self.wish.get()
    }

    /// From now on lists are read anew each time: the run is changing things.
    pub fn read_anew(&self) {
        self.cluster.read_anew();
        if let Some(cloud) = &self.cloud {
            cloud.lists.anew.store(true, Ordering::Relaxed);
        }
    }

    /// Creates something with a retry token that is the same for the same
    /// thing with the same content, also after a crash. A token whose thing
    /// was deleted since is used up (so says Oracle, or `create` by returning
    /// nothing); then the next one serves.
    pub(super) async fn with_token<T>(
        &self,
        step: &StepId,
        parent: &str,
        body: &(impl Serialize + Sync),
        create: impl AsyncFn(&str) -> Result<Option<T>, OciError>,
    ) -> Result<T, StepError> {
        let body = serde_json::to_string(body)
            .map_err(|error| StepError::bug("a request is not JSON").caused_by(error))?;
        let mut generation = 0;
        loop {
            let number = generation.to_string();
            let parts = [
                self.deployment.as_str(),
                parent,
                step.as_str(),
                &number,
                &body,
            ];
            match create(&oci::retry_token(&parts)).await {
                Ok(Some(made)) => return Ok(made),
                Ok(None) => {}
                Err(error) if error.code.as_deref() == Some("InvalidatedRetryToken") => {}
                Err(error) => return Err(error.into()),
            }
            generation += 1;
            if generation > GENERATIONS {
                return Err(StepError::new(
                    Class::Conflict,
                    format!("{step} was made and lost {GENERATIONS} times within a day"),
                ));
            }
        }
    }
}

impl Cloud {
    fn new(
        cloud: &profile::Cloud,
        profile: &Profile,
        clock: &Clock,
        env: &dyn oci::Env,
    ) -> Result<Self, CxError> {
        // The default path gives way to the environment's.
        let named = (cloud.config_file != profile::Cloud::default().config_file)
            .then(|| crate::files::expand_home(&cloud.config_file));
        let selection = oci::Selection {
            config_file: named,
            profile: Some(cloud.config_profile.clone()),
            region: cloud.region.clone(),
        };
        let settings = oci::Settings::load(&selection, env).map_err(CxError::Config)?;
        let credentials = settings.credentials().map_err(CxError::Config)?;
        let named = match &profile.endpoints.oci {
            Some(url) => Some(url.parse().map_err(CxError::Endpoint)?),
            None => settings.endpoint.clone(),
        };
        let trust = match &settings.ca_bundle {
            Some(path) => net::Trust::with_file(path.clone()),
            None => Ok(net::Trust::System),
        };
        let trust = trust.map_err(|error| CxError::Trust(error.into()))?;
        let client = Client::new(
            &credentials,
            settings.region.clone(),
            named.map(Endpoints::all).unwrap_or_default(),
            clock.clone(),
            oci::Options {
                trust,
                ..oci::Options::default()
            },
        )
        .map_err(|error| CxError::Trust(error.into()))?;
        Ok(Self {
            client,
            settings,
            profile: cloud.clone(),
            lists: Lists::default(),
        })
    }

    /// The client for calls that may follow closely on the creation of the
    /// compartment, which Oracle's services learn of one by one. In a
    /// compartment that is not ours, "not found" means what it says.
    pub(super) fn creating(&self, cx: &StepCx<Cx>, compartment: &CompartmentLive) -> Client {
        let client = self.observed(cx);
        if compartment.owned {
            client.creating(cx.clock.deadline(oci::CREATION_WINDOW))
        } else {
            client
        }
    }

    /// The client for deletions.
    pub(super) fn tearing_down(&self, cx: &StepCx<Cx>) -> Client {
        self.observed(cx).tearing_down()
    }

    /// The client that tells the step's user why it tries again.
    pub(super) fn observed(&self, cx: &StepCx<Cx>) -> Client {
        let report = cx.report.clone();
        self.client.observed(move |retrying| {
            let pause = crate::clock::human(retrying.wait);
            report(
                &format!("{}; trying again in {pause}", retrying.reason),
                None,
            );
        })
    }

    /// All objects of a kind in a compartment. While planning, steps of the
    /// same kind share one request.
    pub(super) async fn list<R: NetworkResource + Clone + 'static>(
        &self,
        compartment: &str,
    ) -> Result<Vec<R>, OciError> {
        let key = format!("{}/{compartment}", R::COLLECTION);
        self.shared(key, async || {
            self.client
                .network()
                .list::<R>(&VcnScope::compartment(compartment))
                .await
        })
        .await
    }

    /// Something that several steps want to know while planning.
    pub(super) async fn shared<T: Clone + Send + Sync + 'static>(
        &self,
        key: String,
        ask: impl AsyncFn() -> Result<T, OciError>,
    ) -> Result<T, OciError> {
        if self.lists.anew.load(Ordering::Relaxed) {
            return ask().await;
        }
        let cell = self.lists.cell(key);
        let init = async || Ok::<_, OciError>(Arc::new(ask().await?) as Arc<dyn Any + Send + Sync>);
        let value = cell.get_or_try_init(init).await?.clone();
        match value.downcast::<T>() {
            Ok(value) => Ok(T::clone(&value)),
            // Two kinds under one key would be a slip; asking is always right.
            Err(_) => ask().await,
        }
    }
}

type Cell = Arc<OnceCell<Arc<dyn Any + Send + Sync>>>;

#[derive(Default)]
struct Lists {
    anew: AtomicBool,
    cells: Mutex<BTreeMap<String, Cell>>,
}

impl Lists {
    fn cell(&self, key: String) -> Cell {
        self.cells
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(key)
            .or_default()
            .clone()
    }
}
