//! Permissions on routing keys of topic exchanges.
//!
//! Invariants:
//! - Who has none for an exchange may use all keys there: they only narrow what the permissions on the exchange allow.
//! - `{username}` and `{vhost}` in a pattern stand for the names themselves, whatever characters these have.

use serde::{Deserialize, Serialize};

use super::{Pattern, PatternError};

/// What a user may do with the keys of a topic exchange, as it was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicPermission {
    /// The user.
    pub user: String,
    /// The virtual host.
    pub vhost: String,
    /// The exchange.
    pub exchange: String,
    /// Which keys may be published with. The empty pattern fits the empty key only.
    pub write: String,
    /// Which keys may be bound with.
    pub read: String,
}

impl TopicPermission {
    /// Checks the patterns.
    ///
    /// # Errors
    /// The first that is no pattern, or one that we do not want to run.
    pub fn check(&self) -> Result<(), PatternError> {
        Compiled::new(self).map(drop)
    }
}

/// A topic permission with its patterns.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    pub record: TopicPermission,
    pub write: Pattern,
    pub read: Pattern,
}

impl Compiled {
    pub(super) fn new(record: &TopicPermission) -> Result<Self, PatternError> {
        let compile = |source: &str| match source {
            "" => Pattern::new("^$"),
            source => Pattern::new(&expand(source, record)),
        };
        Ok(Self {
            record: record.clone(),
            write: compile(&record.write)?,
            read: compile(&record.read)?,
        })
    }
}

/// Puts the names in place of their variables.
fn expand(source: &str, record: &TopicPermission) -> String {
    source
        .replace("{username}", &regex::escape(&record.user))
        .replace("{vhost}", &regex::escape(&record.vhost))
        // Only MQTT has one: here it stands for itself.
        .replace("{client_id}", r"\{client_id\}")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn write(pattern: &str) -> Compiled {
        let record = TopicPermission {
            user: "a.*".into(),
            vhost: "/".into(),
            exchange: "x".into(),
            write: pattern.into(),
            read: String::new(),
        };
        Compiled::new(&record).unwrap()
    }

    #[rstest]
    #[case("^{username}\\.", "a.*.news", true)]
    #[case("^{username}\\.", "abc.news", false)]
    #[case("^{vhost}$", "/", true)]
    #[case("{client_id}", "{client_id}", true)]
    #[case("{client_id}", "other", false)]
    #[case("", "", true)]
    #[case("", "a", false)]
    fn variables_stand_for_names_and_not_for_patterns(
        #[case] pattern: &str,
        #[case] key: &str,
        #[case] fits: bool,
    ) {
        assert_eq!(write(pattern).write.matches(key.as_bytes()), fits);
    }
}
