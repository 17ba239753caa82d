//! How a sink writes bold, code and links, and what it must escape so that a name or an error shows as it is.

/// The markup of one kind of sink.
#[derive(Clone, Copy, Debug)]
pub struct Markup {
    /// Plain text as it must be written to show as it is.
    pub escape: fn(&str) -> String,
    /// Escaped text, in bold.
    pub bold: fn(&str) -> String,
    /// Plain text, as code. It escapes what it must.
    pub code: fn(&str) -> String,
    /// Escaped text that leads to a URL.
    pub link: fn(&str, &str) -> String,
    /// What stands before an item of a list.
    pub bullet: &'static str,
}

/// Text without any markup.
pub const PLAIN: Markup = Markup {
    escape: str::to_owned,
    bold: str::to_owned,
    code: str::to_owned,
    link: |text, url| format!("{text}: {url}"),
    bullet: "- ",
};
