//! Commands in containers, and attaching to them, over the channels of a
//! WebSocket (`v4` and `v5.channel.k8s.io`) or over SPDY streams.

use std::collections::HashMap;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::spdy::{self, Stream};
use super::websocket::{self, on_channel};
use super::{Place, container, refused, scheduled, switching, taken_over, upgrades_to};
use crate::sandbox::http::{Reply, Request};
use crate::sandbox::kube::request::Call;
use crate::sandbox::kube::status::{Outcome, Status};
use crate::sandbox::kubelet::{LogOptions, Output, RuntimeError};

const PROTOCOLS: &[&str] = &["v5.channel.k8s.io", "v4.channel.k8s.io"];
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;

/// What goes to the client: a channel and its data; the error channel is last.
type Lines = mpsc::Receiver<(u8, Vec<u8>)>;

/// Answers `…/pods/NAME/exec`.
pub(super) fn exec(call: Call) -> Outcome<Reply> {
    let pod = scheduled(&call)?;
    let container = container(&call, &pod)?;
    run_in(Place::of(&call, &pod)?, &container, call.request)
}

/// Runs the request's command in a container.
pub(in crate::sandbox) fn run_in(
    place: Place,
    container: &str,
    request: Request,
) -> Outcome<Reply> {
    let container = container.to_owned();
    let command: Vec<String> = request.params("command").map(str::to_owned).collect();
    if command.is_empty() {
        return Err(Status::bad_request("you must specify at least 1 command"));
    }
    let Place {
        kubelets,
        namespace,
        pod: name,
        ..
    } = place;
    let wanted = wanted(&request);
    let (sender, lines) = mpsc::channel(16);
    let run = async move {
        let done = kubelets.exec(&namespace, &name, &container, &command).await;
        let output = done.unwrap_or_else(|error| Output {
            stderr: format!("{error}\n").into_bytes(),
            code: 126,
            ..Output::default()
        });
        for (channel, data) in [(STDOUT, output.stdout), (STDERR, output.stderr)] {
            if !data.is_empty() && wanted.contains(&channel) {
                let _ = sender.send((channel, data)).await;
            }
        }
        let status = ended(&command, output.code);
        let _ = sender.send((ERROR, status.to_string().into_bytes())).await;
    };
    serve(request, lines, run)
}

/// Answers `…/pods/NAME/attach`: what the container says from now on.
pub(super) fn attach(call: Call) -> Outcome<Reply> {
    let pod = scheduled(&call)?;
    let container = container(&call, &pod)?;
    listen_to(Place::of(&call, &pod)?, &container, call.request)
}

/// Passes on what a container says from now on.
pub(in crate::sandbox) fn listen_to(
    place: Place,
    container: &str,
    request: Request,
) -> Outcome<Reply> {
    let container = container.to_owned();
    let Place {
        kubelets,
        namespace,
        pod: name,
        ..
    } = place;
    let options = LogOptions {
        follow: true,
        tail_lines: Some(0),
        ..LogOptions::default()
    };
    let (sender, lines) = mpsc::channel(16);
    let not_there = refused(&RuntimeError::NoPod(name.clone())).to_json();
    let run = async move {
        let said = kubelets.logs(&namespace, &name, &container, options).await;
        let status = match said {
            Ok(mut said) => {
                while let Some(data) = said.next().await {
                    if sender.send((STDOUT, data.to_vec())).await.is_err() {
                        return;
                    }
                }
                json!({"metadata": {}, "status": "Success"})
            }
            Err(_) => not_there,
        };
        let _ = sender.send((ERROR, status.to_string().into_bytes())).await;
    };
    serve(request, lines, run)
}

/// The output channels that the client wants.
fn wanted(request: &Request) -> Vec<u8> {
    let truth = |name: &str| matches!(request.param(name), Some("true" | "1"));
    // The last two are a kubelet's names for them.
    [
        ("stdout", STDOUT),
        ("stderr", STDERR),
        ("output", STDOUT),
        ("error", STDERR),
    ]
    .into_iter()
    .filter(|(name, _)| truth(name))
    .map(|(_, channel)| channel)
    .collect()
}

/// How a command ended, as the error channel says it.
fn ended(command: &[String], code: i32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!(
            "command terminated with non-zero exit code: error executing command [{}], exit code {code}",
            command.join(" ")
        ),
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

/// Runs `run` once the connection is taken over, and sends what it says.
fn serve(
    request: Request,
    lines: Lines,
    run: impl Future<Output = ()> + Send + 'static,
) -> Outcome<Reply> {
    if websocket::is_wanted(&request) {
        let Some(protocol) = websocket::protocol(&request, PROTOCOLS) else {
            return Err(Status::bad_request(
                "unable to upgrade: none of the subprotocols is supported",
            ));
        };
        let reply = websocket::accept(&request, Some(protocol));
        tokio::spawn(async move {
            if let Some(socket) = websocket::open(request).await {
                tokio::spawn(run);
                channels(socket, lines).await;
            }
        });
        return Ok(reply);
    }
    if !upgrades_to(&request, "SPDY/3.1") {
        return Err(Status::bad_request("Upgrade request required"));
    }
    tokio::spawn(async move {
        if let Some(io) = taken_over(request).await {
            let (opened, streams) = mpsc::unbounded_channel();
            tokio::spawn(answer(streams, lines, run));
            spdy::serve(io, move |stream| {
                let _ = opened.send(stream);
            })
            .await;
        }
    });
    Ok(switching("SPDY/3.1").with("x-stream-protocol-version", "v4.channel.k8s.io"))
}

async fn channels(mut socket: websocket::Socket, mut lines: Lines) {
    loop {
        tokio::select! {
            line = lines.recv() => {
                let Some((channel, data)) = line else { break };
                if socket.send(on_channel(channel, &data)).await.is_err() {
                    return;
                }
            }
            // Nobody reads what is typed.
            message = socket.next() => if !matches!(message, Some(Ok(_))) { return },
        }
    }
    websocket::close(socket).await;
}

/// Sends lines on the streams that the client opens for them.
async fn answer(
    mut opened: mpsc::UnboundedReceiver<Stream>,
    mut lines: Lines,
    run: impl Future<Output = ()> + Send + 'static,
) {
    let mut streams: HashMap<u8, Stream> = HashMap::new();
    tokio::spawn(run);
    while let Some((channel, data)) = lines.recv().await {
        while !streams.contains_key(&channel) {
            let Some(stream) = opened.recv().await else {
                return;
            };
            let kind = stream.headers.get("streamtype").map_or("", String::as_str);
            let kind = match kind {
                "stdin" => 0,
                "stdout" => STDOUT,
                "stderr" => STDERR,
                "resize" => 4,
                _ => ERROR,
            };
            streams.insert(kind, stream);
        }
        if let Some(stream) = streams.get(&channel) {
            stream.outgoing.send(&data).await;
        }
    }
    for (_, stream) in streams {
        stream.outgoing.finish().await;
    }
}
