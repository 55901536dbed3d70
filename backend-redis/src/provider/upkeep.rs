//! What a provider does for its queue beside reading: messages that are due, given back, lost or orphaned.

use std::time::Duration;

use redis::{ScriptInvocation, Value as Reply, cmd};
use swarrot_core::{Reason, Receipt, Result};
use tokio::time::Instant;
use tracing::warn;

use super::Shared;
use super::held::Row;
use super::session::{MAX_BLOCK, Session};
use crate::convert::{Entry, EntryId, parse_entries, text};
use crate::error;
use crate::scripts;

/// Messages that one call makes ready at most, and bytes of them.
const CHUNK: (usize, usize) = (250, 1 << 20);
/// Entries on a page of a scan for lost leases.
const PAGE: usize = 200;
/// Entries to take in one call at most, whatever there is room for: their bodies are in the server's memory twice meanwhile.
const MAX_TAKE: usize = 100;

impl Session<'_> {
    /// Makes ready what is due, takes what others gave back, and looks for lost leases when it is time.
    pub(super) async fn tend(&mut self, room: usize) -> Result<()> {
        let script = tend_script(self.shared, room.min(MAX_TAKE), &self.wakes);
        let (asked, marked) = (Instant::now(), self.shared.marked());
        let answer: Vec<Reply> = self.script(&script).await?;
        self.wakes.clear();
        if answer.is_empty() {
            // Gone with all it had. It comes back if it was declared through this broker.
            self.shared.lock().held.clear();
            self.tend_at = Instant::now();
            return self.shared.core.restore(&self.shared.queue).await;
        }
        let Ok([Reply::Int(due), Reply::Int(scan), parks, limit, taken, mark]) = <[Reply; 6]>::try_from(answer) else {
            return Err(error::strange_reply());
        };
        self.due_at = at(due);
        {
            let mut state = self.shared.lock();
            state.parks = text(&parks) == Some("park");
            state.limit = text(&limit).and_then(|limit| limit.parse().ok());
            state.mark.set(text(&mark).unwrap_or_default());
        }
        let taken = parse_entries(taken).ok_or_else(error::strange_reply)?;
        self.shared.arrived(taken, true, asked, marked);
        let scan = match u64::try_from(scan).map(Duration::from_millis) {
            // Somebody whose leases are longer cannot say when these end.
            Ok(scan) if !scan.is_zero() && scan <= self.shared.core.config.hold => scan,
            _ => self.scan().await?,
        };
        self.tend_at = Instant::now() + scan.min(MAX_BLOCK);
        Ok(())
    }

    /// Makes ready what is due, while a read waits on this connection.
    pub(super) async fn promote(&mut self) {
        let script = tend_script(self.shared, 0, &[]);
        let answer: Result<Vec<Reply>, _> = self.shared.core.settle.script(&script).await;
        self.due_at = match answer.as_deref() {
            Ok([Reply::Int(due), ..]) => at(*due),
            // The queue is gone, which the read will tell.
            Ok(_) => None,
            // The read will tell more of it, or end when it is time.
            Err(_) => Some(Instant::now() + Duration::from_secs(1)),
        };
    }

    /// Looks for entries whose provider let their lease end; answers when to look again.
    async fn scan(&mut self) -> Result<Duration> {
        let (keys, hold) = (&self.shared.keys, self.shared.core.config.hold.as_millis().to_string());
        let (mut from, mut soonest) = ("-".to_owned(), hold.clone());
        loop {
            let room = self.shared.room_now().map_or(0, |(room, _)| room).min(MAX_TAKE);
            let mut script = scripts::SCAN.prepare_invoke();
            script.key(&keys.stream).key(&keys.scan).key(&keys.queue);
            script.arg(&self.shared.me).arg(&hold).arg(room).arg(PAGE).arg(&from).arg(&soonest);
            let (asked, marked) = (Instant::now(), self.shared.marked());
            let (next, left, taken): (String, i64, Reply) = self.script(&script).await?;
            let taken = parse_entries(taken).ok_or_else(error::strange_reply)?;
            self.deliver_lost(taken, asked, marked).await;
            if next.is_empty() {
                return Ok(Duration::from_millis(u64::try_from(left).unwrap_or(1).max(1)));
            }
            (from, soonest) = (next, left.to_string());
        }
    }

    /// Delivers entries that others lost, but for those that were delivered too often: they go to the dead letters.
    async fn deliver_lost(&self, taken: Vec<Entry>, asked: Instant, marked: u64) {
        // It may come back as often as the limit says: with the first delivery that is one more.
        let most = self.shared.lock().limit.unwrap_or(u32::MAX).saturating_add(1);
        let (over, fine): (Vec<_>, Vec<_>) = taken.into_iter().partition(|entry| entry.deliveries() > most);
        self.shared.arrived(fine, true, asked, marked);
        for entry in over {
            self.shared.park_lost(entry).await;
        }
    }

    /// Takes over what the server delivered over an earlier connection that broke before it arrived.
    pub(super) async fn adopt_orphans(&mut self) -> Result<()> {
        let mut from = "-".to_owned();
        loop {
            let keys = &self.shared.keys;
            let mut script = scripts::ORPHANS.prepare_invoke();
            script.key(&keys.stream).arg(&self.shared.me).arg(&from).arg(MAX_TAKE);
            let mine: Vec<(String, String, i64, u32)> = self.script(&script).await?;
            let orphans: Vec<_> = {
                let state = self.shared.lock();
                let held = |id: &str| id.parse::<EntryId>().is_ok_and(|id| state.held.has(id));
                mine.iter().filter(|(id, ..)| !held(id)).collect()
            };
            if !orphans.is_empty() {
                let mut script = scripts::ADOPT.prepare_invoke();
                script.key(&keys.stream).arg(&self.shared.me);
                for (id, _, _, count) in orphans {
                    script.arg(id).arg(*count);
                }
                let (asked, marked) = (Instant::now(), self.shared.marked());
                let adopted = parse_entries(self.script(&script).await?).ok_or_else(error::strange_reply)?;
                self.shared.arrived(adopted, false, asked, marked);
            }
            match mine.last() {
                Some((id, ..)) if mine.len() == MAX_TAKE => from = format!("({id}"),
                _ => return Ok(()),
            }
        }
    }

    /// Forgets providers that are gone. It can wait, so a failure does not matter.
    pub(super) async fn sweep(&mut self) {
        let (keys, hold) = (&self.shared.keys, self.shared.core.config.hold);
        let silent = (hold * 4).max(Duration::from_secs(3600)).as_millis().to_string();
        let _ = self.script::<i64>(scripts::SWEEP.key(&keys.stream).key(&keys.wake).arg(silent)).await;
    }

    /// Makes the stream and its group again. What is in the stream is delivered again from its beginning: all of it is unsettled.
    pub(super) async fn restore_stream(&mut self) -> Result<()> {
        let keys = &self.shared.keys;
        let exists: bool =
            cmd("EXISTS").arg(&keys.queue).query_async(&mut self.connection).await.map_err(error::from_redis)?;
        if !exists {
            return self.shared.core.restore(&self.shared.queue).await;
        }
        // All that was delivered goes to others as well.
        let mut unmark = cmd("HDEL");
        unmark.arg(&keys.queue).arg("mark");
        unmark.exec_async(&mut self.connection).await.map_err(error::from_redis)?;
        for stream in [&keys.stream, &keys.wake] {
            let mut create = cmd("XGROUP");
            create.arg("CREATE").arg(stream).arg("swarrot").arg("0").arg("MKSTREAM");
            match create.exec_async(&mut self.connection).await {
                Err(error) if error.code() != Some("BUSYGROUP") => return Err(error::from_redis(error)),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Shared {
    /// Gives up on an entry that was delivered too often. If that fails it stays where it is, and somebody tries again when
    /// its lease ends.
    async fn park_lost(&self, entry: Entry) {
        let (id, count, before) = (entry.id, entry.count, entry.deliveries() - 1);
        // A receipt that no delivery has.
        let delivery = entry.into_delivery(&self.queue, Receipt::new(0, 0), true).delivered(true, Some(before));
        let row = Row::new(id, count, delivery, self.core.config.hold, Instant::now(), 0);
        if let Err(error) = self.give_up(&row, &too_often(before)).await {
            warn!(queue = &*self.queue, %error, "a message was delivered too often and cannot be parked; it is tried again");
        }
    }
}

/// Why a message is given up on that nobody rejected.
pub(super) fn too_often(deliveries: u32) -> Reason {
    Reason::new(format!(
        "delivered {deliveries} times without being settled, more often than the queue's delivery limit"
    ))
}

/// `room`: how many of the entries that others gave back to take.
fn tend_script(shared: &Shared, room: usize, wakes: &[String]) -> ScriptInvocation<'static> {
    let mut script = scripts::TEND.prepare_invoke();
    script.key(&shared.keys.all()).key(&shared.keys.scan);
    script.arg(&shared.me).arg(room).arg(CHUNK.0).arg(CHUNK.1).arg(wakes);
    script
}

/// The point in time that is so many milliseconds away; none for a negative number.
fn at(millis: i64) -> Option<Instant> {
    u64::try_from(millis).ok().map(|millis| Instant::now() + Duration::from_millis(millis))
}
