//! Networks of IP addresses, and the URLs of webhooks.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Longest URL, in bytes.
const MAX_URL_BYTES: usize = 2_048;

/// A network, as `10.1.0.0/16` or `fd00::/8`; an address alone is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = (network.to_bits() ^ address.to_bits()).leading_zeros();
                differing >= u32::from(self.bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = (network.to_bits() ^ address.to_bits()).leading_zeros();
                differing >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is not a network: write an address, or one and bits, as 10.1.0.0/16");
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
        if bits <= most { Ok(Self { address, bits }) } else { Err(wrong()) }
    }
}

/// Where a webhook listens: an `https://` URL with a host and without a user or a fragment; or `http://`, on this machine alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl(String);

impl WebhookUrl {
    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WebhookUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why: &str| Err(format!("{why}; write a URL as https://hooks.example.com/orders"));
        if text.len() > MAX_URL_BYTES {
            return wrong("the URL is longer than 2,048 bytes");
        }
        if text.bytes().any(|byte| byte <= b' ' || byte >= 0x7f || matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'#')) {
            return wrong("the URL holds a blank, a # or a character that has to be percent-encoded");
        }
        let (is_plain, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return wrong("a webhook's URL begins with https://"),
        };
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return wrong("a URL with a user in it shows its password; the secret is named in `secret`");
        }
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                if port.parse::<u16>().is_err() {
                    return wrong("the port of the URL is not a number from 0 to 65535");
                }
                host
            }
            _ => authority,
        };
        if host.is_empty() {
            return wrong("the URL has no host");
        }
        if is_plain && !matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
            return wrong("http:// reaches only this machine (localhost, 127.0.0.1, [::1]): others need https://");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for WebhookUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("10.1.0.0/16", "10.1.2.3", true)]
    #[case("10.1.0.0/16", "10.2.0.1", false)]
    #[case("127.0.0.1", "127.0.0.1", true)]
    #[case("127.0.0.1", "127.0.0.2", false)]
    #[case("0.0.0.0/0", "8.8.8.8", true)]
    #[case("fd00::/8", "fd12::1", true)]
    #[case("fd00::/8", "10.0.0.1", false)]
    fn networks_contain(#[case] network: Network, #[case] address: IpAddr, #[case] is_in: bool) {
        assert_eq!(network.contains(address), is_in);
    }

    #[rstest]
    #[case("10.0.0.0/33")]
    #[case("10.0.0/8")]
    #[case("example.com")]
    #[case("")]
    fn what_is_no_network_is_refused(#[case] text: &str) {
        assert!(text.parse::<Network>().unwrap_err().contains("is not a network"));
    }

    #[rstest]
    #[case("https://hooks.example.com/x?a=b", true)]
    #[case("https://hooks.example.com:8443", true)]
    #[case("https://[2001:4860::1]/x", true)]
    #[case("http://localhost:9000/x", true)]
    #[case("http://127.0.0.1:9000/x", true)]
    #[case("http://localhost.example.com/x", false)]
    #[case("http://127.0.0.1@example.com/x", false)]
    #[case("https://user:pw@example.com/x", false)]
    #[case("https:///x", false)]
    #[case("https://a b/", false)]
    #[case("https://a:99999/", false)]
    #[case("ftp://a/", false)]
    fn urls(#[case] text: &str, #[case] is_one: bool) {
        assert_eq!(text.parse::<WebhookUrl>().is_ok(), is_one);
    }
}
