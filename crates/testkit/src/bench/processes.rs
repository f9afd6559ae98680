//! What the kernel says of processes: who belongs together, what they use.
//!
//! Invariant: a process that has ended counts as nothing, for brokers let helpers go while they are looked at.

use rustix::param::clock_ticks_per_second;
use std::collections::BTreeSet;

/// A process and all that it started, directly or not.
pub fn family(root: u32) -> BTreeSet<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut family = BTreeSet::from([root]);
    loop {
        let before = family.len();
        for (pid, parent) in &parents {
            if family.contains(parent) {
                family.insert(*pid);
            }
        }
        if family.len() == before {
            return family;
        }
    }
}

fn parent(pid: u32) -> Option<u32> {
    stat_fields(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
        .nth(1)?
        .parse()
        .ok()
}

/// Microseconds of CPU that a process has used, in all its threads.
pub fn cpu_us(pid: u32) -> u64 {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return 0;
    };
    let ticks = |at| {
        stat_fields(&stat)
            .nth(at)
            .and_then(|field| field.parse::<u64>().ok())
    };
    let (user, system) = (ticks(11).unwrap_or(0), ticks(12).unwrap_or(0));
    ticks_us(user + system)
}

/// The fields behind the name, which may hold anything, even brackets: state first, then parent.
fn stat_fields(stat: &str) -> impl Iterator<Item = &str> {
    let behind_name = stat.rfind(')').map_or("", |end| &stat[end + 1..]);
    behind_name.split_whitespace()
}

/// Microseconds of CPU that the whole machine has used.
pub fn machine_cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    busy_ticks(first).map_or(0, ticks_us)
}

/// user, nice, system, irq, softirq and steal; without idle and waiting for a disk.
fn busy_ticks(line: &str) -> Option<u64> {
    let fields: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    let busy = [0, 1, 2, 5, 6, 7].map(|at| fields.get(at).copied());
    busy.into_iter().sum()
}

fn ticks_us(ticks: u64) -> u64 {
    ticks * 1_000_000 / clock_ticks_per_second().max(1)
}

#[cfg(test)]
mod tests {
    use super::{busy_ticks, family, stat_fields};

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_move_the_fields() {
        let stat = "42 (a ) b (c) S 7 42 42";
        assert_eq!(stat_fields(stat).nth(1), Some("7"));
    }

    #[test]
    fn idle_time_is_not_busy() {
        assert_eq!(busy_ticks("cpu  1 2 3 1000 2000 4 5 6 0 0"), Some(21));
    }

    #[test]
    fn this_process_is_in_its_own_family_and_in_its_parents() {
        let own = std::process::id();
        assert!(family(own).contains(&own));
        assert!(family(std::os::unix::process::parent_id()).contains(&own));
    }
}
