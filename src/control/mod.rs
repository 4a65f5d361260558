//! The control socket: its protocol and both its ends. `front` and the command line are clients of the same requests.
//! Pure: [`protocol`] (what may be asked), [`frame`] (how it stands on the wire), [`status`] (the one answer that
//! screen, command and metric all read), `rate`. The edge is [`io`].
//!
//! Root, the daemon's own group and members of the config's `control.group` may open the socket, and so read. Only root
//! and members of `control.group` may change anything; the kernel says who the other end is (`SO_PEERCRED`), never the
//! frame.

pub mod errand;
pub mod frame;
pub mod io;
pub mod keeping;
mod names;
pub mod protocol;
mod rate;
pub mod snapshot;
pub mod status;
