//! Fixtures for the tests of this module.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Client, Credentials, Endpoints, Key, Options, Region, Signatory};
use crate::clock::Clock;
use crate::net::testing::Server;

/// The pass phrase of the encrypted forms.
pub(crate) const PASS_PHRASE: &str = "correct-horse";
/// The fingerprint of all forms.
pub(crate) const FINGERPRINT: &str = "08:f1:3f:37:58:22:5a:cb:6f:e8:5e:4b:c3:02:3c:55";
pub(crate) const TENANCY: &str = "ocid1.tenancy.oc1..aaaaaaaatodoctltesttenancy";
pub(crate) const USER: &str = "ocid1.user.oc1..aaaaaaaatodoctltestuser";

/// The PEM text of one of the forms in `fixtures/keys.txt`.
pub(crate) fn pem(form: &str) -> String {
    let line = include_str!("fixtures/keys.txt")
        .lines()
        .find_map(|line| line.strip_prefix(form)?.strip_prefix(' '));
    let bytes = STANDARD.decode(line.expect("a form in the file")).unwrap();
    String::from_utf8(bytes).unwrap()
}

pub(crate) fn credentials() -> Credentials {
    Credentials {
        identity: Signatory::ApiKey {
            tenancy: TENANCY.into(),
            user: USER.into(),
        },
        key: Arc::new(Key::from_pem(pem("plain").as_bytes(), None).unwrap()),
    }
}

/// A clock a thousand times as fast as real time, without jitter.
pub(crate) fn fast_clock() -> Clock {
    Clock::new(1000.0, CancellationToken::new()).with_random(|| 0.999)
}

pub(crate) fn client(server: &Server, clock: Clock) -> Client {
    Client::new(
        &credentials(),
        Region::parse("fra").unwrap(),
        Endpoints::all(Url::parse(&server.base()).unwrap()),
        clock,
        Options::default(),
    )
    .unwrap()
}
