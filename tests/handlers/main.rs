//! Handlers on the memory backend, in paused time: arguments, routers, batches, requests, layers, bridges to tower.

mod batch;
mod extractors;
mod layers;
mod provider_fn;
mod request;
mod router;
#[path = "../worker/support.rs"]
#[expect(dead_code, reason = "the worker's tests use the rest")]
mod support;
mod tower_bridge;
