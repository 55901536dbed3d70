//! What handles, providers and publishers share: the state, its lock, and the names of brokers in this process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use swarrot_core::{Error, ErrorKind, Result};
use tokio::sync::Notify;

use crate::config::{Builder, Profile};
use crate::error;
use crate::state::State;

/// A broker's state. It lives as long as a handle, provider or publisher of it.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Wakes publishes that wait for the end of a block.
    pub(crate) gate: Notify,
    /// Wakes those who wait for a queue to become idle.
    pub(crate) idle: Arc<Notify>,
}

impl Shared {
    pub(crate) fn new(options: Builder) -> Arc<Self> {
        let idle = Arc::<Notify>::default();
        let state = Mutex::new(State::new(options, Arc::clone(&idle)));
        Arc::new(Self { state, gate: Notify::new(), idle })
    }

    /// Locks the state. No code of a user runs under the lock, and nobody waits while holding it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // After a panic under the lock (a failed assertion of the model) the others should still end in an orderly way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The broker with this name in this process; a new one if there is none.
    pub(crate) fn named(name: &str, profile: Option<Profile>) -> Result<Arc<Self>> {
        static NAMED: LazyLock<Mutex<HashMap<String, Weak<Shared>>>> = LazyLock::new(Mutex::default);
        let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
        named.retain(|_, broker| broker.strong_count() > 0);
        if let Some(shared) = named.get(name).and_then(Weak::upgrade) {
            let existing = shared.lock().profile();
            return match profile {
                Some(wanted) if wanted != existing => {
                    let message = format!("the broker exists with the profile {existing:?}, not {wanted:?}");
                    Err(Error::new(ErrorKind::Conflict, message).with_operation("connect").with_target(name))
                }
                _ => Ok(shared),
            };
        }
        let shared = Self::new(Builder::default().profile(profile.unwrap_or_default()));
        named.insert(name.to_owned(), Arc::downgrade(&shared));
        Ok(shared)
    }
}

/// One connection to a broker: what it made is closed with it.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) id: u64,
    /// It never creates anything, but checks that it exists.
    pub(crate) passive: bool,
    closed: AtomicBool,
}

impl Handle {
    pub(crate) fn new(shared: &Shared, passive: bool) -> Arc<Self> {
        Arc::new(Self { id: shared.lock().next_id(), passive, closed: AtomicBool::new(false) })
    }

    /// Call it under the lock, so that nothing is made on a handle that is being closed.
    pub(crate) fn check(&self) -> Result<()> {
        if self.closed.load(Ordering::Relaxed) { Err(error::closed("broker")) } else { Ok(()) }
    }

    /// Call it under the lock.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}
