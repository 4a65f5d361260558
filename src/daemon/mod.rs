//! The loop that joins everything: tasks, channels, the clock, the watchdog. No rules of its own.
