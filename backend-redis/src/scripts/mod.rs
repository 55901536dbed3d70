//! What happens within the server, each as a whole: scripts in Lua. Each says what it takes and answers.
//!
//! Within a script what is new is written first and what is old is settled last, since a script that fails half-way is not
//! rolled back. None loops without a bound.

use std::sync::LazyLock;

use redis::Script;

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
