//! META: both slots.

use super::error::InspectError;
use super::finding::{Finding, Part, Unjudged, VerifyReport, WhyUnjudged};
use crate::disk::{Disk, DiskFile, FileKind};
use crate::format::byte_count;
use crate::meta::{self, META_NAME, SLOT_BYTES, SLOT_RESERVED_AT, Slot};

/// How often a file that changes is looked at before it is left unjudged.
pub(super) const LOOKS_MAX: u32 = 10;

/// Looks at both slots. A running store may be writing one: only what two looks agree on counts.
pub(super) fn verify<D: Disk>(disk: &D, report: &mut VerifyReport) -> Result<(), InspectError> {
    let mut last = look(disk)?;
    for _ in 0..LOOKS_MAX {
        if last.is_empty() {
            return Ok(());
        }
        let again = look(disk)?;
        if again == last {
            report.findings.extend(last);
            return Ok(());
        }
        last = again;
    }
    report.unjudged.push(Unjudged {
        file: META_NAME.to_owned(),
        why: WhyUnjudged::KeepsChanging,
    });
    Ok(())
}

/// Whether any slot is sound, so that its state counts.
pub(super) fn any_counts<D: Disk>(disk: &D) -> Result<bool, InspectError> {
    let slots = meta::slots(disk).map_err(InspectError::io("reading", META_NAME))?;
    let mut slots = slots.into_iter().flatten();
    Ok(slots.any(|(slot, _)| matches!(slot, Slot::Valid(_))))
}

fn len<D: Disk>(disk: &D) -> Result<u64, InspectError> {
    let opened = disk.open(META_NAME, FileKind::Plain);
    match opened.and_then(|file| file.len()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        read => read.map_err(InspectError::io("reading", META_NAME)),
    }
}

fn look<D: Disk>(disk: &D) -> Result<Vec<Finding>, InspectError> {
    let slots = meta::slots(disk).map_err(InspectError::io("reading", META_NAME))?;
    let slot_bytes = byte_count(SLOT_BYTES);
    let Some(slots) = slots else {
        return Ok(vec![Finding::new(META_NAME, 0, 2 * slot_bytes, Part::MetaSlot)]);
    };
    let len = len(disk)?;
    let any_counts = slots.iter().any(|(slot, _)| matches!(slot, Slot::Valid(_)));
    let mut findings = Vec::new();
    for ((slot, bytes), offset) in slots.iter().zip([0, slot_bytes]) {
        let is_blank = bytes[SLOT_RESERVED_AT..].iter().all(|byte| *byte == 0);
        let is_damaged = match slot {
            Slot::Valid(_) => !is_blank,
            // The file is made with both slots, one of them written.
            Slot::NeverWritten => !any_counts || len < offset + slot_bytes,
            Slot::Damaged => true,
        };
        if is_damaged {
            findings.push(Finding::new(META_NAME, offset, slot_bytes, Part::MetaSlot));
        }
    }
    Ok(findings)
}
