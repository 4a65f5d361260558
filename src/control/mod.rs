//! The control socket: its protocol and both its ends. `front` and the command line are clients of the same requests.
