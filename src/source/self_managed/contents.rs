//! What the Secret of self-managed certificates holds, and what is to be done about it. No IO; the time is an argument.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::pki::{Authority, Pair, PkiError, certificates, validity, verify};

/// How long two CAs are published before the serving certificate is of the new one: every API server must have seen the
/// caBundle by then.
pub(super) const PUBLICATION: Duration = Duration::from_mins(1);

/// Since when the next CA is published, in RFC 3339.
pub(super) const NEXT_SINCE: &str = "label-router/next-ca-since";

const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const NEXT_CERTIFICATE: &str = "next-ca.crt";
const NEXT_KEY: &str = "next-ca.key";

/// The certificates of all replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    /// The CA that signed the serving certificate.
    authority: Authority,
    /// A CA that signed before, still published until the next rotation.
    former: Option<String>,
    /// The CA that will sign, and since when it is published.
    next: Option<(Authority, SystemTime)>,
    /// The serving certificate.
    pub(super) serving: Pair,
}

/// Why the Secret cannot be used as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// There is nothing in it, or something of it is missing or broken: it is written anew.
    Broken(String),
    /// It is somebody else's: it is left alone.
    Foreign,
}

/// What somebody asks to be renewed before it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The serving certificate, by the same CA.
    Certificate,
    /// The CA: the next one is published beside it now, and signs a minute later.
    Authority,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Plan {
    /// Nothing, until then.
    Keep { contents: Contents, wake: SystemTime },
    /// The Secret is to be written, for a reason that is logged.
    Write { contents: Contents, why: String },
}

impl Contents {
    fn make(hosts: &[String], now: SystemTime) -> Result<Self, PkiError> {
        let authority = Authority::make(now)?;
        Ok(Self {
            serving: authority.issue(hosts, now)?,
            authority,
            former: None,
            next: None,
        })
    }

