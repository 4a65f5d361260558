//! Is a request meant for us? A page from the internet can make a browser on the LAN ask the gateway under the page's own
//! name (DNS rebinding) and read the answer. Such a request names a host that is not ours. Pure.

use std::net::{IpAddr, Ipv6Addr};

/// What the gateway is called on every LAN (RFC 8375).
pub const NAME: &str = "gateway.home.arpa";
/// On loopback only. No resolver may say that it is somebody else (RFC 6761).
const LOCAL: &str = "localhost";

/// `authority` of the request, with or without a port; `on`: the address to which the connection came.
pub fn is_ours(authority: &str, on: IpAddr, names: &[String]) -> bool {
    let on = on.to_canonical();
    if let Some((address, port)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let address: Option<Ipv6Addr> = address.parse().ok();
        return is_port(port) && address.is_some_and(|address| IpAddr::V6(address).to_canonical() == on);
    }
    let at = authority.find(':').unwrap_or(authority.len());
    let (host, port) = authority.split_at(at);
    if !is_port(port) {
        return false;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return address == on;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let is = |name: &str| host.eq_ignore_ascii_case(name);
    is(NAME) || names.iter().any(|name| is(name)) || (on.is_loopback() && is(LOCAL))
}

/// Any: what a port forward on the client's side made of it is no concern of ours.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(authority: &str, on: &str) -> bool {
        is_ours(authority, on.parse().expect("an address"), &["box7".to_owned()])
    }

    #[test]
    fn own_names_and_the_address_of_the_connection() {
        for (authority, on) in [
            ("192.168.10.1", "192.168.10.1"),
            ("192.168.10.1:9620", "192.168.10.1"),
            ("[fd00::1]:9620", "fd00::1"),
            ("[fd00:0::1]", "fd00::1"),
            ("gateway.home.arpa", "192.168.10.1"),
            ("Gateway.Home.Arpa.:80", "192.168.10.1"),
            ("box7:9620", "fd00::1"),
            ("localhost:9620", "127.0.0.1"),
        ] {
            assert!(ours(authority, on), "{authority} on {on}");
        }
    }

    #[test]
    fn nobody_else() {
        for authority in [
            "",
            "evil.example",
            "evil.example:9620",
            "192.168.10.2",
            "192.168.10.1.evil.example",
            "gateway.home.arpa.evil.example",
            "gateway.home.arpa..",
            "localhost",
            "box7@evil.example",
            "192.168.10.1:96x",
            "[fd00::1",
            "[fd00::1]x",
            "fd00::1",
            "box7:80:80",
        ] {
            assert!(!ours(authority, "192.168.10.1"), "{authority}");
        }
    }
}
