//! What happens within the server, each as a whole: scripts in Lua. Each says what it takes and answers.
//!
//! Within a script what is new is written first and what is old is settled last, since a script that fails half-way is not
//! rolled back. None loops without a bound.

use std::sync::LazyLock;

use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, Script, ServerErrorKind, ToRedisArgs};

macro_rules! scripts {
    ($($name:ident = $($file:literal),+;)+) => {$(
        pub(crate) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!(include_str!("queue.lua"), $("\n", include_str!($file)),+)));
    )+};
}

scripts! {
    // Topology.
    DECLARE = "declare.lua";
    BIND = "bind.lua";
    UNBIND = "unbind.lua";
    ROUTES = "routes.lua";
    // Publishing.
    PUBLISH = "publish.lua";
    // Receiving.
    TEND = "tend.lua";
    SCAN = "scan.lua";
    ORPHANS = "orphans.lua";
    ADOPT = "fence.lua", "adopt.lua";
    SWEEP = "sweep.lua";
    LEAVE = "leave.lua";
    // Settling.
    ACK_OWN = "ack_own.lua";
    ACK = "fence.lua", "ack.lua";
    REQUEUE = "fence.lua", "requeue.lua";
    RELEASE = "fence.lua", "release.lua";
    EXTEND = "fence.lua", "extend.lua";
    MOVE = "fence.lua", "move.lua";
    // Recognising duplicates.
    CLAIM = "claim.lua";
    FREE = "free.lua";
    // Looking.
    STATS = "stats.lua";
    PEEK = "peek.lua";
    PURGE = "purge.lua";
}

/// A call of a script, as the command that is sent. For a script with many arguments: each is written once.
pub(crate) struct Call {
    script: &'static Script,
    command: Cmd,
}

impl Call {
    /// One that has no arguments yet, with room for so many, and so many bytes of them.
    pub(crate) fn new(script: &'static Script, keys: &[&str], arguments: usize, bytes: usize) -> Self {
        let names: usize = keys.iter().map(|key| key.len()).sum();
        let mut command = Cmd::with_capacity(3 + keys.len() + arguments, 64 + names + bytes);
        command.arg("EVALSHA").arg(script.get_hash()).arg(keys.len()).arg(keys);
        Self { script, command }
    }

    pub(crate) fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        self.command.arg(argument);
        self
    }

    /// Runs it; on a server that does not know the script, once more after it has been told.
    pub(crate) async fn invoke<T: FromRedisValue>(&self, connection: &mut impl ConnectionLike) -> RedisResult<T> {
        match self.command.query_async(connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.script.load_async(connection).await?;
                self.command.query_async(connection).await
            }
            answer => answer,
        }
    }
}
