//! An access port: a host that knows nothing of VLANs, on a wire that carries its frames with a tag. In this process, so that it
//! works where the kernel has no VLANs.
//!
//! ```text
//! host: eth0 (tap) ═ this thread, which adds and takes off the tag ═ trunk (tap), a port of the bridge ─ …
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, poll};

use super::error::LabError;
use super::line::port::{FRAME, Port};
use super::netns::Namespace;

/// Dropping it is pulling the plug.
#[derive(Debug)]
pub struct AccessPort {
    stop: Arc<AtomicBool>,
}

/// Two addresses of six bytes; then comes the tag, or the type.
const ADDRESSES: usize = 12;
const TAG: usize = 4;
/// IEEE 802.1Q.
const TAGGED: [u8; 2] = [0x81, 0x00];
/// Of the tag's two bytes; the rest is priority.
const VLAN_BITS: u16 = 0x0fff;
/// How soon the thread sees that it shall end.
const STOP_WITHIN_MS: u16 = 500;

impl AccessPort {
    /// Gives `host` a device `eth0` in `vlan` of what is carried by `bridge` in `place`, where the port's name is `port`.
    pub fn open(host: &Namespace, vlan: u16, place: &Namespace, bridge: &str, port: &str) -> Result<Self, LabError> {
        let near = Port::open(host, "eth0", place, true)?;
        let trunk = Port::open(place, port, place, true)?;
        place.ip(&format!("link set {port} master {bridge}\nlink set {port} up\n"))?;
        host.ip("link set lo up\nlink set eth0 up\n")?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        host.spawn("access", move || carry(&near, &trunk, vlan, &told))?;
        Ok(Self { stop })
    }
}

impl Drop for AccessPort {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn carry(near: &Port, trunk: &Port, vlan: u16, stop: &AtomicBool) {
    let mut frame = [0; FRAME];
    while !stop.load(Ordering::Relaxed) {
        let mut both = [near, trunk].map(|port| PollFd::new(port.as_fd(), PollFlags::POLLIN));
        let _ = poll(&mut both, STOP_WITHIN_MS); // an interrupted wait is a short one
        // A frame that cannot be sent is lost, as on a wire.
        while let Ok(Some(length)) = near.receive(&mut frame) {
            let _ = trunk.send(&tagged(&frame[..length], vlan));
        }
        while let Ok(Some(length)) = trunk.receive(&mut frame) {
            if let Some(plain) = untagged(&frame[..length], vlan) {
                let _ = near.send(&plain);
            }
        }
    }
}

fn tagged(frame: &[u8], vlan: u16) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(ADDRESSES.min(frame.len()));
    [addresses, &TAGGED, &vlan.to_be_bytes(), rest].concat()
}

/// `None`: without a tag, or of another VLAN.
fn untagged(frame: &[u8], vlan: u16) -> Option<Vec<u8>> {
    let (addresses, rest) = frame.split_at_checked(ADDRESSES)?;
    let (tag, rest) = rest.split_at_checked(TAG)?;
    let of = u16::from_be_bytes([tag[2], tag[3]]) & VLAN_BITS;
    (tag[..2] == TAGGED && of == vlan).then(|| [addresses, rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_goes_on_and_off_and_other_vlans_stay_out() {
        let frame: Vec<u8> = (0..60).collect();
        let on = tagged(&frame, 20);
        assert_eq!(on[..16], [&frame[..12], &[0x81, 0x00, 0, 20]].concat());
        assert_eq!(untagged(&on, 20), Some(frame.clone()));
        assert_eq!(untagged(&on, 21), None);
        assert_eq!(untagged(&frame, 20), None);
        assert_eq!(untagged(&frame[..13], 20), None);
        assert_eq!(untagged(&tagged(&frame, 0xa014), 20), Some(frame), "priority is not the VLAN");
    }
}
