//! Hand-made frames and a server for the tests of the proxy.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(super) const PROTOCOL: &[u8] = b"AMQP\x00\x00\x09\x01";
pub(super) const HEARTBEAT_FRAME: &[u8] = b"\x08\x00\x00\x00\x00\x00\x00\xce";

/// A method frame on channel 1.
pub(super) fn frame(payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("a short payload");
    [&b"\x01\x00\x01"[..], &size.to_be_bytes(), payload, b"\xce"].concat()
}

/// A server that sends back what it gets, until the client closes.
pub(super) async fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reads, mut writes) = stream.split();
                let _ = tokio::io::copy(&mut reads, &mut writes).await;
                let _ = writes.shutdown().await;
            });
        }
    });
    addr
}

/// A server that reads until the stream ends, and then says what it has read of each connection.
pub(super) async fn recording_server() -> (SocketAddr, tokio::sync::mpsc::Receiver<std::io::Result<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("its address");
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut read = Vec::new();
                let result = stream.read_to_end(&mut read).await;
                let _ = sender.send(result.map(|_| read)).await;
            });
        }
    });
    (addr, receiver)
}

/// Sends this and waits until it has come back.
pub(super) async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).await?;
    assert_eq!(answer, bytes);
    Ok(())
}
