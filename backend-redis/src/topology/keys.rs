//! Where things are in Redis.

/// The keys of one queue.
///
/// They share a hash tag, so that a cluster keeps them on one node, where one script can change them all. The tag is the
/// queue's name without the `.dead` at its end: a dead-letter queue is on the node of the queue whose messages it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueKeys {
    /// The declaration: a hash. Where it is missing there is no queue.
    pub(crate) queue: String,
    /// The messages that are ready or delivered: a stream with one group.
    pub(crate) stream: String,
    /// A stream of at most one entry, which makes a reader that waits look at what else there is to do.
    pub(crate) wake: String,
    /// The messages held back: a sorted set by the time when they are due, in milliseconds.
    pub(crate) delayed: String,
    /// There while nobody has to look for lost leases.
    pub(crate) scan: String,
}

impl QueueKeys {
    pub(crate) fn new(prefix: &str, queue: &str) -> Self {
        let tag = tag(queue);
        let rest = &queue[tag.len()..];
        let key = |what: &str| format!("{prefix}:{{{tag}}}{rest}:{what}");
        Self {
            queue: key("queue"),
            stream: key("stream"),
            wake: key("wake"),
            delayed: key("delayed"),
            scan: key("scan"),
        }
    }

    /// The four that most scripts take, in their order.
    pub(crate) fn all(&self) -> [&str; 4] {
        [&self.queue, &self.stream, &self.wake, &self.delayed]
    }
}

/// What decides on which node of a cluster a queue is.
pub(crate) fn tag(queue: &str) -> &str {
    let mut tag = queue;
    while let Some(source) = tag.strip_suffix(".dead").filter(|source| !source.is_empty()) {
        tag = source;
    }
    tag
}

/// A pattern for the declarations of all queues.
pub(crate) fn declarations(prefix: &str) -> String {
    let mut escaped = String::with_capacity(prefix.len());
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    format!("{escaped}:{{*}}*:queue")
}

/// The queue whose declaration has this key.
pub(crate) fn queue_of(prefix: &str, key: &str) -> Option<String> {
    let name = key.strip_prefix(prefix)?.strip_prefix(":{")?.strip_suffix(":queue")?;
    let (tag, rest) = name.split_once('}')?;
    let queue = format!("{tag}{rest}");
    // Another key that looks like one.
    (QueueKeys::new(prefix, &queue).queue == key).then_some(queue)
}

/// Where a publisher's record of what it has published to the queues of this tag is.
pub(crate) fn publisher_record(prefix: &str, tag: &str, publisher: &str) -> String {
    format!("{prefix}:{{{tag}}}:publisher:{publisher}")
}

/// The keys of the topology: exchanges, bindings, version. The tag cannot be a queue's name.
#[derive(Debug)]
pub(crate) struct TopologyKeys {
    /// Kinds of exchanges by name: a hash.
    pub(crate) exchanges: String,
    /// A set of exchange, queue and key, with line ends between them.
    pub(crate) bindings: String,
    /// Counts changes of both.
    pub(crate) version: String,
}

impl TopologyKeys {
    pub(crate) fn new(prefix: &str) -> Self {
        let key = |what: &str| format!("{prefix}:{{/}}:{what}");
        Self { exchanges: key("exchanges"), bindings: key("bindings"), version: key("version") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_found_by_its_key() {
        for queue in ["mails", "mails.dead", ".dead", "a.b_c-d", "queue"] {
            let key = QueueKeys::new("swarrot", queue).queue;
            assert_eq!(queue_of("swarrot", &key).as_deref(), Some(queue), "{key}");
        }
        for other in
            ["swarrot:{mails}:stream", "swarrot:{mails}x:y:queue:z", "other:{mails}:queue", "swarrot:{a.dead}:queue"]
        {
            assert_eq!(queue_of("swarrot", other), None, "{other}");
        }
        assert_eq!(declarations("a*[b]"), "a\\*\\[b\\]:{*}*:queue");
    }

    #[test]
    fn a_dead_letter_queue_is_where_its_source_is() {
        for (queue, expected) in [
            ("mails", "mails"),
            ("mails.dead", "mails"),
            ("mails.dead.dead", "mails"),
            (".dead", ".dead"),
            (".dead.dead", ".dead"),
            ("undead", "undead"),
        ] {
            assert_eq!(tag(queue), expected, "{queue}");
        }
        assert_eq!(QueueKeys::new("swarrot", "mails.dead").stream, "swarrot:{mails}.dead:stream");
        assert_ne!(QueueKeys::new("p", "a"), QueueKeys::new("p", "a.dead"));
    }
}
