//! From a URL to a broker.

use std::pin::Pin;
use std::sync::Arc;

use swarrot_core::{Broker, BrokerUrl, Error, ErrorKind, Result};

/// Connects to the broker that a URL names.
///
/// | URL | broker | feature |
/// |---|---|---|
/// | `memory://`, `memory://name` | in this process: a new one, or the one of that name | `memory` |
/// | `amqp://user:password@host:5672/vhost`, `amqps://…` | RabbitMQ; several hosts are separated by commas | `amqp` |
/// | `redis://user:password@host:6379/0`, `rediss://…`, `redis+cluster://…`, `redis+sentinel://…`, `redis+unix://…` | Redis Streams | `redis` |
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) for a URL that is malformed or of an unknown scheme;
/// [`Unsupported`](ErrorKind::Unsupported) for a scheme whose feature is off, with the feature's name; what the broker
/// answers, such as [`AccessRefused`](ErrorKind::AccessRefused) or [`Connection`](ErrorKind::Connection). No error shows
/// the password.
///
/// # Cancel safety
/// Dropping the future ends the attempt.
pub async fn connect(url: &str) -> Result<Arc<dyn Broker>> {
    connect_to(&url.parse()?).await
}

type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Arc<dyn Broker>>> + Send + 'a>>;

/// As [`connect`], to a URL that is taken apart already.
///
/// Boxed: the futures of a backend are nested so deeply that the compiler gives up on whether a task that connects is `Send`,
/// a few futures further out.
pub(crate) fn connect_to(url: &BrokerUrl) -> Connecting<'_> {
    Box::pin(connect_by_scheme(url))
}

#[allow(clippy::unused_async, reason = "without a backend on a network there is nothing to wait for")]
async fn connect_by_scheme(url: &BrokerUrl) -> Result<Arc<dyn Broker>> {
    match url.scheme.as_str() {
        #[cfg(feature = "memory")]
        "memory" => Ok(Arc::new(swarrot_memory::MemoryBroker::connect(url)?)),
        #[cfg(feature = "amqp")]
        "amqp" | "amqps" => Ok(Arc::new(swarrot_amqp::AmqpBroker::connect(url).await?)),
        #[cfg(feature = "redis")]
        scheme if is_redis(scheme) => Ok(Arc::new(swarrot_redis::RedisBroker::connect(url).await?)),
        scheme => Err(unknown(scheme)),
    }
}

/// Whether [`connect`] knows a URL's scheme.
///
/// # Errors
/// As [`connect`] says it.
#[cfg(feature = "config")]
pub(crate) fn check_scheme(url: &BrokerUrl) -> Result<()> {
    let scheme = url.scheme.as_str();
    let built_in = match scheme {
        "memory" => cfg!(feature = "memory"),
        "amqp" | "amqps" => cfg!(feature = "amqp"),
        scheme => cfg!(feature = "redis") && is_redis(scheme),
    };
    if built_in { Ok(()) } else { Err(unknown(scheme)) }
}

fn is_redis(scheme: &str) -> bool {
    matches!(scheme.split('+').next(), Some("redis" | "rediss"))
}

/// What to do about a scheme that is not built in.
fn unknown(scheme: &str) -> Error {
    let feature = match scheme {
        "memory" => "memory",
        "amqp" | "amqps" => "amqp",
        scheme if is_redis(scheme) => "redis",
        _ => {
            let what = format!("unknown scheme {scheme:?}; known are memory, amqp, amqps, redis and rediss");
            return Error::new(ErrorKind::InvalidInput, what).with_operation("connect");
        }
    };
    let what = format!("{scheme}:// needs the feature {feature:?}; add it to swarrot's features in Cargo.toml");
    Error::new(ErrorKind::Unsupported, what).with_operation("connect")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unknown_scheme_names_the_known_ones() {
        let error = connect("kafka://u:hunter2@h").await.expect_err("no such backend");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            "connect: unknown scheme \"kafka\"; known are memory, amqp, amqps, redis and rediss"
        );
    }

    #[test]
    fn a_scheme_whose_feature_is_off_names_the_feature() {
        let error = unknown("amqps");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("needs the feature \"amqp\""), "{error}");
    }
}
