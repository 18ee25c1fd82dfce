//! The pauses before a failing container is started again.

use std::time::Duration;

/// The first one.
const FIRST_BACKOFF: Duration = Duration::from_secs(10);
/// The longest.
const LONGEST_BACKOFF: Duration = Duration::from_mins(5);

/// The pause after so many failures.
pub fn backoff(failures: u32) -> Duration {
    (FIRST_BACKOFF * 2_u32.saturating_pow(failures.min(10))).min(LONGEST_BACKOFF)
}

/// As Go prints durations of whole seconds.
pub fn shown(time: Duration) -> String {
    match (time.as_secs() / 60, time.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let pauses: Vec<String> = (0..7).map(|n| shown(backoff(n))).collect();
        assert_eq!(
            pauses,
            ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"]
        );
    }
}
