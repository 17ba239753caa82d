//! "Did you mean …?"

/// The known word nearest to what was written, where one is near enough to have been meant.
pub fn closest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|word| {
            let same_letters = written.eq_ignore_ascii_case(word);
            let nearness = if same_letters {
                1.0
            } else {
                strsim::jaro_winkler(written, word)
            };
            (nearness, word)
        })
        .filter(|(nearness, _)| *nearness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, word)| word)
}
