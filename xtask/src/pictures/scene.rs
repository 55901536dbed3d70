//! What can be seen: a broker with queues, messages that failed, and a worker at work.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use swarrot_conformance::brokers::{Redis, Start};
use swarrot_core::topology::{Queue, Topology};
use swarrot_core::{Broker as _, BrokerUrl};
use swarrot_redis::RedisBroker;

use crate::workspace;

const QUEUES: [&str; 3] = ["mails", "invoices", "thumbnails"];
/// Until the lines of history have a shape.
pub(super) const LONG_ENOUGH: Duration = Duration::from_secs(14);
/// Mails that fail, each in its own way, and how the command that sends them tells of it.
const FAILING: &str = r#"
{"body":"550 5.1.1 no such mailbox: ada@example.org","type":"welcome"}
{"body":"connection to smtp.example.org timed out","type":"password-reset"}
{"body":"template \"invoice\" has no field \"total\"","type":"invoice"}
{"body":"550 5.7.1 message refused as spam","type":"newsletter"}
"#;

pub(super) struct Scene {
    pub(super) program: PathBuf,
    redis: Redis,
    health: String,
}

/// Processes that end with this value.
pub(super) struct Busy(Vec<Child>);

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Scene {
    pub(super) fn set() -> Result<Self> {
        let program = workspace::target()?.join("debug/swarrot");
        let redis = Redis::start(&Start::new()).context("cannot start Redis")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let scene = Self { program, redis, health: format!("127.0.0.1:{port}") };
        scene.declare()?;
        scene.run(&["publish", "mails", "--ndjson"], FAILING)?;
        let fail = ["work", "mails", "--stop-when-empty", "--exec", "sh", "-c", "cat >&2; exit 1"];
        scene.run(&fail, "")?;
        Ok(scene)
    }

    pub(super) fn env(&self) -> Vec<(&'static str, String)> {
        vec![("SWARROT_URL", self.redis.url())]
    }

    /// How `top` is called.
    pub(super) fn top(&self) -> Vec<&str> {
        let mut args = vec!["top"];
        args.extend(QUEUES);
        args.extend(["--every", "500ms", "--worker", &self.health]);
        args
    }

    /// A worker that does not quite keep up with those who publish.
    pub(super) fn be_busy(&self) -> Result<Busy> {
        let mut busy = Busy(Vec::new());
        let slow = "sleep 0.$((RANDOM % 9))";
        let work = ["work", "mails", "--concurrency", "6", "--health", &self.health, "--exec", "bash", "-c", slow];
        for args in [
            &work[..],
            &["work", "invoices", "--exec", "bash", "-c", "sleep 0.1"],
            &["publish", "mails", "x", "--repeat", "100000", "--rate", "17"],
            &["publish", "invoices", "x", "--repeat", "100000", "--rate", "8"],
            &["publish", "thumbnails", "x", "--repeat", "12", "--delay", "1h"],
        ] {
            let child = self.command(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            busy.0.push(child.context("cannot start the command")?);
        }
        Ok(busy)
    }

    fn declare(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let broker = RedisBroker::connect(&self.redis.url().parse::<BrokerUrl>()?).await?;
            let queues = QUEUES.iter().fold(Topology::new(), |topology, name| topology.queue(Queue::new(*name)));
            broker.declare(&queues).await?;
            broker.close().await?;
            Ok(())
        })
    }

    fn run(&self, args: &[&str], input: &str) -> Result<()> {
        let mut child = self.command(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("swarrot {} ended with {status}", args.join(" "));
        }
        Ok(())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).envs(self.env());
        command
    }
}
