//! The task that owns a provider's channel: it connects when deliveries are wanted, takes them in, and starts anew after
//! whatever goes wrong.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use swarrot_core::topology::QueueKind;
use swarrot_core::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::acks;
use super::serving::{Serving, Wiring};
use crate::connection::{Backoff, LIVED};

/// After the broker ended the delivery, so long at least: a queue that is made again before all its providers are told
/// that it was deleted can leave them on it, yet without deliveries.
const AFTER_CANCEL: Duration = Duration::from_millis(500);
pub(super) type Answer = oneshot::Sender<Result<()>>;

/// What a provider tells its task. When the provider is dropped, the task ends.
pub(super) enum Command {
    /// The prefetch was changed.
    Prefetch(Answer),
    /// Nothing is to be fetched until it is wanted.
    Pause(Answer),
    Stop(Answer),
    Close(Answer),
}

pub(super) struct Session {
    pub(super) wiring: Wiring,
    pub(super) commands: mpsc::Receiver<Command>,
}

/// How the service of a channel, or the wait for one, ended.
pub(super) enum End {
    /// The channel broke, or the broker ended the delivery.
    Broken { error: Error, lost: bool },
    /// The task is to end.
    Over,
}

impl End {
    /// After a call that failed: the queue may have been deleted while nothing was received, which the broker does not say.
    fn over(error: Error) -> Self {
        Self::Broken { lost: error.kind() == ErrorKind::NotFound, error }
    }
}

