//! The codec against the specification's bytes, against another codec, and against hostile input.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod content;
mod frames;
mod hostile;
mod hot_paths;
mod methods;
mod oracle;
mod properties;
mod samples;
mod tables;
