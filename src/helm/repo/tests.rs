//! Pulling against a scripted network.

use std::collections::BTreeMap;
use std::sync::Mutex;

use ::http::header::AUTHORIZATION;

use super::*;

type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

/// Answers by address; records what was asked and with which authorization.
#[derive(Default)]
struct Script {
    answers: BTreeMap<String, Answer>,
    /// Addresses that need this authorization, and the challenge otherwise.
    guard: Option<(String, String)>,
    asked: Mutex<Vec<(String, Option<String>)>>,
}

impl Script {
    fn answer(mut self, url: &str, body: impl Into<Vec<u8>>) -> Self {
        self.answers
            .insert(url.to_owned(), (200, Vec::new(), body.into()));
        self
    }

    fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(url, _)| url.clone()).collect()
    }
}

#[async_trait]
impl Fetch for Script {
    async fn get(&self, request: Request) -> Result<Response, FetchError> {
        let url = request.url.to_string();
        let authorization = request.headers.get(AUTHORIZATION);
        let authorization = authorization.map(|v| v.to_str().unwrap().to_owned());
        let mut asked = self.asked.lock().unwrap();
        asked.push((url.clone(), authorization.clone()));
        if let Some((wanted, challenge)) = &self.guard
            && url.contains("/v2/")
            && authorization.as_ref() != Some(wanted)
        {
            return Ok(Response {
                status: 401,
                headers: header(::http::header::WWW_AUTHENTICATE, challenge),
                body: Bytes::new(),
            });
        }
        let Some((status, headers, body)) = self.answers.get(&url) else {
            if url.contains("down.example.com") {
                return Err(FetchError::Unreachable {
                    url: Box::new(request.url),
                    source: "no route".into(),
                });
            }
            return Ok(Response {
                status: 404,
                headers: HeaderMap::new(),
                body: Bytes::new(),
            });
        };
        if body.len() as u64 > request.limit {
            return Err(FetchError::TooLarge {
                url: Box::new(request.url),
                limit: request.limit,
            });
        }
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        Ok(Response {
            status: *status,
            headers: map,
            body: body.clone().into(),
        })
    }
}

fn wanted(repository: &str, version: &str) -> Wanted {
    Wanted {
        repository: repository.to_owned(),
        name: "c".to_owned(),
        version: version.to_owned(),
        digest: None,
    }
}

fn index(digest: &str) -> String {
    format!(
        "{{\"entries\": {{\"c\": [{{\"version\": \"1.2.0\", \"digest\": \"{digest}\", \"urls\": [\"c-1.2.0.tgz\"]}}]}}}}"
    )
}

struct Setup {
    script: Arc<Script>,
    dir: tempfile::TempDir,
}

