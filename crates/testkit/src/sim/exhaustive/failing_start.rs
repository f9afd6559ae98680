//! Every call of a start, failing one at a time: the start may fail, the one after it finds everything.

use logpond_store::OpenError;
use logpond_store::disk::sim::Loss;

use super::ground::Ground;
use super::images::recover;
use super::machine::Remains;
use crate::sim::recovery::try_open;

/// Lets each read, each change of a name and each write of a start fail once with EIO. How many calls that were.
///
/// # Errors
/// When a start says less than which file it was, or the next one misses anything.
pub fn fail_each_call_of_a_start() -> Result<u64, String> {
    let mut calls = 0;
    for ground in Ground::all()? {
        let mut call = 1;
        while fail(&ground, call)
            .map_err(|violation| format!("on {}, call {call}: {violation}", ground.name))?
            .is_some()
        {
            call += 1;
        }
        calls += call - 1;
    }
    Ok(calls)
}

/// The path at which the call failed, or nothing when there is no such call any more.
fn fail(ground: &Ground, call: u64) -> Result<Option<String>, String> {
    let Remains {
        disk,
        candidates,
        policies,
        has_checkpoint,
    } = ground.remains();
    disk.fail_at(call);
    let opened = try_open(&disk, &ground.settings);
    let Some(failed) = disk.failed() else {
        return Ok(None);
    };
    if let Err(error) = opened {
        check_names(&error, &failed)?;
    }
    for (next, what) in [
        (disk.after_loss(Loss::All), "a crash that lost all"),
        (disk.after_loss(Loss::Nothing), "a crash that lost nothing"),
        (disk.after_kill(), "its end"),
    ] {
        let remains = Remains {
            disk: next,
            candidates: candidates.clone(),
            policies: policies.clone(),
            has_checkpoint,
        };
        recover(&remains.disk, &remains, &ground.settings)
            .map_err(|violation| format!("{failed} failed, then after {what}: {violation}"))?;
    }
    Ok(Some(failed))
}

/// A file that could not be had is named; of a change, the file or its directory.
fn check_names(error: &OpenError, failed: &str) -> Result<(), String> {
    match error {
        OpenError::Io { file, .. } if failed.starts_with(file.as_str()) => Ok(()),
        // The data directory itself has no name in it.
        OpenError::Io { file, .. } if failed.is_empty() && !file.is_empty() => Ok(()),
        other => Err(format!("{failed} failed, and the start said: {other}")),
    }
}
