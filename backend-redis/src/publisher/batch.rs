//! How messages are sent: routed, in batches of limited size, again with the same number when the answer was lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use swarrot_core::{Backoff, Error, Result};
use tokio::time::{Instant, sleep, timeout_at};

use super::Shared;
use super::lanes::Lane;
use crate::config::Mode;
use crate::connection::Conn;
use crate::error::{self, CallError};
use crate::scripts::{self, Call};
use crate::topology::{QueueKeys, Routes, publisher_record, tag};

/// Messages in one script at most: some 1 ms of the server's time.
pub(super) const MAX_MESSAGES: usize = 256;
/// Bytes in one script at most, unless one message alone has more.
const MAX_BYTES: usize = 1 << 20;
/// How long the server keeps the record of what a publisher has published; longer than a retry may take.
pub(super) const RECORD_KEPT: Duration = Duration::from_secs(600);

/// A message ready to be sent.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Its place among the results.
    pub(super) position: usize,
    pub(super) routing_key: String,
    /// In milliseconds.
    pub(super) delay: u64,
    pub(super) meta: Vec<u8>,
    pub(super) body: Bytes,
}

impl Prepared {
    /// In bytes.
    fn len(&self) -> usize {
        self.meta.len() + self.body.len()
    }
}

/// What is still to be done for a message: in a cluster its queues may be on several nodes.
struct Routed<'a> {
    /// Its place among those that are sent together.
    index: usize,
    message: &'a Prepared,
    queues: Queues,
}

type Queues = Arc<[Arc<str>]>;

impl Shared {
    /// Sends messages, and notes what became of each.
    pub(super) async fn send(&self, mut messages: Vec<&Prepared>, results: &mut [Result<()>], deadline: Instant) {
        let mut fresh = false;
        // Again only for those whose routes turned out to be out of date.
        while !messages.is_empty() {
            let (routes, stale) = match self.routes(fresh, deadline).await {
                Ok(routes) => routes,
                Err(error) => {
                    for message in messages {
                        results[message.position] = Err(error.clone());
                    }
                    return;
                }
            };
            let again = self.send_by(&routes, stale, &messages, deadline, results).await;
            messages.retain(|message| again.contains(&message.position));
            fresh = true;
        }
    }

    /// The topology, and whether it may be out of date. The default exchange needs none.
    async fn routes(&self, fresh: bool, deadline: Instant) -> Result<(Arc<Routes>, bool)> {
        let (router, link) = (&self.core.router, &self.core.publish);
        if self.exchange.is_empty() {
            return Ok((Arc::default(), false));
        }
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        loop {
            let asked = async {
                // Declared before it is asked for: else a topology that a restart has lost would make messages unroutable.
                let (epoch, _) = self.core.routing().await?;
                let answer = if fresh { (router.refresh(link).await?, false) } else { router.routes(link).await? };
                let (now, _) = self.core.routing().await?;
                Ok::<_, Error>(if now == epoch { answer } else { (router.refresh(link).await?, false) })
            };
            match timeout_at(deadline, asked).await {
                Ok(Err(error)) if error.is_temporary() && Instant::now() < deadline => {
                    sleep(backoff.next_delay()).await;
                }
                Ok(answer) => return answer,
                Err(_) => return Err(error::no_answer()),
            }
        }
    }

