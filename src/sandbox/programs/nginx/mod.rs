//! The NGINX Ingress Controller: routes the Ingresses of its class over the
//! pods' network, and writes into their status where it is reached.
//!
//! Its rules are those of F5's controller: a rule without a host is refused
//! unless it is allowed, one host belongs to one Ingress, and annotations of
//! the other NGINX controller mean nothing.

mod pages;
mod proxy;
mod routes;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use http::StatusCode;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::super::http::Reply;
use super::dapr::plane::{Counts, Targets, pause, webhook_certificate};
use super::follow::Follow;
use super::web::Server;
use super::{Exit, Process, Program, tag};
use routes::Table;

/// The image `nginx/nginx-ingress`.
pub struct Nginx;

/// What the controller's arguments say.
#[derive(Debug, Clone)]
struct Options {
    class: String,
    /// The Service whose addresses Ingresses show.
    service: Option<String>,
    /// Rules without a host are taken.
    empty_host: bool,
    /// The namespace that is watched; all if it is empty.
    namespace: String,
    ready_port: u16,
    metrics_port: u16,
    http_port: u16,
    https_port: u16,
    /// The path of the health page, if there is one.
    health: Option<String>,
    report: bool,
}

impl Options {
    fn of(process: &Process) -> Self {
        let value = |name: &str| {
            let mut args = process.args.iter();
            args.find_map(|arg| {
                let rest = arg.trim_start_matches('-').strip_prefix(name)?;
                match rest.strip_prefix('=') {
                    Some(value) => Some(value.to_owned()),
                    None => rest.is_empty().then(|| "true".to_owned()),
                }
            })
        };
        let is = |name: &str| value(name).as_deref() == Some("true");
        let port = |name: &str, otherwise| {
            value(name)
                .and_then(|port| port.parse().ok())
                .unwrap_or(otherwise)
        };
        let health = value("health-status-uri").unwrap_or_else(|| "/nginx-health".to_owned());
        Self {
            class: value("ingress-class").unwrap_or_else(|| "nginx".to_owned()),
            service: value("external-service").filter(|name| !name.is_empty()),
            empty_host: is("allow-empty-ingress-host"),
            namespace: value("watch-namespace").unwrap_or_default(),
            ready_port: port("ready-status-port", 8081),
            metrics_port: port("prometheus-metrics-listen-port", 9113),
            http_port: port("default-http-listener-port", 80),
            https_port: port("default-https-listener-port", 443),
            health: is("health-status").then_some(health),
            report: is("report-ingress-status"),
        }
    }
}

#[async_trait]
impl Program for Nginx {
    async fn run(&self, process: Process) -> Exit {
        let options = Options::of(&process);
        process.log(&format!(
            "NGINX Ingress Controller Version={}",
            tag(&process.image)
        ));
        let class = format!(
            "/apis/networking.k8s.io/v1/ingressclasses/{}",
            options.class
        );
        if let Err(error) = process.api.get(&class).await {
            process.log(&format!(
                "F Error when getting IngressClass {}: {}",
                options.class,
                error.message()
            ));
            return Exit::error(255);
        }
        match serve(&process, &options).await {
            Ok(()) => Exit::OK,
            Err(error) => {
                process.log(&format!("nginx: [emerg] {error}"));
                Exit::error(1)
            }
        }
    }
}

async fn serve(process: &Process, options: &Options) -> std::io::Result<()> {
    let (tables, table) = watch::channel(Arc::new(Table::default()));
    let (ready, counts) = (Targets::new(&["synced"]), Counts::default());
    let mut tasks = JoinSet::new();
    let proxy = proxy::Proxy::new(process, options.health.clone(), table, counts.clone());
    let plain = Server::bind(process, options.http_port).await?;
    let shared = proxy.clone();
    tasks.spawn(plain.run_streaming(process.stop.clone(), move |request| {
        let proxy = shared.clone();
        async move { proxy.answer(request, "http").await }
    }));
    // What the default server shows that has no certificate of its own.
    let certificate = webhook_certificate("NGINXIngressController", &process.namespace)?;
    let secure = Server::bind(process, options.https_port).await?;
    let secure = secure.with_tls(certificate.acceptor);
    tasks.spawn(secure.run_streaming(process.stop.clone(), move |request| {
        let proxy = proxy.clone();
        async move { proxy.answer(request, "https").await }
    }));
    let shared = ready.clone();
    tasks.spawn(Server::bind(process, options.ready_port).await?.run(
        process.stop.clone(),
        move |request| {
            let status = match (request.path.as_str(), shared.missing().is_empty()) {
                ("/nginx-ready", true) => StatusCode::OK,
                ("/nginx-ready", false) => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::NOT_FOUND,
            };
            async move { Reply::empty(status) }
        },
    ));
    tasks.spawn(Server::bind(process, options.metrics_port).await?.run(
        process.stop.clone(),
        move |_| {
            let text = counts.text();
            async move { Reply::text(StatusCode::OK, "text/plain; version=0.0.4", text) }
        },
    ));
    tokio::select! {
        () = process.stop.cancelled() => {}
        () = follow(process, options, &tables, &ready) => {}
    }
    // Connections are finished, as with `nginx -s quit`.
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Keeps the table as the cluster's objects say.
async fn follow(
    process: &Process,
    options: &Options,
    tables: &watch::Sender<Arc<Table>>,
    ready: &Targets,
) {
    let at = |group: &str, what: &str| match options.namespace.as_str() {
        "" => format!("/{group}/{what}"),
        namespace => format!("/{group}/namespaces/{namespace}/{what}"),
    };
    let ingresses = Follow::start(process, &at("apis/networking.k8s.io/v1", "ingresses"), "");
    let services = Follow::start(process, &at("api/v1", "services"), "");
    let slices = Follow::start(
        process,
        &at("apis/discovery.k8s.io/v1", "endpointslices"),
        "",
    );
    for follow in [&ingresses, &services, &slices] {
        follow.synced().await;
    }
    let mut told = Vec::new();
    loop {
        let ours: Vec<_> = ingresses
            .all()
            .into_iter()
            .filter(|ingress| routes::is_of_class(ingress, &options.class))
            .collect();
        let (services_now, slices_now) = (services.all(), slices.all());
        let (table, warnings) = Table::build(&ours, &services_now, &slices_now, options.empty_host);
        if warnings != told {
            for warning in &warnings {
                process.log(&format!("W {warning}"));
            }
            told = warnings;
        }
        tables.send_replace(Arc::new(table));
        ready.set("synced", true);
        if options.report {
            status::report(process, options, &ours, &services_now).await;
        }
        tokio::select! {
            () = ingresses.changed() => {}
            () = services.changed() => {}
            () = slices.changed() => {}
        }
        // A rollout changes several objects at once.
        if !pause(process, std::time::Duration::ZERO).await {
            return;
        }
    }
}
