#![no_main]
//! See `logpond_fuzz`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| logpond_fuzz::codec::table(data));
