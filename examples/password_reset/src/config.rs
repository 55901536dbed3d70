//! What the environment says.

use std::time::Duration;

use swarrot::BoxError;

/// What the environment says. Every variable has a default.
#[derive(Clone, Debug)]
pub struct Config {
    /// `BROKER_URL`: `memory://` unless told otherwise. It may hold a password: do not log it.
    pub broker_url: String,
    /// `SMTP_URL`: `smtp://127.0.0.1:2525` unless told otherwise; `smtps://user:password@host` for TLS.
    pub smtp_url: String,
    /// `HTTP_ADDR`: `127.0.0.1:8080` unless told otherwise.
    pub http_addr: String,
    /// `MAIL_FROM`: who sends the mails.
    pub from: String,
    /// `SITE_URL`: where the links in the mails lead.
    pub site_url: String,
    /// `QUEUE_PREFIX`: what the queues' names begin with, `mail` unless told otherwise.
    pub queue_prefix: String,
    /// `RETRY_DELAYS`: how long to wait before each further try, such as `30s,2m,10m,1h`.
    pub retry_delays: Vec<Duration>,
    /// `CONCURRENCY`: mails that are sent at once.
    pub concurrency: usize,
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// If a delay or number is malformed; the text names the variable.
    pub fn from_env() -> Result<Self, BoxError> {
        let var = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        Ok(Self {
            broker_url: var("BROKER_URL", "memory://"),
            smtp_url: var("SMTP_URL", "smtp://127.0.0.1:2525"),
            http_addr: var("HTTP_ADDR", "127.0.0.1:8080"),
            from: var("MAIL_FROM", "Accounts <accounts@example.org>"),
            site_url: var("SITE_URL", "http://127.0.0.1:8080"),
            queue_prefix: var("QUEUE_PREFIX", "mail"),
            retry_delays: parse_delays(&var("RETRY_DELAYS", "30s,2m,10m,1h"))?,
            concurrency: var("CONCURRENCY", "8").parse().map_err(|e| format!("CONCURRENCY: {e}"))?,
        })
    }
}

fn parse_delays(text: &str) -> Result<Vec<Duration>, BoxError> {
    let parse = |delay: &str| {
        humantime::parse_duration(delay.trim())
            .map_err(|e| format!("RETRY_DELAYS: {delay:?}: {e}; write 30s,2m").into())
    };
    text.split(',').filter(|delay| !delay.trim().is_empty()).map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays() {
        let expected = [Duration::from_secs(30), Duration::from_secs(120)];
        assert_eq!(parse_delays("30s, 2m").expect("well-formed"), expected);
        let error = parse_delays("30s,soon").expect_err("not a delay").to_string();
        assert!(error.starts_with("RETRY_DELAYS: \"soon\""), "{error}");
    }
}
