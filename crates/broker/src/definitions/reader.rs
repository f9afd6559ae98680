//! From JSON to [`Definitions`].

use std::borrow::Cow;

use logpond_routing::{ExchangeKind, ExchangeSpec, LOG_EXCHANGE, Value};
use serde_json::Value as Json;

use super::absent::{Absent, is_predeclared};
use super::arguments::{alternate, arguments};
use super::content::{
    BindingDefinition, Definitions, DestinationName, ExchangeDefinition, Ignored, Loss, QueueDefinition,
    UserDefinition, VhostDefinition,
};
use super::credential::{credential, is_unsupported};
use super::error::DefinitionsError;
use super::item::{Item, Path};
use super::limits::DOCUMENT_BYTES_MAX;
use super::permissions::permission;
use super::policies::policy;
use crate::auth::{Permission, TopicPermission, UserLimits};
use crate::policy::PolicyKind;
use crate::topology::VhostLimits;

/// Top-level entries that only say where the document comes from.
const ABOUT: &[&str] = &[
    "rabbit_version",
    "rabbitmq_version",
    "product_name",
    "product_version",
    "logpond_version",
    "explanation",
    "rabbitmq_definition_format",
    "original_cluster_name",
    "original_vhost_name",
];
/// Top-level entries that are read.
const SECTIONS: &[&str] = &[
    "users",
    "vhosts",
    "permissions",
    "topic_permissions",
    "policies",
    "parameters",
    "exchanges",
    "queues",
    "bindings",
];
/// Top-level entries that describe the virtual host of a single-virtual-host document.
const VHOST_FIELDS: &[&str] = &["description", "metadata", "tags", "default_queue_type", "limits"];

const NOT_SUPPORTED: &str = "not supported, left out";
const UNKNOWN: &str = "unknown, left out";
const PREDECLARED: &str = "exists in every virtual host or is the broker's own";
const IMPLICIT: &str = "the default exchange has its bindings by itself";

impl Definitions {
    /// Reads a document. `vhost` is where things go that name no virtual host themselves (those of a
    /// single-virtual-host document); without it, to the one that the document was exported from.
    ///
    /// # Errors
    /// The first thing that cannot be imported.
    pub fn parse(json: &[u8], vhost: Option<&str>) -> Result<Self, DefinitionsError> {
        if json.len() > DOCUMENT_BYTES_MAX {
            return Err(DefinitionsError::TooLong { len: json.len() });
        }
        let document: Json = serde_json::from_slice(content(json))
            .map_err(|error| DefinitionsError::Json(error.to_string()))?;
        let root = Item::new(&document, Path::Root)?;
        let vhost = match vhost {
            Some(name) => Some(name),
            None => root.optional_text("original_vhost_name")?,
        };
        let mut reader = Reader {
            vhost,
            definitions: Self::default(),
            absent: Absent::default(),
        };
        reader.document(&root)?;
        Ok(reader.definitions)
    }
}

/// The document without a byte order mark. An empty file defines nothing.
fn content(json: &[u8]) -> &[u8] {
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    if json.trim_ascii().is_empty() { b"{}" } else { json }
}

struct Reader<'a> {
    vhost: Option<&'a str>,
    definitions: Definitions,
    absent: Absent,
}

type Read<T = ()> = Result<T, DefinitionsError>;

