//! What was measured.

use serde_json::{Value as Json, json};
use swarrot::ServerInfo;

use super::Args;
use super::latency::Latencies;
use crate::output::table;

/// Shares of all messages, in per cent.
const PERCENTILES: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 100.0];
/// Columns of the longest bar.
const WIDTH: f64 = 40.0;

/// What was measured: messages a second, and latencies in microseconds.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) publish: f64,
    pub(super) receive: f64,
    pub(super) confirm: Latencies,
    pub(super) through: Latencies,
}

pub(super) fn json(figures: &Figures, args: &Args, info: &ServerInfo) -> Json {
    let latencies = |of: &Latencies| -> Json {
        PERCENTILES.iter().map(|p| (format!("p{p}"), Json::from(of.value_at_percentile(*p)))).collect()
    };
    json!({
        "product": info.product,
        "version": info.version,
        "messages": args.messages,
        "size": args.size,
        "publish_per_second": figures.publish.round(),
        "receive_per_second": figures.receive.round(),
        "latency_rate": args.rate,
        "confirm_microseconds": latencies(&figures.confirm),
        "through_microseconds": latencies(&figures.through),
    })
}

pub(super) fn text(figures: &Figures, args: &Args, title: &str) -> String {
    let rates = [("published and confirmed", figures.publish), ("received and acked", figures.receive)];
    let fastest = figures.publish.max(figures.receive);
    let rows = rates.map(|(what, rate)| vec![what.to_owned(), format!("{rate:.0}/s"), bar(rate / fastest)]);
    let mut text = format!("{title}\n{} messages of {} bytes\n\n", args.messages, args.size);
    text.push_str(&table(&["", "rate", ""], rows));
    text.extend(["\n\nlatency at ", &args.rate.to_string(), "/s\n\n"]);
    let longest = seconds(figures.confirm.max().max(figures.through.max()));
    let rows = PERCENTILES.map(|p| {
        let (confirm, through) = (figures.confirm.value_at_percentile(p), figures.through.value_at_percentile(p));
        // On a logarithmic scale, from 10 microseconds on: the last per cent is a hundred times the rest.
        let share = (seconds(through) / 1e-5).max(1.0).ln() / (longest / 1e-5).max(std::f64::consts::E).ln();
        vec![format!("{p} %"), milliseconds(confirm), milliseconds(through), bar(share)]
    });
    text.push_str(&table(&["of messages", "confirmed", "handled", ""], rows));
    text
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}

fn milliseconds(micros: u64) -> String {
    format!("{:.2} ms", seconds(micros) * 1000.0)
}

/// A bar, in eighths of a column.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small number")]
fn bar(share: f64) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * WIDTH * 8.0).round() as usize;
    "█".repeat(eighths / 8) + PARTS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        assert_eq!(bar(1.0), "█".repeat(40));
        assert_eq!(bar(0.5 + 1.0 / 320.0), format!("{}▏", "█".repeat(20)));
        assert_eq!(bar(0.0), "");
        assert_eq!(bar(f64::NAN), "");
    }
}
