//! Where things are in the store. What mirrors may copy stands in `r/`, `a/` and `b/`; what is head office's own in `p/`.

use crate::trust::digest::Digest;
use crate::trust::document::TokenId;
use crate::trust::keys::DeviceId;

/// The generation counter: whoever changes something raises it last.
pub const HEAD: &str = "p/head";
pub const DEVICES: &str = "p/devices";
pub const RELEASES: &str = "p/releases";
pub const ROLLOUTS: &str = "p/rollouts";
pub const STATUS: &str = "p/status";
pub const AUDIT: &str = "p/audit";
/// Written and written again at the start, to see whether the store keeps its word.
pub const PROBE: &str = "p/probe";

pub fn root(version: u32) -> String {
    format!("r/{version}.root")
}

pub fn assignment(device: DeviceId) -> String {
    sharded("a", &device.0, ".asg")
}

pub fn blob(digest: &Digest) -> String {
    sharded("b", digest, "")
}

pub fn device(device: DeviceId) -> String {
    format!("{DEVICES}/{}", device.0)
}

pub fn token(token: TokenId) -> String {
    format!("p/tokens/{}", token.0)
}

/// Its being there uses the token up.
pub fn used(token: TokenId) -> String {
    format!("p/tokens/{}.used", token.0)
}

/// Twenty digits, so that listing gives them in order.
pub fn release(seq: u64) -> String {
    format!("{RELEASES}/{seq:020}")
}

pub fn rollout(number: u64) -> String {
    format!("{ROLLOUTS}/{number:020}")
}

pub fn audit(number: u64) -> String {
    format!("{AUDIT}/{number:020}")
}

/// One of 256: the first two digits of a device.
pub fn status(shard: u8) -> String {
    format!("{STATUS}/{shard:02x}")
}

fn sharded(folder: &str, digest: &Digest, end: &str) -> String {
    let text = digest.to_string();
    format!("{folder}/{}/{text}{end}", &text[..2])
}
