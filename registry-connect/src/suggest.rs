//! "Did you mean …?"

/// The candidate that `word` is most likely a misspelling of: at most two letters inserted, left out or exchanged, and fewer than half of them.
pub(crate) fn suggest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 2 && 2 * distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_finds_its_key_and_a_strange_word_none() {
        let keys = ["ttl", "lazy", "audit_interval", "operation_timeout"];
        let suggested = |word| suggest(word, keys.into_iter());
        assert_eq!(suggested("tll"), Some("ttl"));
        assert_eq!(suggested("ttls"), Some("ttl"));
        assert_eq!(suggested("audit_intervall"), Some("audit_interval"));
        assert_eq!(suggested("operation-timeout"), Some("operation_timeout"));
        assert_eq!(suggested("token"), None);
    }
}
