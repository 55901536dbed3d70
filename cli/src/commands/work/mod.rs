//! `swarrot work`.

mod arguments;
mod child;
mod environment;
mod exec;
mod health;
mod help;
mod pool;
mod program;
mod report;

use std::sync::{Arc, OnceLock};

use swarrot::config::Config;
use swarrot::layer::{CatchPanic, RetryHandler};
use swarrot::{Handler, ProviderOptions, StopReason, Worker, WorkerHandle};
use tower_layer::Layer;

pub(crate) use self::arguments::Args;
use self::exec::Exec;
use self::program::Program;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::session::Session;

pub(crate) async fn run(args: Args, session: &Session) -> Result<Exit> {
    let program = program::find(&args.exec)?;
    if let (Some(processes), None) = (args.processes, args.member) {
        return pool::run(processes.get(), session).await;
    }
    if let Some(file) = &args.config {
        let config = Config::load(file).map_err(|error| Failure::of_file(&error))?;
        let worker = config.worker(&args.queue).await?;
        let exit = work(worker, program, &args, session).await?;
        config.close().await?;
        return Ok(exit);
    }
    let broker = session.connect().await?;
    let provider = broker.provider(&args.queue, ProviderOptions::default()).await?;
    let exit = work(Worker::new(provider), program, &args, session).await?;
    broker.close().await?;
    Ok(exit)
}

/// Lets a worker run the program for each message, until it stops.
async fn work<L>(worker: Worker<L>, program: Program, args: &Args, session: &Session) -> Result<Exit>
where
    L: Layer<CatchPanic<Exec>, Service: Handler> + Layer<RetryHandler<CatchPanic<Exec>>, Service: Handler>,
{
    let worker = args.apply(worker);
    let handle = worker.handle();
    if let Some(mut address) = args.health {
        address.set_port(address.port().saturating_add(args.member.unwrap_or(0)));
        health::start(address, handle.clone()).await?;
    }
    if args.member.is_some() {
        stop_with_parent(handle.clone());
    }
    // From here on the worker stops by signals in its own three stages.
    session.stop.only_notice();
    tokio::spawn({
        let (stop, handle) = (session.stop.clone(), handle.clone());
        // A signal that came before the worker listened.
        async move {
            stop.asked().await;
            handle.stop();
        }
    });
    let broken = Arc::new(OnceLock::new());
    let exec = Exec::new(program, args, session, handle, Arc::clone(&broken));
    let mut report = match args.retry() {
        Some(retry) => worker.layer(retry).run(exec).await?,
        None => worker.run(exec).await?,
    };
    if let (StopReason::Handle, Some(signal)) = (&report.stopped, session.stop.signal()) {
        // We were the first to hear of it.
        report.stopped = StopReason::Signal(signal);
    }
    report::print(&report, session)?;
    match broken.get() {
        Some(line) => Err(Failure::new(line)),
        None => Ok(report::exit(&report, session)),
    }
}

/// Stops the worker, in good order, when the process that watches over it dies.
fn stop_with_parent(worker: WorkerHandle) {
    // A thread of its own, because reading stdin cannot be ended; it ends with the process.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        worker.stop();
    });
}
