//! One attempt over HTTP.

use std::error::Error;
use std::fs;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Url};

use super::address::{self, Guarded};
use super::credentials::resolve;
use super::settings::DeliverySettings;
use crate::notice::message::{Credentials, HttpRequest, Message, Reply, Verdict};
use crate::notice::sinks::HttpSink;

/// No vendor answers more than that.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Longer than that no vendor can mean.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// A client that has no cookies and no credentials of its own, follows no redirect, and goes by the proxies of the
/// environment (`HTTPS_PROXY`, `NO_PROXY` …).
pub(super) fn client(settings: &DeliverySettings) -> anyhow::Result<Client> {
    let mut own = Vec::new();
    if let Some(path) = &settings.ca_file {
        let file = || {
            format!(
                "the CA certificates for sinks ({}, the setting sinks.caFile)",
                path.display()
            )
        };
        let pem = fs::read(path).with_context(|| format!("{} cannot be read", file()))?;
        own = Certificate::from_pem_bundle(&pem).map_err(|error| anyhow!("{} cannot be used: {error}", file()))?;
        if own.is_empty() {
            return Err(anyhow!("{} hold no certificate", file()));
        }
    }
    let builder = || {
        let builder = Client::builder()
            .user_agent(concat!("label-router/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .referer(false)
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout);
        if settings.link_local {
            builder
        } else {
            builder.dns_resolver(Guarded)
        }
    };
    builder().tls_certs_merge(own.clone()).build().or_else(|error| {
        // Where the system has no CA certificates at all, ours still count, and so does plain HTTP.
        tracing::warn!(
            error = format!("{:#}", anyhow!(error)),
            "the system's CA certificates cannot be used, so that only those of sinks.caFile are trusted by sinks"
        );
        builder()
            .tls_certs_only(own)
            .build()
            .context("there is no HTTP client for sinks")
    })
}

/// Makes one attempt. The words in the verdict hold no secret.
pub(super) async fn attempt(
    client: &Client,
    settings: &DeliverySettings,
    http: &dyn HttpSink,
    message: &Message,
) -> Verdict {
    // Files of a mounted Secret are in memory, and read in microseconds.
    let credentials = match resolve(http) {
        Ok(credentials) => credentials,
        // It may be there a moment later.
        Err(absent) => {
            return Verdict::Retry {
                after: None,
                why: absent.join("; "),
            };
        }
    };
    let request = http.render(message, &credentials, SystemTime::now());
    let verdict = match post(client, settings, request).await {
        Ok(answer) => http.classify(&Reply {
            status: answer.status,
            retry_after: answer.retry_after,
            body: &answer.body,
            shown: &credentials.redact(&answer.body),
        }),
        Err(verdict) => verdict,
    };
    redacted(verdict, &credentials)
}

struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    body: String,
}

async fn post(client: &Client, settings: &DeliverySettings, request: HttpRequest) -> Result<Answer, Verdict> {
    let refused = |why: &str| Verdict::Refused { why: why.to_owned() };
    let url =
        Url::parse(&request.url).map_err(|_| refused("its url is no URL; write the whole of it, with https://"))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(refused("its url is no http or https URL"));
    }
    if !settings.link_local && address::names_refused(&url) {
        return Err(refused(address::WHY));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let name =
            HeaderName::try_from(name).map_err(|_| refused("one of its headers has no name that HTTP allows"))?;
        let mut value = HeaderValue::try_from(value).map_err(|_| {
            refused("the value of one of its headers holds a line break or another sign that HTTP forbids")
        })?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let failed = |error: reqwest::Error| Verdict::Retry {
        after: None,
        why: words(&error),
    };
    let mut response = client
        .post(url)
        .headers(headers)
        .body(request.body)
        .send()
        .await
        .map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST_ANSWER {
            body.truncate(LONGEST_ANSWER);
            break;
        }
    }
    Ok(Answer {
        status: response.status().as_u16(),
        retry_after: retry_after(response.headers(), SystemTime::now()),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// Seconds, or a date. Source: RFC 9110, section 10.2.3.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            SystemTime::from(date).duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

/// Why there is no answer, without the URL.
fn words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time (the setting sinks.timeout)".to_owned();
    }
    let what = if error.is_connect() {
        "no connection"
    } else {
        "the connection broke before the whole answer was there"
    };
    let mut source = error.source();
    let mut last = None;
    while let Some(cause) = source {
        last = Some(cause.to_string());
        source = cause.source();
    }
    last.map_or_else(|| what.to_owned(), |cause| format!("{what}: {cause}"))
}

/// What did not come from the body, such as the cause of a broken connection.
fn redacted(verdict: Verdict, credentials: &Credentials) -> Verdict {
    match verdict {
        Verdict::Delivered => Verdict::Delivered,
        Verdict::Retry { after, why } => Verdict::Retry {
            after: after.map(|after| after.min(LONGEST_WAIT)),
            why: credentials.redact(&why),
        },
        Verdict::Barred { wait, why } => Verdict::Barred {
            wait: wait.min(LONGEST_WAIT),
            why: credentials.redact(&why),
        },
        Verdict::Refused { why } => Verdict::Refused {
            why: credentials.redact(&why),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (text, seconds) in [
            ("7", Some(7)),
            ("Tue, 14 Nov 2023 22:13:50 GMT", Some(30)),
            ("Tue, 14 Nov 2023 22:13:10 GMT", Some(0)),
            ("999999", Some(3600)),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