    /// Sends messages as these routes say; answers with the positions of those that have to be routed anew.
    async fn send_by(
        &self,
        routes: &Routes,
        stale: bool,
        messages: &[&Prepared],
        deadline: Instant,
        results: &mut [Result<()>],
    ) -> Vec<usize> {
        let cluster = self.core.config.mode == Mode::Cluster;
        let mut again = Vec::new();
        let mut found = Vec::with_capacity(messages.len());
        // Most have the routing key of the one before.
        let mut last: Option<(&str, Result<Queues>)> = None;
        for (index, message) in messages.iter().enumerate() {
            let key = message.routing_key.as_str();
            if last.as_ref().is_none_or(|(known, _)| *known != key) {
                last = Some((key, routes.route(&self.exchange, key).map(Into::into)));
            }
            match &last {
                Some((_, Ok(queues))) if !queues.is_empty() => {
                    found.push(Routed { index, message, queues: Arc::clone(queues) });
                }
                // Routes that say no are asked again before they are believed.
                _ if stale => again.push(message.position),
                Some((_, Err(error))) => results[message.position] = Err(error.clone()),
                _ => results[message.position] = Err(error::unroutable(&self.exchange, key)),
            }
        }
        let groups = if cluster { by_tag(found) } else { vec![found] };
        // On one server a version that does not fit stops the batch; in a cluster there is none to look at.
        let version = if cluster || self.exchange.is_empty() { "" } else { &routes.version };
        let sent = join_all(groups.iter().map(|group| self.send_group(group, version, deadline))).await;
        let mut verdicts: Vec<Option<Result<Verdict>>> = messages.iter().map(|_| None).collect();
        for (index, verdict) in sent.into_iter().flatten() {
            verdicts[index] = Some(match verdicts[index].take() {
                Some(before) => conclude(before, verdict),
                None => verdict,
            });
        }
        for (message, verdict) in messages.iter().zip(verdicts) {
            let Some(verdict) = verdict else { continue };
            match verdict {
                Ok(Verdict::Stale) => again.push(message.position),
                Ok(Verdict::Missing) if stale && cluster => again.push(message.position),
                Ok(Verdict::Missing) => {
                    results[message.position] = Err(error::unroutable(&self.exchange, &message.routing_key));
                }
                Ok(Verdict::Full) => results[message.position] = Err(error::full(&message.routing_key)),
                Ok(Verdict::Taken) => results[message.position] = Ok(()),
                Err(error) => results[message.position] = Err(error),
            }
        }
        again
    }

    /// Sends the messages for one node, in order.
    async fn send_group(
        &self,
        group: &[Routed<'_>],
        version: &str,
        deadline: Instant,
    ) -> Vec<(usize, Result<Verdict>)> {
        let mut results = Vec::with_capacity(group.len());
        if group.is_empty() {
            return results;
        }
        let Some(mut lane) = self.lanes.enter().await else {
            return group.iter().map(|r| (r.index, Err(error::closed("publisher")))).collect();
        };
        let mut rest = group;
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(batch_len(rest));
            rest = after;
            match self.send_batch(batch, version, &lane, deadline).await {
                Ok(verdicts) => {
                    results.extend(batch.iter().map(|r| r.index).zip(verdicts.into_iter().map(Ok)));
                }
                Err(error) => results.extend(batch.iter().map(|r| (r.index, Err(error.clone())))),
            }
            lane.next();
        }
        results
    }

