//! TLS: certificates and their reload, and who a client's certificate says that it is.
//!
//! Invariants:
//! - A key that cannot be used never replaces one that can: connections go on with the last good one.
//! - Nothing here touches a socket.
//!
//! Elsewhere: encrypted bytes on a socket (`connection/wire`), the settings (`config`).

mod certificates;
mod subject;

pub(crate) use certificates::Certificates;
pub use certificates::TlsError;
pub(crate) use subject::login_name;
