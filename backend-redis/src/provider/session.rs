//! One connection that reads, from its making to its end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ConnectionAddr, FromRedisValue, ScriptInvocation, Value as Reply, cmd};
use swarrot_core::{Backoff, Error, ErrorKind, Reason, Receipt, Result};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::warn;

use super::held::Row;
use super::{Phase, Shared, lost_queue};
use crate::connection::{open_for_key, unblock};
use crate::convert::{Entry, EntryId, fields_of, parse_entries, text};
use crate::error;
use crate::scripts;

/// How long a read waits at most. It ends earlier when something is due; each end is a sign of life of both sides.
const MAX_BLOCK: Duration = Duration::from_secs(10);
/// How much longer the answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Messages that one call makes ready at most, and bytes of them.
const CHUNK: (usize, usize) = (100, 1 << 20);
/// Entries on a page of a scan for lost leases.
const PAGE: usize = 200;
/// Entries to take in one call at most, whatever there is room for: their bodies are in the server's memory twice meanwhile.
const MAX_TAKE: usize = 100;

/// One connection that reads.
pub(super) struct Session<'a> {
    shared: &'a Arc<Shared>,
    connection: MultiplexedConnection,
    /// By which the server knows the connection, and where that server is.
    id: Option<i64>,
    address: ConnectionAddr,
    /// When to look after the queue: something is due, or may be.
    tend_at: Instant,
    /// Wake-ups that were read and not followed yet.
    wakes: Vec<String>,
}

impl<'a> Session<'a> {
    /// Connects. `before`: the id of the connection before, if any.
    pub(super) async fn open(shared: &'a Arc<Shared>, before: &mut Option<i64>) -> Result<Self> {
        let opened = open_for_key(&shared.core.config, &shared.keys.stream, MAX_BLOCK + ANSWER).await?;
        let mut connection = opened.connection;
        if let Some(before) = std::mem::replace(before, opened.id) {
            shared.core.declare_again().await?;
            // The server may still wait to give messages to it. A refusal means that it is gone, or that we may not.
            let _ = cmd("CLIENT").arg("KILL").arg("ID").arg(before).exec_async(&mut connection).await;
        }
        let (id, address, tend_at) = (opened.id, opened.address, Instant::now());
        Ok(Self { shared, connection, id, address, tend_at, wakes: Vec::new() })
    }

