//! The two clocks, read at the border and handed inwards.

/// A moment: wall clock for stamps that leave the process, monotonic clock for intervals.
///
/// The engine never reads a clock; whoever calls it hands this in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the Unix epoch. May jump in either direction.
    pub wall_ms: u64,
    /// Milliseconds since an arbitrary start. Never goes back.
    pub mono_ms: u64,
}
