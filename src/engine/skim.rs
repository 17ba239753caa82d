//! Reads what a [`Projection`] wants of a JSON text, and hops over the rest without looking into it.
//!
//! serde_json reads every byte of what it skips one by one, and that is most of an AdmissionReview: `managedFields`, the
//! containers, the volumes. Here an unwanted object or array is passed 64 bytes at a time, by counting the brackets that
//! stand outside of strings, so that a decision takes about as long as serde_json takes to scan the text alone
//! (`benches/README.md`).
//!
//! This is a fast path and no second parser: [`skim`] gives exactly what [`Seed`](super::node::Seed) gives, or gives up, and
//! then serde_json reads the text again and says what is wrong with it. What is hopped over is not checked. The API server
//! has made it from an object, and nothing here looks at it.

use std::borrow::Cow;

use serde_json::Number;
use wide::u8x16;

use super::node::{Members, Node, Projection, find};

/// So deep serde_json reads, too.
const DEEPEST: usize = 127;

/// What `wanted` says of a JSON text; `None` where the text is unusual or wrong.
pub(crate) fn skim<'a>(text: &'a str, wanted: &Projection) -> Option<Node<'a>> {
    let mut skim = Skim { text, at: 0, depth: 0 };
    let node = skim.value(wanted)?;
    skim.next().is_none().then_some(node)
}

struct Skim<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Skim<'a> {
    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// The next byte that is no blank; it is not consumed.
    fn next(&mut self) -> Option<u8> {
        loop {
            match *self.bytes().get(self.at)? {
                b' ' | b'\n' | b'\t' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// Consumes the next byte where it is this one.
    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then(|| self.at += 1)
    }

    /// After a member or item: true where another one follows, false at the end of what holds it.
    fn another(&mut self, close: u8) -> Option<bool> {
        let byte = self.next()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            byte if byte == close => Some(false),
            _ => None,
        }
    }

    fn value(&mut self, wanted: &Projection) -> Option<Node<'a>> {
        match (self.next()?, wanted) {
            (b'"', _) => self.string().map(Node::String),
            (b'{' | b'[', Projection::Whole) => {
                let start = self.at;
                self.hop()?;
                Node::parse(&self.text[start..self.at]).ok()
            }
            (b'{', Projection::Fields(fields)) => self.nested(|skim| skim.fields(fields).map(Node::Object)),
            (b'[', Projection::Fields(_)) => self.nested(|skim| skim.items(wanted).map(Node::Array)),
            (b't', _) => self.word("true", Node::Bool(true)),
            (b'f', _) => self.word("false", Node::Bool(false)),
            (b'n', _) => self.word("null", Node::Null),
            (b'-' | b'0'..=b'9', _) => self.number(),
            _ => None,
        }
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn items(&mut self, wanted: &Projection) -> Option<Vec<Node<'a>>> {
        let mut items = Vec::new();
        if self.next()? == b']' {
            self.at += 1;
            return Some(items);
        }
        loop {
            items.push(self.value(wanted)?);
            if !self.another(b']')? {
                return Some(items);
            }
        }
    }

    fn fields(&mut self, fields: &[(Box<str>, Projection)]) -> Option<Members<'a>> {
        let mut members: Members<'a> = Vec::with_capacity(fields.len().min(16));
        if self.next()? == b'}' {
            self.at += 1;
            return Some(members);
        }
        loop {
            if self.next()? != b'"' {
                return None;
            }
            let name = self.string()?;
            self.eat(b':')?;
            match find(fields, &name) {
                None => self.skip()?,
                // serde_json says which key is repeated.
                Some(_) if members.iter().any(|(member, _)| *member == name) => return None,
                Some((_, wanted)) => {
                    let value = self.value(wanted)?;
                    members.push((name, value));
                }
            }
            if !self.another(b'}')? {
                return Some(members);
            }
        }
    }

    /// A string; only one with escapes is copied.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        let plain = self.hop_string()?;
        if plain {
            let text = &self.text[start + 1..self.at - 1];
            // Control characters are an error in JSON.
            return text.bytes().all(|byte| byte >= b' ').then_some(Cow::Borrowed(text));
        }
        serde_json::from_str::<String>(&self.text[start..self.at])
            .ok()
            .map(Cow::Owned)
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Option<Node<'a>> {
        self.bytes()[self.at..].starts_with(word.as_bytes()).then(|| {
            self.at += word.len();
            node
        })
    }

    fn number(&mut self) -> Option<Node<'a>> {
        let start = self.at;
        self.hop_scalar();
        serde_json::from_str::<Number>(&self.text[start..self.at])
            .ok()
            .map(Node::Number)
    }

    /// Passes a value that nobody wants.
    fn skip(&mut self) -> Option<()> {
        match self.next()? {
            b'"' => self.hop_string().map(|_| ()),
            b'{' | b'[' => self.hop(),
            _ => self.hop_scalar(),
        }
    }

    /// Passes a number or a word; `None` where there is none.
    fn hop_scalar(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'a'..=b'z' | b'0'..=b'9' | b'-' | b'+' | b'.' | b'E') = self.bytes().get(self.at) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// Passes a string, and tells whether it holds no escape.
    fn hop_string(&mut self) -> Option<bool> {
        let mut plain = true;
        self.at += 1;
        loop {
            let rest = &self.bytes()[self.at..];
            let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            if rest[end] == b'"' {
                self.at += end + 1;
                return Some(plain);
            }
            plain = false;
            // The escaped byte may be the last one of the text.
            self.at = (self.at + end + 2).min(self.text.len());
        }
    }

    /// Passes an object or array: up to where as many brackets are closed as were opened. Those in strings do not count.
    fn hop(&mut self) -> Option<()> {
        let mut depth = 0;
        let mut strings = Strings::default();
        let (blocks, rest) = self.bytes()[self.at..].as_chunks::<64>();
        let mut last = [b' '; 64];
        last[..rest.len()].copy_from_slice(rest);
        for block in blocks.iter().chain([&last]) {
            let masks = Masks::of(block);
            let outside = !strings.inside(masks.quotes, masks.backslashes);
            let (opening, mut closing) = (masks.opening & outside, masks.closing & outside);
            if closing.count_ones() >= depth {
                // The end may be here.
                let mut closed = 0;
                while closing != 0 {
                    let at = closing.trailing_zeros();
                    closed += 1;
                    let opened = (opening & ((1 << at) - 1)).count_ones();
                    if depth + opened == closed {
                        self.at += at as usize + 1;
                        return Some(());
                    }
                    closing &= closing - 1;
                }
                depth = depth + opening.count_ones() - closed;
            } else {
                depth = depth + opening.count_ones() - closing.count_ones();
            }
            self.at += 64;
        }
        None
    }
}

