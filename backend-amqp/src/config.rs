//! From a URL to options.

use std::time::Duration;

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use swarrot_core::{BrokerUrl, Error, ErrorKind, Result, Secret};

/// The largest frame, and so the largest content header, that is offered to the server.
pub(crate) const FRAME_MAX: u32 = 131_072;
/// What a URL's query may hold.
const PARAMETERS: [&str; 7] =
    ["name", "heartbeat", "connect_timeout", "topology", "cacert", "client_cert", "client_key"];

/// What a broker's URL says.
pub(crate) struct Config {
    /// Nodes of one cluster.
    pub(crate) hosts: Vec<(String, u16)>,
    username: String,
    password: Secret,
    vhost: String,
    /// `Some` for `amqps`.
    pub(crate) tls: Option<OwnedTLSConfig>,
    /// The service's name, as the management UI shows it.
    pub(crate) name: String,
    heartbeat: u16,
    /// For one try to connect, handshakes included.
    pub(crate) connect_timeout: Duration,
    /// Topology is verified, never created.
    pub(crate) passive: bool,
}

impl Config {
    pub(crate) fn parse(url: &BrokerUrl) -> Result<Self> {
        url.check_query(&PARAMETERS)?;
        let (default_port, encrypted) = match url.scheme.as_str() {
            "amqp" => (5672, false),
            "amqps" => (5671, true),
            other => return Err(invalid(format!("the scheme {other:?} is not AMQP; use amqp:// or amqps://"))),
        };
        let mut hosts: Vec<_> =
            url.hosts.iter().map(|(host, port)| (host.clone(), port.unwrap_or(default_port))).collect();
        if hosts.is_empty() {
            hosts.push(("localhost".to_owned(), default_port));
        }
        let password = match (&url.username, &url.password) {
            (_, Some(password)) => password.clone(),
            // RabbitMQ's own default account.
            (None, None) => Secret::new("guest"),
            (Some(_), None) => Secret::default(),
        };
        let seconds = |name, default| match url.parameter(name) {
            None => Ok(default),
            Some(text) => text.parse::<u16>().map_err(|_| invalid(format!("{name} must be a number of seconds"))),
        };
        let connect_timeout = match seconds("connect_timeout", 10)? {
            0 => return Err(invalid("connect_timeout must be at least one second")),
            timeout => Duration::from_secs(timeout.into()),
        };
        let passive = match url.parameter("topology") {
            None | Some("active") => false,
            Some("passive") => true,
            Some(_) => return Err(invalid("topology is either active (the default) or passive")),
        };
        let name = url.parameter("name").map_or_else(executable_name, str::to_owned);
        Ok(Self {
            hosts,
            username: url.username.clone().unwrap_or_else(|| "guest".to_owned()),
            password,
            vhost: url.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned()),
            tls: tls(url, encrypted)?,
            name,
            heartbeat: seconds("heartbeat", 10)?,
            connect_timeout,
            passive,
        })
    }

    /// What lapin needs for one host. It shows its secrets: never format it.
    pub(crate) fn uri(&self, (host, port): &(String, u16)) -> AMQPUri {
        AMQPUri {
            // TLS is done by our own transport, below lapin.
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: self.username.clone(), password: self.password.expose().to_owned() },
                host: host.clone(),
                port: *port,
            },
            vhost: self.vhost.clone(),
            query: AMQPQueryString {
                frame_max: Some(FRAME_MAX),
                heartbeat: Some(self.heartbeat),
                ..AMQPQueryString::default()
            },
        }
    }

    /// Whether the password would cross a network in clear.
    pub(crate) fn exposes_credentials(&self) -> bool {
        let loopback = |host: &str| {
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        self.tls.is_none() && !self.hosts.iter().all(|(host, _)| loopback(host))
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("hosts", &self.hosts)
            .field("vhost", &self.vhost)
            .field("tls", &self.tls.is_some())
            .field("name", &self.name)
            .field("passive", &self.passive)
            .finish_non_exhaustive()
    }
}

