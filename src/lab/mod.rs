//! A branch in network namespaces: LAN hosts, gateway, providers, an internet; the link emulator; the simulator.
