//! Regions: their names, three-letter keys, and the domain of their realm.

use std::fmt;

/// Regions with a well-known key, as `(key, name, realm)`. A name that is not
/// here is taken as one of the commercial realm, as Oracle's own SDKs do.
const KNOWN: &[(&str, &str, &str)] = &[
    ("aga", "us-saltlake-2", "oc1"),
    ("ams", "eu-amsterdam-1", "oc1"),
    ("arn", "eu-stockholm-1", "oc1"),
    ("auh", "me-abudhabi-1", "oc1"),
    ("bog", "sa-bogota-1", "oc1"),
    ("bom", "ap-mumbai-1", "oc1"),
    ("cdg", "eu-paris-1", "oc1"),
    ("cwl", "uk-cardiff-1", "oc1"),
    ("dxb", "me-dubai-1", "oc1"),
    ("fra", "eu-frankfurt-1", "oc1"),
    ("gru", "sa-saopaulo-1", "oc1"),
    ("hsg", "ap-batam-1", "oc1"),
    ("hyd", "ap-hyderabad-1", "oc1"),
    ("iad", "us-ashburn-1", "oc1"),
    ("icn", "ap-seoul-1", "oc1"),
    ("jbp", "ap-kulai-2", "oc1"),
    ("jed", "me-jeddah-1", "oc1"),
    ("jnb", "af-johannesburg-1", "oc1"),
    ("kix", "ap-osaka-1", "oc1"),
    ("lej", "af-casablanca-1", "oc1"),
    ("lhr", "uk-london-1", "oc1"),
    ("lin", "eu-milan-1", "oc1"),
    ("mad", "eu-madrid-1", "oc1"),
    ("mel", "ap-melbourne-1", "oc1"),
    ("mrs", "eu-marseille-1", "oc1"),
    ("mty", "mx-monterrey-1", "oc1"),
    ("mtz", "il-jerusalem-1", "oc1"),
    ("nrq", "eu-turin-1", "oc1"),
    ("nrt", "ap-tokyo-1", "oc1"),
    ("onm", "ap-delhi-1", "oc1"),
    ("ord", "us-chicago-1", "oc1"),
    ("orf", "eu-madrid-3", "oc1"),
    ("phx", "us-phoenix-1", "oc1"),
    ("qro", "mx-queretaro-1", "oc1"),
    ("ruh", "me-riyadh-1", "oc1"),
    ("scl", "sa-santiago-1", "oc1"),
    ("sin", "ap-singapore-1", "oc1"),
    ("sjc", "us-sanjose-1", "oc1"),
    ("syd", "ap-sydney-1", "oc1"),
    ("vap", "sa-valparaiso-1", "oc1"),
    ("vcp", "sa-vinhedo-1", "oc1"),
    ("xsp", "ap-singapore-2", "oc1"),
    ("yny", "ap-chuncheon-1", "oc1"),
    ("yul", "ca-montreal-1", "oc1"),
    ("yyz", "ca-toronto-1", "oc1"),
    ("zrh", "eu-zurich-1", "oc1"),
    ("lfi", "us-langley-1", "oc2"),
    ("luf", "us-luke-1", "oc2"),
    ("pia", "us-gov-chicago-1", "oc3"),
    ("ric", "us-gov-ashburn-1", "oc3"),
    ("tus", "us-gov-phoenix-1", "oc3"),
    ("brs", "uk-gov-cardiff-1", "oc4"),
    ("ltn", "uk-gov-london-1", "oc4"),
    ("nja", "ap-chiyoda-1", "oc8"),
    ("ukb", "ap-ibaraki-1", "oc8"),
    ("ibr", "me-ibri-1", "oc9"),
    ("mct", "me-dcc-muscat-1", "oc9"),
    ("wga", "ap-dcc-canberra-1", "oc10"),
    ("bgy", "eu-dcc-milan-1", "oc14"),
    ("dtm", "eu-dcc-rating-2", "oc14"),
    ("dus", "eu-dcc-rating-1", "oc14"),
    ("mxp", "eu-dcc-milan-2", "oc14"),
    ("ork", "eu-dcc-dublin-1", "oc14"),
    ("snn", "eu-dcc-dublin-2", "oc14"),
    ("dac", "ap-dcc-gazipur-1", "oc15"),
    ("str", "eu-frankfurt-2", "oc19"),
    ("vll", "eu-madrid-2", "oc19"),
    ("beg", "eu-jovanovac-1", "oc20"),
    ("doh", "me-dcc-doha-1", "oc21"),
    ("vve", "me-alrayyan-1", "oc21"),
    ("ebb", "us-somerset-1", "oc23"),
    ("ebl", "us-thames-1", "oc23"),
    ("avf", "eu-crissier-1", "oc24"),
    ("avz", "eu-dcc-zurich-1", "oc24"),
    ("ahu", "me-abudhabi-3", "oc26"),
    ("rba", "me-alain-1", "oc26"),
    ("rkt", "me-abudhabi-2", "oc29"),
    ("shj", "me-abudhabi-4", "oc29"),
    ("bno", "ap-chuncheon-2", "oc35"),
    ("dln", "ap-suwon-1", "oc35"),
    ("dtz", "ap-seoul-2", "oc35"),
    ("pgc", "us-newark-1", "oc42"),
    ("yxj", "us-ashburn-2", "oc42"),
    ("jsk", "eu-budapest-1", "oc51"),
    ("hnw", "sa-riodejaneiro-1", "oc52"),
];

