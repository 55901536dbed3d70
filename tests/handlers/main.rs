//! Handlers on the memory backend, in paused time: arguments, routers, batches, requests, layers, bridges to tower.

mod batch;
mod extractors;
mod layers;
mod provider_fn;
mod request;
mod router;
#[path = "../worker/support.rs"]
mod support;
mod tower_bridge;
