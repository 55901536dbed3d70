//! Declares exchanges, queues and bindings, and declares them again where a connection was made anew.

mod arguments;
mod compare;
pub(crate) mod delay;
mod desk;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use swarrot_core::message::names;
use swarrot_core::topology::{Binding, Exchange, ExchangeKind, Queue, QueueKind, Topology, check_name};
use swarrot_core::{Capabilities, DeadLetter, Error, ErrorKind, RequeuePosition, Result, Value};

pub(crate) use self::compare::compare;
pub(crate) use self::desk::Desk;
use crate::connection::{Link, Server};
use crate::convert::to_table;

/// What a broker has declared.
#[derive(Debug)]
pub(crate) struct Remembered {
    topology: Mutex<Topology>,
    /// Only verified, never created.
    passive: bool,
    /// The connection on which all was declared again the last time.
    restored: tokio::sync::Mutex<u64>,
}

impl Remembered {
    pub(crate) fn new(passive: bool) -> Self {
        Self { topology: Mutex::default(), passive, restored: tokio::sync::Mutex::default() }
    }

    pub(crate) fn is_passive(&self) -> bool {
        self.passive
    }

    /// Declares, or verifies, and remembers.
    pub(crate) async fn declare(&self, link: &Link, topology: &Topology) -> Result<()> {
        topology.check()?;
        for binding in &topology.bindings {
            check_name(&binding.queue)?;
            check_name(&binding.exchange)?;
        }
        let mut desk = Desk::new(link);
        if self.passive {
            verify(&mut desk, topology).await?;
        } else {
            create(&mut desk, topology, Err).await?;
            let connection = desk.connection().await?;
            let mut restored = self.restored.lock().await;
            // The first declaration: there is nothing else to declare again on this connection.
            if *restored == 0 {
                *restored = connection;
            }
        }
        self.lock().merge(topology);
        Ok(())
    }

    /// Declares all again, for the server may have lost it: once for each connection, or whenever it is `lost`.
    ///
    /// What cannot be declared is left as it is: whoever needs it will see, and others work without it. So the error is
    /// a temporary one.
    pub(crate) async fn restore(&self, link: &Link, lost: bool) -> Result<()> {
        let topology = self.lock().clone();
        if self.passive || topology == Topology::default() {
            return Ok(());
        }
        let mut desk = Desk::new(link);
        // Held meanwhile: all that share the connection wait for the one that declares.
        let mut restored = self.restored.lock().await;
        let connection = desk.connection().await?;
        if lost || *restored != connection {
            let leave = |error: Error| {
                if error.is_temporary() {
                    return Err(error);
                }
                tracing::warn!(%error, "the topology could not be declared again as it was");
                Ok(())
            };
            create(&mut desk, &topology, leave).await?;
            *restored = connection;
        }
        Ok(())
    }

    /// Forgets a queue that was deleted on purpose.
    pub(crate) fn forget(&self, queue: &str) {
        let mut topology = self.lock();
        topology.queues.retain(|q| q.name != queue);
        topology.bindings.retain(|binding| binding.queue != queue);
    }

    /// How a queue is kept, if it was declared here or is the dead-letter queue of one that was.
    pub(crate) fn kind(&self, queue: &str) -> Option<QueueKind> {
        let topology = self.lock();
        topology.queues.iter().find(|q| q.name == queue || names::dead_letter_queue(&q.name) == queue).map(|q| q.kind)
    }

