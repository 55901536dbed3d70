//! The queues that a command looks at.

use swarrot::Broker;
use swarrot::message::names;

use crate::failure::Result;

/// Those that are named, or else all that the broker has. A dead-letter queue is shown with the queue whose messages it gets.
///
/// # Errors
/// If none is named and the broker does not tell.
pub(crate) async fn named_or_all(broker: &dyn Broker, named: Vec<String>) -> Result<Vec<String>> {
    if !named.is_empty() {
        return Ok(named);
    }
    let all = broker.queues().await?;
    let of_another = |queue: &String| all.iter().any(|source| names::dead_letter_queue(source) == *queue);
    Ok(all.iter().filter(|queue| !of_another(queue)).cloned().collect())
}
