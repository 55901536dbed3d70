//! What is wrong with a queue.

use swarrot::topology::{PartState, Queue, Topology};
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
        warnings.extend(about_arguments(queue, &Existing(differences), has_a_limit_of_its_own(server)));
    }
    Ok(warnings)
}

/// How a queue differs from a usual one.
struct Existing<'a>(&'a [String]);

impl<'a> Existing<'a> {
    /// What it has under this name, if that differs.
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find_map(|difference| {
            let existing = difference.strip_prefix(name)?.strip_prefix(" is ")?;
            existing.split(" and was declared as ").next()
        })
    }
}

fn about_arguments(queue: &str, existing: &Existing<'_>, has_limit: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if existing.get("durable").is_some() {
        warnings.push(format!(
            "{queue} is transient: it is lost when the server restarts; delete it and declare it durable"
        ));
    }
    if existing.get("auto_delete").is_some() {
        warnings.push(format!("{queue} is deleted with its last worker; delete it and declare it without auto_delete"));
    }
    // A classic queue counts no deliveries.
    let counts = existing.get("x-queue-type").is_none();
    let limited = match existing.get("x-delivery-limit").or_else(|| existing.get("delivery_limit")) {
        Some("-1") => false,
        Some(limit) => is_some(limit) || has_limit,
        None => true,
    };
    let drops = existing.get("x-dead-letter-exchange").is_some_and(|exchange| !is_some(exchange))
        || existing.get("dead_letter").is_some_and(|what| what.eq_ignore_ascii_case("drop"));
    if drops && counts && limited {
        warnings.push(format!(
            "{queue} has a delivery limit and no dead letters: what comes back too often is dropped; delete it and declare it \
             with dead letters, or set them by a policy"
        ));
    }
    warnings
}

fn is_some(value: &str) -> bool {
    !value.eq_ignore_ascii_case("none")
}

/// From 4.0 on, RabbitMQ's quorum queues have a delivery limit whether it is declared or not.
fn has_a_limit_of_its_own(server: &ServerInfo) -> bool {
    let major = server.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    server.product == "RabbitMQ" && major >= Some(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(differences: &[&str], has_limit: bool) -> Vec<String> {
        let differences: Vec<_> = differences.iter().map(|text| (*text).to_owned()).collect();
        about_arguments("q", &Existing(&differences), has_limit)
    }

    #[test]
    fn a_limit_without_dead_letters() {
        let no_dead = "x-dead-letter-exchange is none and was declared as ";
        let no_limit = "x-delivery-limit is none and was declared as 100";
        let classic = "x-queue-type is classic and was declared as quorum";
        assert_eq!(told(&[no_dead], false).len(), 1);
        assert_eq!(told(&[no_dead, "x-delivery-limit is 5 and was declared as 100"], false).len(), 1);
        assert_eq!(told(&[no_dead, no_limit], false), [""; 0]);
        assert_eq!(told(&[no_dead, no_limit], true).len(), 1, "RabbitMQ 4 has one of its own");
        assert_eq!(told(&[no_dead, "x-delivery-limit is -1 and was declared as 100"], true), [""; 0]);
        assert_eq!(told(&[no_dead, classic, no_limit], true), [""; 0]);
        assert_eq!(told(&["dead_letter is drop and was declared as park"], false).len(), 1);
        assert_eq!(told(&["x-max-length is 5 and was declared as none"], true), [""; 0]);
    }

    #[test]
    fn what_does_not_last() {
        assert!(told(&["durable is false and was declared as true"], false)[0].contains("transient"));
        assert!(told(&["auto_delete is true and was declared as false"], false)[0].contains("last worker"));
    }
}
