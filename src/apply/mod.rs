//! What the kernel should have (`desired`), the difference to what it has (`plan`, pure), and carrying it out (`exec`):
//! a plan is data, execution has no choices left and reads back.

pub mod desired;
pub mod exec;
pub mod plan;
pub mod services;
pub mod switch;