impl Session {
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            tokio::select! {
                command = self.commands.recv() => {
                    if !self.unconnected(command).await {
                        return;
                    }
                    continue;
                }
                () = self.wiring.core.wanted.notified() => {}
            }
            // Whether the queue may be gone although the connection is not.
            let mut lost = false;
            loop {
                let opened = match self.open_unless_told(lost).await {
                    Ok(opened) => opened,
                    Err(End::Broken { error, .. }) if is_final(error.kind()) => {
                        self.wiring.core.park(error.with_operation("receive").with_target(&*self.wiring.core.queue));
                        break;
                    }
                    Err(End::Broken { error, .. }) => {
                        tracing::info!(queue = &*self.wiring.core.queue, %error, "cannot receive, trying again");
                        self.wiring.core.failed(self.wiring.temporary(error));
                        if !self.pause(backoff.next()).await {
                            return;
                        }
                        continue;
                    }
                    Err(End::Over) => return,
                };
                let since = Instant::now();
                match self.serve(opened).await {
                    End::Over => return,
                    End::Broken { error, lost: gone } => {
                        self.wiring.core.end_epoch();
                        tracing::info!(queue = &*self.wiring.core.queue, %error, "the provider's channel ended");
                        lost = gone;
                    }
                }
                if since.elapsed() > LIVED {
                    backoff.reset();
                }
                let pause = if lost { AFTER_CANCEL.mul_f64(1.0 + fastrand::f64()) } else { backoff.next() };
                if !self.pause(pause).await {
                    return;
                }
            }
        }
    }

    /// Does what is told while there is no channel; false if the task is to end.
    async fn unconnected(&mut self, command: Option<Command>) -> bool {
        let mut next = command;
        loop {
            match next {
                None => return false,
                Some(Command::Prefetch(answer) | Command::Pause(answer)) => {
                    let _ = answer.send(Ok(()));
                    return true;
                }
                Some(Command::Stop(answer)) => {
                    let _ = answer.send(Ok(()));
                }
                Some(Command::Close(answer)) => {
                    self.wiring.core.release_all();
                    let _ = answer.send(Ok(()));
                    return false;
                }
            }
            // Stopped: nothing is left to do but to be closed.
            next = self.commands.recv().await;
        }
    }

    async fn pause(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(until) => return true,
                command = self.commands.recv() => if !self.unconnected(command).await { return false },
            }
        }
    }

    async fn open_unless_told(&mut self, lost: bool) -> Result<Serving, End> {
        loop {
            let command = tokio::select! {
                opened = self.wiring.open(lost) => return opened.map_err(|error| End::Broken { error, lost }),
                command = self.commands.recv() => command,
            };
            if !self.unconnected(command).await {
                return Err(End::Over);
            }
        }
    }

    async fn serve(&mut self, mut serving: Serving) -> End {
        // Classic queues always say when they go.
        let may_fall_silent = self.wiring.kind != Some(QueueKind::Classic);
        let mut silence = pin!(sleep_until(serving.heard + serving.silence));
        let mut acks = pin!(sleep(acks::WAIT));
        let mut acks_wait = false;
        loop {
            if let Err(error) = self.follow_demand(&mut serving).await {
                return End::over(error);
            }
            // What is heard puts the end of the silence off, and the timer is set anew only when it rings; but after a long
            // silence the next one is short.
            let silent_at = serving.heard + serving.silence;
            if silent_at < silence.deadline() {
                silence.as_mut().reset(silent_at);
            }
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    None => {
                        self.wiring.core.send_put_off();
                        return End::Over;
                    }
                    Some(Command::Prefetch(answer)) => {
                        let changed = self.wiring.change_prefetch(&mut serving).await;
                        let _ = answer.send(changed.clone().map_err(|error| self.wiring.temporary(error)));
                        if let Err(error) = changed {
                            return End::over(error);
                        }
                    }
                    Some(Command::Pause(answer)) => {
                        let paused = self.follow_demand(&mut serving).await;
                        let _ = answer.send(paused.clone().map_err(|error| self.wiring.temporary(error)));
                        if let Err(error) = paused {
                            return End::over(error);
                        }
                    }
                    Some(Command::Stop(answer)) => {
                        let stopped = self.wiring.pause(&mut serving).await;
                        let _ = answer.send(stopped.map_err(|error| self.wiring.temporary(error)));
                        return self.only_settle(&serving).await;
                    }
                    Some(Command::Close(answer)) => {
                        let stopped = self.wiring.pause(&mut serving).await;
                        let closed = self.wiring.close(&serving).await;
                        let _ = answer.send(stopped.and(closed).map_err(|error| self.wiring.temporary(error)));
                        return End::Over;
                    }
                },
                () = self.wiring.core.wanted.notified(), if !serving.listening => {}
                () = &mut acks, if acks_wait => {
                    self.wiring.core.send_put_off();
                    acks_wait = false;
                }
                () = self.wiring.core.put_off.notified(), if !acks_wait => {
                    acks.as_mut().reset(Instant::now() + acks::WAIT);
                    acks_wait = true;
                }
                next = serving.consumer.next(), if serving.listening => {
                    if let Err(end) = self.wiring.take_in(&mut serving, next) {
                        return end;
                    }
                }
                () = &mut silence, if may_fall_silent && serving.listening => {
                    if silent_at > Instant::now() {
                        silence.as_mut().reset(silent_at);
                        continue;
                    }
                    if let Err(error) = self.wiring.listen_again(&mut serving).await {
                        return End::over(error);
                    }
                    silence.as_mut().reset(serving.heard + serving.silence);
                }
            }
        }
    }

    /// Ends delivery while the provider is paused, and begins it again when deliveries are wanted.
    async fn follow_demand(&self, serving: &mut Serving) -> Result<()> {
        match (self.wiring.core.is_paused(), serving.listening) {
            (true, true) => self.wiring.pause(serving).await,
            (false, false) => self.wiring.resume(serving).await,
            _ => Ok(()),
        }
    }

    /// Keeps the channel for what was handed out.
    async fn only_settle(&mut self, serving: &Serving) -> End {
        loop {
            match self.commands.recv().await {
                None => return End::Over,
                Some(Command::Prefetch(answer) | Command::Pause(answer) | Command::Stop(answer)) => {
                    let _ = answer.send(Ok(()));
                }
                Some(Command::Close(answer)) => {
                    let closed = self.wiring.close(serving).await;
                    let _ = answer.send(closed.map_err(|error| self.wiring.temporary(error)));
                    return End::Over;
                }
            }
        }
    }
}

/// Whether trying again is pointless until somebody mends something.
fn is_final(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::AccessRefused
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::InvalidInput
            | ErrorKind::Unsupported
            | ErrorKind::Closed
    )
}
