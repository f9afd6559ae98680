//! How many files and connections the process may have open together.
//!
//! Invariant: connections never take the last descriptors. The store opens a file for each segment, and must be able to go on to the next one however many
//! clients there are.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Settings;

/// Of a small limit at least so many descriptors are for the store and its files, but no more than half of all.
const KEPT_MIN: u64 = 128;

/// Raises the limit of open files to what the system grants at most, and lowers that of connections to what fits into it.
pub fn make_room(settings: &mut Settings) {
    let limit = raised();
    let most = connections_max(limit);
    if settings.connections_max > most {
        tracing::warn!(
            open_files = limit,
            configured = settings.connections_max,
            connections_max = most,
            "fewer connections than configured: raise the limit of open files (ulimit -n, LimitNOFILE)"
        );
        settings.connections_max = most;
    }
}

/// The limit of open files, raised as far as it can be; `None` when there is none.
fn raised() -> Option<u64> {
    let now = getrlimit(Resource::Nofile);
    let highest = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    match setrlimit(Resource::Nofile, highest) {
        Ok(()) => now.maximum,
        Err(error) => {
            tracing::debug!(%error, "raising the limit of open files");
            now.current
        }
    }
}

/// How many of so many open files may be connections: three quarters, less of a small number.
fn connections_max(open_files: Option<u64>) -> usize {
    let all = open_files.unwrap_or(u64::MAX);
    let kept = (all / 4).max(KEPT_MIN.min(all / 2));
    usize::try_from(all - kept).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_store() {
        let most = [10, 300, 1024, 1_048_576].map(|limit| connections_max(Some(limit)));
        assert_eq!(most, [5, 172, 768, 786_432]);
        assert!(connections_max(None) > 1 << 60);
    }
}
