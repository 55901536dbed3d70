//! `swarrot work`.

mod arguments;
mod child;
mod environment;
mod exec;
mod health;
mod help;
mod layers;
mod pool;
mod program;
mod report;
mod retry;
mod timeout;

use std::sync::{Arc, OnceLock};

use swarrot::config::{Config, ConfiguredWorker};
use swarrot::topology::check_name;
use swarrot::{BrokerUrl, StopReason, WorkerHandle};

pub(crate) use self::arguments::Args;
use self::exec::Exec;
use self::program::Program;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::session::{STOPPED, Session};

pub(crate) async fn run(args: Args, session: &Session) -> Result<Exit> {
    let program = program::find(&args.exec)?;
    // Each process reads it; what is wrong is told once.
    let config = load(&args, session)?;
    if let (Some(processes), None) = (args.processes, args.member) {
        if let Some(address) = args.health {
            pool::check_ports(address, processes.get())?;
        }
        return pool::run(processes.get(), session).await;
    }
    let name = if args.config.is_some() { &args.queue } else { WITHOUT_FILE };
    let worker = tokio::select! {
        worker = config.worker(name) => worker?,
        () = session.stop.asked() => return Err(Failure::signal(STOPPED)),
    };
    let exit = work(worker, program, &args, session).await?;
    config.close().await?;
    Ok(exit)
}

/// The name of the worker where there is no file.
const WITHOUT_FILE: &str = "work";

/// What the file says, or else the arguments alone, with the flags of layers.
///
/// # Errors
/// All that is wrong with them.
fn load(args: &Args, session: &Session) -> Result<Config> {
    let loader = layers::loader();
    if let Some(file) = &args.config {
        let config = loader.change(&args.queue, args.changes()).load(file);
        return config.map_err(|error| Failure::of_file(&error));
    }
    let url = session.url()?.to_owned();
    url.parse::<BrokerUrl>()?;
    let queue = args.queue.clone();
    check_name(&queue)?;
    let text = "brokers.main = \"${URL}\"\n\
                workers.work.queue = \"${QUEUE}\"\n\
                workers.work.layers = [{ layer = \"retry\", exponential = { first = \"30s\", max = \"30m\" }, jitter = true }]";
    let values = move |name: &str| match name {
        "URL" => Some(url.clone()),
        "QUEUE" => Some(queue.clone()),
        _ => None,
    };
    let config = loader.change(WITHOUT_FILE, args.changes()).variables(values).parse(text);
    config.map_err(|error| {
        // There is no text for whoever reads it.
        let problems: Vec<_> = error.problems().iter().map(|problem| problem.message.as_str()).collect();
        Failure::usage(problems.join("; "))
    })
}

/// Lets a worker run the program for each message, until it stops.
async fn work(worker: ConfiguredWorker, program: Program, args: &Args, session: &Session) -> Result<Exit> {
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
    let mut report = worker.run(exec).await?;
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
