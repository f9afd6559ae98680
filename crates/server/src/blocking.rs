//! Calls that may wait for the disk.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs `call` so that it may block: the other tasks of this worker move to another one meanwhile.
pub(crate) fn blocking<T>(call: impl FnOnce() -> T) -> T {
    let can_move =
        Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if can_move {
        tokio::task::block_in_place(call)
    } else {
        call()
    }
}
