//! Edge: starts what a session may start: this program again, and three of Debian's with a fixed path and a fixed list of
//! arguments. Names and addresses in it were checked by [`super::line`]; nothing is looked up in a path, no environment is
//! handed on, and there is no shell.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};

use super::line::Tool;

const PING: &str = "/usr/bin/ping";
/// Needs no right, unlike traceroute.
const TRACE: &str = "/usr/bin/tracepath";
/// Needs `CAP_NET_RAW`, which the image gives to the file, not to the user.
const CAPTURE: &str = "/usr/bin/tcpdump";
/// Enough to see loss, over in five seconds.
const PINGS: &str = "5";
const PING_WAITS_S: &str = "2";
/// The internet is less deep.
const HOPS: &str = "25";
/// A screen or two, so that a capture ends by itself.
const PACKETS: &str = "50";
/// Headers; what people send to each other is none of our business.
const SNAPLEN: &str = "96";

pub(super) fn tool(tool: &Tool) -> io::Result<ExitStatus> {
    let (program, arguments) = arguments(tool);
    Command::new(program).args(arguments).env_clear().env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).status()
}

/// The words went through our own parser already.
pub(super) fn own(words: &[String], socket: &std::path::Path) -> io::Result<ExitStatus> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("causeway").arg("--socket").arg(socket).args(words).env_clear();
    for kept in ["TERM", "TZ", "NO_COLOR"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command.status()
}

pub(super) fn name(tool: &Tool) -> &'static str {
    arguments(tool).0
}

fn arguments(tool: &Tool) -> (&'static str, Vec<String>) {
    let fixed = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    match tool {
        Tool::Ping { host, device } => {
            let mut arguments = fixed(&["-n", "-c", PINGS, "-W", PING_WAITS_S]);
            if let Some(device) = device {
                arguments.extend(["-I".to_owned(), device.clone()]);
            }
            arguments.extend(["--".to_owned(), host.clone()]);
            (PING, arguments)
        }
        Tool::Trace { host } => {
            let mut arguments = fixed(&["-n", "-m", HOPS, "--"]);
            arguments.push(host.clone());
            (TRACE, arguments)
        }
        Tool::Capture { device, address, port } => {
            let mut arguments = fixed(&["-n", "-p", "-l", "-c", PACKETS, "-s", SNAPLEN, "-i"]);
            arguments.push(device.clone());
            let address = address.map(|address| format!("host {address}"));
            let port = port.map(|port| format!("port {port}"));
            // The expression is made of a number and an address, both parsed.
            arguments
                .extend([address, port].into_iter().flatten().reduce(|address, port| format!("{address} and {port}")));
            (CAPTURE, arguments)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_fixed_and_what_was_typed_comes_last() {
        let ping = Tool::Ping { host: "office.example".to_owned(), device: Some("wan0".to_owned()) };
        assert_eq!(arguments(&ping).1.join(" "), "-n -c 5 -W 2 -I wan0 -- office.example");
        let trace = Tool::Trace { host: "192.0.2.1".to_owned() };
        assert_eq!(arguments(&trace).1.join(" "), "-n -m 25 -- 192.0.2.1");
        let address = Some(std::net::IpAddr::from([192, 0, 2, 1]));
        let capture = Tool::Capture { device: "wan0".to_owned(), address, port: Some(443) };
        let (program, words) = arguments(&capture);
        assert_eq!(program, "/usr/bin/tcpdump");
        assert_eq!(words, ["-n", "-p", "-l", "-c", "50", "-s", "96", "-i", "wan0", "host 192.0.2.1 and port 443"]);
    }
}