impl Setup {
    fn new(script: Script) -> Self {
        Self {
            script: Arc::new(script),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn puller(&self) -> Puller {
        Puller::new(self.script.clone(), Cache::at(self.dir.path()))
    }
}

fn http_setup(digest: &str) -> Setup {
    Setup::new(
        Script::default()
            .answer("https://e.com/r/index.yaml", index(digest))
            .answer("https://e.com/r/c-1.2.0.tgz", "packed"),
    )
}

#[tokio::test]
async fn a_pinned_chart_in_the_cache_needs_no_network() {
    let setup = http_setup("");
    let pulled = setup.puller().pull(&wanted("https://e.com/r", "^1")).await;
    let pulled = pulled.unwrap();
    assert_eq!(pulled.pin.version, "1.2.0");
    let before = setup.script.asked().len();
    let again = Wanted {
        version: pulled.pin.version.clone(),
        digest: Some(pulled.pin.digest.clone()),
        ..wanted("https://e.com/r", "")
    };
    assert_eq!(setup.puller().pull(&again).await.unwrap().packed, "packed");
    assert_eq!(setup.script.asked().len(), before);
}

#[tokio::test]
async fn a_wrong_digest_is_refused_and_not_cached() {
    let setup = http_setup(&"0".repeat(64));
    let error = setup.puller().pull(&wanted("https://e.com/r", "")).await;
    assert!(matches!(error, Err(RepoError::Digest { .. })));
    let pinned = Wanted {
        digest: Some("1".repeat(64)),
        ..wanted("https://e.com/r", "")
    };
    let setup = http_setup("");
    let error = setup.puller().pull(&pinned).await.unwrap_err();
    assert!(
        error.to_string().contains("is pinned to sha256:1111"),
        "{error}"
    );
    assert!(setup.puller().offline().pull(&pinned).await.is_err());
}

#[tokio::test]
async fn without_network_the_cache_serves_or_tells_what_it_has() {
    let setup = Setup::new(Script::default());
    let cache = Cache::at(setup.dir.path());
    for version in ["1.0.0", "1.2.0"] {
        let packed = format!("packed {version}");
        let pin = Pin {
            repository: "https://down.example.com".to_owned(),
            name: "c".to_owned(),
            version: version.to_owned(),
            digest: digest_of(packed.as_bytes()),
        };
        cache.store(&pin, packed.as_bytes()).unwrap();
    }
    let pull = async |version: &str| {
        let wanted = wanted("https://down.example.com", version);
        setup.puller().pull(&wanted).await
    };
    assert_eq!(pull("^1").await.unwrap().pin.version, "1.2.0");
    assert_eq!(pull("1.0.0").await.unwrap().packed, "packed 1.0.0");
    let error = pull("2.0.0").await.unwrap_err().to_string();
    assert_eq!(
        error,
        "c 2.0.0 is not in the cache and https://down.example.com is out of reach; cached versions of it: 1.0.0, 1.2.0"
    );
}

#[tokio::test]
async fn credentials_stay_with_the_repositorys_own_host() {
    let index = index("").replace("\"c-1.2.0.tgz\"", "\"https://cdn.e.com/c.tgz\"");
    let setup = Setup::new(
        Script::default()
            .answer("https://e.com/r/index.yaml", index)
            .answer("https://cdn.e.com/c.tgz", "packed"),
    );
    let puller = setup.puller().with_credentials(Credentials {
        username: "u".to_owned(),
        password: Secret::new("p"),
    });
    puller.pull(&wanted("https://e.com/r", "")).await.unwrap();
    let asked = setup.script.asked.lock().unwrap();
    assert_eq!(asked[0].1.as_deref(), Some("Basic dTpw"));
    assert_eq!(asked[1].1, None);
}

#[tokio::test]
async fn failures_of_the_server_name_the_address() {
    let setup = Setup::new(Script::default());
    let error = setup.puller().pull(&wanted("https://e.com/r", "")).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "https://e.com/r/index.yaml answered 404"
    );
    let error = setup.puller().pull(&wanted("ftp://e.com", "")).await;
    assert!(matches!(error, Err(RepoError::Address(_))));
}

const LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

fn registry() -> Script {
    let manifest = format!(
        "{{\"layers\": [{{\"mediaType\": \"{LAYER}\", \"digest\": \"{}\", \"size\": 6}}]}}",
        digest_of(b"packed")
    );
    let mut script = Script::default()
        .answer("https://reg.io/v2/o/c/manifests/1.2.0_b", manifest.clone())
        .answer(
            &format!("https://reg.io/v2/o/c/blobs/{}", digest_of(b"packed")),
            "packed",
        )
        .answer(
            "https://reg.io/v2/o/c/tags/list?last=x",
            r#"{"tags": ["1.2.0_b", "2.0.0-rc.1"]}"#,
        );
    let link = vec![(
        "link",
        "</v2/o/c/tags/list?last=x>; rel=\"next\"".to_owned(),
    )];
    let first = (200, link, br#"{"tags": ["1.0.0", "latest"]}"#.to_vec());
    script
        .answers
        .insert("https://reg.io/v2/o/c/tags/list".to_owned(), first);
    let digest = vec![("docker-content-digest", digest_of(manifest.as_bytes()))];
    script.answers.insert(
        format!(
            "https://reg.io/v2/o/c/manifests/{}",
            digest_of(manifest.as_bytes())
        ),
        (200, digest, manifest.into_bytes()),
    );
    script
}

#[tokio::test]
async fn a_range_picks_the_newest_tag_over_all_pages() {
    let setup = Setup::new(registry());
    let pulled = setup.puller().pull(&wanted("oci://reg.io/o", "1.x")).await;
    let pulled = pulled.unwrap();
    assert_eq!(pulled.pin.version, "1.2.0+b");
    assert_eq!(pulled.pin.digest, digest_of(b"packed"));
    let offline = setup.puller().offline();
    let again = offline.pull(&wanted("oci://reg.io/o", "1.2.0+b")).await;
    assert_eq!(again.unwrap().packed, "packed");
}

#[tokio::test]
async fn a_bearer_challenge_is_answered_once() {
    let mut script = registry().answer(
        "https://auth.io/token?service=reg&scope=repository%3Ao%2Fc%3Apull",
        r#"{"token": "t"}"#,
    );
    script.guard = Some((
        "Bearer t".to_owned(),
        "Bearer realm=\"https://auth.io/token\",service=\"reg\",scope=\"repository:o/c:pull\""
            .to_owned(),
    ));
    let setup = Setup::new(script);
    let wanted = wanted("oci://reg.io/o", "1.2.0+b");
    let pulled = setup.puller().pull(&wanted).await;
    assert_eq!(pulled.unwrap().packed, "packed");
    let tokens = setup.script.asked();
    assert_eq!(tokens.iter().filter(|u| u.contains("auth.io")).count(), 1);
}

#[tokio::test]
async fn basic_needs_credentials_and_a_token_server_needs_tls() {
    let mut script = registry();
    script.guard = Some(("Basic dTpw".to_owned(), "Basic realm=\"r\"".to_owned()));
    let setup = Setup::new(script);
    let wanted = wanted("oci://reg.io/o", "1.2.0+b");
    let error = setup.puller().pull(&wanted).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "oci://reg.io/o/c: the registry denies access"
    );
    let puller = setup.puller().with_credentials(Credentials {
        username: "u".to_owned(),
        password: Secret::new("p"),
    });
    assert!(puller.pull(&wanted).await.is_ok());

    let mut script = registry();
    let challenge = "Bearer realm=\"http://auth.io/token\"";
    script.guard = Some(("Bearer t".to_owned(), challenge.to_owned()));
    let setup = Setup::new(script);
    assert!(setup.puller().pull(&wanted).await.is_err());
    assert!(!setup.script.asked().iter().any(|u| u.contains("auth.io")));
}

#[tokio::test]
async fn manifests_and_layers_must_have_their_digests() {
    let good = setup_with(|_| {});
    let by_digest = wanted("oci://reg.io/o", &format!("@{}", good.1));
    assert!(good.0.puller().pull(&by_digest).await.is_ok());
    let swapped = setup_with(|script| {
        for (url, answer) in &mut script.answers {
            if url.contains("manifests/sha256") || url.contains("blobs/") {
                answer.2.push(b' ');
            }
        }
    });
    let error = swapped.0.puller().pull(&by_digest).await;
    assert!(matches!(error, Err(RepoError::Digest { .. })));
    let error = swapped
        .0
        .puller()
        .pull(&wanted("oci://reg.io/o", "1.2.0+b"))
        .await;
    assert!(matches!(error, Err(RepoError::Digest { .. })));
}

/// A registry, changed, and the digest of its manifest as it was.
fn setup_with(change: impl Fn(&mut Script)) -> (Setup, String) {
    let mut script = registry();
    let manifest = &script.answers["https://reg.io/v2/o/c/manifests/1.2.0_b"].2;
    let digest = digest_of(manifest);
    change(&mut script);
    (Setup::new(script), digest)
}
