//! Where the workspace lies, where cargo builds it, and what cargo knows about its packages.

use anyhow::Context;
use cargo_metadata::{Metadata, MetadataCommand};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace this tool was built from.
pub struct Workspace {
    metadata: Metadata,
}

impl Workspace {
    /// Asks cargo.
    pub fn open() -> anyhow::Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
        let metadata = MetadataCommand::new()
            .manifest_path(manifest)
            .exec()
            .context("cargo metadata failed")?;
        Ok(Self { metadata })
    }

    /// Folder of the root manifest.
    pub fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// Where cargo puts what it builds.
    pub fn target(&self) -> PathBuf {
        self.metadata.target_directory.clone().into_std_path_buf()
    }

    /// What `cargo metadata` said.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// A cargo command that starts in the root.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(self.root()).args(arguments);
        command
    }

    /// The files git knows, relative to the root: what is committed, or about to be.
    pub fn committed_files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let listed = Command::new("git")
            .current_dir(self.root())
            .args(["ls-files", "-z"])
            .output()
            .context("git is needed to list the committed files")?;
        anyhow::ensure!(
            listed.status.success(),
            "git ls-files: {}",
            String::from_utf8_lossy(&listed.stderr)
        );
        let names = String::from_utf8(listed.stdout).context("a committed file's name is not UTF-8")?;
        Ok(names
            .split_terminator('\0')
            .map(PathBuf::from)
            .filter(|f| self.root().join(f).is_file())
            .collect())
    }
}
