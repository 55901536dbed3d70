//! What users may send between tasks and share among threads. It fails to compile where that changes.

use std::sync::Arc;

use swarrot_core::gate::{Gate, KillSwitch, RateLimit};
use swarrot_core::layer::{DedupStore, Deduplicate};
use swarrot_core::{
    Broker, Capabilities, Context, Delivery, Error, FnProvider, Health, Message, MessageProvider, MessagePublisher,
    Outcome, Outgoing, PriorityProvider, ReadyWorker, Receipt, Report, RequestError, Requester, Router, Routes,
    SettleError, Settlement, Supervisor, SupervisorError, SupervisorHandle, SupervisorReport, Worker, WorkerError,
    WorkerHandle,
};

const fn shared<T: Send + Sync + 'static>() {}
fn sent<T: Send>(value: T) -> T {
    value
}

const _: () = {
    shared::<Message>();
    shared::<Delivery>();
    shared::<Outgoing>();
    shared::<Outcome>();
    shared::<Settlement>();
    shared::<SettleError>();
    shared::<Error>();
    shared::<Receipt>();
    shared::<Capabilities>();
    shared::<Worker>();
    shared::<WorkerHandle>();
    shared::<WorkerError>();
    shared::<Report>();
    shared::<Health>();
    shared::<PriorityProvider>();
    shared::<KillSwitch>();
    shared::<RateLimit>();
    shared::<Deduplicate>();
    shared::<Supervisor>();
    shared::<SupervisorHandle>();
    shared::<SupervisorReport>();
    shared::<SupervisorError>();
    shared::<Arc<dyn Gate>>();
    shared::<Arc<dyn DedupStore>>();
    shared::<FnProvider>();
    shared::<Context>();
    shared::<Routes>();
    shared::<Requester>();
    shared::<RequestError>();
    shared::<Arc<dyn MessageProvider>>();
    shared::<Arc<dyn MessagePublisher>>();
    shared::<Arc<dyn Broker>>();
};

/// A running worker can be moved to another task. Never called: that it compiles is the test.
#[test]
fn a_run_is_send() {
    let run = |provider: Arc<dyn MessageProvider>| drop(sent(Worker::new(provider).run(async |_: Delivery| {})));
    let _: &dyn Fn(Arc<dyn MessageProvider>) = &run;
    let ready = |worker: ReadyWorker| drop((sent(worker.run()), sent(Supervisor::new().run())));
    let _: &dyn Fn(ReadyWorker) = &ready;
    let run = |provider: Arc<dyn MessageProvider>| drop(sent(Worker::new(provider).run(sent(Router::new()))));
    let _: &dyn Fn(Arc<dyn MessageProvider>) = &run;
    let ask =
        |requester: Requester| drop(sent(async move { requester.request(Outgoing::new("q", Message::new(""))).await }));
    let _: &dyn Fn(Requester) = &ask;
    assert_eq!(size_of::<Receipt>(), 24, "a receipt stays small: it is copied with every delivery");
}
