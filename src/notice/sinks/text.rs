//! What the markups of several chats have in common.

/// Takes no room and is no blank: what stands before it and after it is no markup any more, and shows as it is.
pub(super) const UNSEEN: char = '\u{200b}';

/// Titles are cut to this, so that they leave room for the body.
const LONGEST_TITLE: usize = 200;

/// Writes plain text, each character by `write`, which is given the rest of its line, too. Control characters are left out,
/// and no line starts a heading, a list, a quote or a block of code.
pub(super) fn escape(text: &str, write: impl Fn(&mut String, char, &str)) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            out.push('\n');
        }
        if starts_a_block(line) {
            out.push(UNSEEN);
        }
        for (at, character) in line.char_indices() {
            match character {
                '\t' => out.push(' '),
                _ if character.is_control() => {}
                _ => write(&mut out, character, &line[at + character.len_utf8()..]),
            }
        }
    }
    out
}

/// True for a line that Markdown takes for the start of something.
///
/// Source: CommonMark 0.31, section 4 and 5. The chats are less strict: a `#` needs no blank after it.
fn starts_a_block(line: &str) -> bool {
    let text = line.trim_start_matches(' ');
    if line.len() - text.len() >= 4 || text.starts_with('\t') {
        return true;
    }
    let behind_digits = text.trim_start_matches(|character: char| character.is_ascii_digit());
    let is_numbered =
        behind_digits.len() < text.len() && [". ", ") "].iter().any(|mark| behind_digits.starts_with(mark));
    is_numbered || text.starts_with(['#', '>', '-', '+', '='])
}

/// Text between backticks, for Markdown of which nobody says whether it reads entities or tags in there.
pub(super) fn inline_code(text: &str) -> String {
    let code = one_line(text, |out, character| match character {
        // There is no way to write a backtick in code of one backtick.
        '`' => out.push('ˋ'),
        '<' | '&' => out.extend([character, UNSEEN]),
        _ => out.push(character),
    });
    quoted(&code)
}

/// Code between backticks; nothing for nothing, since two backticks would show.
pub(super) fn quoted(code: &str) -> String {
    wrapped(code, "`")
}

/// Text between two marks; nothing for nothing, since the marks would show.
pub(super) fn wrapped(text: &str, mark: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("{mark}{text}{mark}")
    }
}

/// Writes plain text on one line, each character by `write`.
pub(super) fn one_line(text: &str, write: impl Fn(&mut String, char)) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => out.push(' '),
            _ if character.is_control() => {}
            _ => write(&mut out, character),
        }
    }
    out
}

/// A link of Markdown. The text is escaped already.
pub(super) fn markdown_link(text: &str, url: &str) -> String {
    // Brackets would end the text.
    let text = text.replace('[', "(").replace(']', ")").replace('\n', " ");
    format!("[{text}]({})", url_in_markup(url))
}

/// A URL without the characters that mean something in a markup.
pub(super) fn url_in_markup(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    for character in url.chars() {
        match character {
            '(' | ')' | '<' | '>' | '"' | '`' | '|' | '\\' | '*' | ' ' => {
                use std::fmt::Write;
                // Writing to a String cannot fail.
                let _ = write!(out, "%{:02X}", u32::from(character));
            }
            _ if character.is_control() => {}
            _ => out.push(character),
        }
    }
    out
}

/// Text whose lines show as lines where Markdown joins them: items of a list follow each other, anything else is a paragraph.
pub(super) fn paragraphs(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut after_item = false;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let is_item = line.trim_start().starts_with("- ");
        if !out.is_empty() {
            out.push_str(if is_item && after_item { "\n" } else { "\n\n" });
        }
        out.push_str(line);
        after_item = is_item;
    }
    out
}

/// The title, without what is too much of it.
pub(super) fn short_title(title: &str) -> String {
    clip(title, LONGEST_TITLE)
}

/// The start of a text, `most` UTF-16 units long at most.
pub(super) fn clip(text: &str, most: usize) -> String {
    if utf16(text) <= most {
        return text.to_owned();
    }
    let end = end_of_units(text, most.saturating_sub(1));
    format!("{}…", text[..end].trim_end())
}

/// The first lines of a text, `most` UTF-16 units long at most.
pub(super) fn clip_lines(text: &str, most: usize) -> String {
    if utf16(text) <= most {
        return text.to_owned();
    }
    let start = &text[..end_of_units(text, most.saturating_sub(2))];
    match start.rfind('\n') {
        Some(line) if line > 0 => format!("{}\n…", &text[..line]),
        _ => format!("{start}…"),
    }
}

/// How many characters a program that counts in UTF-16 finds: those that do not, find fewer.
pub(super) fn utf16(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Where the first `most` UTF-16 units of a text end.
pub(super) fn end_of_units(text: &str, most: usize) -> usize {
    let mut units = 0;
    for (at, character) in text.char_indices() {
        units += character.len_utf16();
        if units > most {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_starts_a_block_and_none_is_added() {
        let plain = |text: &str| escape(text, |out, character, _| out.push(character));
        for text in [
            "# a", "#a", "> a", "- a", "+ a", "===", "---", "1. a", "12) a", "    a", "  # a", "\ta",
        ] {
            let escaped = plain(text);
            assert!(escaped.starts_with(UNSEEN), "{text}");
            assert!(plain(&format!("x\n{text}")).contains("\n\u{200b}"), "{text}");
        }
        for text in ["web-0", "10.0.0.1: refused", "a # b", "", "1.5"] {
            assert_eq!(plain(text), text);
        }
        assert_eq!(plain("a\u{7}b\r\nc\u{1b}[1m"), "ab\nc[1m");
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(paragraphs("a\nb\n- c\n- d\n\n\ne"), "a\n\nb\n\n- c\n- d\n\ne",);
    }

    #[test]
    fn code_ends_where_it_ends() {
        assert_eq!(inline_code("a`b\nc"), "`aˋb c`");
        assert_eq!(inline_code("<at id=all>"), "`<\u{200b}at id=all>`");
        assert_eq!(inline_code(""), "");
    }

    #[test]
    fn a_link_cannot_be_broken() {
        assert_eq!(
            markdown_link("a](b", "https://a.example.com/x?q=(1)|<2> 3"),
            "[a)(b](https://a.example.com/x?q=%281%29%7C%3C2%3E%203)"
        );
    }

    #[test]
    fn a_title_is_cut_between_characters() {
        assert_eq!(clip("abc", 3), "abc");
        assert_eq!(clip("abcd", 3), "ab…");
        // Two UTF-16 units each.
        assert_eq!(clip("😀😀😀", 5), "😀😀…");
        assert_eq!(clip("😀😀😀", 4), "😀…");
        assert_eq!(clip_lines("a\nb\nc", 5), "a\nb\nc");
        assert_eq!(clip_lines("a\nb\ncd", 5), "a\n…");
        assert_eq!(clip_lines("😀😀😀", 5), "😀…");
    }
}
