//! Exit codes. `docs/reference/exit-codes.md` lists the same, and a test
//! compares the two.

/// How todoctl ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Bad usage or a bad profile; nothing was touched.
    Usage = 2,
    /// A check failed.
    CheckFailed = 3,
    /// Changes are pending (`plan --exit-code`).
    Pending = 4,
    /// Another run holds the lock of the deployment.
    Locked = 5,
    /// Interrupted; safe to run again.
    Interrupted = 130,
}

impl Exit {
    /// All of them, with what they mean.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Done, "done"),
        (Self::Failed, "failed"),
        (
            Self::Usage,
            "bad usage or a bad profile; nothing was touched",
        ),
        (Self::CheckFailed, "a check failed"),
        (Self::Pending, "changes are pending (`plan --exit-code`)"),
        (Self::Locked, "another run holds the lock of the deployment"),
        (Self::Interrupted, "interrupted; safe to run again"),
    ];
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
