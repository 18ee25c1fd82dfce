//! Faults as people write them: which kinds there are, and what their
//! arguments may be, checked before anything is asked of the sandbox.

use super::client::FAST;
use super::faults::{Fault, Faults, parse_duration};
use super::{alter, kafka, oci, redpanda};

/// The systems that can misbehave; `*` is all of them.
const SYSTEMS: [&str; 7] = ["oci", "kube", "dapr", "app", "kafka", "redpanda", "*"];

/// Faults of what answers in JSON, to whoever asks from outside.
const LIES: [(&str, &str); 1] = [(alter::KIND, alter::MEANS)];

/// Those of the sidecars, who publish events as well.
const SPOILS: [(&str, &str); 2] = [
    (alter::KIND, alter::MEANS),
    (alter::SPOIL, alter::SPOIL_MEANS),
];

/// Why a fault makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// No such system.
    #[error(
        "there is no system '{0}'; systems are oci, kube, dapr, app, kafka, redpanda, and * for all"
    )]
    System(String),
    /// No such kind.
    #[error("{system} has no fault '{kind}'; it has {known}")]
    Kind {
        /// The system.
        system: String,
        /// What was asked for.
        kind: String,
        /// What there is.
        known: String,
    },
    /// The argument does not fit the kind.
    #[error("'{arg}' is no argument for {kind}: {wanted}")]
    Arg {
        /// The kind.
        kind: String,
        /// What was given.
        arg: String,
        /// What the kind takes.
        wanted: &'static str,
    },
    /// `--match` is not a method and a path.
    #[error("'{0}' is not a method and a path such as 'POST /20160918/vcns'")]
    Match(String),
}

/// The kinds of faults of a system, with what their arguments mean.
pub fn kinds(system: &str) -> Vec<(&'static str, &'static str)> {
    let own: &[_] = match system {
        "oci" => &oci::FAULT_KINDS,
        "dapr" => &SPOILS,
        "kube" | "app" => &LIES,
        "kafka" => &kafka::FAULT_KINDS,
        "redpanda" => &redpanda::FAULT_KINDS,
        _ => &[],
    };
    // Kafka's protocol has no statuses.
    let all = Faults::KINDS.iter().chain(own).copied();
    all.filter(|(kind, _)| system != "kafka" || *kind != "status")
        .collect()
}

/// Checks a fault and makes it.
pub fn check(system: &str, kind: Option<&str>, arg: &str) -> Result<Fault, FaultError> {
    if !SYSTEMS.contains(&system) {
        return Err(FaultError::System(system.to_owned()));
    }
    let kind = kind.unwrap_or_default();
    let known = kinds(system);
    let Some((_, wanted)) = known.iter().find(|(name, _)| *name == kind) else {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        return Err(FaultError::Kind {
            system: system.to_owned(),
            kind: kind.to_owned(),
            known: names.join(", "),
        });
    };
    if !fits(kind, arg) {
        return Err(FaultError::Arg {
            kind: kind.to_owned(),
            arg: arg.to_owned(),
            wanted,
        });
    }
    Ok(Fault {
        id: 0,
        system: system.to_owned(),
        kind: kind.to_owned(),
        arg: Some(arg.to_owned()).filter(|arg| !arg.is_empty()),
        method: None,
        path: None,
        nth: 1,
        times: None,
        seen: 0,
        since_ms: 0,
    })
}

fn fits(kind: &str, arg: &str) -> bool {
    let number = |text: &str| text.trim().parse::<u64>().is_ok();
    match kind {
        "status" => arg
            .parse()
            .is_ok_and(|code: u16| (400..=599).contains(&code)),
        "delay" | "away" | "skew" => parse_duration(arg).is_some(),
        "out-of-capacity" => is_place(arg),
        "work-request" => match arg.split_once(' ') {
            Some(("slow", factor)) => factor.parse::<f64>().is_ok_and(|f| f >= 1.0),
            Some(_) => false,
            None => matches!(arg, "stuck" | "fail"),
        },
        "limit" => arg.split_once([' ', '=']).is_some_and(|(_, n)| number(n)),
        alter::KIND => alter::fits(arg),
        alter::SPOIL => arg.starts_with('/') && alter::fits(arg),
        "pages" => arg.is_empty() || number(arg),
        "topic-missing" | "leaderless" | "lose-record" | "double-record" | "late-record" => {
            !arg.contains(char::is_whitespace)
        }
        _ => arg.is_empty(),
    }
}

fn is_place(arg: &str) -> bool {
    let (domain, part) = match arg.split_once('/') {
        Some((domain, part)) => (domain, Some(part)),
        None => (arg, None),
    };
    let numbered = |text: &str, prefix: &str| {
        let number = text.rsplit_once(prefix).map(|(_, n)| n);
        number.is_some_and(|n| matches!(n, "1" | "2" | "3"))
    };
    let known = part.is_none_or(|part| numbered(part, "FAULT-DOMAIN-"));
    arg.is_empty() || (numbered(domain, "AD-") && known)
}

