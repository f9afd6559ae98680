//! `cargo xtask codegen`: writes the AMQP methods of `logpond-amqp` from its `methods.toml`.
//!
//! Invariants:
//! - The output depends on `methods.toml` and `rustfmt.toml` alone, so `--check` compares bytes.
//! - Every file below `crates/amqp/src/method/` is generated; nothing is written elsewhere but `method.rs` beside it.
//!
//! Elsewhere: the table's shape (`model`), the Rust text (`render`).

mod model;
mod render;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

const TABLE: &str = "crates/amqp/methods.toml";
const OUTPUT: &str = "crates/amqp/src";

/// Writes the generated files, or with `check` only compares them and fails if one differs.
pub fn run(check: bool) -> Result<()> {
    let root = workspace_root();
    let text = std::fs::read_to_string(root.join(TABLE)).with_context(|| format!("cannot read {TABLE}"))?;
    let table = model::parse(&text).with_context(|| format!("in {TABLE}"))?;
    let mut stale = Vec::new();
    for (name, source) in render::files(&table) {
        let path = root.join(OUTPUT).join(&name);
        let formatted = format_source(&root, &source).with_context(|| format!("cannot format {name}"))?;
        if std::fs::read_to_string(&path).is_ok_and(|current| current == formatted) {
            continue;
        }
        if check {
            stale.push(format!("{OUTPUT}/{name}"));
        } else {
            std::fs::write(&path, formatted).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    if !stale.is_empty() {
        bail!(
            "not up to date with {TABLE}: {}; run `cargo xtask codegen`",
            stale.join(", ")
        );
    }
    Ok(())
}

/// The manifest lies in `crates/xtask`, two levels below the root.
fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn format_source(root: &Path, source: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout", "--config-path"])
        .arg(root.join("rustfmt.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start rustfmt")?;
    let mut input = child.stdin.take().context("rustfmt has no input")?;
    let text = source.to_owned();
    // rustfmt reads everything before it writes, but nothing promises that: a thread cannot deadlock.
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output()?;
    writer
        .join()
        .map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    if !output.status.success() {
        bail!("rustfmt failed with {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checked_in_methods_are_what_the_table_generates() {
        super::run(true).expect("`cargo xtask codegen` writes them anew");
    }
}
