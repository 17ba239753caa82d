//! Addresses that no sink is at: the link-local ones, where clouds keep the credentials of their machines.

use std::net::{IpAddr, Ipv6Addr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Why such a sink is refused.
pub(super) const WHY: &str = "its address is link-local, where clouds keep the credentials of their machines; if the sink is \
                              really there, set sinks.linkLocal";

/// Alibaba's metadata service, at no link-local address. AWS has fd00:ec2::254 for the same over IPv6.
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

pub(super) fn is_refused(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    link_local || METADATA.contains(&address)
}

/// True where a URL has such an address itself, instead of a name. A URL knows all the ways to write one, `2852039166` among
/// them.
pub(super) fn names_refused(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.is_ok_and(is_refused)
}

/// Resolves names, and leaves such addresses out.
#[derive(Debug)]
pub(super) struct Guarded;

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let (refused, fine): (Vec<_>, Vec<_>) = found.into_iter().partition(|address| is_refused(address.ip()));
            if fine.is_empty() && !refused.is_empty() {
                return Err(WHY.into());
            }
            Ok(Box::new(fine.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_of_clouds_is_refused_however_it_is_written() {
        for url in [
            "http://169.254.169.254/latest",
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fd00:ec2::254]/",
            "http://100.100.100.200/",
        ] {
            assert!(names_refused(&Url::parse(url).unwrap()), "{url}");
        }
        for url in [
            "http://10.0.0.1/",
            "https://example.com/",
            "http://127.0.0.1:9093/",
            "http://[fd00::1]/",
        ] {
            assert!(!names_refused(&Url::parse(url).unwrap()), "{url}");
        }
    }
}
