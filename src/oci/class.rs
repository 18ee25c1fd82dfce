//! The classes of failures: how an answer is told to be in one, and what a
//! user can do about it.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::call::Deed;
use super::{Details, Mode, Region};
use crate::clock::human;
use crate::net::{Answer, Tries};

/// A clock this far off is worth a word; the service refuses at five minutes.
const NOTABLE_SKEW: SignedDuration = SignedDuration::from_mins(1);

/// What kind of failure it was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Class {
    /// The service failed in a way that passes.
    Transient,
    /// Too many requests.
    Throttled,
    /// A compartment quota forbids it.
    Quota,
    /// A service limit of the tenancy forbids it.
    Limit,
    /// No host has room for the instance right now.
    Capacity,
    /// The user may not do this.
    Denied,
    /// The service does not believe who we are. `skew` is how far this
    /// machine's clock is ahead of the service's, when that is notable.
    NotAuthenticated {
        /// How far this machine's clock is ahead.
        skew: Option<SignedDuration>,
    },
    /// No such object, or not for this user's eyes.
    NotFound,
    /// The object is in a state that does not allow it now.
    Conflict,
    /// Somebody else changed the object since it was read.
    Precondition,
    /// The request makes no sense to the service.
    Invalid,
    /// No answer, or no end, within the time limit.
    Timeout,
    /// No secure connection.
    Tls,
    /// No connection.
    Connect,
    /// The object or the operation belongs to another region.
    WrongRegion,
    /// A parent that was just made is not known everywhere yet.
    NotYetVisible,
    /// The run was cancelled.
    Cancelled,
    /// The service said something that its interface does not promise.
    Bug,
}

/// The body of every error answer.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct ServiceError {
    #[serde(default)]
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
}

impl ServiceError {
    pub(super) fn of(answer: &Answer) -> Self {
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    /// What it says, for people.
    pub(super) fn text(self) -> String {
        if self.message.is_empty() {
            self.code
        } else {
            self.message
        }
    }

    /// No host has room: said with several statuses, always in these words.
    pub(super) fn is_capacity(&self) -> bool {
        is_capacity(&self.message) || self.code == "OutOfHostCapacity"
    }
}

pub(super) fn is_capacity(message: &str) -> bool {
    message
        .to_ascii_lowercase()
        .contains("out of host capacity")
}

/// The nodes run, but never reached the control plane.
pub(super) fn is_unregistered(message: &str) -> bool {
    message.contains("register timeout")
}

/// What a failed call was made with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances<'a> {
    pub(super) deed: &'a Deed,
    pub(super) region: &'a Region,
    pub(super) mode: &'a Mode,
    pub(super) now: Timestamp,
}

/// The class of an answer that is no success.
pub(super) fn classify(
    about: Circumstances<'_>,
    answer: &Answer,
    service: &ServiceError,
    tries: Tries,
) -> Class {
    if service.is_capacity() {
        return Class::Capacity;
    }
    match (answer.status.as_u16(), service.code.as_str()) {
        (_, "QuotaExceeded") => Class::Quota,
        (_, "LimitExceeded") => Class::Limit,
        (400, "InvalidParameter") if speaks_of_limit(&service.message) => Class::Limit,
        (400, "RelatedResourceNotAuthorizedOrNotFound") | (404, "NotAuthorizedOrNotFound")
            if about.mode.is_creating() && tries.attempts > 1 =>
        {
            Class::NotYetVisible
        }
        (400, "InsufficientServicePermissions") | (403, "NotAuthorized" | "SignUpRequired") => {
            Class::Denied
        }
        (401, _) => Class::NotAuthenticated {
            skew: skew(answer, about.now),
        },
        (403, "NotAllowed") => Class::WrongRegion,
        (403, _) => Class::Denied,
        (404, "InvalidParameter") | (405 | 501, _) => Class::Bug,
        (404, _)
            if about
                .deed
                .subject
                .iter()
                .any(|id| about.region.is_foreign(id)) =>
        {
            Class::WrongRegion
        }
        // Nothing was looked up: the service hides that this is not allowed.
        (404, "NotAuthorizedOrNotFound") if about.deed.subject.is_none() => Class::Denied,
        (404, _) => Class::NotFound,
        (409, _) => Class::Conflict,
        (412, _) => Class::Precondition,
        (429, _) => Class::Throttled,
        (400 | 413 | 422 | 431, _) => Class::Invalid,
        (408 | 500.., _) => Class::Transient,
        _ => Class::Bug,
    }
}

/// A limit of zero gateways comes as an invalid parameter.
fn speaks_of_limit(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("limit") && (message.contains("maximum") || message.contains("exceed"))
}

/// How far this machine's clock is ahead of the answer's date.
fn skew(answer: &Answer, now: Timestamp) -> Option<SignedDuration> {
    let theirs = jiff::fmt::rfc2822::parse(answer.header("date")?).ok()?;
    let ahead = now.duration_since(theirs.timestamp());
    (ahead.abs() >= NOTABLE_SKEW).then_some(ahead)
}

/// The next thing to do about a failure.
pub(super) fn hint(error: &Details) -> Option<String> {
    Some(match &error.class {
        Class::NotAuthenticated { skew: Some(ahead) } => {
            let side = if ahead.is_negative() {
                "behind"
            } else {
                "ahead"
            };
            format!(
                "this machine's clock is {} {side}: set it, for instance with \
                 `sudo timedatectl set-ntp true`",
                human(ahead.unsigned_abs())
            )
        }
        Class::NotAuthenticated { skew: None } => format!(
            "check user, tenancy and fingerprint in the OCI config, that the API key is still \
             listed for the user, and that the tenancy uses the region {}; a session token is \
             renewed with `oci session authenticate`",
            error.region
        ),
        Class::Limit => format!(
            "the tenancy's service limits in {} do not allow it: see \
             https://cloud.oracle.com/limits, delete something or ask for more",
            error.region
        ),
        Class::Quota => {
            "a compartment quota forbids it: ask whoever manages quotas for this tenancy".into()
        }
        Class::Capacity => {
            "no host has room for this shape right now: try again later, or use another \
             availability domain or a smaller shape"
                .into()
        }
        Class::Denied => {
            "check that the compartment exists and that a policy lets the user do this".into()
        }
        Class::NotFound => {
            "it may be deleted, in another region, or hidden from this user by policy".into()
        }
        Class::WrongRegion => {
            "use the region that the object is in; users, groups, compartments and policies \
             change in the home region only"
                .into()
        }
        Class::NotYetVisible => {
            "what was just created is not known everywhere yet, or a policy forbids this to the \
             user: run the same command again in a minute, and look at the policies if it stays"
                .into()
        }
        Class::Conflict => {
            "something still uses it or works on it: run the same command again shortly".into()
        }
        Class::Precondition => {
            "somebody else changed it meanwhile: run the same command again".into()
        }
        Class::Timeout if is_unregistered(&error.message) => {
            "the nodes never reached the control plane: check the routes and the security list of \
             their subnet, and that the image fits the shape"
                .into()
        }
        Class::Throttled | Class::Transient => {
            "it passes: run the same command again in a minute, it goes on from here".into()
        }
        Class::Timeout | Class::Cancelled => {
            "run the same command again: it goes on from here".into()
        }
        Class::Invalid => "check the value that the message is about in the profile".into(),
        Class::Bug if error.request_id.is_none() && error.status.is_some() => {
            "this does not look like Oracle's answer: check the endpoint and any proxy in between"
                .into()
        }
        Class::Bug | Class::Tls | Class::Connect => return None,
    })
}
