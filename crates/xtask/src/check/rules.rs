//! Rules about committed files that a look at their text can decide.
//!
//! - Nothing refers to a path of the machine it was written on, or to a folder outside the repository.
//! - No test is switched off.
//! - Each module begins with what it is.

use std::path::{Path, PathBuf};

/// Everything that breaks a rule, as `file:line: what`.
pub fn violations(root: &Path, files: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for file in files {
        // Golden files and pictures are not text, and no rule is about them.
        let Ok(text) = std::fs::read_to_string(root.join(file)) else {
            continue;
        };
        let name = file.display();
        found.extend(
            foreign_paths(&text)
                .into_iter()
                .map(|what| format!("{name}:{what}")),
        );
        if file.extension().is_some_and(|e| e == "rs") {
            found.extend(
                switched_off_tests(&text)
                    .into_iter()
                    .map(|what| format!("{name}:{what}")),
            );
            if is_module(file) && !begins_with_document(&text) {
                found.push(format!(
                    "{name}:1: the module does not begin with what it is (`//!`)"
                ));
            }
        }
    }
    Ok(found)
}

/// Lines that name a place which other people do not have.
fn foreign_paths(text: &str) -> Vec<String> {
    // Put together here, so that this file does not break the rule it enforces.
    let words = [
        ["../", "shared"],
        ["/wor", "k/"],
        ["/roo", "t/"],
        ["shared/", "reference"],
    ]
    .map(|w| w.concat());
    lines_with(text, |line| {
        let word = words.iter().find(|word| line.contains(word.as_str()))?;
        Some(format!("refers to `{word}`, which is no part of the project"))
    })
}

fn switched_off_tests(text: &str) -> Vec<String> {
    let attribute = ["#[ign", "ore"].concat();
    lines_with(text, |line| {
        line.trim_start()
            .starts_with(&attribute)
            .then(|| "a test is switched off".to_owned())
    })
}

fn lines_with(text: &str, mut judge: impl FnMut(&str) -> Option<String>) -> Vec<String> {
    let numbered = text.lines().enumerate();
    numbered
        .filter_map(|(at, line)| judge(line).map(|what| format!("{}: {what}", at + 1)))
        .collect()
}

/// Sources, in contrast to test data and build scripts.
fn is_module(file: &Path) -> bool {
    let mut parts = file.components().map(|part| part.as_os_str());
    match parts.next().and_then(|top| top.to_str()) {
        Some("crates") => parts.nth(1).is_some_and(|folder| folder == "src"),
        Some("tests" | "benches") => true,
        _ => false,
    }
}

/// Whether one of the first three lines is a module document: generated files have a mark before it.
fn begins_with_document(text: &str) -> bool {
    text.lines().take(3).any(|line| line.starts_with("//!"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_outside_the_repository_is_found_with_its_line() {
        let text = ["fine\nsee ..", "/shared/notes\n"].concat();
        assert_eq!(foreign_paths(&text).len(), 1);
        assert!(foreign_paths(&text)[0].starts_with("2: "));
    }

    #[test]
    fn a_switched_off_test_is_found() {
        let text = ["#[test]\n    #[ign", "ore = \"slow\"]\nfn f() {}"].concat();
        assert_eq!(switched_off_tests(&text), ["2: a test is switched off"]);
        assert!(switched_off_tests("fn f() {}").is_empty());
    }

    #[test]
    fn only_sources_need_a_module_document() {
        assert!(is_module(Path::new("crates/store/src/disk/real.rs")));
        assert!(is_module(Path::new("tests/tests/store.rs")));
        assert!(!is_module(Path::new("crates/store/build.rs")));
        assert!(!begins_with_document("use std::io;\nfn main() {}\n"));
        assert!(begins_with_document("// Generated.\n//! Methods.\n"));
    }
}
