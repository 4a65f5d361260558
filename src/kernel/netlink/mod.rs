//! Asks the kernel about links, addresses, routes and rules, and changes ours. Requests go over one socket with strict
//! checking and the kernel's own error texts; what changes by itself is heard on another ([`monitor`]), so that a flood
//! of notifications never delays an answer. Sources: rtnetlink(7), netlink(7), the kernel's "Introduction to Netlink".

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are the netlink crates' and grow with the kernel; what we do not know does not concern us"
)]

pub mod counters;
mod decode;
mod encode;
mod lan;
pub mod monitor;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt;
use nix::libc;
use rtnetlink::packet_core::{
    DoneMessage, ErrorMessage, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REPLACE,
    NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, NlasIterator,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::packet_route::rule::RuleMessage;
use rtnetlink::sys::AsyncSocket;

use super::numbers::MAIN_TABLE;
use super::state::{Neighbour, Route, State};
use crate::apply::exec::{Kernel, KernelError};
use crate::apply::plan::Step;
use crate::config::model::Family;

/// The kernel answers in microseconds, and in milliseconds while something holds the routing lock (a large flush). The
/// watchdog waits longer than this.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A dump during which something changed may be inconsistent and is taken again; while changes rain, the last one has
/// to do: each change is also heard by the monitor and leads to another dump.
const DUMP_ATTEMPTS: usize = 3;

/// One socket for requests, in the network namespace of the thread that opened it. Clones share it.
#[derive(Clone, Debug)]
pub struct Netlink {
    handle: rtnetlink::Handle,
}

impl Netlink {
    /// Must be called inside a tokio runtime: a task owns the socket, until the last clone is dropped.
    pub fn open() -> Result<Self, KernelError> {
        let open = |source| KernelError::Open { source };
        let (mut connection, handle, _) = rtnetlink::new_connection_with_strict_check().map_err(open)?;
        // Else the end of the connection would look like an acknowledgment: both end the answer.
        connection.set_forward_ack(true);
        connection.set_forward_done(true);
        let socket = connection.socket_mut().socket_mut();
        socket.set_ext_ack(true).map_err(open)?;
        socket.set_cap_ack(true).map_err(open)?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// The kernel's entry for one neighbour, one small message each way; `None` if it has none. Neighbours are never
    /// subscribed to: on a LAN anybody can make the kernel tell of thousands a second.
    pub async fn neighbour(&self, link: u32, address: IpAddr) -> Result<Option<Neighbour>, KernelError> {
        let entry = self.neighbour_entry(link, address).await?;
        Ok(entry.map(|entry| Neighbour { link, address, reachable: decode::reachable(&entry) }))
    }

    /// Makes the kernel ask a neighbour now, by unicast, whatever it believes: `NUD_PROBE`, as after a silence of half a
    /// minute. Packets flow meanwhile. `false`: it never asks this one, an administrator wrote its address down.
    pub async fn ask_neighbour(&self, link: u32, address: IpAddr) -> Result<bool, KernelError> {
        let Some(entry) = self.neighbour_entry(link, address).await? else { return Ok(true) };
        if decode::is_fixed(&entry) {
            return Ok(false);
        }
        if decode::may_ask(&entry) {
            let mut message = neighbour_message(link, address);
            message.header.state = NeighbourState::Probe;
            // Neither made anew nor replaced: address and flags stay as they are.
            let flags = NLM_F_REQUEST | NLM_F_ACK;
            let operation = || format!("ask neighbour {address} on link {link}");
            self.ask(RouteNetlinkMessage::NewNeighbour(message), flags, operation).await?;
        }
        Ok(true)
    }

    async fn neighbour_entry(&self, link: u32, address: IpAddr) -> Result<Option<NeighbourMessage>, KernelError> {
        let message = RouteNetlinkMessage::GetNeighbour(neighbour_message(link, address));
        let operation = || format!("read the neighbour entry of {address} on link {link}");
        match self.ask(message, NLM_F_REQUEST, operation).await {
            Ok(answers) => Ok(answers.messages.into_iter().find_map(|answer| match answer {
                RouteNetlinkMessage::NewNeighbour(entry) => Some(entry),
                _ => None,
            })),
            // No entry: nobody has sent anything to it yet. Or no device any more: no entry either.
            Err(KernelError::Refused { source, .. })
                if matches!(source.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whom the kernel knows on its devices, with hardware addresses: asked for when somebody must be spoken to, never
    /// heard all the time. At most `gc_thresh3` (1,024) entries a family.
    pub async fn link_addresses(&self) -> Result<Vec<(u32, IpAddr, [u8; 6])>, KernelError> {
        let message = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        let answers = self.dump_of(message, "list the neighbours").await?;
        Ok(answers
            .iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewNeighbour(entry) => decode::link_address(entry),
                _ => None,
            })
            .collect())
    }

    async fn links(&self, state: &mut State) -> Result<(), KernelError> {
        let mut message = LinkMessage::default();
        // Statistics are two thirds of the answer and not wanted here.
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        for answer in self.dump_of(RouteNetlinkMessage::GetLink(message), "list the links").await? {
            if let RouteNetlinkMessage::NewLink(message) = answer {
                state.links.extend(decode::link(&message));
            }
        }
        Ok(())
    }

    async fn addresses(&self, state: &mut State) -> Result<(), KernelError> {
        let message = AddressMessage::default();
        for answer in self.dump_of(RouteNetlinkMessage::GetAddress(message), "list the addresses").await? {
            if let RouteNetlinkMessage::NewAddress(message) = answer {
                state.addresses.extend(decode::address(&message));
            }
        }
        Ok(())
    }

    /// `None`: of all tables.
    async fn routes(&self, family: Family, table: Option<u32>) -> Result<Vec<Route>, KernelError> {
        let mut message = RouteMessage::default();
        message.header.address_family = encode::address_family(family);
        message.attributes.extend(table.map(RouteAttribute::Table));
        let answers = match self.dump_of(RouteNetlinkMessage::GetRoute(message), "list the routes").await {
            // A table that nobody has put a route into does not exist yet.
            Err(KernelError::Refused { source, .. })
                if table.is_some() && source.raw_os_error() == Some(libc::ENOENT) =>
            {
                Vec::new()
            }
            other => other?,
        };
        let routes = answers.iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(message) => decode::route(message),
            _ => None,
        });
        Ok(routes.filter(|route| route.concerns_us() && table.is_none_or(|table| route.table == table)).collect())
    }

    async fn rules(&self, family: Family, state: &mut State) -> Result<(), KernelError> {
        let mut message = RuleMessage::default();
        message.header.family = encode::address_family(family);
        for answer in self.dump_of(RouteNetlinkMessage::GetRule(message), "list the rules").await? {
            if let RouteNetlinkMessage::NewRule(message) = answer {
                state.rules.extend(decode::rule(&message));
            }
        }
        Ok(())
    }

    /// Of the gateways that any default route names, ours (static) or `main`'s (learnt): a handful.
    async fn neighbours(&self, state: &mut State) -> Result<(), KernelError> {
        let gateways: BTreeSet<(u32, IpAddr)> = state
            .routes
            .iter()
            .filter(|route| route.destination.is_none())
            .flat_map(|route| &route.hops)
            .filter_map(|hop| Some((hop.link, hop.via?)))
            .collect();
        for (link, address) in gateways {
            state.neighbours.extend(self.neighbour(link, address).await?);
        }
        Ok(())
    }

    async fn dump_of(
        &self,
        message: RouteNetlinkMessage,
        operation: &str,
    ) -> Result<Vec<RouteNetlinkMessage>, KernelError> {
        let mut attempt = 1;
        loop {
            let flags = NLM_F_REQUEST | NLM_F_DUMP;
            let answers = self.ask(message.clone(), flags, || operation.to_owned()).await?;
            if !answers.interrupted || attempt == DUMP_ATTEMPTS {
                return Ok(answers.messages);
            }
            attempt += 1;
        }
    }

    /// Sends one request and gathers all that belongs to its answer.
    async fn ask(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        operation: impl Fn() -> String,
    ) -> Result<Answers, KernelError> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = flags;
        let closed = || KernelError::Closed { operation: operation() };
        let mut stream = self.handle.clone().request(request).map_err(|_| closed())?;
        let gather = async {
            let mut answers = Answers::default();
            while let Some(message) = stream.next().await {
                answers.interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(inner) => {
                        answers.messages.push(inner);
                        if flags & (NLM_F_DUMP | NLM_F_ACK) == 0 {
                            return Ok(answers);
                        }
                    }
                    NetlinkPayload::Done(DoneMessage { code: 0, .. }) => return Ok(answers),
                    NetlinkPayload::Done(DoneMessage { code, extended_ack, .. }) => {
                        return Err(refused(operation(), code, &extended_ack));
                    }
                    NetlinkPayload::Error(ErrorMessage { code: None, .. }) => return Ok(answers),
                    NetlinkPayload::Error(error) => {
                        // With `NETLINK_CAP_ACK` only the header of our request comes before the attributes.
                        let attributes = error.header.get(NETLINK_HEADER_BYTES..).unwrap_or_default();
                        return Err(refused(operation(), error.raw_code(), attributes));
                    }
                    _ => {}
                }
            }
            Err(closed())
        };
        tokio::time::timeout(ANSWER_WITHIN, gather)
            .await
            .unwrap_or_else(|_| Err(KernelError::Late { operation: operation() }))
    }
}

