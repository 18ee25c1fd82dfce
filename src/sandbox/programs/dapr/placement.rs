//! Placement: where actors are. Nobody here has actors; sidecars only ask
//! whether it is there.

use async_trait::async_trait;
use http::StatusCode;
use serde_json::json;

use super::super::super::http::Reply;
use super::super::web::Server;
use super::super::{Exit, Process, Program};
use super::plane::Plane;

/// The image `dapr/placement`.
pub struct Placement;

#[async_trait]
impl Program for Placement {
    async fn run(&self, process: Process) -> Exit {
        let targets = ["placement-grpc-server", "placement-raft-leadership"];
        let Ok(mut plane) = Plane::start(&process, "dapr.placement", &targets).await else {
            return Exit::error(1);
        };
        if plane.trust_anchors().await.is_none() {
            return Exit::OK;
        }
        let Ok(server) = Server::bind(&process, 50005).await else {
            plane.log.fatal("failed to listen on :50005");
            return Exit::error(1);
        };
        plane.log.info("cluster leadership acquired");
        plane.targets.set("placement-raft-leadership", true);
        plane
            .log
            .info("Running placement gRPC server on port 50005");
        plane.targets.set("placement-grpc-server", true);
        plane.counts.set("dapr_placement_leader_status", 1.0);
        let counts = plane.counts.clone();
        plane
            .tasks
            .spawn(server.run(process.stop.clone(), move |_| {
                counts.add("dapr_placement_runtimes_total", 1.0);
                async { Reply::json(StatusCode::OK, &json!({"version": 1, "tables": {}})) }
            }));
        plane.until_stopped().await
    }
}
