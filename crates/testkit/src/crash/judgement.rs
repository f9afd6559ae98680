//! What the checker found, promise by promise.

use super::ledger::{Ledger, ViolationKind};
use crate::report::Finding;

/// One finding for each promise. The first violations are shown in words.
pub fn judgements(ledger: &Ledger) -> Vec<Finding> {
    let violations = ledger.violations();
    for violation in violations.first() {
        eprintln!("{violation:?}");
    }
    let judgement = |(name, kind): (&str, ViolationKind)| {
        let count = violations.count(kind);
        let example = violations.first().iter().find(|v| v.kind() == kind);
        let detail = example.map_or_else(
            || "0".to_owned(),
            |first| format!("{count}, the first: {first:?}"),
        );
        Finding::new(name, count == 0, detail)
    };
    [
        ("confirmed and lost", ViolationKind::Lost),
        ("delivered and never published", ViolationKind::Invented),
        ("first deliveries out of order", ViolationKind::Reordered),
        ("duplicates without redelivered", ViolationKind::Unflagged),
        ("bodies damaged", ViolationKind::Damaged),
        ("fan-outs in some queues only", ViolationKind::Partial),
        ("durable acks or queues undone", ViolationKind::Undone),
    ]
    .map(judgement)
    .into()
}
