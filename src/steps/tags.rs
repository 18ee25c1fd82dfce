//! The tags by which a deployment finds what it made.

use crate::names::{DeploymentName, StepId};
use crate::oci::{Resource, Tags};

/// Names the deployment.
pub(super) const DEPLOYMENT: &str = "todoctl";
/// Names the step.
pub(super) const STEP: &str = "todoctl-step";

/// The tags of what a step makes.
pub(super) fn of(deployment: &DeploymentName, step: &StepId) -> Tags {
    let mut tags = of_deployment(deployment);
    tags.insert(STEP.to_owned(), step.to_string());
    tags
}

/// The tags of what the cluster's controllers make for the deployment.
pub(super) fn of_deployment(deployment: &DeploymentName) -> Tags {
    [(DEPLOYMENT.to_owned(), deployment.to_string())].into()
}

/// Whether a step made this.
pub(super) fn made_by(thing: &impl Resource, deployment: &DeploymentName, step: &StepId) -> bool {
    thing.has_tag(DEPLOYMENT, deployment.as_str()) && thing.has_tag(STEP, step.as_str())
}