/// For fuzz/: reads a datagram as the monitor and as answers are read.
#[cfg(fuzzing)]
pub fn fuzz(datagram: &[u8]) {
    monitor::hints(datagram);
    let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(datagram) else { return };
    match message.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) => drop(decode::link(&message)),
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(message)) => drop(decode::address(&message)),
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(message)) => drop(decode::route(&message)),
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRule(message)) => drop(decode::rule(&message)),
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(message)) => {
            decode::reachable(&message);
            decode::link_address(&message);
        }
        NetlinkPayload::Error(error) => {
            let attributes = error.header.get(NETLINK_HEADER_BYTES..).unwrap_or_default();
            refused(String::new(), error.raw_code(), attributes);
        }
        _ => {}
    }
}

fn neighbour_message(link: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = encode::address_family(Family::of(address));
    message.header.ifindex = link;
    let destination = match address {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    };
    message.attributes.push(NeighbourAttribute::Destination(destination));
    message
}

const NETLINK_HEADER_BYTES: usize = 16;

#[derive(Default)]
struct Answers {
    messages: Vec<RouteNetlinkMessage>,
    interrupted: bool,
}

impl Kernel for Netlink {
    async fn dump(&self) -> Result<State, KernelError> {
        let mut state = State::default();
        self.links(&mut state).await?;
        self.addresses(&mut state).await?;
        for family in Family::BOTH {
            state.routes.extend(self.routes(family, None).await?);
            self.rules(family, &mut state).await?;
        }
        self.neighbours(&mut state).await?;
        Ok(state)
    }