/// The commercial realm, which most tenancies are in.
const COMMERCIAL: &str = "oc1";

/// A region and the domain of its realm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    name: String,
    domain: String,
}

/// A text that cannot be a region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a region{}", nearest.as_ref().map(|n| format!(", did you mean `{n}`?")).unwrap_or_default())]
pub struct UnknownRegion {
    /// What was given.
    pub text: String,
    /// A known region with a similar name.
    pub nearest: Option<String>,
}

impl Region {
    /// Reads a region's name (`eu-frankfurt-1`) or key (`FRA`).
    pub fn parse(text: &str) -> Result<Self, UnknownRegion> {
        let text = text.trim().to_ascii_lowercase();
        let known = KNOWN.iter().find(|(k, n, _)| *k == text || *n == text);
        if let Some((_, name, realm)) = known {
            return Ok(Self::in_realm(name, realm));
        }
        if has_shape_of_name(&text) {
            return Ok(Self::in_realm(&text, COMMERCIAL));
        }
        Err(UnknownRegion {
            nearest: nearest(&text),
            text,
        })
    }

    /// A region of the realm, such as `oc1`.
    pub fn in_realm(name: &str, realm: &str) -> Self {
        Self::in_domain(name, &realm_domain(realm))
    }

    /// A region under a second-level domain, such as `oraclecloud.com`.
    pub fn in_domain(name: &str, domain: &str) -> Self {
        Self {
            name: name.to_owned(),
            domain: domain.to_owned(),
        }
    }

    /// Its name: `eu-frankfurt-1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its key when it is a known one: `fra`.
    pub fn key(&self) -> Option<&'static str> {
        let known = KNOWN.iter().find(|(_, name, _)| *name == self.name);
        known.map(|(key, ..)| *key)
    }

    /// The domain of its realm: `oraclecloud.com`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether an OCID names another region than this one. OCIDs of objects
    /// without a region name none.
    pub fn is_foreign(&self, ocid: &str) -> bool {
        let mut parts = ocid.split('.');
        let (Some("ocid1"), Some(region)) = (parts.next(), parts.nth(2)) else {
            return false;
        };
        !region.is_empty() && Self::parse(region).is_ok_and(|other| other.name != self.name)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn realm_domain(realm: &str) -> String {
    match realm {
        "oc1" => "oraclecloud.com".into(),
        "oc2" | "oc3" => "oraclegovcloud.com".into(),
        "oc4" => "oraclegovcloud.uk".into(),
        "oc19" => "oraclecloud.eu".into(),
        other => match other.strip_prefix("oc") {
            Some(number) => format!("oraclecloud{number}.com"),
            None => "oraclecloud.com".into(),
        },
    }
}

/// `area-city-number`, with any number of words in between.
fn has_shape_of_name(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [area, city @ .., number] = parts.as_slice() else {
        return false;
    };
    let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase());
    area.len() == 2
        && word(area)
        && !city.is_empty()
        && city.iter().all(|w| word(w))
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}

fn nearest(text: &str) -> Option<String> {
    let score = |name: &str| similar::TextDiff::from_chars(text, name).ratio();
    KNOWN
        .iter()
        .map(|(_, name, _)| (*name, score(name)))
        .filter(|(_, score)| *score > 0.7)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(name, _)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys_lead_to_the_same_region() {
        let frankfurt = Region::parse("FRA").unwrap();
        assert_eq!(frankfurt, Region::parse("eu-frankfurt-1").unwrap());
        assert_eq!(frankfurt.domain(), "oraclecloud.com");
        assert_eq!(frankfurt.key(), Some("fra"));
    }

    #[test]
    fn realms_have_their_own_domains() {
        let cases = [
            ("us-langley-1", "oraclegovcloud.com"),
            ("uk-gov-london-1", "oraclegovcloud.uk"),
            ("ap-chiyoda-1", "oraclecloud8.com"),
            ("eu-frankfurt-2", "oraclecloud.eu"),
            ("xx-newplace-3", "oraclecloud.com"),
        ];
        for (name, domain) in cases {
            assert_eq!(Region::parse(name).unwrap().domain(), domain, "{name}");
        }
    }

    #[test]
    fn a_misspelt_region_is_told_with_the_nearest_one() {
        let error = Region::parse("eu-frankfurt1").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`eu-frankfurt1` is not a region, did you mean `eu-frankfurt-1`?"
        );
        assert_eq!(
            Region::parse("???").unwrap_err().to_string(),
            "`???` is not a region"
        );
    }

    #[test]
    fn an_ocid_of_another_region_is_foreign() {
        let region = Region::parse("fra").unwrap();
        assert!(region.is_foreign("ocid1.vcn.oc1.phx.aaaa"));
        assert!(region.is_foreign("ocid1.cluster.oc1.us-ashburn-1.aaaa"));
        assert!(!region.is_foreign("ocid1.vcn.oc1.eu-frankfurt-1.aaaa"));
        assert!(!region.is_foreign("ocid1.tenancy.oc1..aaaa"));
        assert!(!region.is_foreign("not an ocid"));
    }
}
