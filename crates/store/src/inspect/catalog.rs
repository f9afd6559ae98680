//! The catalog: that it is there, its frames, and the zeros behind them.

use super::error::InspectError;
use super::finding::{Finding, Part, Unjudged, VerifyReport, WhyUnjudged};
use super::meta::LOOKS_MAX;
use crate::catalog::{self, CATALOG_NAME, CatalogReport};
use crate::disk::Disk;
use crate::error::OpenError;
use crate::meta::{Meta, Shutdown};
use crate::report::TornRange;

/// Looks at the whole file. A running store may be writing to it: only what two looks agree on counts.
pub(super) fn verify<D: Disk>(disk: &D, meta: &Meta, report: &mut VerifyReport) -> Result<(), InspectError> {
    let Some(mut last) = look(disk, meta.store)? else {
        if catalog::is_expected(meta) {
            let finding = Finding::new(CATALOG_NAME, 0, 0, Part::MissingCatalog);
            report.findings.push(finding);
        }
        return Ok(());
    };
    for _ in 0..LOOKS_MAX {
        if last.is_clean() {
            settle(&last, meta, report);
            return Ok(());
        }
        let again = look(disk, meta.store)?.unwrap_or_default();
        if again == last {
            settle(&last, meta, report);
            return Ok(());
        }
        last = again;
    }
    report.unjudged.push(Unjudged {
        file: CATALOG_NAME.to_owned(),
        why: WhyUnjudged::KeepsChanging,
    });
    Ok(())
}

fn settle(found: &CatalogReport, meta: &Meta, report: &mut VerifyReport) {
    report.catalog_frames = found.frames;
    report.catalog_entries = crate::format::byte_count(found.entries);
    for range in &found.damaged {
        let finding = Finding::new(CATALOG_NAME, range.offset, range.len, Part::CatalogFrame);
        report.findings.push(finding);
    }
    if let Some(torn) = found.torn {
        // A store that was stopped in order was writing nothing.
        if meta.shutdown == Shutdown::Clean {
            let finding = Finding::new(CATALOG_NAME, torn.offset, torn.len, Part::CatalogEnd);
            report.findings.push(finding);
        } else {
            report.torn.push(TornRange {
                file: CATALOG_NAME.to_owned(),
                offset: torn.offset,
            });
        }
    }
}

fn look<D: Disk>(disk: &D, store: u128) -> Result<Option<CatalogReport>, InspectError> {
    let read = catalog::read_file(disk).map_err(InspectError::io("reading", CATALOG_NAME))?;
    let Some((_, bytes)) = read else {
        return Ok(None);
    };
    let (_, report) = catalog::examine(&bytes, store).map_err(|error| OpenError::Format {
        file: CATALOG_NAME.to_owned(),
        problem: error.to_string(),
    })?;
    Ok(Some(report))
}
