//! Looking at queues, and emptying them.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use redis::{Value as Reply, cmd};
use swarrot_core::message::names;
use swarrot_core::{Message, QueueStats, Result};

use crate::broker::Core;
use crate::config::Mode;
use crate::convert::{Entry, fields_of, text};
use crate::error;
use crate::scripts;
use crate::topology::{QueueKeys, declarations, queue_of};

/// A provider gives a sign of life at least so often, whatever its lease.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// Messages that one script deletes.
const PURGE_CHUNK: usize = 500;
/// Messages that one peek shows at most.
const MAX_PEEK: usize = 1000;
/// Keys that one SCAN looks at.
const SCAN_CHUNK: usize = 1000;

pub(crate) async fn stats(core: &Core, queue: &str) -> Result<QueueStats> {
    let (keys, dead) = (keys(core, queue), keys(core, &names::dead_letter_queue(queue)));
    let silent = SIGN_OF_LIFE.max(core.config.hold).as_millis().to_string();
    let mut script = scripts::STATS.prepare_invoke();
    for keys in [&keys, &dead] {
        script.key(&keys.queue).key(&keys.stream).key(&keys.delayed);
    }
    let counts: Vec<i64> = core.settle.ask(script.arg(silent)).await?;
    let [ready, unsettled, delayed, parked, providers] = counts.as_slice() else {
        return Err(error::queue_not_found(queue));
    };
    let count = |n: &i64| u64::try_from(*n).unwrap_or(0);
    let mut stats = QueueStats::default();
    stats.ready = count(ready);
    stats.unsettled = Some(count(unsettled));
    stats.delayed = Some(count(delayed));
    stats.parked = u64::try_from(*parked).ok();
    stats.providers = Some(count(providers));
    Ok(stats)
}

/// The names of all queues, in alphabetical order.
pub(crate) async fn queues(core: &Core) -> Result<Vec<String>> {
    if core.config.mode == Mode::Cluster {
        return Err(error::unsupported("a cluster does not tell which queues there are; name them"));
    }
    let pattern = declarations(&core.config.prefix);
    // A key may come twice while the server's table grows.
    let (mut found, mut cursor) = (BTreeSet::new(), 0_u64);
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN_CHUNK).arg("TYPE").arg("hash");
        let (next, keys): (u64, Vec<Vec<u8>>) = core.settle.command(&scan).await?;
        let names = keys.iter().filter_map(|key| queue_of(&core.config.prefix, std::str::from_utf8(key).ok()?));
        found.extend(names);
        if next == 0 {
            return Ok(found.into_iter().collect());
        }
        cursor = next;
    }
}

pub(crate) async fn peek(core: &Core, queue: &str, max: NonZeroUsize) -> Result<Vec<Message>> {
    let keys = keys(core, queue);
    let mut script = scripts::PEEK.prepare_invoke();
    script.key(&keys.all());
    let answer: Reply = core.settle.ask(script.arg(max.get().min(MAX_PEEK))).await?;
    let Reply::Array(entries) = answer else { return Err(error::queue_not_found(queue)) };
    let message = |entry: Reply| {
        let Reply::Array(parts) = entry else { return None };
        let [id, fields] = <[_; 2]>::try_from(parts).ok()?;
        Some(Entry::new(text(&id)?.parse().ok()?, 0, fields_of(fields)?).message)
    };
    entries.into_iter().map(message).collect::<Option<_>>().ok_or_else(error::strange_reply)
}

pub(crate) async fn purge(core: &Core, queue: &str) -> Result<u64> {
    let keys = keys(core, queue);
    let (mut purged, mut at) = (0, [const { String::new() }; 3]);
    loop {
        let mut script = scripts::PURGE.prepare_invoke();
        script.key(&keys.all()).arg(PURGE_CHUNK).arg(&at);
        let answer: Vec<Reply> = core.settle.ask(&script).await?;
        let [Reply::Int(deleted), next @ ..] = answer.as_slice() else { return Err(error::queue_not_found(queue)) };
        let deleted = u64::try_from(*deleted).unwrap_or(0);
        purged += deleted;
        let next: Option<Vec<String>> = next.iter().map(|next| text(next).map(str::to_owned)).collect();
        at = next.and_then(|next| next.try_into().ok()).ok_or_else(error::strange_reply)?;
        let [_, _, among_delayed] = &at;
        if deleted == 0 && among_delayed == "end" {
            return Ok(purged);
        }
    }
}

fn keys(core: &Core, queue: &str) -> QueueKeys {
    QueueKeys::new(&core.config.prefix, queue)
}
