//! A TCP proxy that cuts, freezes, delays and refuses connections.
//!
//! ```
//! # use swarrot_conformance::proxy::{Direction, Proxy};
//! # #[tokio::main]
//! # async fn main() -> std::io::Result<()> {
//! # let broker = tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
//! let proxy = Proxy::start(broker).await?;
//! // Connect a client to `proxy.addr()`, and then:
//! proxy.cut_after_frames(Direction::ToServer, 3);
//! // The fourth frame of the client never arrives, and its connections are broken.
//! # Ok(())
//! # }
//! ```

mod connection;
mod counters;
mod frames;
mod resp;
mod rules;
mod server;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use self::counters::{Counters, Flow};
pub use self::rules::Direction;
pub use self::server::Proxy;