fn tls(url: &BrokerUrl, encrypted: bool) -> Result<Option<OwnedTLSConfig>> {
    let files = ["cacert", "client_cert", "client_key"].map(|name| url.parameter(name));
    let read = |path: &str| {
        std::fs::read(path).map_err(|e| invalid(format!("the file {path:?} cannot be read")).with_source(e))
    };
    match (encrypted, files) {
        (false, [None, None, None]) => Ok(None),
        (false, _) => Err(invalid("cacert, client_cert and client_key need amqps://")),
        (true, [authority, certificate, key]) => {
            let cert_chain = authority
                .map(|path| String::from_utf8(read(path)?).map_err(|_| invalid("cacert must be a PEM file")))
                .transpose()?;
            let identity = match (certificate, key) {
                (None, None) => None,
                (Some(certificate), Some(key)) => {
                    Some(OwnedIdentity::PKCS8 { pem: read(certificate)?, key: read(key)? })
                }
                _ => return Err(invalid("client_cert and client_key go together")),
            };
            Ok(Some(OwnedTLSConfig { identity, cert_chain }))
        }
    }
}

fn executable_name() -> String {
    let path = std::env::current_exe().ok();
    let name = path.as_deref().and_then(std::path::Path::file_stem).map(std::ffi::OsStr::to_string_lossy);
    name.map_or_else(|| "swarrot".to_owned(), std::borrow::Cow::into_owned)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message).with_operation("parse URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Config> {
        Config::parse(&url.parse().expect(url))
    }

    #[test]
    fn defaults() {
        let config = parse("amqp://").expect("a URL");
        assert_eq!(config.hosts, [("localhost".to_owned(), 5672)]);
        assert_eq!((config.vhost.as_str(), config.username.as_str()), ("/", "guest"));
        assert!(!config.name.is_empty() && !config.passive && !config.exposes_credentials());
    }

    #[test]
    fn an_absent_and_an_empty_path_are_the_default_vhost() {
        for (url, vhost) in [("amqp://h", "/"), ("amqp://h/", "/"), ("amqp://h/%2F", "/"), ("amqp://h/mail", "mail")] {
            assert_eq!(parse(url).expect(url).vhost, vhost, "{url}");
        }
    }

    #[test]
    fn hosts_keep_their_addresses() {
        let config = parse("amqps://u:p@[fd00::1],h2:5673/v").expect("a URL");
        assert_eq!(config.hosts, [("fd00::1".to_owned(), 5671), ("h2".to_owned(), 5673)]);
        let uri = config.uri(&config.hosts[0]);
        assert_eq!((uri.authority.host.as_str(), uri.authority.port), ("fd00::1", 5671));
    }

    #[test]
    fn credentials_in_clear_are_noticed() {
        for (url, exposed) in [
            ("amqp://u:p@mq.example/", true),
            ("amqps://u:p@mq.example/", false),
            ("amqp://u:p@127.0.0.1,[::1]/", false),
            ("amqp://u:p@127.0.0.1,mq.example/", true),
        ] {
            assert_eq!(parse(url).expect(url).exposes_credentials(), exposed, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_shown() {
        for (url, part) in [
            ("amqp://u:hunter2@h/?heartbeat=x", "heartbeat"),
            ("amqp://u:hunter2@h/?topology=none", "topology"),
            ("amqp://u:hunter2@h/?cacert=ca.pem", "amqps"),
            ("amqps://u:hunter2@h/?cacert=/no/such/file", "/no/such/file"),
            ("amqps://u:hunter2@h/?client_cert=a.pem", "client_key"),
            ("redis://u:hunter2@h/", "redis"),
            ("amqp://u:hunter2@h/?prefetch=1", "prefetch"),
        ] {
            let error = parse(url).expect_err(url);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}");
            assert!(error.to_string().contains(part), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        assert!(!format!("{:?}", parse("amqp://u:hunter2@h/").expect("a URL")).contains("hunter2"));
    }
}
