//! How a connection is made.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use redis::aio::{MultiplexedConnection, SendError};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, PushInfo,
    PushKind, RedisConnectionInfo, RedisError, RedisResult, Value, cmd, pipe,
};
use swarrot_core::{Error, ErrorKind, Result};
use tokio::time::timeout;

use crate::config::{Config, Mode};
use crate::error;

/// After this time without an acknowledgement of what was sent, the system gives a connection up.
const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// A connection to one server.
pub(crate) struct Opened {
    pub(crate) connection: MultiplexedConnection,
    /// By which the server knows it; `None` if it does not tell.
    pub(crate) id: Option<i64>,
    /// Where it comes from, as the server sees it; `None` if it does not tell.
    pub(crate) peer: Option<String>,
    pub(crate) address: ConnectionAddr,
}

/// Connects to the master. `timeout` is for each answer.
pub(crate) async fn open_master(config: &Config, answer: Duration) -> Result<Opened> {
    match &config.mode {
        Mode::Unix(path) => open(config, &ConnectionAddr::Unix(path.into()), answer).await,
        Mode::Sentinel(master) => {
            let address = ask_sentinels(config, master).await?;
            let opened = open(config, &address, answer).await?;
            check_master(opened).await
        }
        Mode::Single | Mode::Cluster => {
            let mut last = None;
            for host in &config.hosts {
                let opened = open(config, &config.address(host), answer).await;
                match opened {
                    // With one host there is no choice; its errors speak for themselves.
                    Ok(opened) if config.hosts.len() == 1 || config.mode == Mode::Cluster => return Ok(opened),
                    Ok(opened) => match check_master(opened).await {
                        Ok(opened) => return Ok(opened),
                        Err(error) => last = Some(error),
                    },
                    Err(error) => last = Some(error),
                }
            }
            Err(last.unwrap_or_else(|| error::invalid("the URL names no host")))
        }
    }
}

/// Connects to the server that has this key.
pub(crate) async fn open_for_key(config: &Config, key: &str, answer: Duration) -> Result<Opened> {
    if config.mode != Mode::Cluster {
        return open_master(config, answer).await;
    }
    let mut any = open_master(config, config.timeout).await?;
    let (slot, slots): (u16, Vec<Value>) = pipe()
        .cmd("CLUSTER")
        .arg("KEYSLOT")
        .arg(key)
        .cmd("CLUSTER")
        .arg("SLOTS")
        .query_async(&mut any.connection)
        .await
        .map_err(error::from_redis)?;
    let (host, port) = owner(slot, &slots).ok_or_else(|| {
        Error::new(ErrorKind::Connection, "no node of the cluster has the queue at the moment; try again soon")
    })?;
    let host = match (host.as_str(), &any.address) {
        // A node that does not know its own address.
        ("", ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. }) => host.clone(),
        _ => host,
    };
    open(config, &config.address(&(host, port)), answer).await
}

/// Connects to the nodes of a cluster.
///
/// It mends connections to its nodes by itself, and counts in `breaks` each that broke.
pub(crate) async fn open_cluster(config: &Config, breaks: Arc<AtomicU64>) -> Result<ClusterConnection> {
    let nodes = config.hosts.iter().map(|host| info(config, &config.address(host))).collect::<RedisResult<Vec<_>>>();
    let mut builder = redis::cluster::ClusterClientBuilder::new(nodes.map_err(error::from_redis)?)
        // Mended connections are our own affair; what it repeats by itself is safe to repeat.
        .retries(3)
        .connection_timeout(config.connect_timeout)
        .response_timeout(config.timeout)
        .overall_response_timeout(Some(config.timeout * 2))
        .tcp_settings(tcp())
        // By the older protocol it does not tell.
        .use_protocol(ProtocolVersion::RESP3)
        .push_sender(move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                breaks.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, SendError>(())
        });
    if let Some(certificates) = &config.tls {
        choose_cryptography();
        builder = builder.certs(certificates.clone());
    }
    let client = builder.build().map_err(error::from_redis)?;
    match timeout(config.connect_timeout * 2, client.get_async_connection()).await {
        Ok(connection) => connection.map_err(error::from_redis),
        Err(_) => Err(error::no_answer()),
    }
}

/// Makes the connection with this id end its wait.
pub(crate) async fn unblock(config: &Config, address: &ConnectionAddr, id: i64) -> Result<()> {
    let mut opened = open(config, address, config.timeout).await?;
    let unblock = cmd("CLIENT").arg("UNBLOCK").arg(id).exec_async(&mut opened.connection).await;
    unblock.map_err(error::from_redis)
}

