//! A call that failed: what was tried, what came back, and what to do next.

use std::error::Error;
use std::fmt;
use std::ops::Deref;

use super::call::Deed;
use super::class::{Circumstances, Class, ServiceError, classify, hint};
use crate::net::{Answer, NetError, NetKind, Tries};

/// How much of an unreadable answer is shown.
const SHOWN: usize = 120;

/// A call that failed.
#[derive(Debug)]
pub struct OciError(Box<Details>);

/// The details of an [`OciError`].
#[derive(Debug)]
pub struct Details {
    /// The operation's name in Oracle's interface: `CreateVcn`.
    pub operation: &'static str,
    /// What was tried, for people: "create virtual network `todo`".
    pub doing: String,
    /// What kind of failure it was.
    pub class: Class,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The service's code.
    pub code: Option<String>,
    /// The service's message, or our words when it gave none.
    pub message: String,
    /// The service's name for the request.
    pub request_id: Option<String>,
    /// How often it was tried.
    pub tries: Tries,
    /// Where the request went.
    pub region: String,
    /// The last lines of a failed work request's log.
    pub log: Vec<String>,
    net: Option<NetError>,
}

impl Deref for OciError {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl OciError {
    /// An error in our own words.
    pub(super) fn new(deed: &Deed, class: Class, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            operation: deed.operation,
            doing: deed.doing.clone(),
            class,
            status: None,
            code: None,
            message: message.into(),
            request_id: None,
            tries: Tries::default(),
            region: String::new(),
            log: Vec::new(),
            net: None,
        }))
    }

    /// There was no answer; `sent_id` is the name that we gave the request, by
    /// which the service can still find it if it ever arrived.
    pub(super) fn from_net(about: Circumstances<'_>, net: NetError, sent_id: String) -> Self {
        let class = match net.kind {
            NetKind::Tls(_) => Class::Tls,
            NetKind::Timeout => Class::Timeout,
            NetKind::Cancelled => Class::Cancelled,
            NetKind::Dropped => Class::Transient,
            NetKind::TooLarge(_) | NetKind::Request => Class::Bug,
            _ => Class::Connect,
        };
        let mut error = Self::new(about.deed, class, "");
        error.0.tries = net.tries;
        error.0.region = about.region.to_string();
        error.0.request_id = (!net.is_unsent()).then_some(sent_id);
        error.0.net = Some(net);
        error
    }

    /// The answer was no success.
    pub(super) fn from_answer(about: Circumstances<'_>, answer: &Answer, tries: Tries) -> Self {
        let service = ServiceError::of(answer);
        let class = classify(about, answer, &service, tries);
        let mut error = Self::new(about.deed, class, &service.message);
        error.0.code = Some(service.code).filter(|code| !code.is_empty());
        if error.0.code.is_none() && error.0.message.is_empty() {
            error.0.message = format!("the answer was {}", shown(answer));
        }
        error.fill(about, answer, tries)
    }

    /// The answer was a success that cannot be read.
    pub(super) fn unreadable(
        about: Circumstances<'_>,
        answer: &Answer,
        tries: Tries,
        why: &dyn fmt::Display,
    ) -> Self {
        let message = format!("the answer cannot be read: {why}; it was {}", shown(answer));
        Self::new(about.deed, Class::Bug, message).fill(about, answer, tries)
    }

    fn fill(mut self, about: Circumstances<'_>, answer: &Answer, tries: Tries) -> Self {
        self.0.status = Some(answer.status.as_u16());
        self.0.request_id = answer.request_id().map(str::to_owned);
        self.0.region = about.region.to_string();
        self.0.tries = tries;
        self
    }

    pub(super) fn with_log(mut self, code: Option<String>, log: Vec<String>) -> Self {
        self.0.code = code.or(self.0.code);
        self.0.log = log;
        self
    }

    /// Whether the object is not there, or not for this user's eyes.
    pub fn is_not_found(&self) -> bool {
        self.class == Class::NotFound
    }

    /// Whether the run was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.class == Class::Cancelled
    }

    /// Whether the retry token belongs to an object that is deleted by now: a
    /// create needs a new token.
    pub fn is_spent_token(&self) -> bool {
        self.code.as_deref() == Some("InvalidatedRetryToken")
    }

    /// The next thing to do about it.
    pub fn hint(&self) -> Option<String> {
        if let Some(net) = &self.net {
            return net.hint();
        }
        hint(&self.0)
    }
}