/// Which bytes of a block are what: bit 0 is the first byte.
struct Masks {
    quotes: u64,
    backslashes: u64,
    opening: u64,
    closing: u64,
}

impl Masks {
    fn of(block: &[u8; 64]) -> Self {
        let mut masks = Self {
            quotes: 0,
            backslashes: 0,
            opening: 0,
            closing: 0,
        };
        let (lanes, _) = block.as_chunks::<16>();
        for (at, lane) in lanes.iter().enumerate() {
            let lane = u8x16::from(*lane);
            let mask = |lane: u8x16, byte: u8| u64::from(lane.simd_eq(u8x16::splat(byte)).to_bitmask()) << (16 * at);
            // `[` and `{` differ in this bit only, and so do `]` and `}`.
            let brackets = lane | u8x16::splat(0x20);
            masks.quotes |= mask(lane, b'"');
            masks.backslashes |= mask(lane, b'\\');
            masks.opening |= mask(brackets, b'{');
            masks.closing |= mask(brackets, b'}');
        }
        masks
    }
}

/// Which bytes lie in strings, from block to block.
#[derive(Default)]
struct Strings {
    /// All ones where the last block ended in a string.
    open: u64,
    /// 1 where the last block ended in a backslash that escapes what follows.
    escapes: u64,
}

