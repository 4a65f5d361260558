//! The metric catalogue and the log events: one table each, used by code, docs and tests.
