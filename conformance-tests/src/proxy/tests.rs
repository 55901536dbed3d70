//! The proxy against a server that sends back what it gets.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::testing::{HEARTBEAT_FRAME, PROTOCOL, echo_server, exchange, frame, recording_server};
use super::*;

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(10);

async fn proxy() -> Proxy {
    Proxy::start(echo_server().await).await.expect("a proxy")
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.addr()).await.expect("a connection")
}

fn is_reset(result: &io::Result<()>) -> bool {
    let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    result.as_ref().is_err_and(|error| kinds.contains(&error.kind()))
}

#[tokio::test]
async fn passes_and_counts() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    exchange(&mut stream, PROTOCOL).await.expect("an echo");
    exchange(&mut stream, &frame(b"one")).await.expect("an echo");
    exchange(&mut stream, HEARTBEAT_FRAME).await.expect("an echo");
    stream.shutdown().await.expect("an open stream");
    assert_eq!(stream.read(&mut [0]).await.expect("an end of stream"), 0);
    let counters = proxy.until(|counters| counters.open == 0).await;
    let flow = Flow { bytes: 8 + 11 + 8, frames: 1 };
    assert_eq!((counters.to_server, counters.to_client), (flow, flow));
    assert_eq!((counters.connections, counters.cuts), (1, 0));
}

#[tokio::test]
async fn a_megabyte_passes_both_ways_at_once() {
    let proxy = proxy().await;
    let stream = connect(&proxy).await;
    let (mut reads, mut writes) = stream.into_split();
    let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let expected = sent.clone();
    let sender = tokio::spawn(async move {
        writes.write_all(&sent).await.expect("an open stream");
    });
    let mut read = Vec::new();
    reads.read_to_end(&mut read).await.expect("an end of stream");
    sender.await.expect("no panic");
    assert!(read == expected);
}

#[tokio::test]
async fn cut_resets_all_connections_and_accepts_new_ones() {
    let proxy = proxy().await;
    let mut streams = [connect(&proxy).await, connect(&proxy).await];
    for stream in &mut streams {
        exchange(stream, b"before").await.expect("an echo");
    }
    proxy.cut().await;
    assert_eq!((proxy.counters().open, proxy.counters().cuts), (0, 1));
    for stream in &mut streams {
        let result = exchange(stream, b"after").await;
        assert!(is_reset(&result), "{result:?}");
    }
    exchange(&mut connect(&proxy).await, b"anew").await.expect("an echo");
}

#[tokio::test]
async fn freeze_holds_one_direction_and_thaw_loses_nothing() {
    for direction in [Direction::ToServer, Direction::ToClient] {
        let proxy = proxy().await;
        let mut stream = connect(&proxy).await;
        exchange(&mut stream, b"before").await.expect("an echo");
        proxy.freeze(direction);
        stream.write_all(b"held").await.expect("the connection is open");
        let mut answer = [0; 4];
        assert!(timeout(SHORT, stream.read_exact(&mut answer)).await.is_err(), "{direction:?}");
        let passed = u64::from(direction == Direction::ToClient) * 4;
        assert_eq!(proxy.counters().to_server.bytes, 6 + passed);
        assert_eq!(proxy.counters().to_client.bytes, 6);
        proxy.thaw();
        stream.read_exact(&mut answer).await.expect("an echo");
        assert_eq!(&answer, b"held");
    }
}

#[tokio::test]
async fn a_frozen_connection_can_be_cut() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    exchange(&mut stream, b"before").await.expect("an echo");
    proxy.freeze(Direction::ToServer);
    stream.write_all(b"held").await.expect("the connection is open");
    timeout(LONG, proxy.cut()).await.expect("in time");
    let result = exchange(&mut stream, b"after").await;
    assert!(is_reset(&result), "{result:?}");
}

#[tokio::test]
async fn refuse_keeps_open_connections_and_refuses_new_ones() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    exchange(&mut stream, b"before").await.expect("an echo");
    for _ in 0..2 {
        proxy.refuse(true).await.expect("no port to open");
        let error = TcpStream::connect(proxy.addr()).await.expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
    exchange(&mut stream, b"during").await.expect("an echo");
    for _ in 0..2 {
        proxy.refuse(false).await.expect("the port is free");
        exchange(&mut connect(&proxy).await, b"after").await.expect("an echo");
    }
}

