//! One connection through the proxy.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{sleep, timeout};

use super::frames::Frames;
use super::rules::{Direction, Rules};
use super::server::Shared;

const CHUNK: usize = 16 * 1024;
/// How long the side that got the last bytes before a cut may take to read them and close.
const DRAIN: Duration = Duration::from_secs(1);

/// Why a connection ends before both sides have closed it.
enum Stop {
    /// A limit was reached in this direction.
    Limit(Direction),
    /// It was cut, or one side broke it.
    Broken,
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// Passes data between this client and the server until both close, one breaks off, or the connection is cut.
pub(super) async fn run(mut client: TcpStream, shared: Arc<Shared>, epoch: u64) {
    let open = Open(shared);
    let shared = &open.0;
    let mut cut = shared.rules.subscribe();
    let cut = cut.wait_for(|rules| rules.epoch != epoch);
    tokio::pin!(cut);

    let server = tokio::select! {
        _ = &mut cut => None,
        server = TcpStream::connect(shared.target) => server.ok(),
    };
    let Some(mut server) = server else {
        return reset(&client);
    };
    // If a side is gone already, passing data on tells.
    let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));

    let stop = {
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        let to_server = pump(client_reads, server_writes, Direction::ToServer, shared);
        let to_client = pump(server_reads, client_writes, Direction::ToClient, shared);
        tokio::select! {
            _ = &mut cut => Err(Stop::Broken),
            done = async { tokio::try_join!(to_server, to_client) } => done.map(drop),
        }
    };
    match stop {
        Ok(()) => {}
        Err(Stop::Broken) => {
            reset(&client);
            reset(&server);
        }
        Err(Stop::Limit(direction)) => {
            shared.count(|counters| counters.cuts += 1);
            // The others break off by themselves; this one ends in its own way, if it is let.
            shared.cut_all().detach_all();
            let (sender, receiver) = match direction {
                Direction::ToServer => (client, server),
                Direction::ToClient => (server, client),
            };
            reset(&sender);
            drop(sender);
            finish(receiver).await;
        }
    }
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    shared: &Shared,
) -> Result<(), Stop> {
    let mut frames = Frames::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        thawed(shared, direction).await;
        let len = from.read(&mut chunk).await?;
        let hold = shared.rules.borrow().pace.hold(len);
        if !hold.is_zero() {
            sleep(hold).await;
        }
        // It may have been frozen meanwhile.
        thawed(shared, direction).await;
        if len == 0 {
            to.shutdown().await?;
            return Ok(());
        }
        let all_ends = frames.ends(&chunk[..len]);
        let limit = take_limit(shared, direction, len, &all_ends);
        let passing = limit.map_or(len, |(passing, _)| passing);
        to.write_all(&chunk[..passing]).await?;
        let passed = all_ends.len() as u64 - frames_behind(&all_ends, passing);
        shared.count(|counters| {
            let flow = counters.flow_mut(direction);
            flow.bytes += passing as u64;
            flow.frames += passed;
        });
        match limit {
            None => {}
            Some((_, false)) => return Err(Stop::Limit(direction)),
            Some((_, true)) => {
                // Nobody sees the cut before the connection is frozen.
                shared.count(|counters| counters.cuts += 1);
                thawed(shared, direction).await;
                to.write_all(&chunk[passing..len]).await?;
                let rest = frames_behind(&all_ends, passing);
                shared.count(|counters| {
                    let flow = counters.flow_mut(direction);
                    flow.bytes += (len - passing) as u64;
                    flow.frames += rest;
                });
            }
        }
    }
}

async fn thawed(shared: &Shared, direction: Direction) {
    let frozen = |rules: &Rules| rules.way(direction).frozen;
    if frozen(&shared.rules.borrow()) {
        // The sender is there as long as the connection.
        let _ = shared.rules.subscribe().wait_for(|rules| !frozen(rules)).await;
    }
}

/// How many frames end behind so many bytes.
fn frames_behind(ends: &[usize], bytes: usize) -> u64 {
    ends.iter().filter(|end| **end > bytes).count() as u64
}

/// How much of a chunk may pass, if a limit is reached within it, and whether the direction is frozen there; the limit is
/// gone then.
fn take_limit(shared: &Shared, direction: Direction, len: usize, ends: &[usize]) -> Option<(usize, bool)> {
    let mut limit = None;
    shared.rules.send_if_modified(|rules| {
        let way = rules.way_mut(direction);
        let reached = way.cut.as_mut().and_then(|cut| cut.reached(len, ends));
        limit = reached.map(|passing| (passing, way.freezes));
        if reached.is_some() {
            way.cut = None;
            way.frozen |= way.freezes;
        }
        reached.is_some() && way.freezes
    });
    limit
}

/// Lets the peer read what it was sent, and then an end of stream; closing at once could destroy what it has not read.
async fn finish(mut receiver: TcpStream) {
    let mut rest = [0; 1024];
    let drain = async {
        receiver.shutdown().await?;
        while receiver.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    if !matches!(timeout(DRAIN, drain).await, Ok(Ok(()))) {
        reset(&receiver);
    }
}

/// Makes the peer see a reset when the stream is dropped.
fn reset(stream: &TcpStream) {
    // If it is broken already, there is nothing to reset.
    let _ = stream.set_zero_linger();
}

/// Counts the connection as open, however it ends.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.count(|counters| counters.open -= 1);
    }
}
