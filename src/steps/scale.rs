//! Replicas that were set by hand.
//!
//! `todoctl scale` makes a revision of the app's release that differs in one
//! number, and the revision's record says so in a label: how many, and instead
//! of what the profile said then. `up` reads the label and keeps the number,
//! on whatever machine it runs, until the profile itself says something new.
//! So the later of the two wins, and neither is undone in silence. A rollback
//! brings back the numbers of the revision that it goes to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::profile::{Profile, Service};
use crate::release::{Record, Status};

/// What the labels begin with; the service's name follows.
const LABEL: &str = "replicas.todoctl/";

/// A service with another number of pods than the profile says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scaled {
    /// The service.
    pub service: String,
    /// How many pods it has.
    pub replicas: u32,
    /// How many the profile says.
    pub profile: u32,
}

/// The wish to scale a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The service.
    pub service: String,
    /// How many pods it should have.
    pub replicas: u32,
}

/// What is scaled by hand: what the newest good revision says and the profile
/// has not overruled since.
pub(super) fn scaled(history: &[Record], profile: &Profile) -> Vec<Scaled> {
    let deployed = history
        .iter()
        .rev()
        .find(|record| record.status() == Status::Deployed);
    deployed.map_or_else(Vec::new, |record| read(&record.labels, profile))
}

fn read(labels: &BTreeMap<String, String>, profile: &Profile) -> Vec<Scaled> {
    let services = profile.app.services.iter();
    let scaled = services.filter_map(|service| {
        let label = labels.get(&format!("{LABEL}{}", service.name))?;
        let (replicas, instead_of) = label.split_once("-not-")?;
        let (replicas, instead_of): (u32, u32) = (replicas.parse().ok()?, instead_of.parse().ok()?);
        let holds = instead_of == service.replicas && replicas != service.replicas;
        holds.then(|| Scaled {
            service: service.name.to_string(),
            replicas,
            profile: service.replicas,
        })
    });
    scaled.collect()
}

/// The labels that say what is scaled, and take away what earlier revisions
/// said.
pub(super) fn labels(scaled: &[Scaled], profile: &Profile) -> BTreeMap<String, String> {
    let entry = |service: &Service| {
        let found = scaled.iter().find(|s| s.service == service.name.as_str());
        let text = found.map(|s| format!("{}-not-{}", s.replicas, s.profile));
        let text = text.unwrap_or_else(|| "null".to_owned());
        (format!("{LABEL}{}", service.name), text)
    };
    profile.app.services.iter().map(entry).collect()
}

/// The same with a wish granted. What the profile says anyway is not scaled.
pub(super) fn with(mut scaled: Vec<Scaled>, wish: &Wish, profile: &Profile) -> Vec<Scaled> {
    scaled.retain(|s| s.service != wish.service);
    let says = profile.service(&wish.service).map(|s| s.replicas);
    if let Some(profile) = says.filter(|n| *n != wish.replicas) {
        scaled.push(Scaled {
            service: wish.service.clone(),
            replicas: wish.replicas,
            profile,
        });
    }
    scaled.sort_by(|a, b| a.service.cmp(&b.service));
    scaled
}

/// The profile with the numbers that hold.
pub(super) fn applied(profile: &Profile, scaled: &[Scaled]) -> Profile {
    let mut profile = profile.clone();
    for service in &mut profile.app.services {
        let set = scaled.iter().find(|s| s.service == service.name.as_str());
        service.replicas = set.map_or(service.replicas, |s| s.replicas);
    }
    profile
}

/// The values of a revision of todoctl's own chart with another number for one
/// service, and everything else as it is.
pub(super) fn revalued(mut values: Value, wish: &Wish) -> Value {
    let services = values.get_mut("services").and_then(Value::as_array_mut);
    for service in services.into_iter().flatten() {
        if service.get("name").and_then(Value::as_str) == Some(&wish.service) {
            service["replicas"] = json!(wish.replicas);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(replicas: u32) -> Profile {
        let set = format!("app.services.backend.replicas={replicas}");
        crate::profile::load("sandbox", &[set]).unwrap().profile
    }

    fn wish(replicas: u32) -> Wish {
        Wish {
            service: "backend".to_owned(),
            replicas,
        }
    }

    #[test]
    fn a_number_set_by_hand_holds_until_the_profile_says_another() {
        let scaled = with(Vec::new(), &wish(3), &profile(1));
        let kept = labels(&scaled, &profile(1));
        assert_eq!(kept["replicas.todoctl/backend"], "3-not-1");
        assert_eq!(read(&kept, &profile(1)), scaled);
        let now = applied(&profile(1), &scaled);
        assert_eq!(now.service("backend").unwrap().replicas, 3);
        for overruled in [2, 3] {
            assert_eq!(read(&kept, &profile(overruled)), []);
        }
    }

    #[test]
    fn going_back_to_the_profiles_number_is_no_number_by_hand() {
        let scaled = with(Vec::new(), &wish(3), &profile(1));
        let scaled = with(scaled, &wish(1), &profile(1));
        assert_eq!(scaled, []);
        let told = labels(&scaled, &profile(1));
        assert_eq!(told["replicas.todoctl/backend"], "null");
        assert_eq!(read(&told, &profile(1)), []);
    }

    #[test]
    fn labels_of_others_and_broken_ones_say_nothing() {
        for (key, value) in [
            ("replicas.todoctl/backend", "many"),
            ("replicas.todoctl/backend", "3-not-"),
            ("replicas.todoctl/nobody", "3-not-1"),
            ("todoctl", "3-not-1"),
        ] {
            let labels = [(key.to_owned(), value.to_owned())].into();
            assert_eq!(read(&labels, &profile(1)), [], "{key}={value}");
        }
    }

    #[test]
    fn only_the_number_of_the_service_changes() {
        let values = json!({"services": [{"name": "a", "replicas": 1}, {"name": "backend",
            "replicas": 1, "image": "x:2"}], "secret": {"name": "s"}});
        let mut wanted = values.clone();
        wanted["services"][1]["replicas"] = json!(3);
        assert_eq!(revalued(values, &wish(3)), wanted);
    }
}
