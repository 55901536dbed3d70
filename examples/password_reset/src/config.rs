//! What the environment says.

use std::time::Duration;

use swarrot::{BoxError, Secret};

/// What the environment says. Every variable has a default.
#[derive(Clone, Debug)]
pub struct Config {
    /// `BROKER_URL`: `memory://` unless told otherwise.
    pub broker_url: Secret,
    /// `SMTP_URL`: `smtp://127.0.0.1:2525` unless told otherwise, without TLS. `smtps://user:password@host` is with TLS,
    /// `smtp://user:password@host?tls=required` with STARTTLS.
    pub smtp_url: Secret,
    /// `HTTP_ADDR`: `127.0.0.1:8080` unless told otherwise.
    pub http_addr: String,
    /// `MAIL_FROM`: who sends the mails.
    pub from: String,
    /// `SITE_URL`: where the links in the mails lead.
    pub site_url: String,
    /// `QUEUE_PREFIX`: what the queues' names begin with, `mail` unless told otherwise.
    pub queue_prefix: String,
    /// `RETRY_DELAYS`: how long to wait before each further try, `30s,2m,10m,1h` unless told otherwise. Each wait is a
    /// little shorter, so that mails that failed together do not come back together.
    pub retry_delays: Vec<Duration>,
    /// `MAIL_TIMEOUT`: how long the mail server may take for one mail, `2m` unless told otherwise. A server that takes the
    /// mail and says so later than this gets it again.
    pub mail_timeout: Duration,
    /// `CONCURRENCY`: mails that are sent at once, 8 unless told otherwise.
    pub concurrency: usize,
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// If a time or number is malformed; the text names the variable.
    pub fn from_env() -> Result<Self, BoxError> {
        let var = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        let retry_delays = var("RETRY_DELAYS", "30s,2m,10m,1h");
        let retry_delays = retry_delays.split(',').filter(|delay| !delay.trim().is_empty());
        Ok(Self {
            broker_url: Secret::new(var("BROKER_URL", "memory://")),
            smtp_url: Secret::new(var("SMTP_URL", "smtp://127.0.0.1:2525")),
            http_addr: var("HTTP_ADDR", "127.0.0.1:8080"),
            from: var("MAIL_FROM", "Accounts <accounts@example.org>"),
            site_url: var("SITE_URL", "http://127.0.0.1:8080"),
            queue_prefix: var("QUEUE_PREFIX", "mail"),
            retry_delays: retry_delays.map(|delay| time("RETRY_DELAYS", delay)).collect::<Result<_, _>>()?,
            mail_timeout: time("MAIL_TIMEOUT", &var("MAIL_TIMEOUT", "2m"))?,
            concurrency: var("CONCURRENCY", "8").parse().map_err(|e| format!("CONCURRENCY: {e}"))?,
        })
    }
}

fn time(name: &str, text: &str) -> Result<Duration, BoxError> {
    humantime::parse_duration(text.trim()).map_err(|e| format!("{name}: {text:?}: {e}; write 30s or 2m").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time("MAIL_TIMEOUT", " 2m").expect("well-formed"), Duration::from_secs(120));
        let error = time("RETRY_DELAYS", "soon").expect_err("not a time").to_string();
        assert!(error.starts_with("RETRY_DELAYS: \"soon\""), "{error}");
    }

    #[test]
    fn passwords_are_not_shown() {
        let config = Config {
            broker_url: Secret::new("amqp://guest:hunter2@localhost/"),
            smtp_url: Secret::new("smtps://guest:hunter2@localhost"),
            ..Config::from_env().expect("the defaults")
        };
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    }
}
