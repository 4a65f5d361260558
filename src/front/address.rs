//! Where head office is: `https://host[:port]`, or `http://` for what never leaves this machine.

use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv6Addr};

/// As DNS has it.
const NAME_MOST: usize = 253;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub tls: bool,
    pub host: Host,
    pub port: u16,
    /// Host and port as they were written, for the `host` header.
    authority: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    Name(String),
    Ip(IpAddr),
}

/// Why it is no address of head office.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("it does not begin with https://")]
    Scheme,
    #[error("without TLS only an address of this machine may be asked")]
    Plain,
    #[error("its host is neither a name nor an address")]
    Host,
    #[error("its port is no number from 1 to 65535")]
    Port,
}

impl Address {
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(AddressError::Scheme),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split(authority)?;
        let port = match port {
            None if tls => 443,
            None => 80,
            Some(port) => number(port).ok_or(AddressError::Port)?,
        };
        if !tls && !matches!(host, Host::Ip(ip) if ip.is_loopback()) {
            return Err(AddressError::Plain);
        }
        Ok(Self { tls, host, port, authority: authority.to_owned() })
    }

    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

fn split(authority: &str) -> Result<(Host, Option<&str>), AddressError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (ip, after) = rest.split_once(']').ok_or(AddressError::Host)?;
        let ip: Ipv6Addr = ip.parse().map_err(|_| AddressError::Host)?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(port),
            None if after.is_empty() => None,
            None => return Err(AddressError::Host),
        };
        return Ok((Host::Ip(ip.into()), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_label = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match host.parse() {
        Ok(ip) => Ok((Host::Ip(ip), port)),
        Err(_) if host.len() <= NAME_MOST && host.split('.').all(is_label) => Ok((Host::Name(host.to_owned()), port)),
        Err(_) => Err(AddressError::Host),
    }
}

fn number(port: &str) -> Option<u16> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|port| digits && *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_ports() {
        for (text, tls, port, authority) in [
            ("https://office.petit.example", true, 443, "office.petit.example"),
            ("https://office.petit.example:8443/", true, 8443, "office.petit.example:8443"),
            ("https://192.0.2.10", true, 443, "192.0.2.10"),
            ("https://[2001:db8::1]:444", true, 444, "[2001:db8::1]:444"),
            ("http://127.0.0.1:8080", false, 8080, "127.0.0.1:8080"),
            ("http://[::1]", false, 80, "[::1]"),
        ] {
            let address = Address::parse(text).expect("it is one");
            assert_eq!((address.tls, address.port, address.authority()), (tls, port, authority));
        }
    }

    #[test]
    fn what_is_no_office_is_refused() {
        for (text, why) in [
            ("", AddressError::Scheme),
            ("ftp://office.example", AddressError::Scheme),
            ("http://office.example", AddressError::Plain),
            ("http://localhost:80", AddressError::Plain),
            ("http://192.0.2.10", AddressError::Plain),
            ("https://", AddressError::Host),
            ("https://a..b", AddressError::Host),
            ("https://user@office.example", AddressError::Host),
            ("https://office.example/path", AddressError::Host),
            ("https://office.example\r\nx: y", AddressError::Host),
            ("https://[::1", AddressError::Host),
            ("https://[::1]x", AddressError::Host),
            ("https://office.example:0", AddressError::Port),
            ("https://office.example:+1", AddressError::Port),
            ("https://office.example:65536", AddressError::Port),
        ] {
            assert_eq!(Address::parse(text), Err(why), "{text}");
        }
    }
}
