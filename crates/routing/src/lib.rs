//! Exchanges and bindings to queue ids. Pure.
