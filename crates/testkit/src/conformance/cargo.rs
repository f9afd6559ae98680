//! What `cargo test` says, test by test.

use super::verdicts::Verdicts;

/// Reads lines; tests are named after their file, for several files have tests of the same name.
#[derive(Default)]
pub struct Reader {
    file: String,
}

impl Reader {
    /// Notes what a line says.
    pub fn note(&mut self, line: &str, verdicts: &mut Verdicts) {
        self.note_file(line);
        let Some((test, verdict)) = line
            .strip_prefix("test ")
            .and_then(|line| line.split_once(" ... "))
        else {
            return;
        };
        let test = format!("{}::{test}", self.file);
        match verdict.split_once(", ").unwrap_or((verdict, "")) {
            ("ok", _) => verdicts.passed(&test),
            ("ignored", why) => verdicts.passed_over_itself(&test, why),
            (seen, _) => verdicts.failed(&test, seen),
        }
    }

    /// The test that a line of the list names.
    pub fn listed(&mut self, line: &str) -> Option<String> {
        self.note_file(line);
        let test = line.strip_suffix(": test")?;
        Some(format!("{}::{test}", self.file))
    }

    fn note_file(&mut self, line: &str) {
        if let Some(running) = line.trim_start().strip_prefix("Running ") {
            let file = running.split(" (").next().unwrap_or(running);
            file.clone_into(&mut self.file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, Verdicts};
    use crate::conformance::verdicts::Verdict;

    #[test]
    fn a_list_names_tests_as_their_verdicts_do() {
        let mut reader = Reader::default();
        assert_eq!(
            reader.listed("     Running tests/smol.rs (target/debug/deps/smol-1)"),
            None
        );
        assert_eq!(
            reader.listed("connection: test").unwrap(),
            "tests/smol.rs::connection"
        );
        assert_eq!(reader.listed("1 test, 0 benchmarks"), None);
    }

    #[test]
    fn a_test_is_named_after_its_file() {
        let (mut reader, mut verdicts) = (Reader::default(), Verdicts::default());
        let said = [
            "     Running tests/smol.rs (target/debug/deps/smol-1)",
            "test connection ... ok",
            "     Running tests/tokio.rs (target/debug/deps/tokio-1)",
            "test connection ... FAILED",
            "test result: FAILED. 0 passed; 1 failed",
        ];
        for line in said {
            reader.note(line, &mut verdicts);
        }
        let found: Vec<_> = verdicts.iter().collect();
        assert_eq!(
            found,
            [
                ("tests/smol.rs::connection", &Verdict::Passed),
                (
                    "tests/tokio.rs::connection",
                    &Verdict::Failed("FAILED".to_owned())
                ),
            ]
        );
    }
}
