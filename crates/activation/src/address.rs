//! Which addresses a webhook may reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use freshet_model::Network;
use reqwest::dns::{Addrs, Name, Resolve as ReqwestResolve, Resolving};

use crate::Resolve;

/// Whether an address is one of the public internet: not of this machine or network, not private, shared, reserved or for documentation,
/// and none behind which another may hide (IPv4-mapped, NAT64, 6to4, Teredo). IANA's special-purpose registries, and the address of one
/// cloud's metadata that lies outside of them.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, fourth] = address.octets();
    !matches!(
        (first, second, third, fourth),
        (0 | 10 | 127 | 224.., ..)
            | (100, 64..=127, ..)
            | (169, 254, ..)
            | (172, 16..=31, ..)
            | (192, 0, 0 | 2, _)
            | (192, 88, 99, _)
            | (192, 168, ..)
            | (198, 18 | 19, ..)
            | (198, 51, 100, _)
            | (203, 0, 113, _)
            | (168, 63, 129, 16)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Global unicast is 2000::/3; what is not public in it are protocol assignments, documentation and 6to4.
    (0x2000..0x4000).contains(&first)
        && !matches!((first, second), (0x2001, 0..0x0200 | 0x0db8) | (0x2002, _) | (0x3fff, 0..0x1000))
}

/// A name has no address that may be reached.
#[derive(Debug, thiserror::Error)]
#[error("the name has no address that may be reached")]
pub(crate) struct Refused;

/// Lets nothing but what may be reached out of the resolving of names. The connection is made to what this answers, so a name that
/// resolves to something else a moment later leads nowhere else.
pub(crate) struct Guard {
    pub(crate) networks: Arc<[Network]>,
    pub(crate) resolve: Resolve,
}

impl Guard {
    /// Whether an address may be reached.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        is_public(address) || self.networks.iter().any(|network| network.contains(address))
    }
}

impl ReqwestResolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let found = (self.resolve)(name.as_str().to_owned());
        let guard = Self { networks: Arc::clone(&self.networks), resolve: Arc::clone(&self.resolve) };
        Box::pin(async move {
            let found = found.await?;
            let is_found = !found.is_empty();
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| guard.allows(*address))
                // The URL's port takes the place of 0.
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            if allowed.is_empty() && is_found {
                return Err(Refused.into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("8.8.8.8", true)]
    #[case("100.63.255.255", true)]
    #[case("100.128.0.1", true)]
    #[case("172.32.0.1", true)]
    #[case("192.0.1.1", true)]
    #[case("2606:4700::1111", true)]
    #[case("2001:4860:4860::8888", true)]
    #[case::this_network("0.0.0.0", false)]
    #[case::private_10("10.0.0.1", false)]
    #[case::private_172("172.16.0.1", false)]
    #[case::private_172_end("172.31.255.255", false)]
    #[case::private_192("192.168.1.1", false)]
    #[case::shared("100.64.0.1", false)]
    #[case::shared_end("100.127.255.255", false)]
    #[case::metadata_of_alibaba("100.100.100.200", false)]
    #[case::loopback("127.0.0.1", false)]
    #[case::loopback_end("127.255.255.255", false)]
    #[case::link_local("169.254.1.1", false)]
    #[case::metadata("169.254.169.254", false)]
    #[case::metadata_of_azure("168.63.129.16", false)]
    #[case::metadata_of_oracle("192.0.0.192", false)]
    #[case::documentation("203.0.113.5", false)]
    #[case::benchmark("198.19.0.1", false)]
    #[case::multicast("224.0.0.1", false)]
    #[case::broadcast("255.255.255.255", false)]
    #[case::loopback_v6("::1", false)]
    #[case::unspecified_v6("::", false)]
    #[case::mapped_private("::ffff:10.0.0.1", false)]
    #[case::mapped_public("::ffff:8.8.8.8", false)]
    #[case::compatible("::127.0.0.1", false)]
    #[case::nat64("64:ff9b::a9fe:a9fe", false)]
    #[case::nat64_local("64:ff9b:1::a00:1", false)]
    #[case::unique_local("fc00::1", false)]
    #[case::metadata_of_aws_v6("fd00:ec2::254", false)]
    #[case::link_local_v6("fe80::1", false)]
    #[case::site_local("fec0::1", false)]
    #[case::multicast_v6("ff02::1", false)]
    #[case::six_to_four("2002:a00:1::1", false)]
    #[case::teredo("2001:0:1::1", false)]
    #[case::documentation_v6("2001:db8::1", false)]
    #[case::documentation_v6_new("3fff:1::1", false)]
    fn addresses(#[case] address: IpAddr, #[case] is: bool) {
        assert_eq!(is_public(address), is);
    }
}
