//! Checks, tests, code generation and benchmarks of the workspace.
fn main() {}
