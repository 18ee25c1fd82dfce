//! Which failures pass with time, as Oracle's codes tell.
//!
//! The general classifier of `net` comes first. On top of it: conflicts that
//! end by themselves, and two situations in which more failures are expected
//! weather: right after a parent was created, and during a teardown.

use std::time::Duration;

use http::StatusCode;

use super::class::ServiceError;
use crate::clock::Deadline;
use crate::net::{Again, Attempt, Budget, Classify, Verdict};

/// How long a new compartment, policy or network may be unknown to other
/// services.
pub const CREATION_WINDOW: Duration = Duration::from_mins(4);
/// How long deletes wait for what still holds the object.
const TEARDOWN_WINDOW: Duration = Duration::from_mins(10);
/// What [`Mode::Hasty`] allows.
const HASTE: Budget = Budget {
    attempts: 2,
    total: Duration::from_secs(5),
};
/// No limit by number: the total time bounds it.
const MANY: u32 = 1000;

/// The situation that a call is made in.
#[derive(Debug, Clone, Default)]
pub enum Mode {
    /// Nothing special.
    #[default]
    Plain,
    /// A parent was created recently: until then, "not found" may mean "not
    /// known yet".
    Creating(Deadline),
    /// Things are being deleted: a conflict means "still in use".
    TearingDown,
    /// Somebody waits for an answer: one more attempt and no more.
    Hasty,
}

impl Mode {
    pub(super) fn is_creating(&self) -> bool {
        matches!(self, Self::Creating(_))
    }

    pub(super) fn at_most(&self) -> Option<Budget> {
        matches!(self, Self::Hasty).then_some(HASTE)
    }

    pub(super) fn policy(&self) -> Policy {
        Policy(match self {
            Self::Plain | Self::Hasty => Extra::None,
            Self::Creating(until) => Extra::Unseen(until.remaining()),
            Self::TearingDown => Extra::InUse,
        })
    }
}

/// What Oracle's codes say about trying again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy(Extra);

#[derive(Debug, Clone, Copy)]
enum Extra {
    None,
    Unseen(Duration),
    InUse,
}

impl Classify for Policy {
    fn classify(&self, attempt: &Attempt<'_>) -> Verdict {
        let Ok(answer) = attempt.outcome else {
            return Verdict::NoOpinion;
        };
        if answer.status.is_success() {
            return Verdict::Stop;
        }
        let error = ServiceError::of(answer);
        // Asking again at once would only bring throttling.
        if error.is_capacity() {
            return Verdict::Stop;
        }
        match (self.0, answer.status) {
            (Extra::InUse, StatusCode::CONFLICT) if passes_in_teardown(&error.code) => {
                Verdict::Retry(Again {
                    budget: Budget {
                        attempts: MANY,
                        total: TEARDOWN_WINDOW,
                    },
                    ..Again::usual(error.text())
                })
            }
            (Extra::Unseen(left), status) if may_be_unseen(status, &error.code) => {
                Verdict::Retry(Again {
                    budget: Budget {
                        attempts: MANY,
                        total: left,
                    },
                    ..Again::usual(format!("not known yet: {}", error.text()))
                })
            }
            (_, StatusCode::CONFLICT) if passes(&error.code) => {
                Verdict::Retry(Again::usual(error.text()))
            }
            _ => Verdict::NoOpinion,
        }
    }
}

fn passes(code: &str) -> bool {
    matches!(code, "IncorrectState" | "LockConflict")
}

fn passes_in_teardown(code: &str) -> bool {
    passes(code) || matches!(code, "Conflict" | "ExternalServerIncorrectState")
}

fn may_be_unseen(status: StatusCode, code: &str) -> bool {
    matches!(
        (status.as_u16(), code),
        (
            400,
            "RelatedResourceNotAuthorizedOrNotFound"
                | "InsufficientServicePermissions"
                | "ResourceDisabled"
        ) | (404, "NotAuthorizedOrNotFound")
            | (
                409,
                "NotAuthorizedOrResourceAlreadyExists" | "ResourceAlreadyExists"
            )
    )
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Method};

    use super::*;
    use crate::clock::Clock;
    use crate::net::Answer;

    fn verdict(mode: &Mode, status: u16, code: &str, message: &str) -> Verdict {
        let body = serde_json::json!({"code": code, "message": message}).to_string();
        let attempt = Attempt {
            method: &Method::DELETE,
            repeatable: true,
            outcome: &Ok(Answer {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: Bytes::from(body),
            }),
        };
        mode.policy().classify(&attempt)
    }

    #[test]
    fn each_situation_has_its_own_passing_failures() {
        let creating = Mode::Creating(Clock::default().deadline(CREATION_WINDOW));
        let again = |v: &Verdict| matches!(v, Verdict::Retry(_));
        // status, code, and whether it is tried again: plain, creating, tearing down
        let table = [
            (409, "IncorrectState", [true, true, true]),
            (409, "LockConflict", [true, true, true]),
            (409, "Conflict", [false, false, true]),
            (409, "InvalidatedRetryToken", [false, false, false]),
            (404, "NotAuthorizedOrNotFound", [false, true, false]),
            (
                400,
                "RelatedResourceNotAuthorizedOrNotFound",
                [false, true, false],
            ),
            (400, "LimitExceeded", [false, false, false]),
            (401, "NotAuthenticated", [false, false, false]),
        ];
        for (status, code, expected) in table {
            let modes = [&Mode::Plain, &creating, &Mode::TearingDown];
            let seen = modes.map(|mode| again(&verdict(mode, status, code, "m")));
            assert_eq!(seen, expected, "{status} {code}");
        }
    }

    #[test]
    fn missing_capacity_is_never_hammered() {
        let seen = verdict(&Mode::Plain, 500, "InternalError", "Out of host capacity.");
        assert_eq!(seen, Verdict::Stop);
        let other = verdict(&Mode::Plain, 500, "InternalError", "Oops");
        assert_eq!(other, Verdict::NoOpinion);
    }
}