impl Reader<'_> {
    fn document(&mut self, root: &Item<'_>) -> Read {
        let single = root.get("original_vhost_name").is_some();
        for key in root
            .keys()
            .filter(|key| !ABOUT.contains(key) && !SECTIONS.contains(key))
        {
            if !(single && VHOST_FIELDS.contains(&key)) {
                self.ignore_content(root, key);
            }
        }
        if single && let Some(name) = self.vhost {
            let vhost = self.vhost_details(root, name)?;
            self.definitions.vhosts.push(vhost);
        }
        root.for_each("users", |item| self.user(&item))?;
        root.for_each("vhosts", |item| self.vhost(&item))?;
        root.for_each("permissions", |item| self.permission(&item))?;
        root.for_each("topic_permissions", |item| self.topic_permission(&item))?;
        root.for_each("policies", |item| self.policy(&item, PolicyKind::User))?;
        root.for_each("parameters", |item| self.parameter(&item))?;
        root.for_each("exchanges", |item| self.exchange(&item))?;
        root.for_each("queues", |item| self.queue(&item))?;
        root.for_each("bindings", |item| self.binding(&item))
    }

    fn user(&mut self, item: &Item<'_>) -> Read {
        const KNOWN: &[&str] = &[
            "name",
            "password",
            "password_hash",
            "hashing_algorithm",
            "tags",
            "limits",
            "permissions",
        ];
        self.ignore_others(item, KNOWN);
        let name = item.text("name")?.to_owned();
        if is_unsupported(item)? {
            let reason = format!(
                "the password of user '{name}' is hashed with MD5, not supported, left out: \
                 the user cannot log in with a password"
            );
            self.leave_out(&Path::Key(&item.path, "password_hash"), reason);
        }
        let [max_connections, max_channels] = self.limits(item, ["max-connections", "max-channels"])?;
        let limits = match (max_connections, max_channels) {
            (None, None) => UserLimits::default(),
            _ => UserLimits {
                user: name.clone(),
                max_connections,
                max_channels,
            },
        };
        let user = UserDefinition {
            permissions: self.user_permissions(item, &name)?,
            name,
            limits,
            credential: credential(item)?,
            tags: item.tags("tags")?,
        };
        self.definitions.users.push(user);
        Ok(())
    }

    /// The permissions of a user by virtual host.
    fn user_permissions(&mut self, item: &Item<'_>, user: &str) -> Read<Vec<Permission>> {
        let Some(Json::Object(vhosts)) = item.get("permissions") else {
            // Erlang writes an empty table as an empty list.
            self.ignore_content(item, "permissions");
            return Ok(Vec::new());
        };
        let path = Path::Key(&item.path, "permissions");
        let read = vhosts.iter().map(|(vhost, value)| {
            let item = Item::new(value, Path::Key(&path, vhost))?;
            self.ignore_others(&item, &["configure", "write", "read"]);
            permission(&item, user.to_owned(), vhost.clone())
        });
        read.collect()
    }

    fn vhost(&mut self, item: &Item<'_>) -> Read {
        self.ignore_others(
            item,
            &[&["name", "cluster_state", "tracing"], VHOST_FIELDS].concat(),
        );
        let vhost = self.vhost_details(item, item.text("name")?)?;
        self.definitions.vhosts.push(vhost);
        Ok(())
    }

    /// Older documents have the details directly in the item, newer ones in `metadata`, or both.
    fn vhost_details(&mut self, item: &Item<'_>, name: &str) -> Read<VhostDefinition> {
        self.vhost_limits(item, name)?;
        let mut vhost = VhostDefinition {
            name: name.to_owned(),
            description: String::new(),
            tags: Vec::new(),
            default_queue_type: None,
        };
        let path = Path::Key(&item.path, "metadata");
        let metadata = item
            .get("metadata")
            .map(|metadata| Item::new(metadata, path))
            .transpose()?;
        if let Some(metadata) = &metadata {
            self.ignore_others(metadata, VHOST_FIELDS);
        }
        for details in [Some(*item), metadata].into_iter().flatten() {
            if let Some(description) = details.optional_text("description")? {
                description.clone_into(&mut vhost.description);
            }
            if details.get("tags").is_some() {
                vhost.tags = details.tags("tags")?;
            }
            let kind = details
                .optional_text("default_queue_type")?
                .filter(|kind| *kind != "undefined");
            vhost.default_queue_type = kind.map(str::to_owned).or(vhost.default_queue_type);
        }
        Ok(vhost)
    }

    fn vhost_limits(&mut self, item: &Item<'_>, name: &str) -> Read {
        let [max_connections, max_queues] = self.limits(item, ["max-connections", "max-queues"])?;
        let limits = VhostLimits {
            max_connections,
            max_queues,
        };
        if limits != VhostLimits::default() {
            self.definitions.vhost_limits.push((name.to_owned(), limits));
        }
        Ok(())
    }

    /// The numbers of these names in the object `limits`. A negative one means no limit.
    fn limits(&mut self, item: &Item<'_>, names: [&str; 2]) -> Read<[Option<u64>; 2]> {
        let Some(limits @ Json::Object(_)) = item.get("limits") else {
            // Erlang writes an empty table as an empty list.
            self.ignore_content(item, "limits");
            return Ok([None; 2]);
        };
        self.numbers(&Item::new(limits, Path::Key(&item.path, "limits"))?, names)
    }

    fn numbers(&mut self, limits: &Item<'_>, names: [&str; 2]) -> Read<[Option<u64>; 2]> {
        self.ignore_others(limits, &names);
        let mut found = [None; 2];
        for (found, name) in found.iter_mut().zip(names) {
            *found = u64::try_from(limits.integer(name, -1)?).ok();
        }
        Ok(found)
    }

    fn topic_permission(&mut self, item: &Item<'_>) -> Read {
        self.ignore_others(item, &["user", "vhost", "exchange", "write", "read"]);
        let permission = TopicPermission {
            user: item.text("user")?.to_owned(),
            vhost: self.vhost_of(item)?,
            exchange: name(item, "exchange")?,
            write: item.text("write")?.to_owned(),
            read: item.text("read")?.to_owned(),
        };
        permission.check().map_err(|error| item.path.error(error))?;
        self.definitions.topic_permissions.push(permission);
        Ok(())
    }

    fn permission(&mut self, item: &Item<'_>) -> Read {
        self.ignore_others(item, &["user", "vhost", "configure", "write", "read"]);
        let read = permission(item, item.text("user")?.to_owned(), self.vhost_of(item)?)?;
        self.definitions.permissions.push(read);
        Ok(())
    }

    fn policy(&mut self, item: &Item<'_>, kind: PolicyKind) -> Read {
        const KNOWN: &[&str] = &["vhost", "name", "pattern", "apply-to", "definition", "priority"];
        self.ignore_others(item, KNOWN);
        let (vhost, name) = (self.vhost_of(item)?, item.text("name")?.to_owned());
        let read = policy(item, kind, vhost, name)?;
        self.definitions.policies.push(read);
        Ok(())
    }

    /// Operator policies and limits of virtual hosts stand among the parameters, with their name and virtual host beside the value.
    fn parameter(&mut self, item: &Item<'_>) -> Read {
        // Values of other components may be anything, lists among them.
        match (item.text("component")?, item.get("value")) {
            ("operator_policy", Some(value)) => {
                let value = Item::new(value, Path::Key(&item.path, "value"))?;
                let (vhost, name) = (self.vhost_of(item)?, item.text("name")?.to_owned());
                let read = policy(&value, PolicyKind::Operator, vhost, name)?;
                self.definitions.policies.push(read);
            }
            ("vhost-limits", Some(value)) => {
                let value = Item::new(value, Path::Key(&item.path, "value"))?;
                let vhost = self.vhost_of(item)?;
                let [max_connections, max_queues] =
                    self.numbers(&value, ["max-connections", "max-queues"])?;
                let limits = VhostLimits {
                    max_connections,
                    max_queues,
                };
                self.definitions.vhost_limits.push((vhost, limits));
            }
            _ => self.leave_out(&item.path, NOT_SUPPORTED),
        }
        Ok(())
    }

    fn exchange(&mut self, item: &Item<'_>) -> Read {
        const KNOWN: &[&str] = &[
            "name",
            "vhost",
            "type",
            "durable",
            "auto_delete",
            "internal",
            "arguments",
            "policy",
        ];
        self.ignore_others(item, KNOWN);
        let name = name(item, "name")?;
        if name == LOG_EXCHANGE || is_predeclared(&name) {
            self.ignore(&item.path, PREDECLARED);
            return Ok(());
        }
        let vhost = self.vhost_of(item)?;
        if let Some(reason) = Absent::exchange(&name, &vhost) {
            self.leave_out(&item.path, reason);
            return Ok(());
        }
        let kind = item.text("type")?;
        let kind = ExchangeKind::parse(kind.as_bytes())
            .ok_or_else(|| item.error("type", format_args!("unknown exchange type '{kind}'")))?;
        let arguments = arguments(item)?;
        let spec = ExchangeSpec {
            kind,
            durable: item.flag("durable", true)?,
            auto_delete: item.flag("auto_delete", false)?,
            internal: item.flag("internal", false)?,
            alternate: alternate(item, &arguments)?,
            arguments,
        };
        self.definitions
            .exchanges
            .push(ExchangeDefinition { vhost, name, spec });
        Ok(())
    }

    fn queue(&mut self, item: &Item<'_>) -> Read {
        const KNOWN: &[&str] = &[
            "name",
            "vhost",
            "type",
            "durable",
            "auto_delete",
            "arguments",
            "policy",
        ];
        self.ignore_others(item, KNOWN);
        let mut arguments = arguments(item)?;
        if let Some(kind) = item.optional_text("type")?
            && kind != "classic"
            && arguments.get("x-queue-type").is_none()
        {
            arguments.insert("x-queue-type", Value::str(kind));
        }
        let name = name(item, "name")?;
        if name.is_empty() {
            return Err(item.error("name", "a queue needs a name"));
        }
        let queue = QueueDefinition {
            vhost: self.vhost_of(item)?,
            name,
            durable: item.flag("durable", true)?,
            auto_delete: item.flag("auto_delete", false)?,
            arguments,
        };
        match self.absent.queue(&queue) {
            Some(reason) => self.leave_out(&item.path, reason),
            None => self.definitions.queues.push(queue),
        }
        Ok(())
    }

    fn binding(&mut self, item: &Item<'_>) -> Read {
        const KNOWN: &[&str] = &[
            "source",
            "vhost",
            "destination",
            "destination_type",
            "routing_key",
            "arguments",
            "properties_key",
        ];
        self.ignore_others(item, KNOWN);
        let source = name(item, "source")?;
        if source.is_empty() {
            self.ignore(&item.path, IMPLICIT);
            return Ok(());
        }
        let destination = name(item, "destination")?;
        let destination = match item.text("destination_type")? {
            "queue" => DestinationName::Queue(destination),
            "exchange" => DestinationName::Exchange(destination),
            other => {
                let problem = format_args!("expected 'queue' or 'exchange', found '{other}'");
                return Err(item.error("destination_type", problem));
            }
        };
        let binding = BindingDefinition {
            vhost: self.vhost_of(item)?,
            source,
            destination,
            routing_key: name(item, "routing_key")?,
            arguments: arguments(item)?,
        };
        match self.absent.binding(&binding) {
            Some(reason) => self.leave_out(&item.path, reason),
            None => self.definitions.bindings.push(binding),
        }
        Ok(())
    }

    fn vhost_of(&self, item: &Item<'_>) -> Read<String> {
        let own = item.optional_text("vhost")?.or(self.vhost);
        own.map(str::to_owned)
            .ok_or_else(|| item.error("vhost", "is missing"))
    }

    /// What is not needed here.
    fn ignore(&mut self, path: &Path<'_>, reason: &'static str) {
        self.definitions.ignored.push(Ignored {
            path: path.to_string(),
            reason: reason.into(),
            loss: Loss::Nothing,
        });
    }

    /// What somebody may miss.
    fn leave_out(&mut self, path: &Path<'_>, reason: impl Into<Cow<'static, str>>) {
        self.definitions.ignored.push(Ignored {
            path: path.to_string(),
            reason: reason.into(),
            loss: Loss::Feature,
        });
    }

    fn ignore_others(&mut self, item: &Item<'_>, known: &[&str]) {
        for key in item.keys().filter(|key| !known.contains(key)) {
            self.ignore(&Path::Key(&item.path, key), UNKNOWN);
        }
    }

    /// Leaves out what stands under `key`, element by element. What is empty has nothing to be missed.
    fn ignore_content(&mut self, item: &Item<'_>, key: &str) {
        let path = Path::Key(&item.path, key);
        match item.get(key) {
            None => {}
            Some(Json::Array(list)) => {
                for index in 0..list.len() {
                    self.leave_out(&Path::Index(&path, index), NOT_SUPPORTED);
                }
            }
            Some(Json::Object(object)) => {
                for key in object.keys() {
                    self.leave_out(&Path::Key(&path, key), NOT_SUPPORTED);
                }
            }
            Some(_) => self.leave_out(&path, NOT_SUPPORTED),
        }
    }
}

/// A name or key, which AMQP sends with a length of one byte.
fn name(item: &Item<'_>, key: &str) -> Read<String> {
    let name = item.text(key)?;
    if name.len() > usize::from(u8::MAX) {
        return Err(item.error(
            key,
            format_args!("has {} bytes, at most 255 are possible", name.len()),
        ));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests;
