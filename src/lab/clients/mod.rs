//! What people in the branch do, and what they notice: a steady UDP flow, TCP sessions that stream, download or just
//! wait. Each records raw facts with times; figures are computed from them when asked.

pub mod tcp;
pub mod udp;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use super::LabError;

/// Threads of one client: told to stop, and waited for, when it is dropped.
#[derive(Debug, Default)]
struct Workers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<(), LabError>>>,
}

impl Workers {
    fn stopped(stop: &AtomicBool) -> bool {
        stop.load(Ordering::Relaxed)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a panic there has already been printed
        }
    }
}

/// A record stays readable when the thread that wrote it panicked.
fn lock<T>(record: &Mutex<T>) -> MutexGuard<'_, T> {
    record.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