    /// Sends one batch until it is answered or the time is up.
    async fn send_batch(
        &self,
        batch: &[Routed<'_>],
        version: &str,
        lane: &Lane<'_>,
        deadline: Instant,
    ) -> Result<Vec<Verdict>> {
        let call = self.call(batch, version, lane);
        // In a cluster those of a batch are on one node.
        let queue = batch.first().and_then(|routed| routed.queues.first()).map_or("", |queue| &**queue);
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let mut unanswered = false;
        let mut last: Option<Error> = None;
        loop {
            match timeout_at(deadline, self.core.publishing(queue)).await {
                Ok(Ok(connection)) => match timeout_at(deadline, self.run(&call, connection, deadline)).await {
                    Ok(Ok((answer, true))) => return parse(&answer, batch.len()),
                    Ok(Ok((_, false))) => {
                        return Err(error::not_replicated(self.core.config.replicas, self.options.timeout));
                    }
                    Ok(Err(CallError::Unanswered(error))) => {
                        unanswered = true;
                        last = Some(error);
                    }
                    Ok(Err(CallError::NotDone(error))) => last = Some(error),
                    Err(_) => unanswered = true,
                },
                Ok(Err(error)) => last = Some(error),
                Err(_) => {}
            }
            let pause = backoff.next_delay();
            let give_up = last.as_ref().is_some_and(|error| !error.is_temporary());
            if give_up || Instant::now() + pause >= deadline {
                if unanswered {
                    let unknown = error::unknown(self.options.timeout);
                    return Err(match last {
                        Some(source) => unknown.with_source(source),
                        None => unknown,
                    });
                }
                return Err(last.unwrap_or_else(error::no_answer));
            }
            sleep(pause).await;
        }
    }

    /// Runs a script that publishes; its answer, and whether enough replicas have what it wrote.
    async fn run(&self, call: &Call, connection: (u64, Conn), deadline: Instant) -> Result<(String, bool), CallError> {
        let link = &self.core.publish;
        let answer = link.call_on(connection.clone(), call).await?;
        let have_it = self.core.replicas.have_it(link, &connection, deadline).await;
        // Written it is, whatever kept the answer of the replicas from coming.
        Ok((answer, have_it.map_err(|error| CallError::Unanswered(error.into()))?))
    }

    fn call(&self, batch: &[Routed<'_>], version: &str, lane: &Lane<'_>) -> Call {
        let prefix = &self.core.config.prefix;
        let mut queues: Vec<&str> = Vec::new();
        for queue in batch.chunk_by(|a, b| a.queues == b.queues).flat_map(|run| &*run[0].queues) {
            if !queues.contains(&&**queue) {
                queues.push(queue);
            }
        }
        let home = queues.first().map_or("", |queue| tag(queue));
        let record = publisher_record(prefix, home, &self.id);
        // A key that is not looked at has to be on the same node all the same.
        let version_key = if version.is_empty() { record.as_str() } else { self.core.router.version_key() };
        let of_queues: Vec<_> = queues.iter().map(|queue| QueueKeys::new(prefix, queue)).collect();
        let mut keys = vec![record.as_str(), version_key];
        keys.extend(of_queues.iter().flat_map(QueueKeys::all));

        let bytes = batch.iter().map(|routed| routed.message.len() + 8).sum();
        let mut call = Call::new(&scripts::PUBLISH, &keys, 8 + 2 * batch.len(), bytes);
        call.arg(lane.index)
            .arg(lane.number)
            .arg(u64::try_from(RECORD_KEPT.as_millis()).unwrap_or(u64::MAX))
            .arg(version);
        for run in batch.chunk_by(|a, b| a.queues == b.queues && a.message.delay == b.message.delay) {
            let first = &run[0];
            call.arg(run.len()).arg(first.message.delay).arg(first.queues.len());
            for queue in &*first.queues {
                call.arg(queues.iter().position(|other| *other == &**queue).map_or(0, |index| index + 1));
            }
            for Routed { message, .. } in run {
                call.arg(message.meta.as_slice()).arg(&message.body[..]);
            }
        }
        call
    }
}

/// By node, as far as that can be known: by hash tag.
fn by_tag(routed: Vec<Routed<'_>>) -> Vec<Vec<Routed<'_>>> {
    let mut groups: BTreeMap<String, Vec<Routed<'_>>> = BTreeMap::new();
    for Routed { index, message, queues } in routed {
        let mut by_tag: BTreeMap<&str, Vec<Arc<str>>> = BTreeMap::new();
        for queue in &*queues {
            by_tag.entry(tag(queue)).or_default().push(Arc::clone(queue));
        }
        for (tag, queues) in by_tag {
            groups.entry(tag.to_owned()).or_default().push(Routed { index, message, queues: queues.into() });
        }
    }
    groups.into_values().collect()
}

/// How many messages go into the next batch.
fn batch_len(messages: &[Routed<'_>]) -> usize {
    let mut bytes = 0;
    let fits = |routed: &&Routed<'_>| {
        bytes += routed.message.len() * routed.queues.len();
        bytes <= MAX_BYTES
    };
    messages.iter().take(MAX_MESSAGES).take_while(fits).count().max(1)
}

/// What became of a message, from what became of it on two nodes: taken if every node that has one of its queues took it.
fn conclude(one: Result<Verdict>, other: Result<Verdict>) -> Result<Verdict> {
    Ok(match (one?, other?) {
        (one, Verdict::Missing) => one,
        (Verdict::Missing | Verdict::Taken, other) => other,
        (one, _) => one,
    })
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    Missing,
    Full,
    Stale,
}

fn parse(answer: &str, count: usize) -> Result<Vec<Verdict>> {
    let verdicts: Option<Vec<Verdict>> = match answer {
        "stale" => Some(vec![Verdict::Stale; count]),
        verdicts => verdicts
            .chars()
            .map(|c| match c {
                '.' => Some(Verdict::Taken),
                'm' => Some(Verdict::Missing),
                'f' => Some(Verdict::Full),
                _ => None,
            })
            .collect(),
    };
    match verdicts {
        Some(verdicts) if verdicts.len() == count => Ok(verdicts),
        _ => Err(error::strange_reply()),
    }
}