    async fn table(&self, family: Family, table: u32) -> Result<Vec<Route>, KernelError> {
        self.routes(family, Some(table)).await
    }

    async fn run(&self, step: &Step) -> Result<(), KernelError> {
        let (message, flags) = match step {
            Step::ReplaceRoute(route) => {
                debug_assert!(route.table != MAIN_TABLE, "main is not ours");
                (RouteNetlinkMessage::NewRoute(encode::route(route)), NLM_F_CREATE | NLM_F_REPLACE)
            }
            Step::DeleteRoute(route) => (RouteNetlinkMessage::DelRoute(encode::route_to_delete(route)), 0),
            Step::AddRule(rule) => (RouteNetlinkMessage::NewRule(encode::rule(rule)), NLM_F_CREATE | NLM_F_EXCL),
            Step::DeleteRule(rule) => (RouteNetlinkMessage::DelRule(encode::rule(rule)), 0),
        };
        let operation = || step.describe(&State::default());
        self.ask(message, NLM_F_REQUEST | NLM_F_ACK | flags, operation).await.map(drop)
    }
}

fn refused(operation: String, code: i32, attributes: &[u8]) -> KernelError {
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let said = NlasIterator::new(attributes)
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG)
        .map(|attribute| format!(" ({})", String::from_utf8_lossy(attribute.value()).trim_end_matches('\0')));
    let source = io::Error::from_raw_os_error(code.saturating_abs());
    KernelError::Refused { operation, said: said.unwrap_or_default(), source }
}
