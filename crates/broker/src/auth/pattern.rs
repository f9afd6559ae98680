//! A permission pattern: a regular expression that is searched for anywhere in a name.
//!
//! Invariants:
//! - The empty pattern matches nothing.
//! - A pattern that exists compiles; matching never fails, and takes time linear in the name.
//!
//! Names are bytes, and so are patterns: `.` is one byte, `\d` an ASCII digit, as in RabbitMQ. What RabbitMQ
//! can and this cannot is refused when it is set: look-around and back-references, since they take exponential time.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::limits::{PATTERN_BYTES_MAX, PATTERN_PROGRAM_BYTES_MAX};

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// Longer than [`PATTERN_BYTES_MAX`].
    #[error("the pattern has {len} bytes, at most {PATTERN_BYTES_MAX} are possible")]
    TooLong {
        /// Its bytes.
        len: usize,
    },
    /// Its repetitions multiply to too much.
    #[error("the pattern '{0}' is too complex: its repetitions multiply")]
    TooComplex(String),
    /// RabbitMQ would accept it.
    #[error("the pattern '{0}' uses look-around or a back-reference, which are not supported")]
    Unsupported(String),
    /// It is no regular expression.
    #[error("the pattern '{pattern}' is no regular expression: {problem}")]
    Syntax {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// See the module.
#[derive(Clone)]
pub struct Pattern {
    source: String,
    matcher: Matcher,
}

#[derive(Clone)]
enum Matcher {
    Nothing,
    /// `.*`, which is what most users have: no search.
    Everything,
    Search(Regex),
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// If it is no pattern, or one that we do not want to run.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        if source.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong { len: source.len() });
        }
        let matcher = match source {
            "" => Matcher::Nothing,
            ".*" => Matcher::Everything,
            _ => Matcher::Search(compile(source)?),
        };
        Ok(Self {
            source: source.to_owned(),
            matcher,
        })
    }

    /// The pattern that matches everything.
    pub fn everything() -> Self {
        Self {
            source: ".*".to_owned(),
            matcher: Matcher::Everything,
        }
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the pattern is found in the name.
    pub fn matches(&self, name: &[u8]) -> bool {
        match &self.matcher {
            Matcher::Nothing => false,
            Matcher::Everything => true,
            Matcher::Search(regex) => regex.is_match(name),
        }
    }
}

fn compile(source: &str) -> Result<Regex, PatternError> {
    let build = |unicode| {
        let mut builder = RegexBuilder::new(source);
        builder
            .unicode(unicode)
            .size_limit(PATTERN_PROGRAM_BYTES_MAX)
            .dfa_size_limit(PATTERN_PROGRAM_BYTES_MAX);
        builder.build()
    };
    // A class of letters beyond ASCII (`[äö]`) has no meaning for single bytes: only then by characters.
    build(false)
        .or_else(|_| build(true))
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError::TooComplex(source.to_owned()),
            error => {
                let problem = error.to_string();
                if problem.contains("look-around") || problem.contains("backreferences") {
                    PatternError::Unsupported(source.to_owned())
                } else {
                    // The last line says it; those above it draw the pattern and point.
                    let problem = problem
                        .lines()
                        .last()
                        .unwrap_or_default()
                        .trim_start_matches("error: ")
                        .to_owned();
                    PatternError::Syntax {
                        pattern: source.to_owned(),
                        problem,
                    }
                }
            }
        })
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.source.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        Self::new(&source).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", "", false)]
    #[case("", "a", false)]
    #[case(".*", "", true)]
    #[case(".*", "a", true)]
    #[case("^$", "", true)]
    #[case("^$", "a", false)]
    #[case("b", "abc", true)]
    #[case("^b", "abc", false)]
    #[case("^(orders|events)-.*$", "orders-eu", true)]
    #[case("^(orders|events)-.*$", "my-orders-eu", false)]
    #[case(r"^\d+$", "42", true)]
    #[case(r"^\d+$", "\u{664}\u{662}", false)]
    #[case("^ä$", "ä", true)]
    #[case("^[äö]$", "ö", true)]
    #[case("(?i)ORDERS", "orders", true)]
    fn a_pattern_is_searched_for_anywhere(#[case] pattern: &str, #[case] name: &str, #[case] expected: bool) {
        assert_eq!(Pattern::new(pattern).unwrap().matches(name.as_bytes()), expected);
    }

    #[test]
    fn names_need_not_be_text() {
        assert!(Pattern::new("^a.b$").unwrap().matches(b"a\xffb"));
    }

    #[rstest]
    #[case("(?=a)b", PatternError::Unsupported("(?=a)b".into()))]
    #[case(r"(a)\1", PatternError::Unsupported(r"(a)\1".into()))]
    #[case("((a{100}){100}){100}", PatternError::TooComplex("((a{100}){100}){100}".into()))]
    #[case("(", PatternError::Syntax { pattern: "(".into(), problem: "unclosed group".into() })]
    fn what_cannot_be_run_is_refused_when_it_is_set(#[case] pattern: &str, #[case] error: PatternError) {
        assert_eq!(Pattern::new(pattern), Err(error));
    }

    #[test]
    fn a_pattern_has_a_longest_length() {
        assert!(Pattern::new(&"a".repeat(PATTERN_BYTES_MAX)).is_ok());
        let refused = Pattern::new(&"a".repeat(PATTERN_BYTES_MAX + 1));
        assert_eq!(
            refused,
            Err(PatternError::TooLong {
                len: PATTERN_BYTES_MAX + 1
            })
        );
    }

    #[test]
    fn a_pattern_is_stored_as_its_text() {
        let stored = serde_json::to_string(&Pattern::new("^a").unwrap()).unwrap();
        assert_eq!(stored, r#""^a""#);
        assert!(serde_json::from_str::<Pattern>(&stored).unwrap().matches(b"ab"));
        assert!(serde_json::from_str::<Pattern>(r#""(""#).is_err());
    }
}
