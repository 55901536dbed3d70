//! What is wrong with a queue.

use swarrot::topology::{Difference, PartState, Queue, Topology};
use swarrot::{Broker, ServerInfo};

use crate::failure::Result;
use crate::output::count;

/// What should be mended about a queue.
///
/// # Errors
/// If there is none of that name, or the broker cannot be asked.
pub(super) async fn warnings(broker: &dyn Broker, queue: &str, server: &ServerInfo) -> Result<Vec<String>> {
    let stats = broker.stats(queue).await?;
    let mut warnings = Vec::new();
    match stats.parked {
        None => warnings.push(format!(
            "{queue} has no dead-letter queue: what is given up on there cannot be parked; declare it with one"
        )),
        Some(0) => {}
        Some(parked) => {
            warnings.push(format!("{queue} has {}; see `swarrot dead list {queue}`", count(parked, "dead letter")));
        }
    }
    if stats.ready > 0 && stats.providers == Some(0) {
        warnings.push(format!("{queue} has {} and no worker; start one", count(stats.ready, "message")));
    }
    // What is not named as a difference is as it is here.
    let usual = Topology::new().queue(Queue::new(queue));
    let parts = broker.compare(&usual).await?;
    if let Some(PartState::Different(differences)) = parts.first().map(|comparison| &comparison.state) {
        warnings.extend(about_arguments(queue, differences, has_a_limit_of_its_own(server)));
    }
    Ok(warnings)
}

/// What a queue is that a usual one is not.
fn about_arguments(queue: &str, differences: &[Difference], has_limit: bool) -> Vec<String> {
    let differs = |name: &str| differences.iter().find(|difference| difference.name == name);
    let mut warnings = Vec::new();
    if differs("durable").is_some() {
        warnings.push(format!(
            "{queue} is transient: it is lost when the server restarts; delete it and declare it durable"
        ));
    }
    if differs("auto_delete").is_some() {
        warnings.push(format!("{queue} is deleted with its last worker; delete it and declare it without auto_delete"));
    }
    // A classic queue counts no deliveries.
    let counts = differs("x-queue-type").is_none();
    let limited = match differs("x-delivery-limit").or_else(|| differs("delivery_limit")) {
        Some(Difference { existing: Some(limit), .. }) => limit != "-1",
        Some(_) => has_limit,
        None => true,
    };
    let drops = differs("x-dead-letter-exchange").is_some_and(|exchange| exchange.existing.is_none())
        || differs("dead_letter").is_some_and(|what| what.existing.as_deref() == Some("drop"));
    if drops && counts && limited {
        warnings.push(format!(
            "{queue} has a delivery limit and no dead letters: what comes back too often is dropped; delete it and declare it \
             with dead letters, or set them by a policy"
        ));
    }
    warnings
}

/// From 4.0 on, RabbitMQ's quorum queues have a delivery limit whether it is declared or not.
fn has_a_limit_of_its_own(server: &ServerInfo) -> bool {
    let major = server.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    server.product == "RabbitMQ" && major >= Some(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a queue that has these arguments, and would usually have others.
    fn told(existing: &[(&str, Option<&str>)], has_limit: bool) -> Vec<String> {
        let difference = |(name, existing): &(&str, Option<&str>)| {
            Difference::new(*name, existing.map(str::to_owned), Some("usual".to_owned()))
        };
        about_arguments("q", &existing.iter().map(difference).collect::<Vec<_>>(), has_limit)
    }

    #[test]
    fn a_limit_without_dead_letters() {
        let no_dead = ("x-dead-letter-exchange", None);
        let no_limit = ("x-delivery-limit", None);
        let classic = ("x-queue-type", Some("classic"));
        assert_eq!(told(&[no_dead], false).len(), 1);
        assert_eq!(told(&[no_dead, ("x-delivery-limit", Some("5"))], false).len(), 1);
        assert_eq!(told(&[no_dead, no_limit], false), [""; 0]);
        assert_eq!(told(&[no_dead, no_limit], true).len(), 1, "RabbitMQ 4 has one of its own");
        assert_eq!(told(&[no_dead, ("x-delivery-limit", Some("-1"))], true), [""; 0]);
        assert_eq!(told(&[no_dead, classic, no_limit], true), [""; 0]);
        assert_eq!(told(&[("dead_letter", Some("drop"))], false).len(), 1);
        assert_eq!(told(&[("x-max-length", Some("5"))], true), [""; 0]);
    }

    #[test]
    fn what_does_not_last() {
        assert!(told(&[("durable", Some("false"))], false)[0].contains("transient"));
        assert!(told(&[("auto_delete", Some("true"))], false)[0].contains("last worker"));
    }
}