    /// Reads until the provider stops.
    pub(super) async fn run(&mut self, backoff: &mut Backoff) -> Result<()> {
        let mut known = false;
        loop {
            let turn = async {
                if !known {
                    self.adopt_orphans().await?;
                    self.sweep().await;
                }
                self.turn().await
            };
            match turn.await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) if lost_queue(&error) => {
                    warn!(queue = &*self.shared.queue, "the queue's stream was lost; it is made again");
                    self.shared.lock().held.clear();
                    self.restore_stream().await?;
                    continue;
                }
                Err(error) => return Err(error),
            }
            if !known {
                known = true;
                self.shared.connected();
            }
            backoff.reset();
        }
    }

    /// Waits for demand and room, looks after the queue when it is time, and reads once. `false` when the provider stops.
    async fn turn(&mut self) -> Result<bool> {
        let Some(room) = self.wait_for_room().await? else { return Ok(false) };
        let mut more_due = false;
        if !self.wakes.is_empty() || self.tend_at <= Instant::now() {
            more_due = self.tend(room).await?;
        }
        let Some((room, demand)) = self.shared.room_now() else { return Ok(true) };
        let wait = self.tend_at.min(demand).saturating_duration_since(Instant::now());
        self.read(room, (!more_due).then_some(wait)).await?;
        Ok(true)
    }

    /// How many deliveries there is room for; `None` when the provider stops.
    async fn wait_for_room(&mut self) -> Result<Option<usize>> {
        loop {
            let changed = self.shared.changed.notified();
            let (room, demand, renewal, end) = {
                let mut state = self.shared.lock();
                if state.phase != Phase::Open {
                    return Ok(None);
                }
                let (now, prefetch) = (Instant::now(), state.prefetch);
                let room = state.held.room(prefetch, now);
                (room, state.demand.until(now), state.held.renewal_due(), state.held.first_end(now))
            };
            let Some(demand) = demand else {
                // Nobody asks any more: what was fetched for them is for others.
                self.shared.give_back(false).await?;
                changed.await;
                continue;
            };
            if renewal.is_some_and(|at| at <= Instant::now()) {
                self.shared.renew_buffered().await;
                continue;
            }
            if room > 0 {
                return Ok(Some(room));
            }
            // A lease that ends unrenewed makes room as well.
            let timer = renewal.into_iter().chain(end).chain([demand]).min();
            tokio::select! {
                () = changed => {}
                () = until(timer) => {}
            }
        }
    }

    /// Makes ready what is due, takes what others gave back, and looks for lost leases when it is time. Answers whether more
    /// is due already.
    async fn tend(&mut self, room: usize) -> Result<bool> {
        let keys = &self.shared.keys;
        let mut script = scripts::TEND.prepare_invoke();
        script.key(&keys.all());
        script.key(&keys.scan).arg(&self.shared.me).arg(room.min(MAX_TAKE)).arg(CHUNK.0).arg(CHUNK.1);
        script.arg(&self.wakes);
        let asked = Instant::now();
        let answer: Vec<Reply> = self.script(&script).await?;
        self.wakes.clear();
        if answer.is_empty() {
            // Gone with all it had. It comes back if it was declared through this broker.
            self.shared.lock().held.clear();
            self.shared.core.restore(&self.shared.queue).await?;
            self.tend_at = Instant::now();
            return Ok(true);
        }
        let Ok([Reply::Int(due), Reply::Int(scan), parks, limit, taken]) = <[Reply; 5]>::try_from(answer) else {
            return Err(error::strange_reply());
        };
        {
            let mut state = self.shared.lock();
            state.parks = text(&parks) == Some("park");
            state.limit = text(&limit).and_then(|limit| limit.parse().ok());
        }
        let taken = parse_entries(taken).ok_or_else(error::strange_reply)?;
        self.shared.arrived(taken, true, asked);
        let ms = |n: i64| Duration::from_millis(u64::try_from(n).unwrap_or(0));
        let mut next = MAX_BLOCK;
        if due >= 0 {
            next = next.min(ms(due));
        }
        if scan == 0 {
            next = next.min(self.scan().await?);
        } else {
            next = next.min(ms(scan));
        }
        self.tend_at = Instant::now() + next;
        Ok(due == 0)
    }

    /// Looks for entries whose provider let their lease end; answers when to look again.
    async fn scan(&mut self) -> Result<Duration> {
        let (keys, hold) = (&self.shared.keys, self.shared.core.config.hold.as_millis().to_string());
        let (mut from, mut soonest) = ("-".to_owned(), hold.clone());
        loop {
            let room = self.shared.room_now().map_or(0, |(room, _)| room).min(MAX_TAKE);
            let mut script = scripts::SCAN.prepare_invoke();
            script.key(&keys.stream).key(&keys.scan);
            script.arg(&self.shared.me).arg(&hold).arg(room).arg(PAGE).arg(&from).arg(&soonest);
            let asked = Instant::now();
            let (next, left, taken): (String, i64, Reply) = self.script(&script).await?;
            let taken = parse_entries(taken).ok_or_else(error::strange_reply)?;
            self.deliver_lost(taken, asked).await;
            if next.is_empty() {
                return Ok(Duration::from_millis(u64::try_from(left).unwrap_or(1).max(1)));
            }
            (from, soonest) = (next, left.to_string());
        }
    }

    /// Delivers entries that others lost, but for those that were delivered too often: they go to the dead letters.
    async fn deliver_lost(&self, taken: Vec<Entry>, asked: Instant) {
        let limit = self.shared.lock().limit.unwrap_or(u32::MAX);
        let (over, fine): (Vec<_>, Vec<_>) = taken.into_iter().partition(|entry| entry.deliveries() > limit);
        self.shared.arrived(fine, true, asked);
        for entry in over {
            self.shared.park_lost(entry).await;
        }
    }

    /// Reads once; waits for so long if there is nothing, `None`: not at all.
    async fn read(&mut self, room: usize, wait: Option<Duration>) -> Result<()> {
        let keys = &self.shared.keys;
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP").arg("swarrot").arg(&self.shared.me).arg("COUNT").arg(room);
        if let Some(wait) = wait {
            // 0 would be for ever.
            read.arg("BLOCK").arg(crate::publisher::millis(wait.min(MAX_BLOCK)).max(1));
        }
        read.arg("STREAMS").arg(&keys.stream).arg(&keys.wake).arg(">").arg(">");
        let asked = Instant::now();
        let mut connection = self.connection.clone();
        let answer = self.while_reading(read.query_async::<Reply>(&mut connection)).await?;
        let Some(answer) = answer else { return Ok(()) };
        let streams = match answer.map_err(error::from_redis)? {
            // What was due while it waited is still to be looked after.
            Reply::Nil => {
                if wait.is_some() {
                    self.tend_at = Instant::now();
                }
                return Ok(());
            }
            Reply::Array(streams) => streams,
            _ => return Err(error::strange_reply()),
        };
        // The lease began when the server answered, which was no earlier than it was asked.
        let since = if wait.is_some() { Instant::now().min(asked + MAX_BLOCK) } else { asked };
        for stream in streams {
            let (name, entries) =
                <(String, Vec<(String, Reply)>)>::from_redis_value(stream).map_err(|_| error::strange_reply())?;
            if name == keys.wake {
                self.wakes.extend(entries.into_iter().map(|(id, _)| id));
                continue;
            }
            let entries: Option<Vec<Entry>> = entries
                .into_iter()
                .map(|(id, fields)| Some(Entry::new(id.parse().ok()?, 1, fields_of(fields)?)))
                .collect();
            self.shared.arrived(entries.ok_or_else(error::strange_reply)?, false, since);
        }
        Ok(())
    }

    /// Waits for a read to end, which is never dropped: the server could give messages to nobody. Meanwhile renews leases of
    /// what waits to be handed out; and if the provider stops, asks the server to end the read. `None` if it does not.
    async fn while_reading<T>(&self, read: impl Future<Output = T>) -> Result<Option<T>> {
        let mut read = pin!(read);
        loop {
            let renewal = self.shared.lock().held.renewal_due();
            tokio::select! {
                answer = &mut read => return Ok(Some(answer)),
                () = self.shared.stopped() => break,
                () = until(renewal) => self.shared.renew_buffered().await,
            }
        }
        let unblock = async {
            if let Some(id) = self.id {
                let _ = unblock(&self.shared.core.config, &self.address, id).await;
            }
            // The read ends now; if it does not, the connection is dead.
            sleep(super::STOP_WAIT / 2).await;
        };
        tokio::select! {
            answer = &mut read => Ok(Some(answer)),
            () = unblock => Ok(None),
        }
    }

    /// Takes over what the server delivered over an earlier connection that broke before it arrived.
    async fn adopt_orphans(&mut self) -> Result<()> {
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
                let asked = Instant::now();
                let adopted = parse_entries(self.script(&script).await?).ok_or_else(error::strange_reply)?;
                self.shared.arrived(adopted, false, asked);
            }
            match mine.last() {
                Some((id, ..)) if mine.len() == MAX_TAKE => from = format!("({id}"),
                _ => return Ok(()),
            }
        }
    }

    /// Forgets providers that are gone. It can wait, so a failure does not matter.
    async fn sweep(&mut self) {
        let (keys, hold) = (&self.shared.keys, self.shared.core.config.hold);
        let silent = (hold * 4).max(Duration::from_secs(3600)).as_millis().to_string();
        let _ = self.script::<i64>(scripts::SWEEP.key(&keys.stream).key(&keys.wake).arg(silent)).await;
    }

    /// Makes the stream and its group again. What is in the stream is delivered again from its beginning: all of it is unsettled.
    async fn restore_stream(&mut self) -> Result<()> {
        let keys = &self.shared.keys;
        let exists: bool =
            cmd("EXISTS").arg(&keys.queue).query_async(&mut self.connection).await.map_err(error::from_redis)?;
        if !exists {
            return self.shared.core.restore(&self.shared.queue).await;
        }
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

    async fn script<T: FromRedisValue>(&mut self, script: &ScriptInvocation<'_>) -> Result<T> {
        let answer = timeout(MAX_BLOCK + ANSWER, script.invoke_async(&mut self.connection)).await;
        match answer {
            Ok(answer) => answer.map_err(error::from_redis),
            Err(_) => Err(Error::new(ErrorKind::Timeout, "the server did not answer in time")),
        }
    }
}

