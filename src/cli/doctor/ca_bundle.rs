//! Whether the API server trusts the certificate, as far as Secret and registration tell. The check `webhook` sees the rest.

use super::facts::{Certificates, Facts, Keeper};
use super::finding::Finding;
use crate::admission::registration::Endpoint;
use crate::pki;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let Ok(Some(_)) = &facts.registration else {
        // The check of the registration has said why.
        return Vec::new();
    };
    let certificates = facts.certificates.as_ref().ok().and_then(Option::as_ref);
    facts
        .our_webhooks()
        .into_iter()
        .map(|webhook| {
            let bundle = webhook.client_config.ca_bundle.as_ref();
            let bundle = bundle.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned());
            match bundle.filter(|bundle| !bundle.trim().is_empty()) {
                None => Finding::failed(
                    format!(
                        "the webhook {} has no caBundle: the API server trusts only CAs of its own system",
                        webhook.name
                    ),
                    fix(certificates, facts),
                ),
                Some(bundle) => verified(&bundle, certificates, facts),
            }
        })
        .collect()
}

fn verified(bundle: &str, certificates: Option<&Certificates>, facts: &Facts) -> Finding {
    let host = facts.endpoint.host();
    let Some(certificates) = certificates else {
        return Finding::unknown(
            "there is a caBundle; the certificate that it is for could not be read",
            "see the line about the certificate",
        );
    };
    let verified =
        pki::certificates(&certificates.serving).and_then(|chain| pki::verify(&chain, bundle, &host, facts.now));
    match verified {
        Ok(()) => Finding::ok(format!(
            "caBundle verifies the certificate of the Secret {} for {host}",
            facts.secret
        )),
        Err(error) => Finding::failed(
            format!(
                "caBundle does not verify the certificate of the Secret {}: {error}",
                facts.secret
            ),
            fix(Some(certificates), facts),
        ),
    }
}

/// Whose task it is.
pub(super) fn fix(certificates: Option<&Certificates>, facts: &Facts) -> String {
    let (namespace, registration) = (&facts.endpoint.namespace, &facts.endpoint.registration);
    match certificates.map(|certificates| certificates.keeper) {
        Some(Keeper::LabelRouter) => format!(
            "label-router keeps it by itself: see the line about rights, and kubectl -n {namespace} logs {}\nfrom here: {}",
            facts.deployment(),
            by_hand(facts)
        ),
        Some(Keeper::CertManager) => format!(
            "cert-manager keeps it where the registration asks for it:\nkubectl annotate --overwrite \
             mutatingwebhookconfiguration {registration} cert-manager.io/inject-ca-from={namespace}/CERTIFICATE"
        ),
        Some(Keeper::Somebody) | None => {
            let patch = r#""[{\"op\": \"add\", \"path\": \"/webhooks/0/clientConfig/caBundle\", \"value\": \"$(base64 < ca.crt | tr -d '\n')\"}]""#;
            format!(
                "write the CA that signed the certificate into it:\nkubectl patch mutatingwebhookconfiguration {registration} \
                 --type=json -p {patch}"
            )
        }
    }
}

/// What does once what a server with self-managed certificates does all the time.
pub(super) fn by_hand(facts: &Facts) -> String {
    let normal = Endpoint::default();
    let secret = facts.secret.rsplit('/').next().unwrap_or_default();
    let flags = [
        (
            "namespace",
            facts.endpoint.namespace.as_str(),
            normal.namespace.as_str(),
        ),
        ("secret", secret, "label-router-tls"),
        ("service", facts.endpoint.service.as_str(), normal.service.as_str()),
        (
            "registration",
            facts.endpoint.registration.as_str(),
            normal.registration.as_str(),
        ),
    ];
    let mut words = vec!["label-router certs secret".to_owned()];
    words.extend(
        flags
            .into_iter()
            .filter(|(_, value, normal)| value != normal)
            .map(|(flag, value, _)| format!("--{flag} {value}")),
    );
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::super::facts::tests::{facts, now, webhook};
    use super::super::finding::Status;
    use super::*;
    use crate::pki::Authority;

    #[test]
    fn the_ca_of_the_certificate_is_fine() {
        let findings = judge(&facts());
        assert_eq!(findings[0].status, Status::Ok, "{findings:?}");
    }

    #[test]
    fn an_empty_one_is_a_failure() {
        let mut facts = facts();
        webhook(&mut facts).client_config.ca_bundle = Some(ByteString(Vec::new()));
        let findings = judge(&facts);
        assert!(findings[0].message.contains("has no caBundle"), "{findings:?}");
        assert!(
            findings[0].fix.as_deref().unwrap().contains("by itself"),
            "{findings:?}"
        );
    }

    #[test]
    fn another_ca_is_a_failure() {
        let mut facts = facts();
        let other = Authority::make(now()).unwrap().pair().certificate.clone();
        webhook(&mut facts).client_config.ca_bundle = Some(ByteString(other.into_bytes()));
        let findings = judge(&facts);
        assert_eq!(findings[0].status, Status::Failed);
        assert!(findings[0].message.contains("another CA signed"), "{findings:?}");
    }

    #[test]
    fn a_certificate_for_another_name_is_a_failure() {
        let mut facts = facts();
        facts.endpoint.namespace = "elsewhere".to_owned();
        webhook(&mut facts).client_config.service.as_mut().unwrap().namespace = "elsewhere".to_owned();
        let findings = judge(&facts);
        assert!(
            findings[0].message.contains("is not for label-router.elsewhere.svc"),
            "{findings:?}"
        );
    }

    #[test]
    fn without_the_secret_it_is_not_known() {
        let mut facts = facts();
        facts.certificates = Ok(None);
        assert_eq!(judge(&facts)[0].status, Status::Unknown);
    }
}
