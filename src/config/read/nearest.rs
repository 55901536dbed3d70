//! What was most likely meant.

/// ``; did you mean "retry"?``, or what is known if nothing is near.
pub(in crate::config) fn hint<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(unknown, &known) {
        Some(near) => format!("; did you mean {near:?}?"),
        None if known.is_empty() => String::new(),
        None => format!("; known are: {}", known.join(", ")),
    }
}

/// The nearest one by edits, if at most a third of it differs.
fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    // What is longer is no typing error, and takes quadratic time.
    if unknown.len() > 100 {
        return None;
    }
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', ' ', '.'], "_");
    let unknown = plain(unknown);
    let distance = |known: &str| strsim::damerau_levenshtein(&unknown, &plain(known));
    let near = known.iter().map(|known| (distance(known), *known)).min_by_key(|(distance, _)| *distance);
    near.filter(|(distance, known)| *distance <= known.chars().count() / 3).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_has_a_near_one() {
        let known = ["concurrency", "max_messages", "max_time", "queue"];
        for (unknown, near) in [
            ("concurency", "concurrency"),
            ("max-messages", "max_messages"),
            ("maxTime", "max_time"),
            ("MAX_TIME", "max_time"),
            ("queues", "queue"),
            ("queu", "queue"),
        ] {
            assert_eq!(nearest(unknown, &known), Some(near), "{unknown}");
        }
        assert_eq!(nearest("retry", &known), None);
        assert_eq!(nearest(&"concurrency".repeat(1000), &known), None);
        assert_eq!(hint("x", ["a", "b"]), "; known are: a, b");
        assert_eq!(hint("x", []), "");
    }
}
