//! The whole of the example on one broker: server, worker, mail server.

pub(crate) mod smtp;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use password_reset::config::Config;
use password_reset::http::{App, serve};
use password_reset::mail::Mailer;
use password_reset::queues::Queues;
use password_reset::worker::worker;
use serde_json::Value;
use swarrot::prelude::*;
use swarrot::{Report, Secret, Settlement};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use self::smtp::{Mailbox, Port, Server};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Whole {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) queues: Queues,
    pub(crate) mailbox: Mailbox,
    config: Config,
    /// Of the mail server, until it is started.
    port: Option<Port>,
    server: Option<Server>,
    http: SocketAddr,
    serving: JoinHandle<std::io::Result<()>>,
    stop_serving: oneshot::Sender<()>,
}

impl Whole {
    /// A web server on its own queues; no worker and no mail server yet.
    pub(crate) async fn start(broker_url: &str, retry_delays: &[u64], concurrency: usize) -> Self {
        let port = Port::new();
        let config = Config {
            broker_url: Secret::new(broker_url),
            smtp_url: Secret::new(format!("smtp://{}", port.address())),
            http_addr: "127.0.0.1:0".to_owned(),
            from: "Accounts <accounts@example.org>".to_owned(),
            site_url: "https://example.org".to_owned(),
            queue_prefix: format!("password-reset-{}", uuid::Uuid::new_v4()),
            retry_delays: retry_delays.iter().map(|ms| Duration::from_millis(*ms)).collect(),
            mail_timeout: Duration::from_secs(1),
            concurrency,
        };
        let broker = swarrot::connect(config.broker_url.expose()).await.expect("connects");
        let queues = Queues::new(&config.queue_prefix);
        broker.declare(&queues.topology()).await.expect("declares");
        let listener = TcpListener::bind(&config.http_addr).await.expect("listens");
        let http = listener.local_addr().expect("an address");
        let app = App::new(&*broker, queues.clone(), config.site_url.clone()).await.expect("a publisher");
        let (stop_serving, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(listener, app, async move {
            let _ = stopped.await;
        }));
        let mailbox = Mailbox::new();
        Self { broker, queues, mailbox, config, port: Some(port), server: None, http, serving, stop_serving }
    }

    pub(crate) fn start_mail_server(&mut self) {
        let port = self.port.take().expect("it was down");
        self.server = Some(port.open(self.mailbox.clone()));
    }

    pub(crate) async fn start_worker(&self) -> Work {
        let mailer = Mailer::new(self.config.smtp_url.expose(), &self.config.from).expect("a mailer");
        let (handle, run) = worker(&*self.broker, &self.queues, mailer, &self.config).await.expect("a worker");
        Work { handle, running: tokio::spawn(async move { run.await.expect("a report") }) }
    }

    /// Posts JSON, and returns the status and the answer.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("http://{}{path}", self.http);
        let answer = reqwest::Client::new().post(url).json(body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    /// Waits until so many mails have arrived.
    pub(crate) async fn mails(&self, count: usize) {
        self.mailbox.until(&format!("{count} mails"), |seen| seen.arrived.len() >= count).await;
    }

    /// Waits until so many messages of this queue are parked, and takes them out.
    pub(crate) async fn parked(&self, queue: &str, count: usize) -> Vec<Delivery> {
        let dead = self.broker.provider(&format!("{queue}.dead"), ProviderOptions::default()).await;
        let dead = dead.expect("there is a dead-letter queue");
        let max = NonZeroUsize::new(100).expect("not zero");
        let mut parked = Vec::new();
        while parked.len() < count {
            let some = dead.receive(max, PATIENCE).await.expect("dead letters");
            assert!(!some.is_empty(), "waited in vain for {count} dead letters");
            let acks: Vec<_> = some.iter().map(|d| Settlement::new(d.receipt(), Outcome::Ack)).collect();
            dead.settle(&acks).await.expect("acks");
            parked.extend(some);
        }
        dead.close().await.expect("closes");
        parked
    }

    /// Ends it, and deletes its queues.
    pub(crate) async fn end(self) {
        self.stop_serving.send(()).expect("it serves");
        self.serving.await.expect("no panic").expect("serves to the end");
        for queue in [&self.queues.resets, &self.queues.newsletters] {
            for name in [queue.clone(), format!("{queue}.dead")] {
                self.broker.delete(&name).await.expect("deletes");
            }
        }
        self.broker.close().await.expect("closes");
    }
}

/// A worker that runs.
pub(crate) struct Work {
    handle: WorkerHandle,
    running: JoinHandle<Report>,
}

impl Work {
    /// Waits until so many deliveries were retried.
    pub(crate) async fn retried(&self, count: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.handle.health().counts.retried < count {
            assert!(Instant::now() < deadline, "waited in vain for {count} retries: {:?}", self.handle.health());
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn stop(self) -> Report {
        self.handle.stop();
        self.running.await.expect("no panic")
    }
}
