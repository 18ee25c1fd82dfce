//! Go's `time` package as templates use it: instants with a zone, layouts,
//! durations.

/// An instant with the zone it is shown in.
#[derive(Debug, Clone, PartialEq)]
pub struct Time {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
    /// Seconds east of UTC.
    pub offset: i32,
    /// The zone's abbreviation, such as `UTC`.
    pub zone: String,
}
