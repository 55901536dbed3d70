//! Where it is kept what is done.

use std::fmt;
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::Result;

/// Where [`Deduplicate`](super::Deduplicate) keeps which messages are in progress and which are done.
///
/// Each key is unknown, claimed by one owner until its lease ends, or done for a time. What has ended is unknown again. Every
/// call happens as a whole or not at all, also beside others, and ends in bounded time.
///
/// # Cancel safety
/// A dropped call has taken effect, or not, or takes effect later; each may be repeated.
#[async_trait]
pub trait DedupStore: Debug + Send + Sync {
    /// Claims a key for this owner, or begins the owner's lease anew: also of a lease that has ended, if nobody else has
    /// claimed the key since.
    ///
    /// # Errors
    /// If the store does not answer; the key may have been claimed.
    async fn claim(&self, key: &str, owner: Owner, lease: Duration) -> Result<Claim>;

    /// Notes for so long that a key is done, whoever claims it.
    ///
    /// # Errors
    /// If the store does not answer; it may have been noted.
    async fn done(&self, key: &str, keep: Duration) -> Result<()>;

    /// Frees a key, if this owner claims it.
    ///
    /// # Errors
    /// If the store does not answer; it may have been freed.
    async fn free(&self, key: &str, owner: Owner) -> Result<()>;
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The key is the owner's, for the length of the lease.
    Granted,
    /// Another owner has it; how long its lease lasts, unless it is begun anew.
    InProgress(Duration),
    /// It is done.
    Done,
}

/// Who claims a key: one handling of one delivery. `Display` is 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner(u128);

impl Owner {
    /// One that there is nowhere else.
    pub fn unique() -> Self {
        Self(uuid::Uuid::now_v7().as_u128() ^ u128::from(fastrand::u64(..)))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

const _: Option<&dyn DedupStore> = None;
