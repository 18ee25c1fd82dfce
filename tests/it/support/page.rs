//! Asking for pages as a browser does, for as long as a test likes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Env, now};

/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// No test asks more often than that.
const MOST: usize = 40_000;

/// Where the app of an environment is: `127.x.y.z:8080`.
pub(crate) fn address(env: &Env) -> String {
    let status: serde_json::Value =
        serde_json::from_str(&env.ok(&["status", "-o", "json"])).unwrap();
    let url = status["url"].as_str().unwrap().to_owned();
    url.strip_prefix("http://").unwrap().to_owned()
}

/// The status line and the rest of an answer.
pub(crate) fn get(address: &str, path: &str) -> std::io::Result<(String, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (status, rest) = answer.split_once("\r\n").unwrap_or_default();
    Ok((status.to_owned(), rest.to_owned()))
}

/// Somebody who asks for a page again and again.
pub(crate) struct Visitor {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Vec<String>)>,
}

impl Visitor {
    /// Asks two hundred times a second, or as often as the machine can.
    pub(crate) fn new(address: &str, path: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, address) = (stop.clone(), address.to_owned());
        let thread = std::thread::spawn(move || {
            let began = now();
            let (mut asked, mut failed) = (0, Vec::new());
            let mut next = now();
            while !told.load(Ordering::Relaxed) && asked < MOST {
                asked += 1;
                match get(&address, path) {
                    Ok((status, _)) if status.starts_with("HTTP/1.1 200") => {}
                    Ok((status, _)) => failed.push(format!("request {asked}: {status}")),
                    Err(error) => failed.push(format!("request {asked}: {error}")),
                }
                next += Duration::from_millis(5);
                std::thread::park_timeout(next.saturating_duration_since(now()));
            }
            let rate = asked as f64 / began.elapsed().as_secs_f64();
            println!("asked {asked} times, {rate:.0} a second");
            (asked, failed)
        });
        Self { stop, thread }
    }

    /// How many requests were made, and those that failed.
    pub(crate) fn leave(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
