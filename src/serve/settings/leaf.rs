//! The values of settings: each is read from a short text, so that a file, the environment and a flag say it in the same
//! way.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A value that is read from a text.
pub(super) trait Leaf: Sized {
    /// What it is written as: a text, or a number where that says it all.
    type Written: Serialize;

    /// What is expected, for errors: `is not …`.
    const WANTS: &'static str;

    fn read(text: &str) -> Option<Self>;

    fn write(&self) -> Self::Written;
}

/// For `#[serde(with = "leaf")]`.
pub(super) fn serialize<L: Leaf, S: Serializer>(value: &L, serializer: S) -> Result<S::Ok, S::Error> {
    value.write().serialize(serializer)
}

/// For `#[serde(with = "leaf")]`.
pub(super) fn deserialize<'de, L: Leaf, D: Deserializer<'de>>(deserializer: D) -> Result<L, D::Error> {
    let Text(text) = Text::deserialize(deserializer)?;
    L::read(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is not {}", L::WANTS)))
}

/// A scalar, as its text: in YAML `1.3` and `512` are numbers, in the environment they are not.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = Text;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text or a number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.trim().to_owned()))
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

/// Paths: a list, or one text with commas.
pub(super) fn paths<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    struct OneOrMore;
    impl<'de> Visitor<'de> for OneOrMore {
        type Value = Vec<PathBuf>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a path or a list of paths")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<PathBuf>, E> {
            Ok(text
                .split(',')
                .map(str::trim)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
                .collect())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<PathBuf>, A::Error> {
            let mut paths = Vec::new();
            while let Some(path) = list.next_element()? {
                paths.push(path);
            }
            Ok(paths)
        }
    }
    deserializer.deserialize_any(OneOrMore)
}

impl Leaf for SocketAddr {
    type Written = String;

    const WANTS: &'static str = "an IP address and a port, such as 0.0.0.0:8443 or [::]:8443";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Leaf for bool {
    type Written = bool;

    const WANTS: &'static str = "true or false";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn write(&self) -> bool {
        *self
    }
}

impl Leaf for NonZeroUsize {
    type Written = usize;

    const WANTS: &'static str = "a whole number from 1";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn write(&self) -> usize {
        self.get()
    }
}

impl Leaf for Duration {
    type Written = String;

    const WANTS: &'static str = "a duration, such as 500ms, 10s or 2m";

    fn read(text: &str) -> Option<Self> {
        let unit = text.find(|character: char| !character.is_ascii_digit())?;
        let (number, unit) = text.split_at(unit);
        let number: u64 = number.parse().ok()?;
        match unit {
            "ms" => Some(Self::from_millis(number)),
            "s" => Some(Self::from_secs(number)),
            "m" => number.checked_mul(60).map(Self::from_secs),
            "h" => number.checked_mul(3600).map(Self::from_secs),
            _ => None,
        }
    }

    fn write(&self) -> String {
        if self.subsec_millis() == 0 {
            format!("{}s", self.as_secs())
        } else {
            format!("{}ms", self.as_millis())
        }
    }
}

/// A number of bytes, written as Kubernetes writes quantities of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(
    /// How many bytes.
    pub usize,
);

impl Leaf for ByteSize {
    type Written = String;

    const WANTS: &'static str = "a number of bytes from 1, such as 512Ki or 7Mi";

    fn read(text: &str) -> Option<Self> {
        let unit = text
            .find(|character: char| !character.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(unit);
        let factor = match unit {
            "" => 1,
            "Ki" => 1 << 10,
            "Mi" => 1 << 20,
            "Gi" => 1 << 30,
            _ => return None,
        };
        let bytes = number.parse::<usize>().ok()?.checked_mul(factor)?;
        (bytes > 0).then_some(Self(bytes))
    }

    fn write(&self) -> String {
        [(30, "Gi"), (20, "Mi"), (10, "Ki")]
            .into_iter()
            .find(|(shift, _)| self.0 > 0 && self.0.trailing_zeros() >= *shift)
            .map_or_else(
                || self.0.to_string(),
                |(shift, unit)| format!("{}{unit}", self.0 >> shift),
            )
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.write())
    }
}

/// Gives an enum of words its [`Leaf`].
macro_rules! words {
    ($type:ident, $wants:literal, $($word:literal => $variant:ident),+ $(,)?) => {
        impl Leaf for $type {
            type Written = &'static str;

            const WANTS: &'static str = $wants;

            fn read(text: &str) -> Option<Self> {
                match text {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            fn write(&self) -> Self::Written {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

/// The oldest TLS version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    Tls12,
    /// TLS 1.3 alone, which every API server since Kubernetes 1.19 speaks.
    #[default]
    Tls13,
}

words!(MinVersion, "1.2 or 1.3", "1.2" => Tls12, "1.3" => Tls13);

/// What log lines look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

words!(LogFormat, "auto, text or json", "auto" => Auto, "text" => Text, "json" => Json);

/// What becomes of a workload with Pods that would be refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unplaceable {
    /// It is let through, and whoever applies it is warned.
    #[default]
    Warn,
    /// It is refused.
    Refuse,
    /// It is let through without a word.
    Ignore,
}

words!(Unplaceable, "warn, refuse or ignore", "warn" => Warn, "refuse" => Refuse, "ignore" => Ignore);

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// What broke.
    Error,
    /// And what was refused.
    Warn,
    /// And each decision about a gated Pod.
    #[default]
    Info,
    /// And each Pod that was let through untouched.
    Debug,
    /// And what libraries say.
    Trace,
}

words!(
    LogLevel, "error, warn, info, debug or trace",
    "error" => Error, "warn" => Warn, "info" => Info, "debug" => Debug, "trace" => Trace,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["1ms", "999ms", "90s", "0s"] {
            assert_eq!(Duration::read(text).unwrap().write(), text);
        }
        assert_eq!(Duration::read("2m").unwrap().write(), "120s");
        for text in ["1", "1025", "512Ki", "7Mi", "3Gi"] {
            assert_eq!(ByteSize::read(text).unwrap().write(), text);
        }
    }

    #[test]
    fn nonsense_is_none() {
        for text in [
            "",
            "s",
            "10",
            "10 s",
            "-1s",
            "1d",
            "99999999999999999999s",
            "9999999999999999999h",
        ] {
            assert_eq!(Duration::read(text), None, "{text}");
        }
        for text in ["", "0", "7M", "7MiB", "-1", "99999999999Gi"] {
            assert_eq!(ByteSize::read(text), None, "{text}");
        }
    }
}
