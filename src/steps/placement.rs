//! Where to ask for Arm nodes when the region is out of them.
//!
//! Being out of A1 capacity is ordinary weather. The strategy, after Oracle's
//! own advice: let the service choose; then one fault domain after the other,
//! in every availability domain, those first for which the capacity report is
//! hopeful; then wait and begin again, until the profile's patience ends. The
//! node pool stays the same throughout: only its placement changes.

use std::time::Duration;

use crate::clock::{Backoff, Clock};
use crate::oci::{AvailabilityStatus, CapacityReport, NodePlacement};

/// Asking more often than once a minute earns a 429.
const FIRST_WAIT: Duration = Duration::from_mins(1);
/// Capacity comes and goes within minutes.
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// One place to ask for a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) availability_domain: String,
    /// Any, if none is named.
    pub(super) fault_domain: Option<String>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.fault_domain {
            Some(fault) => write!(f, "{}, {fault}", self.availability_domain),
            None => f.write_str(&self.availability_domain),
        }
    }
}

impl Place {
    /// Anywhere in an availability domain.
    pub(super) fn anywhere_in(domain: &str) -> Self {
        Self {
            availability_domain: domain.to_owned(),
            fault_domain: None,
        }
    }

    /// The place as Oracle wants it.
    pub(super) fn config(&self, subnet: &str) -> NodePlacement {
        NodePlacement {
            availability_domain: self.availability_domain.clone(),
            subnet_id: subnet.to_owned(),
            fault_domains: self.fault_domain.iter().cloned().collect(),
        }
    }
}

/// What a capacity report says of a place; a higher one is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hope {
    None,
    Unknown,
    Some,
}

/// The round trip over all places.
#[derive(Debug)]
pub(super) struct Strategy {
    places: Vec<Place>,
    next: usize,
    round: u32,
    wait: Backoff,
}

/// What to do after a node could not be placed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// Ask there.
    Try(Place),
    /// All places were asked: wait, then begin again.
    Wait(Duration),
}

impl Strategy {
    /// A strategy over all places of a region.
    pub(super) fn new(places: Vec<Place>) -> Self {
        Self {
            places,
            next: 0,
            round: 1,
            wait: Backoff::new(FIRST_WAIT, 2.0, LONGEST_WAIT),
        }
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The current round, from 1.
    pub(super) fn round(&self) -> u32 {
        self.round
    }

    /// Orders the places of this round by what the capacity reports say. A
    /// report is no reservation, so that a hopeless place goes last, not away.
    pub(super) fn consider(&mut self, domain: &str, reports: &[CapacityReport]) {
        let hope = |place: &Place| {
            if place.availability_domain != domain {
                return Hope::Unknown;
            }
            let report = reports
                .iter()
                .find(|r| r.fault_domain == place.fault_domain);
            match report.map(|r| &r.availability_status) {
                Some(AvailabilityStatus::Available) => Hope::Some,
                Some(AvailabilityStatus::OutOfHostCapacity) => Hope::None,
                _ => Hope::Unknown,
            }
        };
        if let Some(rest) = self.places.get_mut(self.next..) {
            rest.sort_by_key(|place| std::cmp::Reverse(hope(place)));
        }
    }

    /// The next move.
    pub(super) fn next(&mut self, clock: &Clock) -> Move {
        if let Some(place) = self.places.get(self.next) {
            self.next += 1;
            Move::Try(place.clone())
        } else {
            self.next = 0;
            self.round += 1;
            Move::Wait(self.wait.next(clock))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(domain: &str, fault: &str) -> Place {
        Place {
            availability_domain: domain.into(),
            fault_domain: Some(fault.into()),
        }
    }

    fn report(fault: &str, status: AvailabilityStatus) -> CapacityReport {
        CapacityReport {
            instance_shape: "VM.Standard.A1.Flex".into(),
            fault_domain: Some(fault.into()),
            availability_status: status,
            available_count: None,
        }
    }

    #[test]
    fn every_place_is_asked_once_a_round_then_it_waits_longer_each_time() {
        let clock = Clock::default().with_random(|| 1.0);
        let places = vec![place("A", "1"), place("A", "2")];
        let mut strategy = Strategy::new(places.clone());
        let moves: Vec<_> = (0..6).map(|_| strategy.next(&clock)).collect();
        assert_eq!(
            moves[..2],
            [Move::Try(places[0].clone()), Move::Try(places[1].clone())]
        );
        assert_eq!(moves[2], Move::Wait(Duration::from_mins(1)));
        assert_eq!(moves[5], Move::Wait(Duration::from_mins(2)));
        assert_eq!(strategy.round(), 3);
    }

    #[test]
    fn hopeful_places_come_first_and_hopeless_ones_last() {
        let mut strategy = Strategy::new(vec![place("A", "1"), place("B", "1"), place("A", "2")]);
        strategy.consider(
            "A",
            &[
                report("1", AvailabilityStatus::OutOfHostCapacity),
                report("2", AvailabilityStatus::Available),
            ],
        );
        assert_eq!(
            strategy.places,
            [place("A", "2"), place("B", "1"), place("A", "1")]
        );
    }
}
