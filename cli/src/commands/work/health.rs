//! How a worker is, over HTTP: `/healthz`, `/inflight`, `/metrics`.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use axum::{Router, serve};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};
use swarrot::{Counts, Health, WorkerHandle};
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};

use crate::failure::{Failure, Result};

/// How often what was measured is put together.
const UPKEEP: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Served {
    worker: WorkerHandle,
    metrics: PrometheusHandle,
}

/// Serves it until the process ends.
///
/// # Errors
/// If the address cannot be had.
pub(crate) async fn start(address: SocketAddr, worker: WorkerHandle) -> Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| Failure::new(format!("cannot serve health on {address}: {error}; choose another --health")))?;
    let metrics = PrometheusBuilder::new()
        .install_recorder()
        .map_err(|error| Failure::new(format!("cannot keep metrics: {error}")))?;
    tokio::spawn(keep_up(metrics.clone()));
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/inflight", get(in_flight))
        .route("/metrics", get(prometheus))
        .with_state(Served { worker, metrics });
    tokio::spawn(async move {
        if let Err(error) = serve(listener, router).await {
            tracing::error!(%error, "health is not served any more");
        }
    });
    Ok(())
}

/// Each time that is measured is kept as it is until somebody puts them together, and nobody may ever ask for /metrics.
async fn keep_up(metrics: PrometheusHandle) {
    let mut ticks = interval(UPKEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

/// 503 for a worker that is deaf. One that stops is as it should be.
async fn healthz(State(served): State<Served>) -> impl IntoResponse {
    let health = served.worker.health();
    let stopping = served.worker.is_stopping();
    let is_well = stopping || health.is_healthy();
    let code = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(summary(&health, is_well, stopping)))
}

fn summary(health: &Health, is_well: bool, stopping: bool) -> Value {
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    json!({
        "healthy": is_well,
        "stopping": stopping,
        "queue": health.queue,
        "connection": format!("{:?}", health.connection).to_lowercase(),
        "last_receive_seconds": seconds(health.last_receive),
        "failing_seconds": seconds(health.failing.as_ref().map(|(since, _)| *since)),
        "error": health.failing.as_ref().map(|(_, error)| error.to_string()),
        "in_flight": health.in_flight.len(),
        "oldest_seconds": seconds(health.oldest()),
    })
}

async fn in_flight(State(served): State<Served>) -> Json<Value> {
    let health = served.worker.health();
    let messages = health.in_flight.iter().map(|message| {
        json!({
            "queue": message.queue,
            "id": message.message_id,
            "attempt": message.attempt,
            "age_seconds": message.age.as_secs_f64(),
        })
    });
    Json(messages.collect())
}

async fn prometheus(State(served): State<Served>) -> String {
    record(&served.worker.health());
    served.metrics.run_upkeep();
    served.metrics.render()
}

/// Counters of what the worker did, and gauges of how it is.
fn record(health: &Health) {
    let queue = health.queue.clone();
    let Counts {
        acked, retried, requeued, rejected, released, cancelled, lost, settle_failures, broker_errors, ..
    } = health.counts;
    for (outcome, n) in [
        ("acked", acked),
        ("retried", retried),
        ("requeued", requeued),
        ("rejected", rejected),
        ("released", released),
        ("cancelled", cancelled),
        ("lost", lost),
    ] {
        metrics::counter!("swarrot_messages_total", "queue" => queue.clone(), "outcome" => outcome).absolute(n);
    }
    metrics::counter!("swarrot_settle_failures_total", "queue" => queue.clone()).absolute(settle_failures);
    metrics::counter!("swarrot_broker_errors_total", "queue" => queue.clone()).absolute(broker_errors);
    let gauge = |name: &'static str, value: f64| metrics::gauge!(name, "queue" => queue.clone()).set(value);
    gauge("swarrot_healthy", if health.is_healthy() { 1.0 } else { 0.0 });
    gauge("swarrot_in_flight", f64::from(u32::try_from(health.in_flight.len()).unwrap_or(u32::MAX)));
    gauge("swarrot_oldest_in_flight_seconds", health.oldest().unwrap_or_default().as_secs_f64());
    if let Some(last) = health.last_receive {
        gauge("swarrot_last_receive_seconds", last.as_secs_f64());
    }
}
