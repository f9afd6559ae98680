//! Scenarios on a simulated disk.
