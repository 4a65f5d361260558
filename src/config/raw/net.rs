//! The grammars of what stands on the network: addresses, prefixes, hosts, URLs, services.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::text::{Parsed, format};
use super::values::Text;
use crate::config::branch::Mac;
use crate::config::fault::quoted;
use crate::config::model::{Host, HttpUrl, PortRange, Service};
use crate::config::words;

/// `HOST:PORT`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) host: Host,
    pub(crate) port: u16,
}

/// A resolver: an address, with or without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resolver(pub(crate) SocketAddr);

/// What a DNS target must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    Address,
    NoSuchName,
    Exactly(IpAddr),
}

/// A name of the DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DomainName(pub(crate) String);

impl Text for IpAddr {
    const WHAT: &'static str = "an address";
    const EXAMPLE: &'static str = "\"192.0.2.1\" or \"2001:db8::1\"";

    fn parse(text: &str) -> Parsed<Self> {
        std_parse(text, "one")
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Text for Ipv4Addr {
    const WHAT: &'static str = "an IPv4 address";
    const EXAMPLE: &'static str = "\"192.0.2.1\"";

    fn parse(text: &str) -> Parsed<Self> {
        std_parse(text, "one")
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Text for Ipv6Addr {
    const WHAT: &'static str = "an IPv6 address";
    const EXAMPLE: &'static str = "\"2001:db8::1\"";

    fn parse(text: &str) -> Parsed<Self> {
        std_parse(text, "one")
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Text for Ipv4Net {
    const WHAT: &'static str = "an IPv4 address with a prefix length";
    const EXAMPLE: &'static str = "\"192.168.10.0/24\" for a network, \"203.0.113.2/30\" for a host in one";

    fn parse(text: &str) -> Parsed<Self> {
        std_parse(text, "one")
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Text for Ipv6Net {
    const WHAT: &'static str = "an IPv6 address with a prefix length";
    const EXAMPLE: &'static str = "\"2001:db8:1::/64\" for a network, \"2001:db8:1::2/64\" for a host in one";

    fn parse(text: &str) -> Parsed<Self> {
        std_parse(text, "one")
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Text for IpNet {
    const WHAT: &'static str = "a network";
    const EXAMPLE: &'static str = "\"192.0.2.0/24\" or \"2001:db8::/32\"; one host is \"192.0.2.7/32\"";

    fn parse(text: &str) -> Parsed<Self> {
        std_parse(text, "an address with a prefix length")
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Text for Host {
    const WHAT: &'static str = "a host";
    const EXAMPLE: &'static str = "\"9.9.9.9\", \"2620:fe::fe\" or \"www.example.com\"";

    fn parse(text: &str) -> Parsed<Self> {
        match text.parse() {
            Ok(address) => Ok(Self::Address(address)),
            Err(_) => DomainName::parse(text).map(|name| Self::Name(name.0)),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Text for DomainName {
    const WHAT: &'static str = "a DNS name";
    const EXAMPLE: &'static str = "\"www.example.com\"";

    fn parse(text: &str) -> Parsed<Self> {
        let bare = text.strip_suffix('.').unwrap_or(text);
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // A last label of digits only is a mistyped address, never a name.
        let last_is_number = bare.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if bare.len() <= 253 && bare.split('.').all(label) && !last_is_number {
            Ok(Self(bare.to_ascii_lowercase()))
        } else {
            format(format!("{} is neither an address nor a name", quoted(text)))
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

impl Text for HostPort {
    const WHAT: &'static str = "a host with a port";
    const EXAMPLE: &'static str = "\"203.0.113.80:443\", \"[2001:db8::1]:443\" or \"www.example.com:443\"";

    fn parse(text: &str) -> Parsed<Self> {
        if let Ok(address) = text.parse::<SocketAddr>()
            && address.port() != 0
        {
            return Ok(Self { host: Host::Address(address.ip()), port: address.port() });
        }
        match text.rsplit_once(':') {
            Some((host, digits)) if !host.contains(':') => {
                Ok(Self { host: Host::parse(host)?, port: port(digits, text)? })
            }
            Some(_) => format(format!("{} must have its address in brackets", quoted(text))),
            None => format(format!("{} has no port", quoted(text))),
        }
    }

    fn text(&self) -> String {
        match self.host {
            Host::Address(address) => SocketAddr::new(address, self.port).to_string(),
            Host::Name(ref name) => format!("{name}:{}", self.port),
        }
    }
}

impl Text for Resolver {
    const WHAT: &'static str = "a DNS server";
    const EXAMPLE: &'static str = "\"1.1.1.1\", \"2606:4700:4700::1111\" or \"[2001:db8::1]:5353\"";

    fn parse(text: &str) -> Parsed<Self> {
        const DNS_PORT: u16 = 53;
        let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT)).or_else(|_| text.parse());
        match address {
            Ok(address) if address.port() != 0 => Ok(Self(address)),
            _ => format(format!("{} is not an address (it cannot be a name: who would resolve it?)", quoted(text))),
        }
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

impl Text for Expect {
    const WHAT: &'static str = "an expected answer";
    const EXAMPLE: &'static str = "\"address\", \"no-such-name\" or the address itself";

    fn parse(text: &str) -> Parsed<Self> {
        match text {
            "address" => Ok(Self::Address),
            "no-such-name" => Ok(Self::NoSuchName),
            _ => text.parse().map(Self::Exactly).or_else(|_| format(format!("{} is none of these", quoted(text)))),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Address => "address".to_owned(),
            Self::NoSuchName => "no-such-name".to_owned(),
            Self::Exactly(address) => address.to_string(),
        }
    }
}

impl Text for HttpUrl {
    const WHAT: &'static str = "a URL";
    const EXAMPLE: &'static str = "\"http://www.example.com/health\" or \"https://192.0.2.1:8443/\"";

    fn parse(text: &str) -> Parsed<Self> {
        const MOST: usize = 512;
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return format(format!("{} does not begin with http:// or https://", quoted(text))),
        };
        if text.len() > MOST || !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains('#') {
            return format(format!("it may have {MOST} printable ASCII characters and no fragment"));
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return format("a user or password must not stand in it");
        }
        let bracketed = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, digits) = match bracketed {
            Some((address, "")) => (Host::Address(std_parse::<Ipv6Addr>(address, "an IPv6 address")?.into()), None),
            Some((address, after)) => {
                let digits = after.strip_prefix(':').unwrap_or("");
                (Host::Address(std_parse::<Ipv6Addr>(address, "an IPv6 address")?.into()), Some(digits))
            }
            None => match authority.split_once(':') {
                Some((host, digits)) => (Host::parse(host)?, Some(digits)),
                None => (Host::parse(authority)?, None),
            },
        };
        let port = match digits {
            Some(digits) => port(digits, text)?,
            None if tls => 443,
            None => 80,
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { tls, host, port, path })
    }

    fn text(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority(), self.path)
    }
}

impl Text for Service {
    const WHAT: &'static str = "a service";
    const EXAMPLE: &'static str = "\"tcp/443\", \"udp/5060-5061\", \"icmp\" or \"any\"";

    fn parse(text: &str) -> Parsed<Self> {
        let range = |ports: &str| {
            let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
            let (first, last) = (port(first, text)?, port(last, text)?);
            if first > last { format(format!("{} ends before it begins", quoted(text))) } else { Ok((first, last)) }
        };
        let range = |ports| range(ports).map(|(first, last)| PortRange { first, last });
        match text.split_once('/') {
            None if text == "any" => Ok(Self::Any),
            None if text == "icmp" => Ok(Self::Icmp),
            None if matches!(text, "tcp" | "udp") => {
                format(format!("{} has no port; all are {text}/1-65535", quoted(text)))
            }
            Some(("tcp", ports)) => range(ports).map(Self::Tcp),
            Some(("udp", ports)) => range(ports).map(Self::Udp),
            _ => format(format!("{} begins with none of tcp/, udp/, icmp and any", quoted(text))),
        }
    }

    fn text(&self) -> String {
        words::service(*self)
    }
}

impl Text for Mac {
    const WHAT: &'static str = "a MAC address";
    const EXAMPLE: &'static str = "\"52:54:00:12:34:56\"";

    fn parse(text: &str) -> Parsed<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let plain = |part: &&str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
        let mut bytes = [0; 6];
        if parts.len() != bytes.len() || !parts.iter().all(plain) {
            return format(format!("{} is not six pairs of hexadecimal digits", quoted(text)));
        }
        for (byte, part) in bytes.iter_mut().zip(parts) {
            *byte = u8::from_str_radix(part, 16).unwrap_or_default();
        }
        // A group address, or that of nobody: no device has one.
        if bytes[0] & 1 == 1 || bytes == [0; 6] {
            return format(format!("{} is not the address of one device", quoted(text)));
        }
        Ok(Self(bytes))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

fn std_parse<T: FromStr>(text: &str, what: &str) -> Parsed<T> {
    text.parse().or_else(|_| format(format!("{} does not read as {what}", quoted(text))))
}

fn port(digits: &str, whole: &str) -> Parsed<u16> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse() {
        Ok(port) if plain && port > 0 => Ok(port),
        _ => format(format!("{} has no port from 1 to 65535", quoted(whole))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        assert_eq!(Host::parse("9.9.9.9"), Ok(Host::Address("9.9.9.9".parse().expect("literal"))));
        assert_eq!(Host::parse("WWW.Example.com."), Ok(Host::Name("www.example.com".to_owned())));
        for text in ["", "300.1.1.1", "1.2.3", "a..b", "-a.example", "a b", "exämple.com", "."] {
            assert!(Host::parse(text).is_err(), "{text}");
        }
        assert_eq!(HostPort::parse("a.example:443").map(|it| it.port), Ok(443));
        for text in ["9.9.9.9", "9.9.9.9:0", "9.9.9.9:65536", "2620:fe::fe:443", "a.example:+1", ":443", "[::1]"] {
            assert!(HostPort::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hardware_addresses() {
        assert_eq!(Mac::parse("52:54:00:12:AB:56").map(|mac| mac.to_string()), Ok("52:54:00:12:ab:56".to_owned()));
        for text in ["", "52:54:00:12:34", "52-54-00-12-34-56", "01:00:5e:00:00:01", "00:00:00:00:00:00", "5:4:0:1:3:5"]
        {
            assert!(Mac::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn urls() {
        let url = HttpUrl::parse("http://[2001:db8::1]:8080/a?b").expect("a URL");
        assert_eq!((url.authority().as_str(), url.path.as_str()), ("[2001:db8::1]:8080", "/a?b"));
        let url = HttpUrl::parse("https://a.example").expect("a URL");
        assert_eq!((url.authority().as_str(), url.path.as_str(), url.port), ("a.example", "/", 443));
        let url = HttpUrl::parse("http://a.example?b").expect("a URL");
        assert_eq!(url.path, "/?b");
        for text in
            ["ftp://a/", "http://", "http://u@a/", "http://a/#f", "http://a/ b", "http://[::1", "http://[::1]x/"]
        {
            assert!(HttpUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn services() {
        assert_eq!(Service::parse("udp/5060-5061"), Ok(Service::Udp(PortRange { first: 5060, last: 5061 })));
        for text in ["tcp", "tcp/", "tcp/0", "tcp/9-8", "sctp/1", "tcp/1-2-3", "tcp/65536", "TCP/1", "all"] {
            assert!(Service::parse(text).is_err(), "{text}");
        }
    }
}
