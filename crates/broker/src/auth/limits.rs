//! What accounts refuse to grow beyond.

/// Bytes of one permission pattern.
pub const PATTERN_BYTES_MAX: usize = 4096;
/// Bytes of the program that a pattern compiles to: repetitions like `(a{1000}){1000}` are refused.
pub const PATTERN_PROGRAM_BYTES_MAX: usize = 256 << 10;
/// Bytes of a password, so that nobody makes us hash megabytes.
pub const PASSWORD_BYTES_MAX: usize = 4096;

const _: () = assert!(
    PATTERN_BYTES_MAX < PATTERN_PROGRAM_BYTES_MAX,
    "a plain name must always compile"
);
