//! What speaks to people and servers: `/metrics` for the LAN. Moves bytes, is not trusted with decisions.
