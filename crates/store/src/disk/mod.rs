//! The seam to files, clock and randomness: one trait set, the real disk, and a simulated one.

mod aligned;
mod full;
mod memory;
mod mmap;
mod now;
mod overlay;
mod real;
#[cfg(feature = "sim")]
pub mod sim;
mod traits;

pub use aligned::{AlignedBuf, DIRECT_IO_ALIGNMENT};
pub(crate) use full::is_full;
pub use mmap::RealMap;
pub use now::Now;
pub use overlay::{Overlay, OverlayFile, OverlayMap};
pub use real::{RealDisk, RealFile, RealLock, WriteMode};
pub use traits::{Disk, DiskFile, DiskMap, FileKind, LockError};
