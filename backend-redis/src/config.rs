//! From a URL to options.

use std::fs;
use std::time::Duration;

use redis::{ClientTlsConfig, ConnectionAddr, TlsCertificates};
use swarrot_core::{BrokerUrl, Capabilities, Error, ErrorKind, RequeuePosition, Result, Secret};

/// The name of the messaging system.
pub(crate) const SYSTEM: &str = "redis";
/// The longest delay of a publish or retry: 366 days.
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(366 * 24 * 3600);
/// The lease unless a URL says otherwise.
pub(crate) const DEFAULT_LEASE: Duration = Duration::from_secs(30);
/// A shorter lease would leave no time to renew it.
const MIN_LEASE: Duration = Duration::from_millis(100);
/// What a URL's query may hold.
const PARAMETERS: [&str; 12] = [
    "name",
    "prefix",
    "lease",
    "connect_timeout",
    "timeout",
    "topology",
    "replicas",
    "db",
    "master",
    "cacert",
    "client_cert",
    "client_key",
];

/// What a broker's URL says.
pub(crate) struct Config {
    pub(crate) mode: Mode,
    /// Servers, or sentinels, or nodes of a cluster.
    pub(crate) hosts: Vec<(String, u16)>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) db: i64,
    /// `Some` for the `rediss` schemes.
    pub(crate) tls: Option<TlsCertificates>,
    /// The service's name, as `CLIENT LIST` shows it.
    pub(crate) name: String,
    /// What all keys begin with.
    pub(crate) prefix: String,
    pub(crate) lease: Duration,
    /// How long a delivery is left to its provider after a sign of life: longer than the lease, since it may have waited in
    /// the provider for a third of a lease before it was handed out.
    pub(crate) hold: Duration,
    /// For one try to connect, handshakes included.
    pub(crate) connect_timeout: Duration,
    /// For one answer.
    pub(crate) timeout: Duration,
    /// Topology is verified, never created.
    pub(crate) passive: bool,
    /// How many replicas have to have a message before it is confirmed.
    pub(crate) replicas: u32,
}

/// How the servers stand to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One server; of several hosts the first that is a master.
    Single,
    /// One server, through a socket at this path.
    Unix(String),
    /// Whichever server the sentinels call the master of this name.
    Sentinel(String),
    /// The nodes of a cluster.
    Cluster,
}

impl Config {
    pub(crate) fn parse(url: &BrokerUrl) -> Result<Self> {
        url.check_query(&PARAMETERS)?;
        let (mode, default_port, encrypted) = mode(url)?;
        let mut hosts: Vec<_> =
            url.hosts.iter().map(|(host, port)| (host.clone(), port.unwrap_or(default_port))).collect();
        if hosts.is_empty() && !matches!(mode, Mode::Unix(_)) {
            hosts.push(("localhost".to_owned(), default_port));
        }
        let lease = url.parameter("lease").map_or(Ok(DEFAULT_LEASE), |text| duration("lease", text))?;
        if lease < MIN_LEASE {
            return Err(invalid(format!("a lease must be at least {MIN_LEASE:?}")));
        }
        let passive = match url.parameter("topology") {
            None | Some("active") => false,
            Some("passive") => true,
            Some(_) => return Err(invalid("topology is either active (the default) or passive")),
        };
        let replicas = replicas(url, &mode)?;
        let prefix = url.parameter("prefix").unwrap_or("swarrot").to_owned();
        if prefix.is_empty() || !prefix.chars().all(|c| c.is_ascii_alphanumeric() || "._-:".contains(c)) {
            return Err(invalid("prefix must be letters, digits, '.', '_', '-' and ':'"));
        }
        Ok(Self {
            db: db(url, &mode)?,
            hold: lease + lease / 3,
            mode,
            hosts,
            username: url.username.clone().filter(|name| !name.is_empty()),
            password: url.password.clone(),
            tls: tls(url, encrypted)?,
            name: url.parameter("name").map_or_else(executable_name, str::to_owned),
            prefix,
            lease,
            connect_timeout: url
                .parameter("connect_timeout")
                .map_or(Ok(Duration::from_secs(5)), |text| duration("connect_timeout", text))?,
            timeout: url.parameter("timeout").map_or(Ok(Duration::from_secs(10)), |text| duration("timeout", text))?,
            passive,
            replicas,
        })
    }

    /// What a broker with this lease can do; `durable`: the server writes an append-only file.
    pub(crate) fn capabilities(lease: Duration, durable: bool) -> Capabilities {
        let mut can = Capabilities::NONE;
        can.system = SYSTEM;
        can.unroutable = true;
        can.durable = durable;
        can.ordered = true;
        can.delivery_count = true;
        can.requeue_position = RequeuePosition::Tail;
        can.length_limit = true;
        can.lease = Some(lease);
        can.browse = true;
        can.list = true;
        can.max_delay = Some(MAX_DELAY);
        can.dead_letter = true;
        can.network = true;
        can
    }

