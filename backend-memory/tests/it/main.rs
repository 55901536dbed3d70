//! The memory backend, area by area, on tokio's paused clock.

mod common;

mod basics;
mod connections;
mod delays;
mod faults;
mod limits;
mod model;
mod routing;
mod topology;
mod waiting;
