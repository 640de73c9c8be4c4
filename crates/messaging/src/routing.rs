//! Matching of routing keys as in AMQP 0-9-1 §3.1.3.3 (topic exchange).

/// Whether `pattern` (words between dots, `*` any one word, `#` any number of words) matches `key`.
pub fn matches(pattern: &str, key: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('.').collect();
    let key: Vec<&str> = key.split('.').collect();
    words_match(&pattern, &key)
}

fn words_match(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, None) => true,
        (Some((&"#", rest)), _) => {
            words_match(rest, key) || key.split_first().is_some_and(|(_, tail)| words_match(pattern, tail))
        }
        (Some((&"*", rest)), Some((_, tail))) => words_match(rest, tail),
        (Some((word, rest)), Some((first, tail))) => word == first && words_match(rest, tail),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_one_word_and_hashes_any_number() {
        for (pattern, key, expected) in [
            ("order.created", "order.created", true),
            ("order.created", "order.confirmed", false),
            ("order.*", "order.created", true),
            ("order.*", "order", false),
            ("order.*", "order.created.late", false),
            ("*.created", "product.created", true),
            ("#", "a.b.c", true),
            ("order.#", "order", true),
            ("order.#", "orders.created", false),
            ("#.created", "a.b.created", true),
        ] {
            assert_eq!(matches(pattern, key), expected, "{pattern} {key}");
        }
    }
}
