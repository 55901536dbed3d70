//! What is in flight at a worker, from the health that it serves.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a worker may take to answer.
const PATIENCE: Duration = Duration::from_millis(900);
/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 4 << 20;

/// A message that a worker handles at the moment.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct InFlight {
    /// Where the worker is.
    #[serde(default)]
    pub(super) worker: String,
    pub(super) queue: String,
    pub(super) id: String,
    pub(super) attempt: u32,
    pub(super) age_seconds: f64,
}

/// What the worker at this address handles, the oldest first.
///
/// # Errors
/// Why it does not tell, in one line.
pub(super) async fn in_flight(address: &str) -> Result<Vec<InFlight>, String> {
    let asked = timeout(PATIENCE, ask(address)).await;
    let answer = asked.map_err(|_| format!("the worker at {address} does not answer"))?;
    let answer = answer.map_err(|error| format!("the worker at {address} cannot be asked: {error}"))?;
    let mut messages: Vec<InFlight> = serde_json::from_slice(&answer)
        .map_err(|_| format!("what is at {address} is no worker; it should be one with --health"))?;
    for message in &mut messages {
        address.clone_into(&mut message.worker);
    }
    Ok(messages)
}

async fn ask(address: &str) -> Result<Bytes, swarrot::BoxError> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/inflight").header("host", address).body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await?.to_bytes();
    connection.abort();
    Ok(body)
}
