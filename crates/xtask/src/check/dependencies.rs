//! Which crate may use which: the table of `docs/ARCHITECTURE.md` against what cargo says.
//!
//! The table stands between `<!-- dependency-table -->` and the next blank line. Its columns: crate, what it
//! uses of ours, what only its tests use of ours, which foreign crates it must never use.

use anyhow::Context;
use cargo_metadata::{DependencyKind, Metadata};
use std::collections::{BTreeMap, BTreeSet};

const MARK: &str = "<!-- dependency-table -->";

/// What one crate uses.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Uses {
    ours: BTreeSet<String>,
    ours_in_tests: BTreeSet<String>,
    foreign: BTreeSet<String>,
}

/// Crate name to what it uses; in the written table `foreign` is what it must never use.
pub type Table = BTreeMap<String, Uses>;

/// Reads the table out of the document.
pub fn written(document: &str) -> anyhow::Result<Table> {
    let (_, behind) = document
        .split_once(MARK)
        .with_context(|| format!("ARCHITECTURE.md has no {MARK}"))?;
    let rows = behind
        .trim_start()
        .lines()
        .take_while(|line| line.starts_with('|'))
        .skip(2);
    rows.map(row).collect()
}

fn row(line: &str) -> anyhow::Result<(String, Uses)> {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [name, ours, ours_in_tests, never] = cells[..] else {
        anyhow::bail!("a row of the dependency table has not four cells: {line}");
    };
    let uses = Uses {
        ours: names(ours),
        ours_in_tests: names(ours_in_tests),
        foreign: names(never),
    };
    Ok((name.trim_matches('`').to_owned(), uses))
}

fn names(cell: &str) -> BTreeSet<String> {
    let words = cell.split(',').map(|word| word.trim().trim_matches('`'));
    words
        .filter(|word| !word.is_empty() && *word != "–")
        .map(str::to_owned)
        .collect()
}

/// What cargo says.
pub fn actual(metadata: &Metadata) -> Table {
    let packages = metadata.workspace_packages();
    let members: BTreeSet<String> = packages.iter().map(|p| p.name.to_string()).collect();
    let uses_of = |package: &cargo_metadata::Package| {
        let mut uses = Uses::default();
        for dependency in &package.dependencies {
            let name = dependency.name.clone();
            match (members.contains(&name), dependency.kind) {
                (true, DependencyKind::Development) => uses.ours_in_tests.insert(name),
                (true, _) => uses.ours.insert(name),
                (false, DependencyKind::Normal) => uses.foreign.insert(name),
                (false, _) => false,
            };
        }
        uses.ours_in_tests.retain(|name| !uses.ours.contains(name));
        uses
    };
    packages
        .iter()
        .map(|package| (package.name.to_string(), uses_of(package)))
        .collect()
}

/// Where the two disagree, in words.
pub fn differences(written: &Table, actual: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for name in actual.keys().filter(|name| !written.contains_key(*name)) {
        found.push(format!("{name} is missing in the dependency table"));
    }
    for (name, may) in written {
        let Some(does) = actual.get(name) else {
            found.push(format!(
                "{name} is in the dependency table and not in the workspace"
            ));
            continue;
        };
        for (kind, may, does) in [
            ("uses", &may.ours, &does.ours),
            ("in tests uses", &may.ours_in_tests, &does.ours_in_tests),
        ] {
            found.extend(
                does.difference(may)
                    .map(|other| format!("{name} {kind} {other}: not in the table")),
            );
            found.extend(
                may.difference(does)
                    .map(|other| format!("{name} no longer {kind} {other}")),
            );
        }
        let never = may.foreign.intersection(&does.foreign);
        found.extend(never.map(|other| format!("{name} uses {other}, which it must never")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "text\n<!-- dependency-table -->\n| crate | ours | tests | never |\n|---|---|---|---|\n\
                            | `a` | – | `c` | `tokio` |\n| `b` | `a`, `c` | – | – |\n\n| other |\n";

    fn uses(ours: &[&str], in_tests: &[&str], foreign: &[&str]) -> Uses {
        let set = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
        Uses {
            ours: set(ours),
            ours_in_tests: set(in_tests),
            foreign: set(foreign),
        }
    }

    #[test]
    fn the_table_ends_at_the_blank_line() {
        let table = written(DOCUMENT).unwrap();
        assert_eq!(table.len(), 2);
        assert_eq!(table["a"], uses(&[], &["c"], &["tokio"]));
        assert_eq!(table["b"], uses(&["a", "c"], &[], &[]));
    }

    #[test]
    fn agreement_is_silent() {
        let actual = Table::from([
            ("a".to_owned(), uses(&[], &["c"], &["serde"])),
            ("b".to_owned(), uses(&["a", "c"], &[], &["tokio"])),
        ]);
        assert!(differences(&written(DOCUMENT).unwrap(), &actual).is_empty());
    }

    #[test]
    fn every_disagreement_is_told() {
        let actual = Table::from([
            ("a".to_owned(), uses(&["b"], &[], &["tokio"])),
            ("d".to_owned(), uses(&[], &[], &[])),
        ]);
        let found = differences(&written(DOCUMENT).unwrap(), &actual);
        assert_eq!(
            found,
            [
                "d is missing in the dependency table",
                "a uses b: not in the table",
                "a no longer in tests uses c",
                "a uses tokio, which it must never",
                "b is in the dependency table and not in the workspace",
            ]
        );
    }
}
