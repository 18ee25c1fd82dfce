//! Prometheus' text format, as far as measuring needs it.

use std::collections::BTreeMap;

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name of the metric.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// The samples of a page. Lines that make no sense are left out: what a pod
/// says is untrusted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    samples: Vec<Sample>,
}

impl Metrics {
    /// Reads a page.
    pub fn parse(page: &str) -> Self {
        let lines = page.lines().map(str::trim);
        let samples = lines
            .filter(|line| !line.starts_with('#'))
            .filter_map(sample);
        Self {
            samples: samples.collect(),
        }
    }

    /// The sum of a metric over all of its series with these labels; none when
    /// there is no such series.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut all = self.with(name, labels).peekable();
        all.peek()?;
        Some(all.map(|sample| sample.value).sum())
    }

    fn with<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            let has = |(k, v): &(&str, &str)| sample.labels.get(*k).is_some_and(|x| x == v);
            sample.name == name && labels.iter().all(has)
        })
    }

    /// The buckets of a histogram, added up over all series with these labels:
    /// upper bound and cumulative count.
    pub fn buckets(&self, name: &str, labels: &[(&str, &str)]) -> Vec<(f64, f64)> {
        let name = format!("{name}_bucket");
        let mut sums: Vec<(f64, f64)> = Vec::new();
        for sample in self.with(&name, labels) {
            let bound = match sample.labels.get("le").map(String::as_str) {
                Some("+Inf") => f64::INFINITY,
                Some(text) => match text.parse() {
                    Ok(bound) => bound,
                    Err(_) => continue,
                },
                None => continue,
            };
            match sums.iter_mut().find(|(b, _)| b.total_cmp(&bound).is_eq()) {
                Some((_, count)) => *count += sample.value,
                None => sums.push((bound, sample.value)),
            }
        }
        sums.sort_by(|a, b| a.0.total_cmp(&b.0));
        sums
    }
}

/// What was added to a histogram between two looks at it.
pub fn since(before: &[(f64, f64)], after: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let was = |bound: f64| {
        let found = before.iter().find(|(b, _)| b.total_cmp(&bound).is_eq());
        found.map_or(0.0, |(_, count)| *count)
    };
    // A counter that shrank belongs to another process: then all of it is new.
    let restarted = after.iter().any(|(bound, count)| *count < was(*bound));
    let base = |bound| if restarted { 0.0 } else { was(bound) };
    after
        .iter()
        .map(|(bound, count)| (*bound, count - base(*bound)))
        .collect()
}

/// A quantile of a histogram, between bounds as Prometheus'
/// `histogram_quantile` does it; none when nothing was counted.
pub fn quantile(buckets: &[(f64, f64)], q: f64) -> Option<f64> {
    let total = buckets.last()?.1;
    if total <= 0.0 {
        return None;
    }
    let rank = q * total;
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= rank {
            if bound.is_infinite() {
                return Some(low);
            }
            let within = (count - below).max(f64::MIN_POSITIVE);
            return Some(low + (bound - low) * ((rank - below) / within).clamp(0.0, 1.0));
        }
        (low, below) = (*bound, *count);
    }
    Some(low)
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = match line.rfind('}') {
        Some(end) => line.split_at(end + 1),
        None => line.split_once(' ')?,
    };
    let value = value.split_whitespace().next()?.parse().ok()?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    Some(Sample {
        name: name.trim().to_owned(),
        labels: pairs(labels)?,
        value,
    })
}

fn pairs(mut text: &str) -> Option<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if text.is_empty() {
            return Some(out);
        }
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = rest.char_indices();
        text = loop {
            match chars.next()? {
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (at, '"') => break rest.get(at + 1..)?,
                (_, other) => value.push(other),
            }
        };
        out.insert(name.trim().to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAGE: &str = r#"# HELP x y
# TYPE lat histogram
lat_bucket{topic="a",le="1"} 1
lat_bucket{topic="a",le="5"} 3
lat_bucket{topic="a",le="+Inf"} 4
lat_bucket{topic="b",le="1"} 0
lat_bucket{topic="b",le="5"} 4
lat_bucket{topic="b",le="+Inf"} 4
said{text="a \"b\", \\ and }"} 2 1700000000
plain 7.5e3
"#;

    #[test]
    fn samples_are_read() {
        let page = Metrics::parse(PAGE);
        assert_eq!(page.sum("plain", &[]), Some(7500.0));
        assert_eq!(
            page.sum("said", &[("text", "a \"b\", \\ and }")]),
            Some(2.0)
        );
        assert_eq!(page.sum("absent", &[]), None);
        let all = page.buckets("lat", &[]);
        assert_eq!(all, [(1.0, 1.0), (5.0, 7.0), (f64::INFINITY, 8.0)]);
    }

    #[test]
    fn quantiles_lie_between_bounds() {
        let all = Metrics::parse(PAGE).buckets("lat", &[]);
        let median = quantile(&all, 0.5).unwrap();
        assert!((1.0..5.0).contains(&median), "{median}");
        assert_eq!(quantile(&all, 0.99), Some(5.0));
        assert_eq!(quantile(&[(1.0, 0.0)], 0.5), None);
    }

    #[test]
    fn only_what_is_new_counts_unless_the_process_is_new() {
        let before = [(1.0, 2.0), (5.0, 4.0)];
        assert_eq!(
            since(&before, &[(1.0, 2.0), (5.0, 5.0)]),
            [(1.0, 0.0), (5.0, 1.0)]
        );
        assert_eq!(
            since(&before, &[(1.0, 1.0), (5.0, 1.0)]),
            [(1.0, 1.0), (5.0, 1.0)]
        );
    }

    proptest! {
        #[test]
        fn no_page_makes_it_panic(page in ".*") {
            let page = Metrics::parse(&page);
            let _ = quantile(&page.buckets("x", &[]), 0.95);
        }
    }
}
