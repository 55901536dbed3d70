//! What one connection does to another's users: calls that fail, and calls that nobody waits for any more.

mod support;

use support::{Bench, kind, unique};
use swarrot_core::{Broker as _, ErrorKind, ProviderOptions};

#[tokio::test]
async fn channels_that_the_server_closed_do_not_use_a_connection_up() {
    // As many as a connection has numbers for, and some more.
    const CHANNELS: usize = 2047 + 10;
    let bench = Bench::classic("numbers").await;
    for _ in 0..3 {
        let missing = bench.broker.provider(&unique("missing"), ProviderOptions::default()).await;
        assert_eq!(kind(missing), ErrorKind::NotFound);
    }
    for channel in 0..CHANNELS {
        bench.broker.ping().await.unwrap_or_else(|error| panic!("at channel {channel}: {error}"));
    }
    bench.end().await;
}
