//! Images that are looked at without opening them: a crash must never look like damage there either.

use logpond_store::disk::sim::SimDisk;
use logpond_store::inspect::{InspectError, Part, verify};

/// Looks at every file of what a crash, a kill or an orderly stop left.
pub(super) fn crash_is_no_damage(disk: &SimDisk) -> Result<(), String> {
    let image = disk.fork();
    let changes = image.calls().changes();
    let report = match verify(&image, &mut ()) {
        // The crash came before anything told whose directory this is.
        Err(InspectError::NoStore) => return Ok(()),
        Err(error) if is_missing(&error) => return Ok(()),
        judged => judged.map_err(|error| format!("verifying: {error}"))?,
    };
    // A slot that a crash tore cannot be told from one that rotted; the other one counts.
    let findings = || {
        report
            .findings
            .iter()
            .filter(|found| found.part != Part::MetaSlot)
    };
    if findings().next().is_some() || !report.lost.is_empty() || !report.unjudged.is_empty() {
        let found: Vec<_> = findings().collect();
        return Err(format!(
            "verify takes a crash for damage: {found:?}, lost {:?}, unjudged {:?}",
            report.lost, report.unjudged
        ));
    }
    if image.calls().changes() != changes {
        return Err("verify changed something".to_owned());
    }
    Ok(())
}

fn is_missing(error: &InspectError) -> bool {
    matches!(error, InspectError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
        || matches!(error, InspectError::Refused(logpond_store::OpenError::Io { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound)
}
