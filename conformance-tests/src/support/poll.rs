//! Futures that are dropped half-way.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Polls a future up to so many times, letting others run in between, and drops it then: what a `select!` does to its
/// losers. The result if it came that early.
pub(crate) async fn poll_times<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..times {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}
