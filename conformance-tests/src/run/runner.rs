//! Runs one case: gate, lock, thread, runtime, time limit, verdict.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::thread;
use std::time::Duration;

use futures_util::FutureExt as _;
use libtest_mimic::{Completion, Failed};

use super::{Case, Context, Run};
use crate::harness::Harness;

/// How long a runtime may take to end what a case has left behind.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    /// It could not run; why.
    Ignored(String),
    /// What it said.
    Failed(String),
}

impl Verdict {
    pub(crate) fn into_completion(self) -> Result<Completion, Failed> {
        match self {
            Self::Passed => Ok(Completion::Completed),
            Self::Ignored(reason) => Ok(Completion::ignored_with(reason)),
            Self::Failed(message) => Err(message.into()),
        }
    }
}

/// Runs a case as a trial of its own: beside others, unless it breaks the broker or needs the machine for itself.
pub(crate) fn run_trial(harness: &Arc<dyn Harness>, case: &'static Case) -> Verdict {
    static MACHINE: RwLock<()> = RwLock::new(());
    // What cannot run need not wait.
    if let Some(reason) = case.missing(&**harness) {
        return Verdict::Ignored(reason);
    }
    // Held by this thread, not the case's: a case that hangs lets the next one go on.
    let broker = case.breaks_the_broker().then(|| broker_to_break(harness.name()));
    let _broker = broker.as_ref().map(|broker| broker.lock().unwrap_or_else(PoisonError::into_inner));
    if case.runs_alone() {
        let _machine = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
        run_case(harness, case, 1)
    } else {
        let _machine = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        run_case(harness, case, 1)
    }
}

/// Whoever breaks the broker of this harness holds it.
fn broker_to_break(harness: &str) -> Arc<Mutex<()>> {
    static BROKERS: Mutex<BTreeMap<String, Arc<Mutex<()>>>> = Mutex::new(BTreeMap::new());
    let mut brokers = BROKERS.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(brokers.entry(harness.to_owned()).or_default())
}

/// Runs a case to its end or its time limit. With a `slack` above 1 the machine is busy with other cases: its limits of
/// time are that many times as long.
pub(crate) fn run_case(harness: &Arc<dyn Harness>, case: &'static Case, slack: u32) -> Verdict {
    if let Some(reason) = case.missing(&**harness) {
        return Verdict::Ignored(reason);
    }
    let (done, verdict) = mpsc::sync_channel(1);
    let harness = Arc::clone(harness);
    let spawned = thread::Builder::new().name(case.to_string()).spawn(move || {
        // The receiver is gone only when the time limit has passed.
        let _ = done.send(run_here(&harness, case, slack));
    });
    if let Err(error) = spawned {
        return Verdict::Failed(format!("no thread for the case: {error}"));
    }
    let limit = case.time_limit() * slack;
    match verdict.recv_timeout(limit) {
        Ok(verdict) => verdict,
        Err(mpsc::RecvTimeoutError::Timeout) => Verdict::Failed(format!("{case} did not end within {limit:?}")),
        Err(mpsc::RecvTimeoutError::Disconnected) => Verdict::Failed(format!("the thread of {case} died")),
    }
}

fn run_here(harness: &Arc<dyn Harness>, case: &'static Case, slack: u32) -> Verdict {
    let result = match case.how() {
        Run::Async(run) => {
            let runtime = match harness.runtime() {
                Ok(runtime) => runtime,
                Err(error) => return Verdict::Failed(format!("no runtime for the case: {error}")),
            };
            let result = runtime.block_on(async {
                let context = match Context::new(Arc::clone(harness), case, slack).await {
                    Ok(context) => context,
                    Err(error) => return Err(Box::new(format!("the broker to break is not there: {error}")) as _),
                };
                let result = AssertUnwindSafe(run(&context)).catch_unwind().await;
                context.clean_up().await;
                result
            });
            runtime.shutdown_timeout(SHUTDOWN);
            result
        }
        Run::Blocking(run) => std::panic::catch_unwind(AssertUnwindSafe(|| run(harness))),
    };
    match result {
        Ok(()) => Verdict::Passed,
        Err(payload) => Verdict::Failed(message(&*payload)),
    }
}

/// What a panic said.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("the case panicked").to_owned()
}
