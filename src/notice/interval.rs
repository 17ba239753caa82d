//! A length of time in a policy.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::engine::problem::Problem;

/// A length of time, written as 500ms, 30s, 5m, 4h or 1h30m.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(pub Duration);

impl Interval {
    pub(crate) const fn of_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return formatter.write_str("0s");
        }
        for (unit, milliseconds) in UNITS {
            if rest >= milliseconds {
                write!(formatter, "{}{unit}", rest / milliseconds)?;
                rest %= milliseconds;
            }
        }
        Ok(())
    }
}

/// The units, the largest first: each may stand once.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

fn read(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut milliseconds: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let letters = rest[digits..].find(|character: char| character.is_ascii_digit());
        let end = letters.map_or(rest.len(), |letters| digits + letters);
        let (_, factor) = units.find(|(unit, _)| *unit == &rest[digits..end])?;
        milliseconds = milliseconds.checked_add(number.checked_mul(*factor)?)?;
        rest = &rest[end..];
    }
    // More than a century is a slip of the finger, and would overflow what is added to it.
    (!text.is_empty() && milliseconds < 100 * 365 * 86_400_000).then_some(Duration::from_millis(milliseconds))
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        read(&text).map(Self).ok_or_else(|| {
            Problem::new(
                "bad-duration",
                format!("{text:?} is no duration"),
                "write a number with its unit, such as 500ms, 30s, 5m or 1h30m",
            )
            .into_error()
        })
    }
}

impl JsonSchema for Interval {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$", "minLength": 2 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_prometheus_reads_them() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("1h30m", 5400), ("0s", 0), ("1d", 86_400)] {
            assert_eq!(read(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(read("1s500ms"), Some(Duration::from_millis(1500)));
        for text in ["30s", "5m", "1h30m", "0s", "1d", "1s500ms"] {
            assert_eq!(Interval(read(text).unwrap()).to_string(), text);
        }
        for text in [
            "",
            "5",
            "m",
            "5 m",
            "-5m",
            "1m1h",
            "1s1s",
            "1.5h",
            "99999999999999999999s",
            "99999999d",
            "5分",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