/// "Not found" as `None`, for inspection.
pub fn found<T>(result: Result<T, OciError>) -> Result<Option<T>, OciError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// "Not found" as success, for deletes.
pub fn gone<T>(result: Result<T, OciError>) -> Result<(), OciError> {
    found(result).map(drop)
}

/// What an answer that is not JSON looks like.
fn shown(answer: &Answer) -> String {
    let kind = answer.header("content-type").unwrap_or("of no type");
    let text = String::from_utf8_lossy(&answer.body);
    let text: String = text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(SHOWN)
        .collect();
    if text.is_empty() {
        format!("status {} without a body", answer.status.as_u16())
    } else {
        format!("status {}, {kind}: `{text}`", answer.status.as_u16())
    }
}

impl fmt::Display for OciError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}", self.doing)?;
        // The cause of a failed connection is the error's source.
        if self.net.is_some() {
            return Ok(());
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message.trim_end_matches('.'))?;
        }
        match (self.status, &self.code) {
            (Some(status), Some(code)) => write!(f, " ({status} {code})")?,
            (Some(status), None) => write!(f, " ({status})")?,
            (None, Some(code)) => write!(f, " ({code})")?,
            (None, None) => {}
        }
        write!(f, "{}", self.tries)
    }
}

impl Error for OciError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.net.as_ref().map(|e| e as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::SignedDuration;

    use super::*;
    use crate::net::Trust;
    use crate::net::testing::{Act, Reply, Server, error, reply};
    use crate::oci::sign::http_date;
    use crate::oci::testing::{client, credentials, fast_clock};
    use crate::oci::{Client, CreateVcn, Endpoints, Options, Region, Vcn};

    const VCN: &str = "ocid1.vcn.oc1.eu-frankfurt-1.aaaaaaaaaaaaaaaabcdefg";

    async fn read(script: impl Into<Act>) -> OciError {
        let server = Server::start([script.into()]).await;
        let client = client(&server, fast_clock());
        client.network().get::<Vcn>(VCN).await.unwrap_err()
    }

    async fn create(script: Reply) -> OciError {
        let server = Server::start([script]).await;
        let body = CreateVcn {
            display_name: Some("todo".into()),
            ..CreateVcn::default()
        };
        let client = client(&server, fast_clock());
        client.network().create(&body, "t").await.unwrap_err()
    }

    /// What a user reads: the error, and what to do about it. How long the
    /// attempts took differs from run to run.
    fn told(error: &OciError) -> String {
        let cause = error
            .source()
            .map(|cause| format!("\n  caused by: {cause}"));
        let text = format!(
            "{error}{}\n  class: {:?}\n  request id: {}\n  hint: {}",
            cause.unwrap_or_default(),
            error.class,
            error.request_id.as_deref().unwrap_or("-"),
            error.hint().unwrap_or_else(|| "-".into())
        );
        let times = regex::Regex::new(r"attempts in [0-9hms.]+").unwrap();
        let ports = regex::Regex::new(r"localhost:\d+").unwrap();
        let text = times.replace_all(&text, "attempts in T");
        let ids = regex::Regex::new(r"[0-9A-F]{32}").unwrap();
        let text = ports.replace_all(&text, "localhost:PORT");
        ids.replace_all(&text, "OUR-ID").into_owned()
    }

    #[tokio::test]
    async fn every_refusal_says_what_and_why_and_what_next() {
        let cases = [
            create(error(400, "LimitExceeded", "VCN limit for this tenancy has been exceeded.")).await,
            create(error(400, "InvalidParameter", "The maximum limit of 0 service gateways per VCN is reached")).await,
            create(error(400, "QuotaExceeded", "Quota vcn-count is 0 in compartment c")).await,
            create(error(500, "InternalError", "Out of host capacity.")).await,
            create(error(400, "InvalidParameter", "cidrBlocks must not be empty")).await,
            create(error(404, "NotAuthorizedOrNotFound", "Authorization failed or requested resource not found.")).await,
            create(error(403, "NotAllowed", "Please go to your home region PHX to execute CREATE, UPDATE and DELETE operations.")).await,
            read(error(404, "NotAuthorizedOrNotFound", "Authorization failed or requested resource not found.")).await,
            read(error(409, "Conflict", "The VCN is associated with a subnet.")).await,
            read(error(412, "NoEtagMatch", "The resource has changed.")).await,
            read(error(429, "TooManyRequests", "Too many requests for the user")).await,
            read(error(503, "ServiceUnavailable", "Try later")).await,
            read(error(401, "NotAuthenticated", "Failed to verify the HTTP(S) Signature")).await,
            read(error(403, "NotAuthorized", "Authorization failed")).await,
        ];
        let told: Vec<String> = cases.iter().map(told).collect();
        insta::assert_snapshot!(told.join("\n\n"), @r"
        could not create virtual network `todo`: VCN limit for this tenancy has been exceeded (400 LimitExceeded)
          class: Limit
          request id: REQ/1
          hint: the tenancy's service limits in eu-frankfurt-1 do not allow it: see https://cloud.oracle.com/limits, delete something or ask for more

        could not create virtual network `todo`: The maximum limit of 0 service gateways per VCN is reached (400 InvalidParameter)
          class: Limit
          request id: REQ/1
          hint: the tenancy's service limits in eu-frankfurt-1 do not allow it: see https://cloud.oracle.com/limits, delete something or ask for more

        could not create virtual network `todo`: Quota vcn-count is 0 in compartment c (400 QuotaExceeded)
          class: Quota
          request id: REQ/1
          hint: a compartment quota forbids it: ask whoever manages quotas for this tenancy

        could not create virtual network `todo`: Out of host capacity (500 InternalError)
          class: Capacity
          request id: REQ/1
          hint: no host has room for this shape right now: try again later, or use another availability domain or a smaller shape

        could not create virtual network `todo`: cidrBlocks must not be empty (400 InvalidParameter)
          class: Invalid
          request id: REQ/1
          hint: check the value that the message is about in the profile

        could not create virtual network `todo`: Authorization failed or requested resource not found (404 NotAuthorizedOrNotFound)
          class: Denied
          request id: REQ/1
          hint: check that the compartment exists and that a policy lets the user do this

        could not create virtual network `todo`: Please go to your home region PHX to execute CREATE, UPDATE and DELETE operations (403 NotAllowed)
          class: WrongRegion
          request id: REQ/1
          hint: use the region that the object is in; users, groups, compartments and policies change in the home region only

        could not read the virtual network …bcdefg: Authorization failed or requested resource not found (404 NotAuthorizedOrNotFound)
          class: NotFound
          request id: REQ/1
          hint: it may be deleted, in another region, or hidden from this user by policy

        could not read the virtual network …bcdefg: The VCN is associated with a subnet (409 Conflict)
          class: Conflict
          request id: REQ/1
          hint: something still uses it or works on it: run the same command again shortly

        could not read the virtual network …bcdefg: The resource has changed (412 NoEtagMatch)
          class: Precondition
          request id: REQ/1
          hint: somebody else changed it meanwhile: run the same command again

        could not read the virtual network …bcdefg: Too many requests for the user (429 TooManyRequests) (8 attempts in T)
          class: Throttled
          request id: REQ/1
          hint: it passes: run the same command again in a minute, it goes on from here

        could not read the virtual network …bcdefg: Try later (503 ServiceUnavailable) (8 attempts in T)
          class: Transient
          request id: REQ/1
          hint: it passes: run the same command again in a minute, it goes on from here

        could not read the virtual network …bcdefg: Failed to verify the HTTP(S) Signature (401 NotAuthenticated)
          class: NotAuthenticated { skew: None }
          request id: REQ/1
          hint: check user, tenancy and fingerprint in the OCI config, that the API key is still listed for the user, and that the tenancy uses the region eu-frankfurt-1; a session token is renewed with `oci session authenticate`

        could not read the virtual network …bcdefg: Authorization failed (403 NotAuthorized)
          class: Denied
          request id: REQ/1
          hint: check that the compartment exists and that a policy lets the user do this
        ");
    }

    /// A client that trusts nobody's certificates and waits for no answer long.
    fn wary(server: &Server) -> Client {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "another authority");
        let pem = params.self_signed(&rcgen::KeyPair::generate().unwrap());
        let base = url::Url::parse(&server.base()).unwrap();
        let options = Options {
            trust: Trust::Only(pem.unwrap().pem().into_bytes()),
            attempt_timeout: Some(Duration::from_millis(40)),
            ..Options::default()
        };
        let region = Region::parse("fra").unwrap();
        Client::new(
            &credentials(),
            region,
            Endpoints::all(base),
            fast_clock(),
            options,
        )
        .unwrap()
    }

    #[tokio::test]
    async fn no_answer_at_all_says_why_and_what_next() {
        let get = async |client: Client| client.network().get::<Vcn>(VCN).await.unwrap_err();
        let silent = Server::start([Act::Hang]).await;
        let deaf = Server::start([Act::Drop]).await;
        let strange = Server::start_tls(vec![Act::Hang]).await;
        let unseen = error(
            404,
            "NotAuthorizedOrNotFound",
            "Authorization failed or requested resource not found.",
        );
        let unseen = Server::start([unseen]).await;
        let clock = fast_clock();
        let young = client(&unseen, clock.clone());
        let young = young.creating(clock.deadline(Duration::from_mins(10)));
        let cases = [
            get(young).await,
            get(wary(&silent)).await,
            get(wary(&deaf)).await,
            get(wary(&strange)).await,
        ];
        let told: Vec<String> = cases.iter().map(told).collect();
        insta::with_settings!({filters => vec![(r"\(\d+ attempts", "(N attempts")]}, {
            insta::assert_snapshot!(told.join("\n\n"), @r"
        could not read the virtual network …bcdefg: Authorization failed or requested resource not found (404 NotAuthorizedOrNotFound) (N attempts in T)
          class: NotYetVisible
          request id: REQ/1
          hint: what was just created is not known everywhere yet, or a policy forbids this to the user: run the same command again in a minute, and look at the policies if it stays

        could not read the virtual network …bcdefg
          caused by: localhost:PORT did not answer in time (N attempts in T)
          class: Timeout
          request id: OUR-ID
          hint: run the same command again: it goes on from here

        could not read the virtual network …bcdefg
          caused by: localhost:PORT dropped the connection before its answer ended (N attempts in T)
          class: Transient
          request id: OUR-ID
          hint: run the same command again: it goes on from here

        could not read the virtual network …bcdefg
          caused by: no secure connection to localhost:PORT: its certificate is signed by nobody this machine trusts
          class: Tls
          request id: -
          hint: a proxy may be replacing certificates: give its CA as a PEM file in `OCI_CLI_CERT_BUNDLE`, or install `ca-certificates`
        ");
        });
    }

    #[tokio::test]
    async fn a_wrong_clock_is_told_by_how_much_and_in_which_direction() {
        let refusal = error(
            401,
            "NotAuthenticated",
            "The required information to complete authentication was not provided or was incorrect.",
        );
        let shifted = |seconds| {
            let now = crate::clock::Clock::default().now();
            http_date(now + SignedDuration::from_secs(seconds))
        };
        let hint = async |seconds| {
            let error = read(refusal.clone().with("date", &shifted(seconds))).await;
            error.hint().unwrap()
        };
        assert!(hint(-603).await.starts_with("this machine's clock is 10m0"));
        assert!(hint(-603).await.contains(" ahead: "));
        assert!(hint(7205).await.contains(" behind: "));
        assert!(hint(7205).await.contains("2h00m"));
        assert!(
            hint(3)
                .await
                .starts_with("check user, tenancy and fingerprint")
        );
    }

    #[tokio::test]
    async fn an_answer_of_somebody_else_is_shown_in_short() {
        let page = format!("<html>\n <title>Proxy</title>{}", "x".repeat(500));
        let error = read(reply(407, page).with("content-type", "text/html")).await;
        assert_eq!(error.class, Class::Bug);
        let text = error.to_string();
        assert!(
            text.contains("status 407, text/html: `<html> <title>Proxy</title>xxx"),
            "{text}"
        );
        assert!(text.len() < 300);
        assert!(
            error
                .hint()
                .unwrap()
                .contains("does not look like Oracle's answer")
        );

        let error = read(reply(200, "[\"not an object").with("opc-request-id", "R")).await;
        assert_eq!(error.class, Class::Bug);
        assert!(error.to_string().contains("the answer cannot be read: "));
        assert_eq!(error.request_id.as_deref(), Some("R"));
    }
}
