//! The recovery report as log lines: what a start found, and everything that was lost.

use logpond_broker::{RecoveryReport, StartReport};

/// Loss is listed line by line up to here, then counted.
const LOST_LINES_MAX: usize = 1_000;

/// Logs a report.
pub(crate) fn write(report: &StartReport) {
    let StartReport {
        recovery, warnings, ..
    } = report;
    if recovery.created {
        tracing::info!("new data directory");
    } else {
        tracing::info!(
            clean = recovery.clean,
            epoch = recovery.epoch,
            queues = recovery.queues.len(),
            blocks_replayed = recovery.blocks_replayed,
            bytes_replayed = recovery.bytes_replayed,
            records_appended_again = recovery.records_appended_again,
            index_rebuilt = recovery.index_rebuilt,
            segments_from_footers = recovery.segments_from_footers,
            segments_from_blocks = recovery.segments_from_blocks,
            elapsed_ms = recovery.elapsed_ms,
            "recovered"
        );
    }
    if let Some(torn) = &recovery.torn {
        tracing::info!(file = %torn.file, offset = torn.offset, "the torn tail of the log was cut: nothing of it was confirmed");
    }
    write_catalog(recovery);
    for range in &recovery.quarantined {
        tracing::error!(file = %range.file, offset = range.offset, bytes = range.bytes,
            records_kept = range.records_kept, "damaged bytes were set aside");
    }
    for lost in recovery.lost.iter().take(LOST_LINES_MAX) {
        tracing::error!(queue = %lost.queue, first = %lost.first, count = lost.count, "messages were lost to damage");
    }
    if recovery.lost.len() > LOST_LINES_MAX {
        tracing::error!(
            ranges = recovery.lost.len() - LOST_LINES_MAX,
            "further ranges were lost to damage"
        );
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// What became of the definitions.
fn write_catalog(recovery: &RecoveryReport) {
    let catalog = &recovery.catalog;
    if catalog.missing {
        tracing::error!(
            file = "catalog.log",
            queues = recovery.queues.len(),
            "the catalog was missing, and with it all users, virtual hosts, exchanges, bindings and the names of these queues; \
             an empty one was made. Their messages are kept: stop, put the file back from a backup or snapshot, and start again"
        );
    }
    if let Some(torn) = &catalog.torn {
        tracing::info!(
            file = "catalog.log",
            offset = torn.offset,
            "the torn tail of the catalog was cut: nothing of it was confirmed"
        );
    }
    for range in &catalog.damaged {
        tracing::error!(file = "catalog.log", offset = range.offset, bytes = range.len, lost_changes = range.lost_frames,
            kept_in = %range.kept_in, "damaged definitions were set aside");
    }
}
