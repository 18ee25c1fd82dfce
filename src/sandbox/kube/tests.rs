//! The server under unmodified clients.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::Clock;

struct OneToken;

impl Authenticator for OneToken {
    fn authenticate(&self, _: &str, bearer: &str) -> Result<User, String> {
        let groups = match bearer {
            "admin" => vec![
                "system:masters".to_owned(),
                "system:authenticated".to_owned(),
            ],
            "nobody" => vec!["system:authenticated".to_owned()],
            _ => return Err("unknown token".to_owned()),
        };
        Ok(User {
            name: bearer.to_owned(),
            groups,
        })
    }
}

fn kubeconfig(endpoint: &Endpoint) -> String {
    use base64::Engine as _;
    let ca = base64::engine::general_purpose::STANDARD.encode(&endpoint.ca_pem);
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {{server: 'https://{}', certificate-authority-data: {ca}}}\nusers:\n- name: u\n  user: {{token: admin}}\ncontexts:\n- name: c\n  context: {{cluster: c, user: u}}\ncurrent-context: c\n",
        endpoint.address
    )
}

/// `cargo test --lib kube::tests::serve -- --ignored` serves a cluster whose
/// kubeconfig is `target/kube-dev/config`, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "serves until killed"]
async fn serve() {
    let dir = std::path::Path::new("target/kube-dev");
    let clock = Clock::new(1.0, CancellationToken::new());
    let world = Arc::new(World::open(&dir.join("state"), clock.clone(), 7).unwrap());
    let clusters = Clusters::new(world, Arc::new(OneToken));
    let endpoint = clusters.ensure("ocid1.cluster.dev").await.unwrap();
    crate::files::write_atomic(
        &dir.join("config"),
        kubeconfig(&endpoint).as_bytes(),
        crate::files::Access::Private,
    )
    .unwrap();
    std::future::pending::<()>().await;
}
