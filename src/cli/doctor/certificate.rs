//! How long the serving certificate and its CA are good.

use std::time::{Duration, SystemTime};

use super::ca_bundle::by_hand;
use super::facts::{Certificates, Facts, Keeper};
use super::finding::Finding;
use crate::pki::{self, Validity};

const DAY: Duration = Duration::from_hours(24);

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let certificates = match &facts.certificates {
        Err(unseen) => return vec![Finding::unseen(unseen)],
        Ok(None) => {
            return vec![Finding::failed(
                format!("there is no Secret {} with a certificate", facts.secret),
                format!("name the one there is with --secret, or make one: {}", by_hand(facts)),
            )];
        }
        Ok(Some(certificates)) => certificates,
    };
    let serving = match pki::validity(&certificates.serving) {
        Ok(validity) => validity,
        Err(error) => {
            return vec![Finding::failed(
                format!("tls.crt of the Secret {} cannot be read: {error}", facts.secret),
                renewal(certificates, facts),
            )];
        }
    };
    let mut findings = vec![lifetime("the serving certificate", serving, certificates, facts)];
    let bundles = facts.our_webhooks().into_iter().filter_map(|webhook| {
        let bundle = webhook.client_config.ca_bundle.as_ref()?;
        Some(String::from_utf8_lossy(&bundle.0).into_owned())
    });
    let authority = bundles
        .chain(certificates.authority.clone())
        .find_map(|bundle| signer(&certificates.serving, &bundle, serving, facts));
    if let Some(validity) = authority {
        findings.push(lifetime("its CA", validity, certificates, facts));
    }
    findings
}

/// How long the CA is good that vouches for a certificate: the one of a bundle that lasts longest.
fn signer(serving: &str, bundle: &str, good: Validity, facts: &Facts) -> Option<Validity> {
    const END: &str = "-----END CERTIFICATE-----";
    let chain = pki::certificates(serving).ok()?;
    // Whether it vouches is asked for a time at which the certificate itself is good.
    let at = good.from + Duration::from_secs(1);
    bundle
        .split_inclusive(END)
        .filter(|one| one.contains(END))
        .filter(|one| pki::verify(&chain, one, &facts.endpoint.host(), at).is_ok())
        .filter_map(|one| pki::validity(one).ok())
        .max_by_key(|validity| validity.until)
}

fn lifetime(what: &str, validity: Validity, certificates: &Certificates, facts: &Facts) -> Finding {
    let now = facts.now;
    let days = validity.left(now).as_secs() / DAY.as_secs();
    let until = date(validity.until);
    if now < validity.from {
        return Finding::failed(
            format!("{what} is good only from {} on", date(validity.from)),
            "set the clocks right, here and where it was made",
        );
    }
    if validity.left(now).is_zero() {
        return Finding::failed(format!("{what} expired on {until}"), renewal(certificates, facts));
    }
    let text = format!(
        "{what} is good until {until}, {days} day{}",
        if days == 1 { "" } else { "s" }
    );
    if validity.is_ending(now) {
        Finding::warning(
            format!("{text}: the last third of its life"),
            renewal(certificates, facts),
        )
    } else {
        Finding::ok(text)
    }
}

fn renewal(certificates: &Certificates, facts: &Facts) -> String {
    match certificates.keeper {
        Keeper::LabelRouter => format!(
            "label-router should have renewed it: see the line about rights, and kubectl -n {} logs {}\nfrom here: {} --rotate",
            facts.endpoint.namespace,
            facts.deployment(),
            by_hand(facts)
        ),
        Keeper::CertManager => format!(
            "see what cert-manager says: kubectl -n {} describe certificate",
            facts.endpoint.namespace
        ),
        Keeper::Somebody => format!(
            "make another one (label-router certs has three ways) and put it into the Secret {}",
            facts.secret
        ),
    }
}

fn date(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(
        |_| "a time out of reach".to_owned(),
        |time| time.strftime("%Y-%m-%d").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{facts, now};
    use super::super::finding::{Status, Unseen};
    use super::*;

    fn after(days: u32) -> Vec<Finding> {
        let mut facts = facts();
        facts.now = now() + DAY * days;
        judge(&facts)
    }

    #[test]
    fn a_young_certificate_and_its_ca_are_fine() {
        let findings = after(1);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(
            findings.iter().all(|finding| finding.status == Status::Ok),
            "{findings:?}"
        );
        assert!(findings[0].message.ends_with("89 days"), "{findings:?}");
    }

    #[test]
    fn the_last_third_is_a_warning() {
        let findings = after(61);
        assert_eq!(findings[0].status, Status::Warning, "{findings:?}");
        assert!(findings[0].fix.as_deref().unwrap().contains("should have renewed"));
        assert_eq!(findings[1].status, Status::Ok, "the CA is young: {findings:?}");
    }

    #[test]
    fn an_expired_certificate_is_a_failure() {
        let findings = after(91);
        assert_eq!(findings[0].status, Status::Failed, "{findings:?}");
        assert!(findings[0].message.starts_with("the serving certificate expired on "));
    }

    #[test]
    fn an_expired_ca_is_a_failure() {
        let findings = after(3651);
        assert_eq!(findings[1].status, Status::Failed, "{findings:?}");
        assert!(findings[1].message.starts_with("its CA expired on "), "{findings:?}");
    }

    #[test]
    fn a_clock_that_is_behind_is_a_failure() {
        let mut facts = facts();
        facts.now = now() - DAY;
        assert!(judge(&facts)[0].fix.as_deref().unwrap().contains("clocks"));
    }

    #[test]
    fn no_secret_and_one_that_may_not_be_read() {
        let mut facts = facts();
        facts.certificates = Ok(None);
        assert_eq!(judge(&facts)[0].status, Status::Failed);
        facts.certificates = Err(Unseen {
            why: "cannot read the Secret a/b: forbidden".to_owned(),
            forbidden: true,
        });
        assert_eq!(judge(&facts)[0].status, Status::Unknown);
    }
}
