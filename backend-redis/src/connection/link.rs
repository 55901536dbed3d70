//! A connection that several share, made when it is needed and made again when it broke.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, FromRedisValue, Pipeline, RedisFuture, ScriptInvocation, Value};
use swarrot_core::{Backoff, Error, Result};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::open::{open_cluster, open_master};
use crate::config::{Config, Mode};
use crate::error::{self, CallError};
use crate::scripts::Call;

/// A connection to one server, or to the nodes of a cluster.
#[derive(Clone)]
pub(crate) enum Conn {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Conn {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// A connection that several share. While the server is away, all of them together try again after a pause, not each.
pub(crate) struct Link {
    config: Arc<Config>,
    state: Mutex<State>,
    /// Tries that failed so far.
    failures: AtomicU64,
}

struct State {
    current: Option<Conn>,
    /// Counts connections, so that a late error of an earlier one does not end the present one. One to a cluster is another
    /// one once a connection to one of the nodes broke.
    epoch: u64,
    /// Connections to nodes of a cluster that broke, and how many of them the epoch counts already.
    breaks: Arc<AtomicU64>,
    breaks_counted: u64,
    backoff: Backoff,
    not_before: Option<Instant>,
    last_error: Option<Error>,
}

impl Link {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let state = State {
            current: None,
            epoch: 0,
            breaks: Arc::default(),
            breaks_counted: 0,
            backoff,
            not_before: None,
            last_error: None,
        };
        Self { config, state: Mutex::new(state), failures: AtomicU64::new(0) }
    }

    /// The connection; it is made if there is none. One try, after the pause that follows an earlier failure.
    pub(crate) async fn get(&self) -> Result<(u64, Conn)> {
        let failures = self.failures.load(Ordering::Relaxed);
        let mut state = self.state.lock().await;
        if let Some(current) = state.current.clone() {
            let breaks = state.breaks.load(Ordering::Relaxed);
            state.epoch += u64::from(breaks != state.breaks_counted);
            state.breaks_counted = breaks;
            return Ok((state.epoch, current));
        }
        // Others tried while this call waited for its turn.
        if let Some(error) = state.last_error.clone().filter(|_| self.failures.load(Ordering::Relaxed) != failures) {
            return Err(error);
        }
        if let Some(at) = state.not_before {
            sleep_until(at).await;
        }
        let made = match self.config.mode {
            Mode::Cluster => {
                (state.breaks, state.breaks_counted) = (Arc::default(), 0);
                open_cluster(&self.config, Arc::clone(&state.breaks)).await.map(Conn::Cluster)
            }
            _ => open_master(&self.config, self.config.timeout).await.map(|opened| Conn::Single(opened.connection)),
        };
        match made {
            Ok(connection) => {
                state.current = Some(connection.clone());
                state.epoch += 1;
                Ok((state.epoch, connection))
            }
            Err(error) => {
                state.failed(Some(error.clone()));
                self.failures.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// Runs a script.
    pub(crate) async fn script<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, CallError> {
        let (epoch, mut connection) = self.get().await.map_err(CallError::NotDone)?;
        let answer = script.invoke_async(&mut connection).await;
        self.judge(epoch, answer).await
    }

    /// Calls a script.
    pub(crate) async fn call<T: FromRedisValue>(&self, call: &Call) -> Result<T, CallError> {
        let connection = self.get().await.map_err(CallError::NotDone)?;
        self.call_on(connection, call).await
    }

    /// Calls a script on a connection from [`get`](Self::get).
    pub(crate) async fn call_on<T: FromRedisValue>(
        &self,
        (epoch, mut connection): (u64, Conn),
        call: &Call,
    ) -> Result<T, CallError> {
        let answer = call.invoke(&mut connection).await;
        self.judge(epoch, answer).await
    }

    /// Runs a command on a connection from [`get`](Self::get).
    pub(crate) async fn command_on<T: FromRedisValue>(
        &self,
        (epoch, mut connection): (u64, Conn),
        command: &Cmd,
    ) -> Result<T, CallError> {
        let answer = command.query_async(&mut connection).await;
        self.judge(epoch, answer).await
    }

    /// Runs a script that may be repeated; once more if the connection broke, since the next one mostly works.
    pub(crate) async fn ask<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T> {
        match self.script(script).await {
            Err(CallError::Unanswered(_)) => Ok(self.script(script).await?),
            answer => Ok(answer?),
        }
    }

    /// Runs a command that any node of a cluster can answer, and that may be repeated.
    pub(crate) async fn ask_any<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        match self.try_any(command).await {
            Err(CallError::Unanswered(_)) => Ok(self.try_any(command).await?),
            answer => Ok(answer?),
        }
    }

    /// Runs a command that may be repeated.
    pub(crate) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        match self.try_command(command).await {
            Err(CallError::Unanswered(_)) => Ok(self.try_command(command).await?),
            answer => Ok(answer?),
        }
    }

    async fn try_any<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, CallError> {
        let (epoch, connection) = self.get().await.map_err(CallError::NotDone)?;
        let answer = match connection {
            Conn::Single(mut connection) => command.query_async(&mut connection).await,
            Conn::Cluster(mut connection) => {
                let any = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
                let answer = connection.route_command(command.clone(), any).await;
                answer.and_then(Value::extract_error).and_then(|value| Ok(T::from_redis_value(value)?))
            }
        };
        self.judge(epoch, answer).await
    }

    async fn try_command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, CallError> {
        let connection = self.get().await.map_err(CallError::NotDone)?;
        self.command_on(connection, command).await
    }

    /// Lets go of the connection.
    pub(crate) async fn close(&self) {
        self.state.lock().await.current = None;
    }

    async fn judge<T>(&self, epoch: u64, answer: redis::RedisResult<T>) -> Result<T, CallError> {
        match answer {
            Ok(answer) => {
                // Only after an answer is it known that the server works.
                if let Ok(mut state) = self.state.try_lock()
                    && state.not_before.is_some()
                {
                    state.backoff.reset();
                    state.not_before = None;
                }
                Ok(answer)
            }
            Err(error) => {
                if error::ends_connection(&error) {
                    let mut state = self.state.lock().await;
                    if state.epoch == epoch && state.current.take().is_some() {
                        state.failed(None);
                    }
                }
                Err(CallError::of(error))
            }
        }
    }
}

impl State {
    fn failed(&mut self, error: Option<Error>) {
        self.not_before = Some(Instant::now() + self.backoff.next_delay());
        self.last_error = error;
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("config", &self.config).finish_non_exhaustive()
    }
}
