//! The types of the management HTTP API.
