//! What can be seen of workers and publishers from outside: spans, traces, figures, logs. On the memory backend.
#![expect(clippy::similar_names, reason = "what a publisher has published")]

mod fingers_crossed;
mod metrics;
mod otel;
mod publishing;
mod support;
mod trace;
