//! A change of users and permissions on its way: first to the catalog, then to everybody.
//!
//! Invariant: the changes of a draft turn the catalog's entries into exactly what its directory says.

use logpond_store::catalog::{CatalogError, Changes};

use super::records::{permission_key, topic_permission_key, user_key, user_limits_key};
use super::topic::Compiled;
use super::{
    Directory, PasswordError, PasswordHash, PatternError, Permission, TopicPermission, User, UserLimits,
};

/// Why a draft cannot take a change. It is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DraftError {
    /// Create the user first.
    #[error("user '{0}' not found")]
    UnknownUser(String),
    /// A pattern of a topic permission cannot be used.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The password cannot be stored.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The entry cannot be encoded.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// The first user of a new data directory: an administrator who may do everything in the first virtual host.
#[derive(Clone, Copy)]
pub struct FirstUser<'a> {
    /// The name.
    pub name: &'a str,
    /// The password.
    pub password: &'a [u8],
    /// The first virtual host.
    pub vhost: &'a str,
    /// From the system's randomness.
    pub salt: [u8; 4],
}

/// See the module. [`Accounts::draft`](super::Accounts::draft) begins one, under the administration lock;
/// its `changes` are committed to the catalog; [`Accounts::publish`](super::Accounts::publish) makes it count.
#[derive(Debug)]
pub struct Draft {
    directory: Directory,
    changes: Changes,
}

impl Draft {
    pub(super) const fn new(directory: Directory) -> Self {
        Self {
            directory,
            changes: Changes::new(),
        }
    }

    /// What will be.
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Adds a user, or replaces one and keeps the permissions.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn put_user(&mut self, user: User) -> Result<(), DraftError> {
        self.changes
            .put(&user_key(&user.name), &user)
            .map_err(CatalogError::from)?;
        self.directory.put_user(user);
        Ok(())
    }

    /// Removes a user with all permissions.
    pub fn delete_user(&mut self, name: &str) {
        let of_user = self
            .directory
            .permissions()
            .filter(|permission| permission.user == name);
        for permission in of_user {
            self.changes
                .delete(&permission_key(&permission.user, &permission.vhost));
        }
        for permission in self
            .directory
            .topic_permissions()
            .filter(|topic| topic.user == name)
        {
            self.changes.delete(&topic_permission_key(permission));
        }
        self.changes.delete(&user_limits_key(name));
        self.changes.delete(&user_key(name));
        self.directory.delete_user(name);
    }

    /// Sets what a user may do in a virtual host.
    ///
    /// # Errors
    /// If there is no such user, or it cannot be encoded.
    pub fn put_permission(&mut self, permission: Permission) -> Result<(), DraftError> {
        if self.directory.user(&permission.user).is_none() {
            return Err(DraftError::UnknownUser(permission.user));
        }
        let key = permission_key(&permission.user, &permission.vhost);
        self.changes.put(&key, &permission).map_err(CatalogError::from)?;
        let known = self.directory.put_permission(permission);
        assert!(known, "the user was there a moment ago");
        Ok(())
    }

    /// Sets how much a user may have at once.
    ///
    /// # Errors
    /// If there is no such user, or it cannot be encoded.
    pub fn put_limits(&mut self, limits: UserLimits) -> Result<(), DraftError> {
        if self.directory.user(&limits.user).is_none() {
            return Err(DraftError::UnknownUser(limits.user));
        }
        let key = user_limits_key(&limits.user);
        self.changes.put(&key, &limits).map_err(CatalogError::from)?;
        let known = self.directory.put_limits(limits);
        assert!(known, "the user was there a moment ago");
        Ok(())
    }

    /// Sets what a user may do with the keys of a topic exchange.
    ///
    /// # Errors
    /// If there is no such user, a pattern cannot be used, or it cannot be encoded.
    pub fn put_topic_permission(&mut self, permission: TopicPermission) -> Result<(), DraftError> {
        if self.directory.user(&permission.user).is_none() {
            return Err(DraftError::UnknownUser(permission.user));
        }
        let compiled = Compiled::new(&permission)?;
        let key = topic_permission_key(&permission);
        self.changes.put(&key, &permission).map_err(CatalogError::from)?;
        let known = self.directory.put_topic_permission(compiled);
        assert!(known, "the user was there a moment ago");
        Ok(())
    }

    /// Takes a topic permission away.
    pub fn delete_topic_permission(&mut self, permission: &TopicPermission) {
        self.changes.delete(&topic_permission_key(permission));
        self.directory.delete_topic_permission(permission);
    }

    /// Takes a user's permissions in a virtual host away.
    pub fn delete_permission(&mut self, user: &str, vhost: &str) {
        self.changes.delete(&permission_key(user, vhost));
        self.directory.delete_permission(user, vhost);
    }

    /// Takes everybody's permissions in a virtual host away, since it is deleted.
    pub fn forget_vhost(&mut self, vhost: &str) {
        let in_vhost = self
            .directory
            .permissions()
            .filter(|permission| permission.vhost == vhost);
        let users: Vec<String> = in_vhost.map(|permission| permission.user.clone()).collect();
        for user in users {
            self.delete_permission(&user, vhost);
        }
        let topics: Vec<_> = self
            .directory
            .topic_permissions()
            .filter(|topic| topic.vhost == vhost)
            .cloned()
            .collect();
        for topic in topics {
            self.delete_topic_permission(&topic);
        }
    }

    /// Adds the first user.
    ///
    /// # Errors
    /// If the password cannot be stored.
    pub fn put_first_user(&mut self, first: &FirstUser<'_>) -> Result<(), DraftError> {
        let password = Some(PasswordHash::new(first.password, first.salt)?);
        let tags = vec!["administrator".to_owned()];
        self.put_user(User {
            name: first.name.to_owned(),
            password,
            tags,
        })?;
        self.put_permission(Permission::everything(first.name, first.vhost))
    }

    /// What is to be written, and what is to be published after that.
    pub fn into_parts(self) -> (Directory, Changes) {
        (self.directory, self.changes)
    }
}
