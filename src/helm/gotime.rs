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

impl Time {
    /// Go's `Time.String`.
    pub fn to_go_string(&self) -> String {
        self.format("2006-01-02 15:04:05.999999999 -0700 MST")
    }

    /// RFC 3339 with nanoseconds, as JSON holds it.
    pub fn to_rfc3339(&self) -> String {
        self.format("2006-01-02T15:04:05.999999999Z07:00")
    }

    /// Go's `Time.Format`.
    pub fn format(&self, layout: &str) -> String {
        layout.to_owned()
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// Go's `Month.String`.
pub fn month_name(month: u8) -> String {
    usize::from(month)
        .checked_sub(1)
        .and_then(|i| MONTHS.get(i))
        .map_or_else(|| format!("%!Month({month})"), |name| (*name).to_owned())
}

/// Go's `Weekday.String`.
pub fn weekday_name(day: u8) -> String {
    DAYS.get(usize::from(day))
        .map_or_else(|| format!("%!Weekday({day})"), |name| (*name).to_owned())
}

/// Go's `Duration.String`.
pub fn duration_text(nanos: i64) -> String {
    nanos.to_string()
}
