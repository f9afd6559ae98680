//! Which errors mean that there is no room: a full disk, or a quota.

use std::io;

/// Whether it says that there is no room, now.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn a_quota_is_as_full_as_a_disk() {
        for (code, expected) in [(Errno::NOSPC, true), (Errno::DQUOT, true), (Errno::IO, false)] {
            let error = io::Error::from_raw_os_error(code.raw_os_error());
            assert_eq!(is_full(&error), expected, "{error}");
        }
    }
}
