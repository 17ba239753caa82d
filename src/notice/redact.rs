//! Credentials in somebody else's text: an answer may repeat them whole, in part, or written in another way.

use percent_encoding::percent_decode_str;

use super::message::Credentials;
use super::sign;

/// `robot`, `send` and `v2` are words, not secrets.
const SHORTEST: usize = 8;
/// What is a secret and nothing else, such as a password, is one where it is short, too.
const SHORTEST_SECRET: usize = 4;

/// The text with `***` in the place of each credential.
pub(super) fn redacted(credentials: &Credentials, text: &str) -> String {
    let mut pieces = Pieces::default();
    pieces.url(&credentials.url);
    if let Some(secret) = &credentials.secret {
        pieces.add(secret, SHORTEST_SECRET);
        pieces.add(secret.strip_prefix("whsec_").unwrap_or_default(), SHORTEST_SECRET);
    }
    for (_, value) in &credentials.headers {
        pieces.header(value);
    }
    // The longest first, so that no rest of one stays behind.
    pieces
        .0
        .sort_by(|one, other| (other.len(), one).cmp(&(one.len(), other)));
    pieces.0.dedup();
    pieces
        .0
        .iter()
        .fold(text.to_owned(), |text, piece| text.replace(piece, "***"))
}

#[derive(Default)]
struct Pieces(Vec<String>);

impl Pieces {
    /// Takes a piece that is long enough, in all the ways in which an answer may write it.
    fn add(&mut self, piece: &str, shortest: usize) {
        for plain in [piece.to_owned(), percent_decoded(piece)] {
            if plain.len() < shortest {
                continue;
            }
            let json = serde_json::Value::from(plain.as_str()).to_string();
            let json = json[1..json.len() - 1].to_owned();
            // PHP escapes slashes, too.
            let slashes = json.replace('/', "\\/");
            self.0.extend([plain, json, slashes]);
        }
    }

    /// What stands behind the host is the secret of a robot's URL, and so is what stands before it. The host itself helps
    /// whoever reads it.
    fn url(&mut self, url: &str) {
        let Some((_, rest)) = url.split_once("://") else {
            return;
        };
        let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if let Some((user, _)) = authority.rsplit_once('@') {
            self.user(user);
        }
        let behind = behind.trim_start_matches(['/', '?', '#']);
        self.add(behind, SHORTEST);
        for piece in behind.split(['/', '?', '&', '=', '#']) {
            self.add(piece, SHORTEST);
        }
    }

    /// A name and a password.
    fn user(&mut self, user: &str) {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        self.add(user, SHORTEST);
        self.add(name, SHORTEST);
        self.add(password, SHORTEST_SECRET);
        // That is how they are sent: RFC 7617, section 2.
        let sent = format!("{}:{}", percent_decoded(name), percent_decoded(password));
        self.add(&sign::base64(sent.as_bytes()), SHORTEST);
    }

    /// The value of a header: whole, and without what stands around a token, as in `Bearer TOKEN` and `Token token="TOKEN"`.
    fn header(&mut self, value: &str) {
        self.add(value, SHORTEST);
        for word in value.split_whitespace() {
            self.add(word, SHORTEST);
            for part in word.split(['=', ',', ';', ':', '"']) {
                self.add(part, SHORTEST);
            }
        }
        let basic = value
            .trim()
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, base64)| sign::from_base64(base64.trim()));
        if let Some(Ok(user)) = basic.map(String::from_utf8) {
            self.user(&user);
        }
    }
}

fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str, secret: Option<&str>, headers: &[&str]) -> Credentials {
        Credentials {
            url: url.to_owned(),
            secret: secret.map(str::to_owned),
            headers: headers
                .iter()
                .map(|value| ("authorization".to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn a_credential_is_redacted_however_it_is_repeated() {
        let header = |value| at("https://a.example.com", None, &[value]);
        let url = |url| at(url, None, &[]);
        for (credentials, said) in [
            // A token without its scheme.
            (header("Bearer t0ken-t0ken"), "invalid token t0ken-t0ken"),
            (header("Bearer t0ken-t0ken"), "invalid Bearer t0ken-t0ken"),
            (header("Token token=\"t0ken-t0ken\""), "no such token: t0ken-t0ken"),
            (header("Key of:the:t0k:en"), "no such key: of:the:t0k:en"),
            // user:t0ken
            (header("Basic dXNlcjp0MGtlbg=="), "t0ken is no password of user"),
            // A URL without a path, and one with a user.
            (url("https://a.example.com?key=t0ken-t0ken"), "/?key=t0ken-t0ken"),
            (url("https://a.example.com#t0ken-t0ken"), "t0ken-t0ken"),
            (url("https://user:t0ken@a.example.com/"), "user:t0ken"),
            (url("https://user:t0ken@a.example.com"), "password t0ken"),
            (url("https://user:t0ken@a.example.com"), "Basic dXNlcjp0MGtlbg=="),
            (url("https://t0ken-t0ken@a.example.com"), "Basic dDBrZW4tdDBrZW46"),
            // Written in another way.
            (url("https://a.example.com/t0ken%2Dt0ken"), "t0ken%2Dt0ken t0ken-t0ken"),
            (
                url("https://a.example.com/t0k/t0k/x"),
                r#"{"url":"https:\/\/a.example.com\/t0k\/t0k\/x"}"#,
            ),
            (header("Bearer t0ken\"t0ken"), r#"{"token":"t0ken\"t0ken"}"#),
            (at("https://a.example.com", Some("t0ke"), &[]), "sign with t0ke"),
            (at("https://a.example.com", Some("whsec_dDBrZW4="), &[]), "key dDBrZW4="),
        ] {
            let shown = redacted(&credentials, said);
            let left = ["t0k", "dDBrZW4", "dXNlcjp0MGtlbg"];
            assert!(shown.contains("***"), "{shown}");
            assert!(!left.iter().any(|secret| shown.contains(secret)), "{said}: {shown}");
        }
    }

    #[test]
    fn words_and_the_host_stay() {
        let credentials = at("https://me:@a.example.com/robot/send?v=2", None, &["Bearer abc"]);
        let said = "a.example.com: the robot cannot send for me; abc is no Bearer";
        assert_eq!(redacted(&credentials, said), said);
    }

    #[test]
    fn what_is_no_code_stays() {
        assert_eq!(percent_decoded("a%2fb%zz%4"), "a/b%zz%4");
    }
}
