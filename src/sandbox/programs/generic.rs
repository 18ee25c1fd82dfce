//! What an image does that no program is written for: it listens on its ports
//! and answers every HTTP request with 200, runs the few commands that people
//! use in examples, or just runs.
//!
//! Tags of the rehearsal make it misbehave: `crash` ends with code 1 and `oom`
//! is killed for its memory. (`missing`, `amd64-only` and `never-ready` are
//! the kubelet's business.)

use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Exit, Process, Program, tag};

/// How long a container lives that does nothing and is to end.
const SHORT: Duration = Duration::from_secs(1);
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n";

/// Any image.
pub struct Generic;

#[async_trait]
impl Program for Generic {
    async fn run(&self, process: Process) -> Exit {
        match tag(&process.image) {
            "crash" => {
                process.log("fatal: this image ends with code 1");
                wait(&process, SHORT).await;
                return Exit::error(1);
            }
            "oom" => {
                wait(&process, SHORT).await;
                return Exit {
                    code: 137,
                    reason: "OOMKilled",
                };
            }
            _ => {}
        }
        let args: Vec<&str> = process.args.iter().map(String::as_str).collect();
        if let Some(exit) = command(&process, &args).await {
            return exit;
        }
        if process.once && process.ports.is_empty() {
            wait(&process, SHORT).await;
            return Exit::OK;
        }
        serve(&process).await
    }
}

/// Waits in the world's time, or until the container is stopped.
async fn wait(process: &Process, time: Duration) {
    tokio::select! {
        () = process.stop.cancelled() => {}
        _ = process.world.clock.sleep(time) => {}
    }
}

/// Runs a command that is known; none if it is not.
async fn command(process: &Process, args: &[&str]) -> Option<Exit> {
    let name = args.first()?.rsplit('/').next()?;
    match (name, args.get(1..).unwrap_or_default()) {
        ("sh" | "bash" | "ash", ["-c" | "-ec" | "-exc", script, ..]) => {
            shell(process, script).await
        }
        ("echo", words) => {
            process.log(&words.join(" "));
            Some(Exit::OK)
        }
        ("true", _) => Some(Exit::OK),
        ("false", _) => Some(Exit::error(1)),
        ("sleep", [time, ..]) => {
            wait(process, seconds(time)?).await;
            Some(if process.stop.is_cancelled() {
                Exit::error(143)
            } else {
                Exit::OK
            })
        }
        _ => None,
    }
}

/// Runs a script of known commands one after the other. The first unknown one
/// ends the reading: the container goes on as if there were no script.
async fn shell(process: &Process, script: &str) -> Option<Exit> {
    for line in script.split([';', '\n']).flat_map(|line| line.split("&&")) {
        let words: Vec<&str> = line
            .split_whitespace()
            .map(|word| word.trim_matches(['"', '\'']))
            .collect();
        match words.as_slice() {
            [] => {}
            ["exit"] => return Some(Exit::OK),
            ["exit", code] => {
                return Some(match code.parse() {
                    Ok(0) => Exit::OK,
                    Ok(code) => Exit::error(code),
                    Err(_) => Exit::error(2),
                });
            }
            words => match Box::pin(command(process, words)).await? {
                Exit::OK => {}
                failed => return Some(failed),
            },
        }
    }
    Some(Exit::OK)
}

/// `5`, `0.5`, `5s`, `2m`, `infinity`.
fn seconds(text: &str) -> Option<Duration> {
    if text == "infinity" || text == "inf" {
        return Some(Duration::from_secs(u64::from(u32::MAX)));
    }
    let (number, factor) = match text.chars().next_back()? {
        's' => (text.trim_end_matches('s'), 1.0),
        'm' => (text.trim_end_matches('m'), 60.0),
        'h' => (text.trim_end_matches('h'), 3600.0),
        'd' => (text.trim_end_matches('d'), 86_400.0),
        _ => (text, 1.0),
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * factor).ok()
}

/// Serves all ports until it is stopped.
async fn serve(process: &Process) -> Exit {
    let mut servers = JoinSet::new();
    let mut bindings = Vec::new();
    for port in &process.ports {
        match process.listen(*port).await {
            Ok((listener, binding)) => {
                process.log(&format!("listening on port {port}"));
                bindings.push(binding);
                servers.spawn(accept(listener));
            }
            Err(error) => {
                process.log(&format!("fatal: {error}"));
                return Exit::error(1);
            }
        }
    }
    process.stop.cancelled().await;
    process.log("stopping");
    Exit::OK
}

async fn accept(listener: TcpListener) {
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        if let Ok((stream, _)) = listener.accept().await {
            open.spawn(answer(stream));
        }
    }
}

async fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut buffer = [0_u8; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < 65_536 {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => head.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
    }
    // A client that is gone has no use for the answer.
    let _ = stream.write_all(ANSWER).await;
    let _ = stream.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_are_read_as_the_shell_does() {
        let secs = |text: &str| seconds(text).map(|time| time.as_millis());
        assert_eq!(secs("5"), Some(5_000));
        assert_eq!(secs("0.5s"), Some(500));
        assert_eq!(secs("2m"), Some(120_000));
        assert_eq!(secs("x"), None);
    }
}
