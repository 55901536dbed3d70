//! How a memory broker should behave, from code or from a URL.

use std::time::Duration;

use swarrot_core::topology::check_name;
use swarrot_core::{BrokerUrl, Capabilities, Error, ErrorKind, RequeuePosition, Result};

use crate::broker::MemoryBroker;
use crate::error::invalid;

/// The name of the messaging system.
pub(crate) const SYSTEM: &str = "memory";
/// The longest delay of a publish or retry: 366 days.
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(366 * 24 * 3600);

/// Which sort of broker is modelled: real ones differ where a worker can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// As RabbitMQ: a delivery stays with its provider until the connection ends; a requeued message goes back to its place.
    #[default]
    Amqp,
    /// As Redis Streams: a delivery stays with its provider for the length of its lease; a requeued message goes behind all others.
    Streams {
        /// How long, unless it is extended. Less than a millisecond counts as one.
        lease: Duration,
    },
}

impl Profile {
    /// The lease of [`Profile::Streams`] unless a URL says otherwise.
    pub const DEFAULT_LEASE: Duration = Duration::from_secs(30);

    pub(crate) fn lease(self) -> Option<Duration> {
        match self {
            Self::Amqp => None,
            Self::Streams { lease } => Some(lease.max(Duration::from_millis(1))),
        }
    }

    pub(crate) fn capabilities(self) -> Capabilities {
        let mut can = Capabilities::NONE;
        can.system = SYSTEM;
        can.unroutable = true;
        can.ordered = true;
        can.delivery_count = true;
        can.requeue_position = match self {
            Self::Amqp => RequeuePosition::Head,
            Self::Streams { .. } => RequeuePosition::Tail,
        };
        can.max_priority = Some(u8::MAX);
        can.ttl = true;
        can.length_limit = true;
        can.lease = self.lease();
        can.browse = true;
        can.list = true;
        can.max_delay = Some(MAX_DELAY);
        can.dead_letter = true;
        can
    }
}

/// Options of a [`MemoryBroker`], by [`MemoryBroker::builder`].
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "call `build` to get the broker"]
pub struct Builder {
    pub(crate) profile: Profile,
    pub(crate) record: usize,
}

impl Builder {
    /// Sets which sort of broker is modelled: [`Profile::Amqp`].
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Keeps the last `messages` that were published, for [`MemoryBroker::published`]: 0.
    pub fn record_published(mut self, messages: usize) -> Self {
        self.record = messages;
        self
    }

    /// A fresh broker that shares nothing with others.
    pub fn build(self) -> MemoryBroker {
        MemoryBroker::from_builder(self)
    }
}

/// What a `memory://` URL says.
#[derive(Debug)]
pub(crate) struct UrlConfig {
    /// The name of a shared broker; `None` for a fresh one.
    pub(crate) name: Option<String>,
    /// `None` if the URL does not say.
    pub(crate) profile: Option<Profile>,
    /// Declarations only check that things exist.
    pub(crate) passive: bool,
}

impl UrlConfig {
    pub(crate) fn parse(url: &BrokerUrl) -> Result<Self> {
        Self::parse_parts(url).map_err(|error| error.with_operation("connect"))
    }

    fn parse_parts(url: &BrokerUrl) -> Result<Self> {
        if url.scheme != "memory" {
            let message = format!("the scheme {:?} is not memory://; choose the backend of that scheme", url.scheme);
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        if url.username.is_some() || url.password.is_some() {
            return Err(invalid("a memory broker has no users; leave user and password out"));
        }
        if url.path.as_deref().is_some_and(|path| !path.is_empty()) {
            return Err(invalid("a memory broker has no virtual hosts; leave the path out, such as memory://name"));
        }
        let name = match url.hosts.as_slice() {
            [] => None,
            [(name, None)] => Some(name.clone()),
            [(_, Some(_))] => return Err(invalid("a memory broker has no port; leave it out, such as memory://name")),
            _ => return Err(invalid("a memory broker has one name, such as memory://name")),
        };
        name.as_deref().map_or(Ok(()), check_name)?;
        url.check_query(&["profile", "lease", "topology"])?;
        let lease = url.parameter("lease").map(parse_duration).transpose()?;
        let profile = match (url.parameter("profile"), lease) {
            (None, None) => None,
            (Some("amqp"), None) => Some(Profile::Amqp),
            (Some("streams"), lease) => Some(Profile::Streams { lease: lease.unwrap_or(Profile::DEFAULT_LEASE) }),
            (None | Some("amqp"), Some(_)) => {
                return Err(invalid("only profile=streams has a lease; add it, or drop lease"));
            }
            (Some(other), _) => return Err(invalid(format!("unknown profile {other:?}; known are: amqp, streams"))),
        };
        let passive = match url.parameter("topology") {
            None | Some("active") => false,
            Some("passive") => true,
            Some(other) => return Err(invalid(format!("unknown topology {other:?}; known are: active, passive"))),
        };
        Ok(Self { name, profile, passive })
    }
}

/// A whole number and a unit: `500ms`, `30s`, `5m`, `1h`.
fn parse_duration(text: &str) -> Result<Duration> {
    let error = || invalid(format!("{text:?} is not a duration above zero; write one such as 500ms, 30s, 5m or 1h"));
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| error())?;
    let unit = match &text[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(error()),
    };
    match number.checked_mul(unit) {
        None | Some(0) => Err(error()),
        Some(millis) => Ok(Duration::from_millis(millis)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<UrlConfig> {
        UrlConfig::parse(&url.parse().expect("a URL"))
    }

    #[test]
    fn what_a_url_says() {
        let fresh = parse("memory://").expect("fine");
        assert_eq!((fresh.name, fresh.profile), (None, None));
        let named = parse("memory://tests?profile=streams&lease=500ms").expect("fine");
        assert_eq!(named.name.as_deref(), Some("tests"));
        assert_eq!(named.profile, Some(Profile::Streams { lease: Duration::from_millis(500) }));
        assert_eq!(parse("memory:///?profile=amqp").expect("fine").profile, Some(Profile::Amqp));
        let defaulted = parse("memory://?profile=streams").expect("fine").profile;
        assert_eq!(defaulted, Some(Profile::Streams { lease: Profile::DEFAULT_LEASE }));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (url, part) in [
            ("memory://a,b", "one name"),
            ("memory://a:1", "no port"),
            ("memory://u:p@a", "no users"),
            ("memory://a/vhost", "no virtual hosts"),
            ("memory://a%20b", "not allowed"),
            ("memory://?profil=amqp", "profil"),
            ("memory://?profile=redis", "redis"),
            ("memory://?topology=pasive", "pasive"),
            ("memory://?lease=3s", "profile=streams"),
            ("memory://?profile=streams&lease=3", "duration"),
            ("memory://?profile=streams&lease=0s", "above zero"),
            ("memory://?profile=streams&lease=18446744073709551615h", "duration"),
        ] {
            let error = parse(url).expect_err(url);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert!(error.to_string().contains(part), "{url}: {error}");
        }
        assert_eq!(parse("amqp://h").expect_err("another backend").kind(), ErrorKind::Unsupported);
    }
}
