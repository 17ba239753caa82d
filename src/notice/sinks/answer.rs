//! What the answers of several vendors have in common.

use crate::notice::message::{Reply, Verdict, said};

/// A code and a text: what vendors answer that say whether it worked in the body, whatever the status is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// 0 where it worked.
    pub(super) code: i64,
    /// Why not, in lower case.
    pub(super) text: String,
}

impl Answer {
    /// Reads it from a body, where there is one. The names are those of the fields, the first one that is there counts.
    pub(super) fn read(body: &str, codes: &[&str], texts: &[&str]) -> Option<Self> {
        let body: serde_json::Value = serde_json::from_str(body).ok()?;
        let code = codes.iter().find_map(|name| body.get(name))?;
        // Some write the number as a text.
        let code = code.as_i64().or_else(|| code.as_str()?.parse().ok())?;
        let text = texts
            .iter()
            .find_map(|name| body.get(name)?.as_str())
            .unwrap_or_default();
        Some(Self {
            code,
            text: text.to_lowercase(),
        })
    }

    /// True where the text has one of these words.
    pub(super) fn says(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.text.contains(word))
    }
}

/// What to do about an answer, from a table of codes.
pub(super) fn advice(table: &[(&[i64], &'static str)], code: i64) -> Option<&'static str> {
    let (_, advice) = table.iter().find(|(codes, _)| codes.contains(&code))?;
    Some(advice)
}

/// It will never work; what the vendor said, and what to do where that is known.
pub(super) fn refused(reply: &Reply<'_>, advice: Option<&str>) -> Verdict {
    let said = said(reply);
    Verdict::Refused {
        why: advice.map_or_else(|| said.clone(), |advice| format!("{said}: {advice}")),
    }
}

/// It may work later.
pub(super) fn retry(reply: &Reply<'_>) -> Verdict {
    Verdict::Retry {
        after: reply.retry_after,
        why: said(reply),
    }
}

/// An answer that is none of the vendor's, such as the page of a proxy. What stands before the vendor may be gone later.
pub(super) fn strange(reply: &Reply<'_>, vendor: &str) -> Verdict {
    Verdict::Retry {
        after: reply.retry_after,
        why: format!(
            "{}: this is no answer of {vendor}; does the URL lead there, and not to a page of a proxy?",
            said(reply)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_may_be_a_number_or_a_text() {
        let read = |body| Answer::read(body, &["code", "StatusCode"], &["msg"]);
        let answer = |code, text: &str| {
            Some(Answer {
                code,
                text: text.to_owned(),
            })
        };
        assert_eq!(read(r#"{"code":19001,"msg":"Param"}"#), answer(19001, "param"));
        assert_eq!(read(r#"{"code":"0"}"#), answer(0, ""));
        assert_eq!(read(r#"{"StatusCode":0}"#), answer(0, ""));
        for body in ["", "<html>", "{}", r#"{"code":null}"#, r#"{"code":"ok"}"#, "0", "[]"] {
            assert_eq!(read(body), None, "{body}");
        }
    }
}
