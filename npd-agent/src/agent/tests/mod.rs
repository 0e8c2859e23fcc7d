//! The agent as a whole, with made-up monitors and an API server in this process. Time is virtual.

mod fake_monitor;
mod first_write;
mod stopping;
mod supervision;
