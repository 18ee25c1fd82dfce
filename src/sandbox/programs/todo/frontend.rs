//! The frontend: one page that talks to the backend below `/api` of its own
//! address. It proxies nothing; the ingress does the routing.

use async_trait::async_trait;
use http::StatusCode;
use serde_json::json;

use super::super::super::http::{Reply, Request};
use super::super::web::Server;
use super::super::{Exit, Process, Program, tag};

const PAGE: &str = include_str!("../../../../templates/sandbox/todo.html");

/// The image `todo-frontend`.
pub struct Frontend;

#[async_trait]
impl Program for Frontend {
    async fn run(&self, process: Process) -> Exit {
        let port = super::port(&process, 3000);
        let server = match Server::bind(&process, port).await {
            Ok(server) => server.faulty("app", &process),
            Err(error) => {
                process.log(&format!("Error: {error}"));
                return Exit::error(1);
            }
        };
        process.log(&format!("ready on http://0.0.0.0:{port}"));
        let version = tag(&process.image).to_owned();
        let handler = move |request: Request| {
            let version = version.clone();
            async move { answer(&request, &version) }
        };
        server.run(process.stop.clone(), handler).await;
        Exit::OK
    }
}

fn answer(request: &Request, version: &str) -> Reply {
    let (content_type, body) = match request.path.as_str() {
        "/" | "/index.html" => (
            "text/html; charset=utf-8",
            PAGE.replace("{{version}}", version),
        ),
        "/health" | "/api/health" => {
            let body = json!({"status": "ok", "service": "todo-frontend", "version": version});
            ("application/json", body.to_string())
        }
        _ => {
            return Reply::text(StatusCode::NOT_FOUND, "text/plain", "not found\n");
        }
    };
    Reply::text(StatusCode::OK, content_type, body)
}
