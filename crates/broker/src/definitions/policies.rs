//! How an item describes a policy, and what is known of it already: kind, virtual host and name stand elsewhere in
//! operator policies.
//!
//! Invariant: what is read can be stored.

use super::arguments::object;
use super::error::DefinitionsError;
use super::item::Item;
use crate::auth::Pattern;
use crate::policy::{ApplyTo, Policy, PolicyKind};

pub(super) fn policy(
    item: &Item<'_>,
    kind: PolicyKind,
    vhost: String,
    name: String,
) -> Result<Policy, DefinitionsError> {
    let apply_to = item.optional_text("apply-to")?.unwrap_or("all");
    let definition = object(item, "definition")?;
    let read = Policy {
        vhost,
        name,
        kind,
        pattern: Pattern::new(item.text("pattern")?).map_err(|error| item.error("pattern", error))?,
        apply_to: ApplyTo::parse(apply_to).ok_or_else(|| {
            item.error(
                "apply-to",
                format_args!("'{apply_to}' is nothing that policies apply to"),
            )
        })?,
        priority: item.integer("priority", 0)?,
        definition: definition
            .iter()
            .map(|(key, value)| (key.to_text(), value.clone()))
            .collect(),
    };
    read.check().map_err(|error| item.error("definition", error))?;
    Ok(read)
}