    /// Where the URL says that the server is, or those who know it.
    pub(crate) fn place(&self) -> String {
        if let Mode::Unix(path) = &self.mode {
            return path.clone();
        }
        let hosts: Vec<_> = self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        hosts.join(",")
    }

    /// Where one of the hosts is.
    pub(crate) fn address(&self, (host, port): &(String, u16)) -> ConnectionAddr {
        match &self.tls {
            None => ConnectionAddr::Tcp(host.clone(), *port),
            Some(_) => ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None },
        }
    }

    /// Whether the password would cross a network in clear.
    pub(crate) fn exposes_credentials(&self) -> bool {
        let loopback = |host: &str| {
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        self.password.is_some() && self.tls.is_none() && !self.hosts.iter().all(|(host, _)| loopback(host))
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("mode", &self.mode)
            .field("hosts", &self.hosts)
            .field("db", &self.db)
            .field("tls", &self.tls.is_some())
            .field("name", &self.name)
            .field("prefix", &self.prefix)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// How the servers stand to each other, their default port, and whether they are reached through TLS.
fn mode(url: &BrokerUrl) -> Result<(Mode, u16, bool)> {
    let (kind, encrypted) = match url.scheme.as_str() {
        "redis" => ("", false),
        "rediss" => ("", true),
        scheme => match scheme.split_once('+') {
            Some(("redis", kind)) => (kind, false),
            Some(("rediss", kind)) => (kind, true),
            _ => return Err(unknown_scheme(scheme)),
        },
    };
    let mode = match (kind, url.parameter("master")) {
        ("sentinel", Some(master)) if !master.is_empty() => {
            return Ok((Mode::Sentinel(master.to_owned()), 26379, encrypted));
        }
        ("sentinel", _) => return Err(invalid("sentinels need to know which master: add ?master=name")),
        (_, Some(_)) => return Err(invalid("master is for redis+sentinel://")),
        ("", None) => Mode::Single,
        ("cluster", None) => Mode::Cluster,
        ("unix", None) if !encrypted => {
            if !url.hosts.is_empty() {
                return Err(invalid("a socket has no host: write redis+unix:///path/of/the.sock"));
            }
            let path = url.path.as_deref().filter(|path| !path.is_empty());
            let path = path.ok_or_else(|| invalid("no socket is named: write redis+unix:///path/of/the.sock"))?;
            Mode::Unix(format!("/{path}"))
        }
        _ => return Err(unknown_scheme(&url.scheme)),
    };
    Ok((mode, 6379, encrypted))
}

fn unknown_scheme(scheme: &str) -> Error {
    invalid(format!(
        "the scheme {scheme:?} is not Redis; use redis://, rediss://, redis+cluster://, redis+sentinel:// or redis+unix://"
    ))
}

/// The number of the database: the path, or `db` where the path is a socket's.
fn db(url: &BrokerUrl, mode: &Mode) -> Result<i64> {
    let path = if matches!(mode, Mode::Unix(_)) { None } else { url.path.as_deref().filter(|path| !path.is_empty()) };
    let text = match (path, url.parameter("db")) {
        (Some(_), Some(_)) => return Err(invalid("the database is named twice: in the path and by db")),
        (path, parameter) => path.or(parameter),
    };
    let db = text.map_or(Ok(0), |text| {
        text.parse::<u16>().map_err(|_| invalid("the database must be a number, such as redis://host/0"))
    })?;
    if db != 0 && *mode == Mode::Cluster {
        return Err(invalid("a cluster has no databases; leave the path out"));
    }
    Ok(db.into())
}

/// How many replicas have to have a message. The nodes of a cluster cannot be asked: a client that mends the connections to them by
/// itself does not tell whether it wrote and asked over the same one.
fn replicas(url: &BrokerUrl, mode: &Mode) -> Result<u32> {
    let Some(text) = url.parameter("replicas") else { return Ok(0) };
    if *mode == Mode::Cluster {
        return Err(invalid("replicas is for one server and for sentinels, not for a cluster"));
    }
    text.parse().map_err(|_| invalid("replicas must be a number, such as 1"))
}

fn tls(url: &BrokerUrl, encrypted: bool) -> Result<Option<TlsCertificates>> {
    let files = ["cacert", "client_cert", "client_key"].map(|name| url.parameter(name));
    let read =
        |path: &str| fs::read(path).map_err(|e| invalid(format!("the file {path:?} cannot be read")).with_source(e));
    match (encrypted, files) {
        (false, [None, None, None]) => Ok(None),
        (false, _) => Err(invalid("cacert, client_cert and client_key need rediss://")),
        (true, [authority, certificate, key]) => {
            let client_tls = match (certificate, key) {
                (None, None) => None,
                (Some(certificate), Some(key)) => {
                    Some(ClientTlsConfig { client_cert: read(certificate)?, client_key: read(key)? })
                }
                _ => return Err(invalid("client_cert and client_key go together")),
            };
            Ok(Some(TlsCertificates { client_tls, root_cert: authority.map(read).transpose()? }))
        }
    }
}

/// A whole number and a unit: `500ms`, `30s`, `5m`, `1h`.
fn duration(name: &str, text: &str) -> Result<Duration> {
    let error = || invalid(format!("{name} must be a duration above zero, such as 500ms, 30s, 5m or 1h"));
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
        Some(millis @ 1..=86_400_000) => Ok(Duration::from_millis(millis)),
        Some(0) | None => Err(error()),
        Some(_) => Err(invalid(format!("{name} can be at most 24h"))),
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
        let config = parse("redis://").expect("a URL");
        assert_eq!(config.hosts, [("localhost".to_owned(), 6379)]);
        assert_eq!((config.db, config.lease, config.prefix.as_str()), (0, DEFAULT_LEASE, "swarrot"));
        assert!(!config.name.is_empty() && !config.passive && !config.exposes_credentials());
    }

    #[test]
    fn how_the_servers_stand_to_each_other() {
        for (url, mode) in [
            ("redis://a,b:1/3", Mode::Single),
            ("rediss://a", Mode::Single),
            ("redis+cluster://a,b", Mode::Cluster),
            ("rediss+sentinel://a?master=m", Mode::Sentinel("m".to_owned())),
            ("redis+unix:///run/redis.sock?db=2", Mode::Unix("/run/redis.sock".to_owned())),
        ] {
            let config = parse(url).expect(url);
            assert_eq!(config.mode, mode, "{url}");
            assert_eq!(config.tls.is_some(), url.starts_with("rediss"), "{url}");
        }
        assert_eq!(parse("redis+sentinel://a?master=m").expect("a URL").hosts[0].1, 26379);
        assert_eq!(parse("redis+unix:///run/redis.sock?db=2").expect("a URL").db, 2);
        assert_eq!(parse("redis://:pw@h/3?lease=500ms").expect("a URL").db, 3);
        assert_eq!(parse("redis+sentinel://a?master=m&replicas=2").expect("a URL").replicas, 2);
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_shown() {
        for (url, part) in [
            ("redis://u:hunter2@h/x", "database"),
            ("redis://u:hunter2@h/1?db=1", "twice"),
            ("redis+cluster://u:hunter2@h/1", "no databases"),
            ("redis+sentinel://u:hunter2@h", "master"),
            ("redis://u:hunter2@h?master=m", "sentinel"),
            ("redis+unix://u:hunter2@h/path", "no host"),
            ("redis+unix://u:hunter2@", "socket"),
            ("redis+tcp://u:hunter2@h", "redis+tcp"),
            ("amqp://u:hunter2@h", "amqp"),
            ("redis://u:hunter2@h?lease=30", "lease"),
            ("redis://u:hunter2@h?lease=1ms", "at least"),
            ("redis://u:hunter2@h?lease=100h", "at most"),
            ("redis://u:hunter2@h?prefix={a}", "prefix"),
            ("redis://u:hunter2@h?topology=none", "topology"),
            ("redis://u:hunter2@h?replicas=all", "replicas"),
            ("redis+cluster://u:hunter2@h?replicas=1", "not for a cluster"),
            ("redis://u:hunter2@h?cacert=ca.pem", "rediss"),
            ("rediss://u:hunter2@h?cacert=/no/such/file", "/no/such/file"),
            ("rediss://u:hunter2@h?client_cert=a.pem", "client_key"),
            ("redis://u:hunter2@h?prefetch=1", "prefetch"),
        ] {
            let error = parse(url).expect_err(url);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}");
            assert!(error.to_string().contains(part), "{url}: {error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        assert!(!format!("{:?}", parse("redis://u:hunter2@h/").expect("a URL")).contains("hunter2"));
    }

    #[test]
    fn credentials_in_clear_are_noticed() {
        for (url, exposed) in [
            ("redis://u:p@redis.example", true),
            ("rediss://u:p@redis.example", false),
            ("redis://redis.example", false),
            ("redis://u:p@127.0.0.1,[::1]", false),
            ("redis+unix://u:p@/run/redis.sock", false),
        ] {
            assert_eq!(parse(url).expect(url).exposes_credentials(), exposed, "{url}");
        }
    }
}
