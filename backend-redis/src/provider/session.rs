//! One connection that reads, from its making to its end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ConnectionAddr, FromRedisValue, ScriptInvocation, Value as Reply, cmd};
use swarrot_core::{Backoff, Result};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::warn;

use super::{Phase, Shared, lost_queue};
use crate::connection::{open_for_key, unblock};
use crate::convert::{Entry, fields_of};
use crate::error;

/// How long a read waits at most. It ends earlier when something is due; each end is a sign of life of both sides.
pub(super) const MAX_BLOCK: Duration = Duration::from_secs(10);
/// Entries to read at once, whatever there is room for. They are one answer of the server, and nobody handles any of them before
/// all are here: with fewer, handling and reading go on at the same time.
const MAX_READ: usize = 256;
/// How much longer the answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// A connection that broke, as the server knew it.
pub(super) struct Before {
    id: Option<i64>,
    peer: Option<String>,
}

impl Before {
    /// Ends it for the server too, which may still wait to give messages to it.
    async fn end(&self, connection: &mut MultiplexedConnection) {
        let Self { id: Some(id), peer: Some(peer) } = self else { return };
        // The id alone would not do: a server that was started anew, or another one, gives the same ids to others. A refusal
        // means that the connection is gone, or that we may not.
        let mut kill = cmd("CLIENT");
        kill.arg("KILL").arg("ID").arg(id).arg("ADDR").arg(peer);
        let _ = kill.exec_async(connection).await;
    }
}

/// One connection that reads.
pub(super) struct Session<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) connection: MultiplexedConnection,
    /// By which the server knows the connection, and where that server is.
    id: Option<i64>,
    address: ConnectionAddr,
    /// When to look after the queue.
    pub(super) tend_at: Instant,
    /// When the first of the messages held back is due, if there are any.
    pub(super) due_at: Option<Instant>,
    /// Wake-ups that were read and not followed yet.
    pub(super) wakes: Vec<String>,
}

impl<'a> Session<'a> {
    /// Connects. `before`: the connection before, if any.
    pub(super) async fn open(shared: &'a Arc<Shared>, before: &mut Option<Before>) -> Result<Self> {
        let opened = open_for_key(&shared.core.config, &shared.keys.stream, MAX_BLOCK + ANSWER).await?;
        let mut connection = opened.connection;
        // It stays the one before until it is dealt with, also if this attempt fails on the way.
        if let Some(before) = before {
            shared.core.declare_again(&shared.queue).await?;
            before.end(&mut connection).await;
        }
        *before = Some(Before { id: opened.id, peer: opened.peer });
        let (id, address, tend_at) = (opened.id, opened.address, Instant::now());
        Ok(Self { shared, connection, id, address, tend_at, due_at: None, wakes: Vec::new() })
    }

    /// Reads until the provider stops.
    pub(super) async fn run(&mut self, backoff: &mut Backoff) -> Result<()> {
        let (mut known, mut losses) = (false, 0);
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
                // What is lost again and again is not mended in this way.
                Err(error) if lost_queue(&error) && losses < 3 => {
                    losses += 1;
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
            losses = 0;
            backoff.reset();
        }
    }

    /// Waits for demand and room, looks after the queue when it is time, and reads once. `false` when the provider stops.
    async fn turn(&mut self) -> Result<bool> {
        let Some(room) = self.wait_for_room().await? else { return Ok(false) };
        let now = Instant::now();
        if !self.wakes.is_empty() || self.tend_at <= now || self.is_due(now) {
            self.tend(room).await?;
        }
        let Some((room, demand)) = self.shared.room_now() else { return Ok(true) };
        let now = Instant::now();
        let wait = self.tend_at.min(demand).saturating_duration_since(now);
        // While more is due there is no time to wait.
        self.read(room, (!self.is_due(now)).then_some(wait)).await?;
        Ok(true)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due_at.is_some_and(|at| at <= now)
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

    /// Reads once; waits for so long if there is nothing, `None`: not at all.
    async fn read(&mut self, room: usize, wait: Option<Duration>) -> Result<()> {
        let keys = &self.shared.keys;
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP").arg("swarrot").arg(&self.shared.me).arg("COUNT").arg(room.min(MAX_READ));
        if let Some(wait) = wait {
            // 0 would be for ever.
            read.arg("BLOCK").arg(crate::publisher::millis(wait.min(MAX_BLOCK)).max(1));
        }
        read.arg("STREAMS").arg(&keys.stream).arg(&keys.wake).arg(">").arg(">");
        let (asked, marked) = (Instant::now(), self.shared.marked());
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
            self.shared.arrived(entries.ok_or_else(error::strange_reply)?, false, since, marked);
            // Whoever waits for them goes first; the next read can wait that long.
            yield_now().await;
        }
        Ok(())
    }

    /// Waits for a read to end, which is never dropped: the server could give messages to nobody. Meanwhile makes ready what is
    /// due, which ends this read or another's, and renews leases of what waits to be handed out; and if the provider stops,
    /// asks the server to end the read. `None` if it does not.
    async fn while_reading<T>(&mut self, read: impl Future<Output = T>) -> Result<Option<T>> {
        let mut read = pin!(read);
        loop {
            let renewal = self.shared.lock().held.renewal_due();
            tokio::select! {
                answer = &mut read => return Ok(Some(answer)),
                () = self.shared.stopped() => break,
                () = until(renewal) => self.shared.renew_buffered().await,
                // The server notices the end of a wait up to 100 ms late: its own clock ticks ten times a second.
                () = until(self.due_at) => self.promote().await,
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

    pub(super) async fn script<T: FromRedisValue>(&mut self, script: &ScriptInvocation<'_>) -> Result<T> {
        let answer = timeout(MAX_BLOCK + ANSWER, script.invoke_async(&mut self.connection)).await;
        match answer {
            Ok(answer) => answer.map_err(error::from_redis),
            Err(_) => Err(error::no_answer()),
        }
    }
}

impl Shared {
    /// Room for deliveries at this moment, and until when they are asked for; if there is any and the provider still receives.
    pub(super) fn room_now(&self) -> Option<(usize, Instant)> {
        let mut state = self.lock();
        let (now, prefetch) = (Instant::now(), state.prefetch);
        let room = state.held.room(prefetch, now);
        let demand = state.demand.until(now)?;
        (room > 0 && state.phase == Phase::Open).then_some((room, demand))
    }

    /// The number of the queue's mark, to be asked for before entries are.
    pub(super) fn marked(&self) -> u64 {
        self.lock().mark.number()
    }

    /// Takes in what the server gave to this provider at `at` or later, when the mark was the one with this number or a later
    /// one.
    pub(super) fn arrived(&self, entries: Vec<Entry>, again: bool, at: Instant, marked: u64) {
        if entries.is_empty() {
            return;
        }
        {
            let mut state = self.lock();
            for entry in entries {
                state.held.add(&self.queue, entry, again, at, marked);
            }
        }
        self.arrived.notify_waiters();
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
