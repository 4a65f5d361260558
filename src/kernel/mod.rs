//! Typed model of what we own in the kernel: routes, rules, the nft table, connection marks. Edges: `netlink`, `nft`,
//! `conntrack`.
