//! Limits of `docs/config.md`, each with its reason.

/// Routing tables 4101…4164 and six bits of the connection mark.
pub const UPLINKS: usize = 64;
/// A quorum needs few; more only costs the provider.
pub const TARGETS: usize = 16;
/// One firewall mark (low byte) and one table each; more than anybody can reason about.
pub const PATHS: usize = 16;
pub const NETWORKS: usize = 64;
pub const RULES: usize = 4_096;
pub const FORWARDS: usize = 256;
/// Entries of any other list (addresses, services, zones of one rule): one line of nft, and what a person can check.
pub const LIST: usize = 256;
/// Devices of one network: a bridge of more is a switch's work.
pub const PORTS: usize = 16;
/// Of head office; two are needed, four survive a move.
pub const RESPONDERS: usize = 4;
/// One file of dnsmasq, and what a person can check.
pub const FIXED_HOSTS: usize = 1_024;
pub const DNS_ROUTES: usize = 64;
pub const SSH_KEYS: usize = 32;
/// What staff can take in at a glance.
pub const SERVICES: usize = 5;
/// Numbered by one byte; more is a second standard.
pub const VARIABLES: usize = 128;
pub const MODELS: usize = 16;
/// Resolvers of one uplink; clients give up long before the ninth.
pub const RESOLVERS: usize = 8;
/// One TOML file.
pub const FILE_BYTES: usize = 1 << 20;