impl Strings {
    /// The bytes inside of strings, with the quote that opens each. After "Parsing Gigabytes of JSON per Second", by Langdale
    /// and Lemire, section 3.1.1 (<https://arxiv.org/abs/1902.08318>).
    fn inside(&mut self, quotes: u64, backslashes: u64) -> u64 {
        let mut inside = quotes & !self.escaped(backslashes);
        // Each bit becomes the parity of all up to it.
        for shift in [1, 2, 4, 8, 16, 32] {
            inside ^= inside << shift;
        }
        inside ^= self.open;
        self.open = 0_u64.wrapping_sub(inside >> 63);
        inside
    }

    /// The bytes that a backslash escapes: of a run of backslashes every second one, and what follows an odd run.
    fn escaped(&mut self, backslashes: u64) -> u64 {
        const EVEN: u64 = 0x5555_5555_5555_5555;
        if backslashes == 0 {
            return std::mem::take(&mut self.escapes);
        }
        let escaping = backslashes & !self.escapes;
        let follows = escaping << 1 | self.escapes;
        let starts_odd = escaping & !EVEN & !follows;
        let (even, overflow) = starts_odd.overflowing_add(escaping);
        self.escapes = u64::from(overflow);
        (EVEN ^ (even << 1)) & follows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::DeserializeSeed;
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::node::Seed;

    /// What serde_json reads.
    fn read<'a>(text: &'a str, wanted: &Projection) -> Option<Node<'a>> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let node = Seed(wanted).deserialize(&mut reader).ok()?;
        reader.end().ok().map(|()| node)
    }

    fn wanted(paths: &[Vec<String>]) -> Projection {
        let mut wanted = Projection::nothing();
        for path in paths {
            wanted.want(path);
        }
        wanted
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("a".to_owned()),
            Just("b".to_owned()),
            Just("c\"\\".to_owned()),
            "[\\\\\"{}\\[\\]a-z:,äß]{0,70}"
        ]
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            name().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((name(), inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_reads_what_serde_json_reads(
            value in value(),
            paths in prop::collection::vec(prop::collection::vec(name(), 1..4), 0..4),
            pretty in any::<bool>(),
        ) {
            let text = if pretty { format!(" {value:#}\n") } else { value.to_string() };
            let wanted = wanted(&paths);
            prop_assert_eq!(skim(&text, &wanted), read(&text, &wanted));
            prop_assert_eq!(skim(&text, &Projection::Whole), read(&text, &Projection::Whole));
        }

        #[test]
        fn of_what_is_wrong_it_reads_nothing_else(
            value in value(),
            paths in prop::collection::vec(prop::collection::vec(name(), 1..4), 0..4),
            at in any::<prop::sample::Index>(),
            with in "[\\\\\"{}\\[\\]:,0-9tn ä]{0,2}",
        ) {
            let mut text = value.to_string();
            let mut at = at.index(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            let end = at + text[at..].chars().next().map_or(0, char::len_utf8);
            text.replace_range(at..end, &with);
            let wanted = wanted(&paths);
            if let (Some(skimmed), Some(read)) = (skim(&text, &wanted), read(&text, &wanted)) {
                prop_assert_eq!(skimmed, read);
            }
        }
    }

    #[test]
    fn it_gives_up_where_serde_json_has_something_to_say() {
        let wanted = wanted(&[vec!["a".to_owned()]]);
        for text in [
            "",
            "{",
            "{\"a\": 1",
            "{\"a\": 1, \"a\": 2}",
            "{\"a\": 01}",
            "{\"a\": tru}",
            "{\"a\": \"\\x\"}",
            "{\"a\": \"\t\"}",
            "{\"b\": [1, 2}",
            "{\"b\": \"",
            "{\"b\": \"\\",
            "{\"b\" 1}",
            "{\"a\": [1}",
            "{} {}",
        ] {
            assert_eq!(skim(text, &wanted), None, "{text}");
        }
        let deep = format!("{{\"a\": {}{}}}", "[".repeat(200), "]".repeat(200));
        assert_eq!(skim(&deep, &wanted), None);
        let aside = format!("{{\"b\": {}{}, \"a\": 1}}", "[".repeat(20_000), "]".repeat(20_000));
        assert_eq!(
            skim(&aside, &wanted),
            Some(json!({"a": 1}).into()),
            "what is hopped over may nest"
        );
    }
}
