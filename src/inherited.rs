//! Listening sockets that systemd opened for us (`causeway-front.socket`, `causeway-office.socket`).

use std::io;
use std::net::TcpListener;
use std::os::fd::{FromRawFd as _, OwnedFd};

/// To be called once, and before anything else opens a file: the numbers are systemd's to give.
#[expect(unsafe_code, reason = "systemd hands descriptors over by their number")]
pub fn inherited() -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for number in sd_notify::listen_fds()? {
        // SAFETY: LISTEN_PID says that this descriptor was opened for this process, and nobody else here takes it.
        let listener = TcpListener::from(unsafe { OwnedFd::from_raw_fd(number) });
        listener.set_nonblocking(true)?;
        listeners.push(listener);
    }
    Ok(listeners)
}
