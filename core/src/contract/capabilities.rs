//! What a backend can do.

use std::time::Duration;

/// What a provider, publisher or broker is and can do, read from the instance: server version and queue type decide.
///
/// Asking for what is not there returns [`Unsupported`](crate::ErrorKind::Unsupported); nothing is ever left out or made
/// weaker silently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states")]
pub struct Capabilities {
    /// The messaging system's name, as OpenTelemetry's conventions spell it (`messaging.system`), for spans and metrics;
    /// empty if it does not say, or if a provider is made of several that differ.
    pub system: &'static str,
    /// A publish that no queue would receive is an error.
    pub unroutable: bool,
    /// What is confirmed survives a restart of the broker.
    pub durable: bool,
    /// One provider that settles in order receives in the order of publishing.
    pub ordered: bool,
    /// The broker counts deliveries; see [`Delivery::delivery_count`](crate::Delivery::delivery_count).
    pub delivery_count: bool,
    /// Where a requeued message goes.
    pub requeue_position: RequeuePosition,
    /// The highest priority within a queue, where a queue can have priorities.
    pub max_priority: Option<u8>,
    /// Messages can expire.
    pub ttl: bool,
    /// A queue can have a length limit, beyond which it refuses messages.
    pub length_limit: bool,
    /// How long an unsettled delivery stays with its provider without [`extend`](crate::MessageProvider::extend).
    /// `None`: until the connection ends.
    pub lease: Option<Duration>,
    /// Messages can be looked at without taking them.
    pub browse: bool,
    /// The broker tells which queues it has.
    pub list: bool,
    /// The longest delay of a publish or retry; `None` where there are no delays.
    pub max_delay: Option<Duration>,
    /// A delay is rounded up to this share of itself, in per cent; 0 is exact.
    pub delay_grid_percent: u8,
    /// Rejected messages are parked.
    pub dead_letter: bool,
    /// The broker is reached over a network, so that a connection can break.
    pub network: bool,
}

/// Where a requeued message goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequeuePosition {
    /// Anywhere.
    #[default]
    Unspecified,
    /// To the place that it had, or to the head.
    Head,
    /// Behind all others.
    Tail,
}

impl Capabilities {
    /// Nothing at all, to build upon.
    pub const NONE: Self = Self {
        system: "",
        unroutable: false,
        durable: false,
        ordered: false,
        delivery_count: false,
        requeue_position: RequeuePosition::Unspecified,
        max_priority: None,
        ttl: false,
        length_limit: false,
        lease: None,
        browse: false,
        list: false,
        max_delay: None,
        delay_grid_percent: 0,
        dead_letter: false,
        network: false,
    };

    /// Each capability with its value in words, in the order of the README's table.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let yes = |there: bool| if there { "yes" } else { "no" }.to_owned();
        vec![
            ("unroutable publish is an error", yes(self.unroutable)),
            ("survives a broker restart", yes(self.durable)),
            ("in order (one provider)", yes(self.ordered)),
            ("broker counts deliveries", yes(self.delivery_count)),
            (
                "requeue goes to",
                match self.requeue_position {
                    RequeuePosition::Head => "head",
                    RequeuePosition::Tail => "tail",
                    RequeuePosition::Unspecified => "anywhere",
                }
                .to_owned(),
            ),
            ("priorities in a queue", self.max_priority.map_or("no".to_owned(), |max| format!("0 to {max}"))),
            ("messages expire", yes(self.ttl)),
            ("queue length limit", yes(self.length_limit)),
            ("lease, renewed while a handler runs", yes(self.lease.is_some())),
            ("look without taking", yes(self.browse)),
            ("tells which queues there are", yes(self.list)),
            ("delays", yes(self.max_delay.is_some())),
            ("dead letters", yes(self.dead_letter)),
        ]
    }
}
