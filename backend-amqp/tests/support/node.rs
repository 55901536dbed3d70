//! A server that tests may disturb.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    url: String,
    ctl: String,
    _alone: OwnedMutexGuard<()>,
}

/// The server, for one test at a time.
pub async fn node() -> Node {
    static LOCK: std::sync::OnceLock<Arc<Mutex<()>>> = std::sync::OnceLock::new();
    let alone = Arc::clone(LOCK.get_or_init(Arc::default)).lock_owned().await;
    Node(Arc::new(Inner {
        url: super::url(),
        ctl: std::env::var("SWARROT_TEST_RABBITMQCTL").expect("set"),
        _alone: alone,
    }))
}

impl Node {
    pub fn url(&self) -> String {
        self.0.url.clone()
    }

    pub async fn ctl(&self, arguments: &[&str]) -> String {
        let mut words = self.0.ctl.split_whitespace();
        let output =
            tokio::process::Command::new(words.next().expect("a command")).args(words).args(arguments).output().await;
        let output = output.expect("it runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
