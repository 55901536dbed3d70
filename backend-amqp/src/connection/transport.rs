//! The byte stream below lapin: TCP with or without TLS, which can be cut from outside, shows how the server introduced
//! itself, and mends what lapin could not read.
//!
//! lapin keeps a thread for each connection, for as long as the peer keeps the socket open: without a way to cut it, a
//! handshake that is never answered would leave a thread behind at each try. And it keeps to itself what the server
//! said about its version.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_compat::Compat;
use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::Task;
use async_rs::{Runtime, Tokio};
use futures_util::task::AtomicWaker;
use futures_util::{AsyncRead, AsyncWrite, Stream};
use lapin::tcp::{AsyncTcpStream, OwnedTLSConfig};
use tokio::net::TcpStream;

use super::guard::Guard;
use super::server::{Introduction, Server};

/// Bytes to read from the server at once.
const CHUNK: usize = 64 << 10;

/// Cuts a connection, and tells what its server said about itself.
#[derive(Clone, Default)]
pub(crate) struct Line(Arc<Inner>);

#[derive(Default)]
struct Inner {
    cut: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
    server: OnceLock<Server>,
}

impl Line {
    /// Ends the connection now: its next read and write fail.
    pub(crate) fn cut(&self) {
        self.0.cut.store(true, Ordering::SeqCst);
        self.0.reader.wake();
        self.0.writer.wake();
    }

    /// What the server said about itself, once the handshake has begun.
    pub(crate) fn server(&self) -> Server {
        self.0.server.get().cloned().unwrap_or_default()
    }

    /// Connects to a host; runs on lapin's thread.
    pub(crate) async fn connect(
        &self,
        host: &str,
        port: u16,
        tls: Option<&OwnedTLSConfig>,
        timeout: Duration,
    ) -> Result<AsyncTcpStream<Wire>> {
        let connect = async {
            let tcp = TcpStream::connect((host, port)).await?;
            tcp.set_nodelay(true)?;
            let plain = AsyncTcpStream::Plain(Compat::new(tcp));
            match tls {
                None => Ok(plain),
                Some(tls) => plain.into_tls(host, tls.as_ref()).await,
            }
        };
        let stream = tokio::time::timeout(timeout, connect).await.map_err(|_| Error::from(ErrorKind::TimedOut))??;
        Ok(AsyncTcpStream::Plain(Wire {
            stream,
            line: self.clone(),
            introduction: Some(Introduction::default()),
            chunk: vec![0; CHUNK].into(),
            guard: Guard::default(),
        }))
    }
}

/// The stream that lapin reads and writes.
pub(crate) struct Wire {
    stream: AsyncTcpStream<Compat<TcpStream>>,
    line: Line,
    /// The first bytes from the server, until they make a frame.
    introduction: Option<Introduction>,
    /// Room for what is read.
    chunk: Box<[u8]>,
    guard: Guard,
}

impl Wire {
    /// Fails once the line was cut; before, `waker` is woken when that happens.
    fn check(&self, waker: &AtomicWaker, cx: &Context<'_>) -> Result<()> {
        waker.register(cx.waker());
        if self.line.0.cut.load(Ordering::SeqCst) { Err(ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize>> {
        self.check(&self.line.0.reader, cx)?;
        let Self { stream, line, introduction, chunk, guard } = &mut *self;
        while guard.ready().is_empty() {
            let length = ready!(Pin::new(&mut *stream).poll_read(cx, chunk))?;
            if length == 0 {
                return Poll::Ready(Ok(0));
            }
            let bytes = &chunk[..length];
            if let Some(server) = introduction.as_mut().and_then(|introduction| introduction.feed(bytes)) {
                let _ = line.0.server.set(server);
                *introduction = None;
            }
            guard.feed(bytes);
        }
        let length = guard.ready().len().min(buffer.len());
        buffer[..length].copy_from_slice(&guard.ready()[..length]);
        guard.take(length);
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<Result<usize>> {
        self.check(&self.line.0.writer, cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.check(&self.line.0.writer, cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.line.0.cut.load(Ordering::SeqCst) {
            // A peer that does not answer would keep a TLS farewell waiting.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// The current tokio runtime, with [`Wire`] as its stream.
#[derive(Clone, Debug)]
pub(crate) struct Kit(Tokio);

impl Kit {
    pub(crate) fn runtime() -> Runtime<Self> {
        Runtime::new(Self(Tokio::current()))
    }
}

impl RuntimeKit for Kit {}

impl Executor for Kit {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.0.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(&self, future: F) -> Task<Self::Task<T>> {
        self.0.spawn(future)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(&self, work: F) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(work)
    }
}

impl Reactor for Kit {
    type TcpStream = Wire;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<Wire, _>(ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(&self, _: SocketAddr) -> impl Future<Output = Result<Self::TcpStream>> + Send + 'static {
        // Streams are made by `Line::connect` only.
        std::future::ready(Err(ErrorKind::Unsupported.into()))
    }
}
