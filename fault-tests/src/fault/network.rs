//! Connections that break, stall and crawl.

use std::time::Duration;

use anyhow::Result;
use swarrot_conformance::proxy::Direction;

use super::Stage;

const WAYS: [Direction; 2] = [Direction::ToServer, Direction::ToClient];
/// How long to wait for as many bytes as a cut needs.
const CUT_WAIT: Duration = Duration::from_secs(5);

pub(super) async fn cut(stage: &mut Stage<'_>) -> Result<()> {
    for proxy in &stage.target.proxies {
        proxy.cut().await;
    }
    Ok(())
}

/// Each in turn: after some bytes to the server, or to the clients. Few frames and replies end just there.
pub(super) async fn cut_half(stage: &mut Stage<'_>) -> Result<()> {
    for _ in 0..4 {
        let way = WAYS[usize::from(stage.rng.bool())];
        let before: Vec<_> = stage.target.proxies.iter().map(|proxy| proxy.counters().cuts).collect();
        for proxy in &stage.target.proxies {
            proxy.cut_after(way, stage.rng.u64(1..4000));
        }
        let proxies = &stage.target.proxies;
        let all_cut = |_: &mut _| proxies.iter().zip(&before).all(|(proxy, before)| proxy.counters().cuts > *before);
        stage.crew.until(CUT_WAIT, all_cut).await?;
        for proxy in &stage.target.proxies {
            // One that was never reached is no fault.
            let _ = proxy.disarm(way);
        }
    }
    Ok(())
}

pub(super) async fn freeze(stage: &mut Stage<'_>) -> Result<()> {
    // Both ways, or only one of them.
    let ways = [&WAYS[..], &WAYS[..1], &WAYS[1..]][stage.struck % 3];
    for proxy in &stage.target.proxies {
        for way in ways {
            proxy.freeze(*way);
        }
    }
    stage.crew.pass(stage.target.pace.silent()).await?;
    stage.target.proxies.iter().for_each(swarrot_conformance::proxy::Proxy::thaw);
    Ok(())
}

pub(super) async fn slow(stage: &mut Stage<'_>) -> Result<()> {
    for proxy in &stage.target.proxies {
        proxy.delay(Duration::from_millis(50));
        proxy.throttle(Some(64 << 10));
    }
    stage.crew.pass(stage.target.pace.in_need()).await?;
    for proxy in &stage.target.proxies {
        proxy.delay(Duration::ZERO);
        proxy.throttle(None);
    }
    Ok(())
}