impl Shared {
    /// Room for deliveries at this moment, and until when they are asked for; if there is any and the provider still receives.
    fn room_now(&self) -> Option<(usize, Instant)> {
        let mut state = self.lock();
        let (now, prefetch) = (Instant::now(), state.prefetch);
        let room = state.held.room(prefetch, now);
        let demand = state.demand.until(now)?;
        (room > 0 && state.phase == Phase::Open).then_some((room, demand))
    }

    /// Takes in what the server gave to this provider at `at` or later.
    fn arrived(&self, entries: Vec<Entry>, again: bool, at: Instant) {
        if entries.is_empty() {
            return;
        }
        {
            let mut state = self.lock();
            entries.into_iter().for_each(|entry| state.held.add(&self.queue, entry, again, at));
        }
        self.arrived.notify_waiters();
    }

    /// Gives up on an entry that was delivered too often. If that fails it stays where it is, and somebody tries again when
    /// its lease ends.
    async fn park_lost(&self, entry: Entry) {
        let (id, count, before) = (entry.id, entry.count, entry.deliveries() - 1);
        // A receipt that no delivery has.
        let delivery = entry.into_delivery(&self.queue, Receipt::new(0, 0), true).delivered(true, Some(before));
        let row = Row::new(id, count, delivery, self.core.config.hold, Instant::now());
        if let Err(error) = self.give_up(&row, &too_often(before)).await {
            warn!(queue = &*self.queue, %error, "a message was delivered too often and cannot be parked; it is tried again");
        }
    }
}

/// Why a message is given up on that nobody rejected.
pub(super) fn too_often(deliveries: u32) -> Reason {
    Reason::new(format!("delivered {deliveries} times without being settled, which is the queue's delivery limit"))
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
