//! What Kubernetes accepts as a label key, a label value and a DNS name, checked before a Pod is patched: the API server
//! refuses a whole Pod for one bad value, even under `failurePolicy: Ignore`.
//!
//! Source: `k8s.io/apimachinery/pkg/util/validation`.

/// A qualified name: up to 63 of `[A-Za-z0-9_.-]`, alphanumeric at both ends, after an optional DNS prefix and a slash.
pub(crate) fn qualified_name(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if let Some(prefix) = prefix {
        dns_subdomain(prefix).map_err(|why| format!("{key:?} is no label key: its prefix {why}"))?;
    }
    if name.is_empty() {
        return Err(format!("{key:?} is no label key: its name is empty"));
    }
    word(name).map_err(|why| format!("{key:?} is no label key: {why}"))
}

/// A label value: empty, or up to 63 of `[A-Za-z0-9_.-]`, alphanumeric at both ends.
pub(crate) fn label_value(value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Ok(());
    }
    word(value).map_err(|why| format!("{value:?} is no label value: {why}"))
}

/// A DNS subdomain (RFC 1123): up to 253 of `[a-z0-9.-]`, each part alphanumeric at both ends.
pub(crate) fn dns_subdomain(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > 253 {
        return Err("must have 1 to 253 characters".to_owned());
    }
    let fits = name.split('.').all(|part| {
        let bytes = part.as_bytes();
        bytes.first().is_some_and(|byte| is_lower(*byte))
            && bytes.last().is_some_and(|byte| is_lower(*byte))
            && bytes.iter().all(|byte| is_lower(*byte) || *byte == b'-')
    });
    if fits {
        Ok(())
    } else {
        Err("must be a lower-case DNS name such as example.com".to_owned())
    }
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn word(text: &str) -> Result<(), String> {
    if text.len() > 63 {
        return Err(format!(
            "it has {} characters, and 63 are allowed",
            text.chars().count()
        ));
    }
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    if !ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric)) {
        return Err("it must start and end with a letter or digit".to_owned());
    }
    match text
        .chars()
        .find(|character| !character.is_ascii_alphanumeric() && !['-', '_', '.'].contains(character))
    {
        Some(character) => Err(format!(
            "{character:?} is not allowed in it; letters, digits, '-', '_' and '.' are"
        )),
        None => Ok(()),
    }
}

/// Keys that a controller writes and finds its Pods by; nobody else may.
pub(crate) fn owned_by_controller(key: &str) -> bool {
    const OWNED: [&str; 11] = [
        "apps.kubernetes.io/pod-index",
        "statefulset.kubernetes.io/pod-name",
        "controller-revision-hash",
        "pod-template-hash",
        "pod-template-generation",
        "job-name",
        "controller-uid",
        "kubernetes.io/config.mirror",
        "kubernetes.io/config.hash",
        "kubernetes.io/config.seen",
        "kubernetes.io/config.source",
    ];
    OWNED.contains(&key) || key.starts_with("batch.kubernetes.io/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_the_api_server_accepts_and_refuses_the_rest() {
        for key in ["name", "topology.kubernetes.io/zone", "a_b.c-d", "A/1"] {
            assert_eq!(qualified_name(key).is_ok(), key != "A/1", "{key}");
        }
        for key in ["", "/x", "x/", "a b", "-a", "a/b/c", &"x".repeat(64)] {
            assert!(qualified_name(key).is_err(), "{key}");
        }
        for value in ["", "node1", "v1.2_3-x"] {
            assert!(label_value(value).is_ok(), "{value}");
        }
        for value in ["-x", "x-", "a/b", "ü", &"x".repeat(64)] {
            assert!(label_value(value).is_err(), "{value}");
        }
    }
}