    fn lock(&self) -> MutexGuard<'_, Topology> {
        self.topology.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the messaging system.
pub(crate) const SYSTEM: &str = "rabbitmq";

/// What a provider or publisher can do with a queue of this kind on this server.
pub(crate) fn capabilities(kind: Option<QueueKind>, server: &Server) -> Capabilities {
    let mut capabilities = Capabilities::NONE;
    capabilities.system = SYSTEM;
    capabilities.unroutable = true;
    capabilities.durable = true;
    capabilities.ordered = true;
    capabilities.ttl = true;
    capabilities.length_limit = true;
    capabilities.max_delay = Some(delay::MAX_DELAY);
    capabilities.delay_grid_percent = delay::GRID_PERCENT;
    capabilities.dead_letter = true;
    capabilities.network = true;
    match kind {
        Some(QueueKind::Classic) => {
            capabilities.requeue_position = RequeuePosition::Head;
            capabilities.max_priority = Some(u8::MAX);
        }
        Some(QueueKind::Quorum) => {
            capabilities.delivery_count = true;
            capabilities.max_priority = quorum_priorities(server);
        }
        None => {}
    }
    capabilities
}

/// The highest priority in a quorum queue. From 4.0 to 4.2 there are but two classes, of which the lower one is served
/// every third time: that is no order, so it is not claimed.
fn quorum_priorities(server: &Server) -> Option<u8> {
    server.is_at_least(4, 3).then_some(31)
}

/// All queues of a topology with their arguments.
pub(crate) fn queues_on(topology: &Topology, server: &Server) -> Result<Vec<(String, BTreeMap<String, Value>)>> {
    topology.check()?;
    let mut queues = Vec::new();
    for queue in &topology.queues {
        queues.push((queue.name.clone(), arguments::of_queue(queue, server)?));
        let dead = names::dead_letter_queue(&queue.name);
        if queue.dead_letter == DeadLetter::Park && !topology.queues.iter().any(|q| q.name == dead) {
            queues.push((dead, arguments::of_dead_letter_queue(queue, server)));
        }
    }
    Ok(queues)
}

/// Declares it all. `failed` says of each error whether that is the end.
async fn create(desk: &mut Desk<'_>, topology: &Topology, failed: impl Fn(Error) -> Result<()>) -> Result<()> {
    let server = desk.server().await?;
    // What cannot be had is refused before anything is created.
    let mut queues = Vec::new();
    for queue in &topology.queues {
        match arguments::of_queue(queue, &server) {
            Ok(arguments) => queues.push((queue, arguments)),
            Err(error) => failed(error)?,
        }
    }
    for exchange in &topology.exchanges {
        declare_exchange(desk, exchange, false).await.or_else(&failed)?;
    }
    for (queue, arguments) in queues {
        declare_queue(desk, &queue.name, &arguments).await.or_else(&failed)?;
        if queue.dead_letter == DeadLetter::Park {
            declare_dead_letter_queue(desk, queue, &server).await.or_else(&failed)?;
        }
    }
    for binding in &topology.bindings {
        bind(desk, binding).await.or_else(&failed)?;
    }
    Ok(())
}

async fn bind(desk: &mut Desk<'_>, binding: &Binding) -> Result<()> {
    let (queue, exchange) = (binding.queue.as_str().into(), binding.exchange.as_str().into());
    let key = crate::convert::short(&binding.routing_key, "a routing key")?;
    desk.call("bind", &binding.queue, |channel| async move {
        channel.queue_bind(queue, exchange, key, QueueBindOptions::default(), FieldTable::default()).await
    })
    .await
}

/// Looks whether exchanges and queues are there. AMQP has no way to look at bindings.
async fn verify(desk: &mut Desk<'_>, topology: &Topology) -> Result<()> {
    for exchange in &topology.exchanges {
        declare_exchange(desk, exchange, true).await?;
    }
    for queue in &topology.queues {
        inspect(desk, &queue.name).await?;
        if queue.dead_letter == DeadLetter::Park {
            inspect(desk, &names::dead_letter_queue(&queue.name)).await?;
        }
    }
    Ok(())
}

async fn declare_exchange(desk: &mut Desk<'_>, exchange: &Exchange, passive: bool) -> Result<()> {
    let kind = match exchange.kind {
        ExchangeKind::Direct => lapin::ExchangeKind::Direct,
        ExchangeKind::Topic => lapin::ExchangeKind::Topic,
        ExchangeKind::Fanout => lapin::ExchangeKind::Fanout,
        other => {
            let message = format!("RabbitMQ has no exchange of the kind {other:?}");
            return Err(Error::new(ErrorKind::Unsupported, message).with_target(&exchange.name));
        }
    };
    let name = exchange.name.as_str().into();
    let options = ExchangeDeclareOptions { durable: true, passive, ..ExchangeDeclareOptions::default() };
    desk.call("declare", &exchange.name, |channel| async move {
        channel.exchange_declare(name, kind, options, FieldTable::default()).await
    })
    .await
}

async fn declare_queue(desk: &mut Desk<'_>, name: &str, arguments: &BTreeMap<String, Value>) -> Result<()> {
    let arguments = to_table(arguments.iter().map(|(name, value)| (name.as_str(), value)))?;
    let queue = name.into();
    desk.call("declare", name, |channel| async move {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue, options, arguments).await
    })
    .await
    .map(drop)
}

async fn declare_dead_letter_queue(desk: &mut Desk<'_>, queue: &Queue, server: &Server) -> Result<()> {
    let name = names::dead_letter_queue(&queue.name);
    match declare_queue(desk, &name, &arguments::of_dead_letter_queue(queue, server)).await {
        // One from before the server's upgrade to 4.0 has no limit to lift; it serves all the same.
        Err(error) if error.kind() == ErrorKind::Conflict && error.message().contains("x-delivery-limit") => Ok(()),
        result => result,
    }
}

/// A queue's depth, and how many providers it has.
pub(crate) async fn inspect(desk: &mut Desk<'_>, queue: &str) -> Result<(u32, u32)> {
    let name = crate::convert::short(queue, "a queue's name")?;
    let found = desk
        .call("look up", queue, |channel| async move {
            let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(name, options, FieldTable::default()).await
        })
        .await
        .map_err(|error| missing(error, queue, "queue"))?;
    Ok((found.message_count(), found.consumer_count()))
}

/// Looks whether an exchange is there.
pub(crate) async fn inspect_exchange(desk: &mut Desk<'_>, exchange: &str) -> Result<()> {
    if exchange.is_empty() {
        return Ok(());
    }
    let name = crate::convert::short(exchange, "an exchange's name")?;
    desk.call("look up", exchange, |channel| async move {
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        // The kind is not looked at by a passive declaration.
        channel.exchange_declare(name, lapin::ExchangeKind::Direct, options, FieldTable::default()).await
    })
    .await
    .map_err(|error| missing(error, exchange, "exchange"))
}

/// Says what to do about what is not there.
pub(crate) fn missing(error: Error, target: &str, what: &str) -> Error {
    if error.kind() != ErrorKind::NotFound {
        return error;
    }
    let message = format!("the {what} does not exist; declare it first");
    Error::new(ErrorKind::NotFound, message).with_operation(error.operation()).with_target(target).with_source(error)
}