/// Connects to one server.
async fn open(config: &Config, address: &ConnectionAddr, answer: Duration) -> Result<Opened> {
    let opening = async {
        let info = info(config, address)?;
        let client = match (&config.tls, address) {
            (Some(certificates), ConnectionAddr::TcpTls { .. }) => {
                choose_cryptography();
                Client::build_with_tls(info, certificates.clone())?
            }
            _ => Client::open(info)?,
        };
        let options = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(Some(answer));
        let mut connection = client.get_multiplexed_async_connection_with_config(&options).await?;
        // A user without the right to these works without a name.
        let mut hello = pipe();
        hello.cmd("CLIENT").arg("SETNAME").arg(client_name(&config.name)).cmd("CLIENT").arg("ID");
        hello.cmd("CLIENT").arg("INFO").ignore_errors();
        let answers: Vec<Value> = hello.query_async(&mut connection).await?;
        let id = answers.get(1).and_then(|id| if let Value::Int(id) = id { Some(*id) } else { None });
        let peer = answers.get(2).and_then(peer);
        Ok::<_, RedisError>(Opened { connection, id, peer, address: address.clone() })
    };
    match timeout(config.connect_timeout, opening).await {
        Ok(opened) => opened.map_err(error::from_redis),
        Err(_) => Err(error::no_answer()),
    }
}

/// The address of the client, in an answer to `CLIENT INFO`.
fn peer(info: &Value) -> Option<String> {
    let info: String = redis::from_redis_value(info.clone()).ok()?;
    info.split(' ').find_map(|field| field.strip_prefix("addr=")).map(str::to_owned)
}

fn info(config: &Config, address: &ConnectionAddr) -> RedisResult<ConnectionInfo> {
    let mut settings = RedisConnectionInfo::default().set_db(config.db);
    if let Some(username) = &config.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &config.password {
        settings = settings.set_password(password.expose());
    }
    Ok(address.clone().into_connection_info()?.set_redis_settings(settings).set_tcp_settings(tcp()))
}

fn tcp() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(10));
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(USER_TIMEOUT);
    settings
}

/// rustls wants one choice for the whole process, and another client in it may have made another.
fn choose_cryptography() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that the choice was made.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The name as `CLIENT SETNAME` allows it: no spaces, nothing that does not print.
fn client_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() { c } else { '-' }).collect()
}

/// Where the master is, as the first sentinel says that knows it.
async fn ask_sentinels(config: &Config, master: &str) -> Result<ConnectionAddr> {
    let mut last = None;
    for host in &config.hosts {
        match ask_sentinel(config, host, master).await {
            Ok(Some(host)) => return Ok(config.address(&host)),
            Ok(None) => {
                let message = format!("the sentinels know no master {master:?}; mend ?master= in the URL");
                last = Some(Error::new(ErrorKind::NotFound, message));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| error::invalid("the URL names no sentinel")))
}

async fn ask_sentinel(config: &Config, host: &(String, u16), master: &str) -> Result<Option<(String, u16)>> {
    let asking = async {
        // User and password are those of the server; a sentinel has neither, as a rule.
        let address = config.address(host).into_connection_info()?.set_tcp_settings(tcp());
        let client = match &config.tls {
            Some(certificates) => {
                choose_cryptography();
                Client::build_with_tls(address, certificates.clone())?
            }
            None => Client::open(address)?,
        };
        let options = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(Some(config.timeout));
        let mut sentinel = client.get_multiplexed_async_connection_with_config(&options).await?;
        cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master).query_async(&mut sentinel).await
    };
    match timeout(config.connect_timeout, asking).await {
        Ok(answer) => answer.map_err(error::from_redis),
        Err(_) => Err(error::no_answer()),
    }
}

/// Fails for a server that says that it is a replica.
async fn check_master(mut opened: Opened) -> Result<Opened> {
    let role: RedisResult<Vec<Value>> = cmd("ROLE").query_async(&mut opened.connection).await;
    match role {
        Ok(role) if !matches!(role.first(), Some(Value::BulkString(role)) if role == b"master") => Err(Error::new(
            ErrorKind::Connection,
            "the server is a replica at the moment; the master is looked up again",
        )),
        Err(error) if error::ends_connection(&error) => Err(error::from_redis(error)),
        // A user without the right to ask sees it when it writes.
        Ok(_) | Err(_) => Ok(opened),
    }
}

/// The node that has a slot, in an answer to `CLUSTER SLOTS`.
fn owner(slot: u16, slots: &[Value]) -> Option<(String, u16)> {
    slots.iter().find_map(|range| {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = range.as_slice() else { return None };
        if !(*first..=*last).contains(&slot.into()) {
            return None;
        }
        let host = match master.first()? {
            Value::BulkString(host) => String::from_utf8_lossy(host).into_owned(),
            Value::Nil => String::new(),
            _ => return None,
        };
        let Value::Int(port) = master.get(1)? else { return None };
        Some((host, u16::try_from(*port).ok()?))
    })
}
