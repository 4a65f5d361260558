//! Probe honesty, with real sockets between network namespaces: each kind of probe must succeed against an honest peer
//! and is shown to fail on a black hole, on resets, at a portal and on a one-way line.

mod cost;
mod echo;
mod net;
mod peers;
mod probing;
mod proof;
mod services;
mod tls;
