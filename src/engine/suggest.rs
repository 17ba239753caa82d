//! "Did you mean …?"

/// The known word nearest to what was written, where one is near enough to have been meant.
pub fn closest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|word| {
            let same_letters = written.eq_ignore_ascii_case(word);
            // Slips of the finger are few edits; a shared start alone is not meant.
            let nearness = if same_letters {
                1.0
            } else {
                strsim::normalized_damerau_levenshtein(&written.to_ascii_lowercase(), &word.to_ascii_lowercase())
            };
            (nearness, word)
        })
        .filter(|(nearness, _)| *nearness > 0.5)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, word)| word)
}