    /// Reads the values and annotations of a Secret.
    pub(super) fn read(
        data: &BTreeMap<String, Vec<u8>>,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, Unusable> {
        let value = |key: &str| {
            let text = String::from_utf8_lossy(data.get(key)?).into_owned();
            (!text.trim().is_empty()).then_some(text)
        };
        if value(CA_KEY).is_none() && (value(CERTIFICATE).is_some() || value(KEY).is_some()) {
            return Err(Unusable::Foreign);
        }
        let needed = |key: &str| value(key).ok_or_else(|| Unusable::Broken(format!("it has no {key}")));
        let pair = |certificate: &str, key: &str| {
            Ok(Pair {
                certificate: needed(certificate)?,
                key: needed(key)?,
            })
        };
        let broken = |key: &'static str| move |error: PkiError| Unusable::Broken(format!("{key}: {error}"));
        let bundle = pair(CA_CERTIFICATE, CA_KEY)?;
        let (first, rest) = split_first(&bundle.certificate).map_err(broken(CA_CERTIFICATE))?;
        let authority = Authority::from_pair(Pair {
            certificate: first,
            key: bundle.key,
        })
        .map_err(broken(CA_KEY))?;
        let next = match (value(NEXT_CERTIFICATE), value(NEXT_KEY)) {
            (Some(certificate), Some(key)) => {
                let since = annotations
                    .get(NEXT_SINCE)
                    .and_then(|text| text.parse::<jiff::Timestamp>().ok())
                    .map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
                Authority::from_pair(Pair { certificate, key })
                    .ok()
                    .map(|authority| (authority, since))
            }
            _ => None,
        };
        Ok(Self {
            authority,
            former: rest,
            next,
            serving: Pair {
                certificate: value(CERTIFICATE).unwrap_or_default(),
                key: value(KEY).unwrap_or_default(),
            },
        })
    }

    /// The values of the Secret.
    pub(super) fn data(&self) -> BTreeMap<String, Vec<u8>> {
        let authority = self.authority.pair();
        let mut data = BTreeMap::from([
            (CA_CERTIFICATE, self.signers()),
            (CA_KEY, authority.key.clone()),
            (CERTIFICATE, self.serving.certificate.clone()),
            (KEY, self.serving.key.clone()),
        ]);
        if let Some((next, _)) = &self.next {
            data.insert(NEXT_CERTIFICATE, next.pair().certificate.clone());
            data.insert(NEXT_KEY, next.pair().key.clone());
        }
        data.into_iter()
            .map(|(key, text)| (key.to_owned(), text.into_bytes()))
            .collect()
    }

    /// The annotations of the Secret; those without a value are taken away.
    pub(super) fn annotations(&self) -> BTreeMap<String, Option<String>> {
        let since = self.next.as_ref().and_then(|(_, since)| {
            let since = jiff::Timestamp::try_from(*since).ok()?;
            Some(since.to_string())
        });
        BTreeMap::from([(NEXT_SINCE.to_owned(), since)])
    }

    /// The CA that signs, and the one that did.
    fn signers(&self) -> String {
        let mut bundle = self.authority.pair().certificate.clone();
        bundle.push_str(self.former.as_deref().unwrap_or_default());
        bundle
    }

    /// All that the API server must trust: the CA that signs, the one before it, and the one after it.
    pub(super) fn bundle(&self) -> String {
        let mut bundle = self.signers();
        if let Some((next, _)) = &self.next {
            bundle.push_str(&next.pair().certificate);
        }
        bundle
    }

    /// The same with another serving certificate, or with a CA that will follow: before it is due, because somebody asks.
    pub(super) fn rotated(self, what: Rotation, hosts: &[String], now: SystemTime) -> Result<Self, PkiError> {
        Ok(match what {
            Rotation::Certificate => Self {
                serving: self.authority.issue(hosts, now)?,
                ..self
            },
            Rotation::Authority => Self {
                next: Some((Authority::make(now)?, now)),
                ..self
            },
        })
    }

    /// Why the serving certificate is not to be served any longer; none where it is good for a while.
    fn fault(&self, hosts: &[String], now: SystemTime) -> Option<String> {
        if self.serving.certificate.is_empty() || self.serving.key.is_empty() {
            return Some("it has no serving certificate".to_owned());
        }
        let sound = certificates(&self.serving.certificate).and_then(|chain| {
            crate::pki::identity(&self.serving)?;
            hosts
                .iter()
                .try_for_each(|host| verify(&chain, &self.authority.pair().certificate, host, now))?;
            validity(&self.serving.certificate)
        });
        match sound {
            Err(error) => Some(error.to_string()),
            Ok(validity) if validity.is_ending(now) => Some("the serving certificate is in its last third".to_owned()),
            Ok(_) => None,
        }
    }
}

/// What is to be done about the Secret. `remembered` is what this process last saw in it; `is_published` tells whether the
/// live registration trusts everything in a bundle.
pub(super) fn plan(
    read: Result<Contents, Unusable>,
    remembered: Option<&Contents>,
    hosts: &[String],
    is_published: impl Fn(&str) -> bool,
    now: SystemTime,
) -> Result<Plan, PkiError> {
    let contents = match (read, remembered) {
        (Ok(contents), _) => contents,
        (Err(Unusable::Foreign), _) => {
            return Err(PkiError::new(
                "it holds a certificate that label-router did not make (there is no ca.key); serve that one with --tls-cert and \
                 --tls-key, or name another Secret",
            ));
        }
        (Err(Unusable::Broken(why)), Some(remembered)) => {
            return Ok(Plan::Write {
                contents: remembered.clone(),
                why: format!("{why}; the certificates are written again, under the same CA"),
            });
        }
        (Err(Unusable::Broken(why)), None) => {
            return Ok(Plan::Write {
                contents: Contents::make(hosts, now)?,
                why: format!("{why}; a CA and a certificate are made"),
            });
        }
    };
    let write = |contents, why: &str| {
        Ok(Plan::Write {
            contents,
            why: why.to_owned(),
        })
    };
    let ca = validity(&contents.authority.pair().certificate)?;
    let expired = ca.left(now).is_zero();
    if let Some((next, since)) = contents.next.clone() {
        let due = since + PUBLICATION;
        if expired || now >= due && is_published(&contents.bundle()) {
            let serving = next.issue(hosts, now)?;
            let former = contents.authority.pair().certificate.clone();
            let contents = Contents {
                former: (!expired).then_some(former),
                authority: next,
                next: None,
                serving,
            };
            return write(
                contents,
                "the next CA is published: the serving certificate is signed by it from now on",
            );
        }
    } else if ca.is_ending(now) {
        let next = Some((Authority::make(now)?, now));
        let contents = Contents { next, ..contents };
        return write(
            contents,
            "the CA is in its last third: the next one is published beside it",
        );
    }
    if !expired && let Some(fault) = contents.fault(hosts, now) {
        let serving = contents.authority.issue(hosts, now)?;
        let why = format!("{fault}: another one is signed by the same CA");
        return write(Contents { serving, ..contents }, &why);
    }
    let ending = |pem: &str| validity(pem).ok().and_then(|validity| validity.ending());
    let wake = [
        ending(&contents.serving.certificate),
        contents.next.as_ref().map_or_else(
            || ending(&contents.authority.pair().certificate),
            // Where the publication failed, it is tried again soon.
            |(_, since)| Some((*since + PUBLICATION).max(now + Duration::from_secs(5))),
        ),
    ];
    Ok(Plan::Keep {
        wake: wake
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(now + Duration::from_hours(1)),
        contents,
    })
}

/// The first certificate of a PEM text, and the text of the others.
fn split_first(bundle: &str) -> Result<(String, Option<String>), PkiError> {
    const END: &str = "-----END CERTIFICATE-----";
    certificates(bundle)?;
    let end = bundle.find(END).map_or(bundle.len(), |at| at + END.len());
    let (first, rest) = bundle.split_at(end);
    let rest = rest.trim_start();
    Ok((
        format!("{}\n", first.trim()),
        (!rest.is_empty()).then(|| rest.to_owned()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Vec<String> {
        vec!["label-router.label-router.svc".to_owned()]
    }

    fn day(number: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(24 * (20_000 + number))
    }

    fn planned(read: Result<Contents, Unusable>, published: bool, now: SystemTime) -> Plan {
        plan(read, None, &hosts(), |_| published, now).unwrap()
    }

    fn written(plan: Plan) -> (Contents, String) {
        match plan {
            Plan::Write { contents, why } => (contents, why),
            Plan::Keep { .. } => panic!("nothing is written"),
        }
    }

    /// As the next replica reads it.
    fn stored(contents: &Contents) -> Result<Contents, Unusable> {
        let annotations = contents.annotations();
        let annotations = annotations
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        Contents::read(&contents.data(), &annotations)
    }

    fn trusts(bundle: &str, contents: &Contents, now: SystemTime) -> bool {
        verify(
            &certificates(&contents.serving.certificate).unwrap(),
            bundle,
            &hosts()[0],
            now,
        )
        .is_ok()
    }

    #[test]
    fn an_empty_secret_gets_a_ca_and_a_certificate_that_last() {
        let empty = Contents::read(&BTreeMap::new(), &BTreeMap::new());
        let (contents, why) = written(planned(empty, true, day(0)));
        assert!(why.contains("a CA and a certificate are made"), "{why}");
        assert!(trusts(&contents.bundle(), &contents, day(1)));
        let Plan::Keep { contents: kept, wake } = planned(stored(&contents), true, day(0)) else {
            panic!("it is written once")
        };
        assert_eq!(kept, contents, "what was written is what is read");
        assert!(wake > day(59) && wake < day(61), "{wake:?}");
    }

    #[test]
    fn a_secret_that_was_deleted_is_written_again_under_the_same_ca() {
        let (contents, _) = written(planned(
            Contents::read(&BTreeMap::new(), &BTreeMap::new()),
            true,
            day(0),
        ));
        let gone = Contents::read(&BTreeMap::new(), &BTreeMap::new());
        let (again, _) = written(plan(gone, Some(&contents), &hosts(), |_| true, day(1)).unwrap());
        assert_eq!(again, contents);
    }

    #[test]
    fn somebody_elses_certificate_is_left_alone() {
        let data = BTreeMap::from([
            ("tls.crt".to_owned(), b"theirs".to_vec()),
            ("tls.key".to_owned(), b"theirs".to_vec()),
        ]);
        let read = Contents::read(&data, &BTreeMap::new());
        assert_eq!(read, Err(Unusable::Foreign));
        let error = plan(read, None, &hosts(), |_| true, day(0)).unwrap_err().to_string();
        assert!(error.contains("did not make"), "{error}");
    }

    #[test]
    fn a_certificate_near_its_end_is_followed_by_one_of_the_same_ca() {
        let (contents, _) = written(planned(
            Contents::read(&BTreeMap::new(), &BTreeMap::new()),
            true,
            day(0),
        ));
        let (renewed, why) = written(planned(stored(&contents), true, day(61)));
        assert!(why.contains("last third"), "{why}");
        assert_eq!(renewed.bundle(), contents.bundle());
        assert!(trusts(&contents.bundle(), &renewed, day(120)));
        let mut other_host = hosts();
        other_host.push("sts-webhook.custom-system.svc".to_owned());
        let (renamed, why) = written(plan(stored(&contents), None, &other_host, |_| true, day(1)).unwrap());
        assert!(why.contains("is not for sts-webhook.custom-system.svc"), "{why}");
        assert_eq!(renamed.bundle(), contents.bundle());
    }

    #[test]
    fn a_ca_near_its_end_is_followed_without_a_moment_in_which_the_certificate_is_not_trusted() {
        let (first, _) = written(planned(
            Contents::read(&BTreeMap::new(), &BTreeMap::new()),
            true,
            day(0),
        ));
        let late = day(365 * 8);
        let (published, why) = written(planned(stored(&first), true, late));
        assert!(why.contains("the next one is published beside it"), "{why}");
        assert!(
            published.bundle().starts_with(&first.bundle()),
            "the old CA is trusted on"
        );
        // Meanwhile the leaf, long over in this test, is renewed by the old CA.
        let (renewed, _) = written(planned(stored(&published), true, late));
        assert!(trusts(&first.bundle(), &renewed, late));

        let early = late + PUBLICATION / 2;
        assert!(
            matches!(planned(stored(&renewed), true, early), Plan::Keep { .. }),
            "not before the time"
        );
        let then = late + PUBLICATION;
        assert!(
            matches!(planned(stored(&renewed), false, then), Plan::Keep { .. }),
            "not before the registration trusts it"
        );
        let (switched, _) = written(planned(stored(&renewed), true, then));
        assert!(
            trusts(&renewed.bundle(), &switched, then),
            "a registration that is not updated yet trusts it"
        );
        assert!(!trusts(&first.bundle(), &switched, then));
        assert!(
            trusts(&switched.bundle(), &renewed, then),
            "a replica that serves the old one is trusted on"
        );
        assert!(matches!(planned(stored(&switched), true, then), Plan::Keep { .. }));
    }

    #[test]
    fn a_ca_that_has_expired_is_not_waited_for() {
        let (first, _) = written(planned(
            Contents::read(&BTreeMap::new(), &BTreeMap::new()),
            true,
            day(0),
        ));
        let over = day(365 * 11);
        let (published, _) = written(planned(stored(&first), true, over));
        let (switched, _) = written(planned(stored(&published), false, over));
        assert!(trusts(&switched.bundle(), &switched, over));
    }

    #[test]
    fn a_broken_part_is_made_anew() {
        let (contents, _) = written(planned(
            Contents::read(&BTreeMap::new(), &BTreeMap::new()),
            true,
            day(0),
        ));
        for key in [CERTIFICATE, KEY] {
            let mut data = contents.data();
            data.insert(key.to_owned(), b"broken".to_vec());
            let (repaired, _) = written(planned(Contents::read(&data, &BTreeMap::new()), true, day(0)));
            assert_eq!(repaired.bundle(), contents.bundle(), "{key}");
            assert!(trusts(&contents.bundle(), &repaired, day(1)), "{key}");
        }
        for key in [CA_CERTIFICATE, CA_KEY] {
            let mut data = contents.data();
            data.insert(key.to_owned(), b"broken".to_vec());
            let read = Contents::read(&data, &BTreeMap::new());
            let (repaired, _) = written(plan(read, Some(&contents), &hosts(), |_| true, day(1)).unwrap());
            assert_eq!(repaired, contents, "{key}");
        }
    }
}
