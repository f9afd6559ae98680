//! From JSON to [`Definitions`].

use logpond_routing::{Arguments, ExchangeKind, ExchangeSpec, LOG_EXCHANGE, Name, Value, predeclared};
use serde_json::Value as Json;

use super::arguments::arguments;
use super::content::{
    BindingDefinition, Credential, Definitions, DestinationName, ExchangeDefinition, Ignored,
    QueueDefinition, UserDefinition, VhostDefinition,
};
use super::error::DefinitionsError;
use super::item::{Item, Path};
use super::limits::DOCUMENT_BYTES_MAX;
use crate::auth::{HashAlgorithm, PasswordHash, Pattern, Permission};

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
        let document: Json =
            serde_json::from_slice(json).map_err(|error| DefinitionsError::Json(error.to_string()))?;
        let root = Item::new(&document, Path::Root)?;
        let vhost = match vhost {
            Some(name) => Some(name),
            None => root.optional_text("original_vhost_name")?,
        };
        let mut reader = Reader {
            vhost,
            definitions: Self::default(),
        };
        reader.document(&root)?;
        Ok(reader.definitions)
    }
}

struct Reader<'a> {
    vhost: Option<&'a str>,
    definitions: Definitions,
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
        ];
        self.ignore_others(item, KNOWN);
        self.ignore_content(item, "limits");
        let name = item.text("name")?.to_owned();
        let user = UserDefinition {
            name,
            credential: credential(item)?,
            tags: item.tags("tags")?,
        };
        self.definitions.users.push(user);
        Ok(())
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
        self.ignore_content(item, "limits");
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

    fn permission(&mut self, item: &Item<'_>) -> Read {
        self.ignore_others(item, &["user", "vhost", "configure", "write", "read"]);
        let pattern = |key| Pattern::new(item.text(key)?).map_err(|error| item.error(key, error));
        let permission = Permission {
            user: item.text("user")?.to_owned(),
            vhost: self.vhost_of(item)?,
            configure: pattern("configure")?,
            write: pattern("write")?,
            read: pattern("read")?,
        };
        self.definitions.permissions.push(permission);
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
        if name == LOG_EXCHANGE || predeclared().any(|(known, _)| known == Name::from(name.as_str())) {
            self.ignore(&item.path, PREDECLARED);
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
        let vhost = self.vhost_of(item)?;
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
        self.definitions.queues.push(queue);
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
        self.definitions.bindings.push(binding);
        Ok(())
    }

    fn vhost_of(&self, item: &Item<'_>) -> Read<String> {
        let own = item.optional_text("vhost")?.or(self.vhost);
        own.map(str::to_owned)
            .ok_or_else(|| item.error("vhost", "is missing"))
    }

    fn ignore(&mut self, path: &Path<'_>, reason: &'static str) {
        self.definitions.ignored.push(Ignored {
            path: path.to_string(),
            reason,
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
                    self.ignore(&Path::Index(&path, index), NOT_SUPPORTED);
                }
            }
            Some(Json::Object(object)) => {
                for key in object.keys() {
                    self.ignore(&Path::Key(&path, key), NOT_SUPPORTED);
                }
            }
            Some(_) => self.ignore(&path, NOT_SUPPORTED),
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

fn alternate(item: &Item<'_>, arguments: &Arguments) -> Read<Option<Name>> {
    let Some(value) = arguments.get("alternate-exchange") else {
        return Ok(None);
    };
    let name = value.as_str_bytes().ok_or_else(|| {
        let path = Path::Key(&item.path, "arguments");
        Path::Key(&path, "alternate-exchange").error("expected a string")
    })?;
    Ok(Some(Name::from(name)))
}

fn credential(item: &Item<'_>) -> Read<Credential> {
    if let Some(hash) = item.optional_text("password_hash")? {
        // This is how documents say that nobody can log in with a password.
        if hash.is_empty() {
            return Ok(Credential::None);
        }
        let algorithm = match item.optional_text("hashing_algorithm")? {
            // What RabbitMQ has hashed with since 3.6, where this field came.
            None => HashAlgorithm::Sha256,
            Some(name) => {
                HashAlgorithm::parse(name).map_err(|error| item.error("hashing_algorithm", error))?
            }
        };
        let hash = PasswordHash::from_base64(algorithm, hash);
        return hash
            .map(Credential::Hash)
            .map_err(|error| item.error("password_hash", error));
    }
    let Some(password) = item.optional_text("password")? else {
        return Ok(Credential::None);
    };
    // Only to complain here, where the place is known.
    PasswordHash::new(password.as_bytes(), [0; 4]).map_err(|error| item.error("password", error))?;
    Ok(Credential::Plain(password.to_owned()))
}

#[cfg(test)]
mod tests;