/// Reads `METHOD PATH-GLOB`, or a path glob alone.
pub fn parse_match(text: Option<&str>) -> Result<(Option<String>, Option<String>), FaultError> {
    let Some(text) = text else {
        return Ok((None, None));
    };
    let words: Vec<_> = text.split_whitespace().collect();
    let is_path = |word: &str| word.starts_with('/') || word.starts_with('*');
    match words.as_slice() {
        [method, path]
            if method.chars().all(|c| c.is_ascii_alphabetic() || c == '*') && is_path(path) =>
        {
            Ok((Some(method.to_ascii_uppercase()), Some((*path).to_owned())))
        }
        [path] if is_path(path) => Ok((None, Some((*path).to_owned()))),
        _ => Err(FaultError::Match(text.to_owned())),
    }
}

/// Reads a clock rate: `real`, `fast` or a number of at least 1.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    match text {
        "real" => Ok(1.0),
        "fast" => Ok(FAST),
        _ => match text.parse::<f64>() {
            Ok(rate) if (1.0..=100_000.0).contains(&rate) => Ok(rate),
            _ => Err("a clock is real, fast, or a number from 1 to 100000".to_owned()),
        },
    }
}

/// A fault on one line.
pub fn describe(fault: &Fault) -> String {
    let mut words = vec![fault.system.clone(), fault.kind.clone()];
    words.extend(fault.arg.clone());
    if let Some(path) = &fault.path {
        let method = fault.method.as_deref().unwrap_or("*");
        words.push(format!("on {method} {path}"));
    }
    if fault.nth > 1 {
        words.push(format!("from match {}", fault.nth));
    }
    if let Some(times) = fault.times {
        words.push(format!("for {times}"));
    }
    if fault.seen > 0 {
        words.push(format!("({} matches so far)", fault.seen));
    }
    words.join(" ")
}

/// The table of kinds for the command's help.
pub fn help() -> String {
    let mut text = "Faults of every system:\n".to_owned();
    let row = |(name, means): &(&str, &str)| format!("  {name:<17} {means}\n");
    text.extend(Faults::KINDS.iter().map(row));
    text += "Faults of kube, dapr (its sidecars) and app:\n";
    text.extend(LIES.iter().map(row));
    text += "Faults of dapr:\n";
    text.extend(SPOILS.iter().skip(1).map(row));
    text += "Faults of oci:\n";
    text.extend(oci::FAULT_KINDS.iter().map(row));
    text += "Faults of kafka:\n";
    text.extend(kafka::FAULT_KINDS.iter().map(row));
    text += "Faults of redpanda:\n";
    text.extend(redpanda::FAULT_KINDS.iter().map(row));
    text + "Other commands: fault list, fault clear"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_faults_pass_and_bad_ones_say_what_there_is() {
        for (system, kind, arg) in [
            ("oci", "status", "429"),
            ("kube", "drop", ""),
            ("oci", "away", "20s"),
            ("oci", "out-of-capacity", "AD-1/FAULT-DOMAIN-2"),
            ("oci", "out-of-capacity", ""),
            ("oci", "work-request", "slow 2.5"),
            ("oci", "limit", "cluster-count 0"),
            ("kafka", "away", "20s"),
            ("kafka", "leaderless", "task-events/1"),
            ("kafka", "lose-record", ""),
            ("redpanda", "trial-ended", ""),
        ] {
            assert!(
                check(system, Some(kind), arg).is_ok(),
                "{system} {kind} {arg}"
            );
        }
        for (system, kind, arg) in [
            ("oci", "status", "200"),
            ("oci", "delay", "soon"),
            ("oci", "out-of-capacity", "AD-9"),
            ("oci", "out-of-capacity", "everywhere"),
            ("oci", "work-request", "quick"),
            ("oci", "limit", "cluster-count"),
            ("oci", "drop", "20s"),
            ("kube", "quota", ""),
            ("kafka", "status", "429"),
            ("kafka", "leaderless", "task events"),
            ("moon", "drop", ""),
        ] {
            assert!(
                check(system, Some(kind), arg).is_err(),
                "{system} {kind} {arg}"
            );
        }
        let error = check("kube", Some("explode"), "").unwrap_err().to_string();
        assert!(error.contains("status, delay, drop"), "{error}");
    }

    #[test]
    fn matches_parse() {
        let some = |text: &str| parse_match(Some(text));
        let both = (Some("POST".to_owned()), Some("/20160918/vcns".to_owned()));
        assert_eq!(some("post /20160918/vcns"), Ok(both));
        assert_eq!(some("*vcns*"), Ok((None, Some("*vcns*".to_owned()))));
        assert!(some("POST").is_err() && some("a b c").is_err());
    }

    #[test]
    fn clock_rates_parse() {
        assert_eq!(parse_rate("real"), Ok(1.0));
        assert_eq!(parse_rate("fast"), Ok(FAST));
        assert_eq!(parse_rate("50"), Ok(50.0));
        assert!(parse_rate("0.5").is_err() && parse_rate("slow").is_err());
    }
}
