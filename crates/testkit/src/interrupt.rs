//! Ctrl-C as a flag, so that a long run can end with a report of what it did.
//!
//! Invariant: the first Ctrl-C is noted, the second ends the process as ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

/// The exit code of a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// A flag that is raised by Ctrl-C.
///
/// # Errors
/// When the system does not let the signal be caught.
pub fn interrupted() -> anyhow::Result<Arc<AtomicBool>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for Ctrl-C")?;
    let flag = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&flag);
    std::thread::spawn(move || {
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                raised.store(true, Ordering::Relaxed);
                eprintln!("stopping; once more to give up the report");
            }
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(INTERRUPTED);
            }
        });
    });
    Ok(flag)
}
