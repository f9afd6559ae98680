//! Users, passwords and permissions: who may log in, and the one place that says what they may do.
//!
//! - [`Accounts`] is what everybody asks. [`Accounts::check`] is the only authorisation there is: AMQP, HTTP and
//!   every later protocol call it, so none of them can forget a rule that another one keeps.
//! - [`Action`] is the table of which permission an operation needs on what.
//! - A change is a [`Draft`]: written to the catalog first, then published.
//!
//! Elsewhere: which virtual hosts exist (`topology`), reading credentials off the wire (the server).

mod accounts;
mod action;
mod directory;
mod draft;
pub mod limits;
mod login;
mod password;
mod pattern;
mod records;
mod topic;

pub use accounts::Accounts;
pub use action::{Action, Denied, Operation, Target};
pub use directory::Directory;
pub use draft::{Draft, DraftError, FirstUser};
pub use login::{AuthError, Login, Peer};
pub use password::{HashAlgorithm, PasswordError, PasswordHash};
pub use pattern::{Pattern, PatternError};
pub use records::{IMPERSONATOR, Permission, User, UserLimits};
pub use topic::TopicPermission;