#[tokio::test]
async fn cuts_after_exactly_so_many_bytes() {
    let (target, mut received) = recording_server().await;
    let proxy = Proxy::start(target).await.expect("a proxy");
    for limit in 0..=20 {
        proxy.cut_after(Direction::ToServer, limit);
        let mut stream = connect(&proxy).await;
        stream.write_all(&[7; 20]).await.expect("an open stream");
        let read = timeout(LONG, received.recv()).await.expect("in time").expect("a server").expect("no reset");
        assert_eq!(read.len() as u64, limit);
        assert_eq!(proxy.until(|counters| counters.cuts == limit + 1).await.cuts, limit + 1);
        assert!(!proxy.disarm(Direction::ToServer), "it happens once");
        let error = stream.read(&mut [0]).await.expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn cuts_behind_each_frame() {
    let payloads: [&[u8]; 4] = [b"", b"a", b"bc", b"def"];
    let stream_of = |count: usize| {
        let frames = payloads[..count].iter().map(|payload| [HEARTBEAT_FRAME, &frame(payload)].concat());
        [PROTOCOL.to_vec(), frames.collect::<Vec<_>>().concat()].concat()
    };
    let (target, mut received) = recording_server().await;
    let proxy = Proxy::start(target).await.expect("a proxy");
    for count in 1..=payloads.len() {
        proxy.cut_after_frames(Direction::ToServer, count as u64);
        let mut stream = connect(&proxy).await;
        stream.write_all(&stream_of(payloads.len())).await.expect("an open stream");
        let read = timeout(LONG, received.recv()).await.expect("in time").expect("a server").expect("no reset");
        assert_eq!(read, stream_of(count));
    }
    assert_eq!(proxy.counters().to_server.frames, 1 + 2 + 3 + 4);
    assert_eq!(proxy.counters().cuts, 4);
}

#[tokio::test]
async fn a_limit_towards_the_client_cuts_others_too() {
    let proxy = proxy().await;
    let (mut one, mut other) = (connect(&proxy).await, connect(&proxy).await);
    exchange(&mut other, b"before").await.expect("an echo");
    proxy.cut_after_frames(Direction::ToClient, 1);
    one.write_all(&[frame(b"first"), frame(b"second")].concat()).await.expect("an open stream");
    let mut read = Vec::new();
    one.read_to_end(&mut read).await.expect("an end of stream");
    assert_eq!(read, frame(b"first"));
    drop(one);
    timeout(LONG, proxy.until(|counters| counters.open == 0)).await.expect("in time");
    let result = exchange(&mut other, b"after").await;
    assert!(is_reset(&result), "{result:?}");
    assert_eq!(proxy.counters().cuts, 1);
}

#[tokio::test]
async fn freezes_behind_a_frame() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    exchange(&mut stream, PROTOCOL).await.expect("an echo");
    proxy.freeze_after_frames(Direction::ToServer, 1);
    let (one, two) = (frame(b"one"), frame(b"two"));
    stream.write_all(&[one.clone(), two.clone()].concat()).await.expect("an open stream");
    let mut echo = vec![0; one.len()];
    stream.read_exact(&mut echo).await.expect("the first arrives");
    assert_eq!(echo, one);
    assert!(timeout(SHORT, stream.read_exact(&mut echo)).await.is_err(), "the second does not");
    assert_eq!((proxy.counters().cuts, proxy.counters().to_server.frames), (1, 1));
    proxy.thaw();
    stream.read_exact(&mut echo).await.expect("nothing is lost");
    assert_eq!((echo, proxy.counters().to_client.frames), (two, 2));
}

#[tokio::test]
async fn a_limit_that_is_taken_back_does_not_cut() {
    let proxy = proxy().await;
    proxy.cut_after(Direction::ToServer, 3);
    assert!(proxy.disarm(Direction::ToServer));
    exchange(&mut connect(&proxy).await, b"whole").await.expect("an echo");
}

#[tokio::test]
async fn delay_and_throttle_take_their_time() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    exchange(&mut stream, b"before").await.expect("an echo");
    proxy.delay(SHORT);
    let started = Instant::now();
    exchange(&mut stream, b"slow").await.expect("an echo");
    assert!(started.elapsed() >= SHORT * 2);
    proxy.delay(Duration::ZERO);
    proxy.throttle(Some(1000));
    let started = Instant::now();
    exchange(&mut stream, &[0; 100]).await.expect("an echo");
    assert!(started.elapsed() >= SHORT * 2);
}

#[tokio::test]
async fn a_server_that_is_not_there_resets_the_client() {
    let target = {
        let gone = Proxy::start(echo_server().await).await.expect("a proxy");
        gone.refuse(true).await.expect("no port to open");
        gone.addr()
    };
    let proxy = Proxy::start(target).await.expect("a proxy");
    let result = exchange(&mut connect(&proxy).await, b"lost").await;
    assert!(is_reset(&result), "{result:?}");
}

#[tokio::test]
async fn dropping_it_breaks_connections_and_frees_the_port() {
    let proxy = proxy().await;
    let addr = proxy.addr();
    let mut stream = connect(&proxy).await;
    exchange(&mut stream, b"before").await.expect("an echo");
    drop(proxy);
    assert!(timeout(LONG, exchange(&mut stream, b"after")).await.expect("in time").is_err());
    assert!(TcpStream::connect(addr).await.is_err());
}
