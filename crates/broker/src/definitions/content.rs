//! What a document of definitions contains.

use std::borrow::Cow;
use std::fmt;

use logpond_routing::{Arguments, ExchangeSpec};

use crate::auth::{PasswordError, PasswordHash, Permission, TopicPermission, User, UserLimits};
use crate::policy::Policy;
use crate::topology::VhostLimits;

/// Everything that is to be created. Apply it in the order of the fields: each may refer to those before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    /// Users.
    pub users: Vec<UserDefinition>,
    /// Virtual hosts.
    pub vhosts: Vec<VhostDefinition>,
    /// Permissions; a virtual host or user may exist already instead of standing in the document.
    pub permissions: Vec<Permission>,
    /// Topic permissions.
    pub topic_permissions: Vec<TopicPermission>,
    /// How much virtual hosts may have.
    pub vhost_limits: Vec<(String, VhostLimits)>,
    /// Policies and operator policies.
    pub policies: Vec<Policy>,
    /// Exchanges, without those that every virtual host has.
    pub exchanges: Vec<ExchangeDefinition>,
    /// Queues.
    pub queues: Vec<QueueDefinition>,
    /// Bindings.
    pub bindings: Vec<BindingDefinition>,
    /// What stands in the document and is not used. Tell the user.
    pub ignored: Vec<Ignored>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserDefinition {
    /// The name.
    pub name: String,
    /// The password, if there is one.
    pub credential: Credential,
    /// The tags.
    pub tags: Vec<String>,
    /// How much the user may have.
    pub limits: UserLimits,
    /// Permissions that stand in the user: only for one who does not exist yet.
    pub permissions: Vec<Permission>,
}

impl UserDefinition {
    /// The user to be stored. `salt` is used if the document has the password itself.
    ///
    /// # Errors
    /// If the password cannot be stored (reading checks that it can).
    pub fn into_user(self, salt: [u8; 4]) -> Result<User, PasswordError> {
        let password = match self.credential {
            Credential::Hash(hash) => Some(hash),
            Credential::Plain(password) => Some(PasswordHash::new(password.as_bytes(), salt)?),
            Credential::None => None,
        };
        Ok(User {
            name: self.name,
            password,
            tags: self.tags,
        })
    }
}

/// How a document gives a password.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// Hashed.
    Hash(PasswordHash),
    /// As it is.
    Plain(String),
    /// The user cannot log in with a password.
    None,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hash(_) => "Hash(…)",
            Self::Plain(_) => "Plain(…)",
            Self::None => "None",
        })
    }
}

/// A virtual host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VhostDefinition {
    /// The name.
    pub name: String,
    /// For people.
    pub description: String,
    /// For people.
    pub tags: Vec<String>,
    /// The kind of queues that are declared without one.
    pub default_queue_type: Option<String>,
}

/// An exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeDefinition {
    /// The virtual host.
    pub vhost: String,
    /// The name.
    pub name: String,
    /// What is declared.
    pub spec: ExchangeSpec,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueDefinition {
    /// The virtual host.
    pub vhost: String,
    /// The name.
    pub name: String,
    /// Survives a restart.
    pub durable: bool,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    /// Arguments, `x-queue-type` among them if the document names another kind than classic.
    pub arguments: Arguments,
}

/// A binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingDefinition {
    /// The virtual host.
    pub vhost: String,
    /// The exchange that messages come from.
    pub source: String,
    /// Where they go.
    pub destination: DestinationName,
    /// Routing key or pattern.
    pub routing_key: String,
    /// Arguments.
    pub arguments: Arguments,
}

/// Where a binding leads, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DestinationName {
    /// To a queue.
    Queue(String),
    /// To an exchange.
    Exchange(String),
}

/// Something that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Where it stands.
    pub path: String,
    /// Why it is not used.
    pub reason: Cow<'static, str>,
    /// What that means for whoever relies on the document.
    pub loss: Loss,
}

/// Whether something will be missing that a document asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It is there without being asked for, or means nothing to this broker.
    Nothing,
    /// It exists in the broker that the document comes from, and will not here.
    Feature,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}
