//! Users and permissions at one moment: a value, pure.
//!
//! Invariant: every permission belongs to a user that exists. (Which virtual hosts exist is not known here.)

use std::collections::BTreeMap;
use std::sync::Arc;

use super::topic::Compiled;
use super::{
    Action, AuthError, Denied, Login, Operation, PasswordHash, Peer, Permission, Target, TopicPermission,
    User, UserLimits,
};

/// Users that may only come from this machine: their password is known to everybody.
const LOOPBACK_ONLY: &[&str] = &["guest"];

/// All users and permissions.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    users: BTreeMap<Arc<str>, Account>,
}

#[derive(Clone, Debug)]
struct Account {
    user: User,
    tags: Arc<[String]>,
    permissions: BTreeMap<Arc<str>, Arc<Permission>>,
    /// By virtual host and exchange.
    topics: BTreeMap<(String, String), Arc<Compiled>>,
    limits: UserLimits,
}

impl Directory {
    /// Checks a password.
    ///
    /// # Errors
    /// When user and password do not fit, or the user may not come from there.
    pub fn authenticate(&self, user: &str, password: &[u8], peer: Peer) -> Result<Login, AuthError> {
        let found = self.users.get_key_value(user);
        let right = match found.and_then(|(_, account)| account.user.password.as_ref()) {
            Some(stored) => stored.verify(password),
            None => PasswordHash::verify_nobody(password),
        };
        let (name, account) = found.filter(|_| right).ok_or(AuthError::Wrong)?;
        // Only after the password: otherwise the answer would tell a stranger that the user exists.
        if peer == Peer::Remote && LOOPBACK_ONLY.contains(&user) {
            return Err(AuthError::LoopbackOnly);
        }
        Ok(Login::new(Arc::clone(name), Arc::clone(&account.tags)))
    }

    /// The login of a user whom somebody else vouches for: a verified certificate, or the configuration.
    ///
    /// # Errors
    /// When there is no such user, or the user may not come from there.
    pub fn vouched(&self, user: &str, peer: Peer) -> Result<Login, AuthError> {
        let (name, account) = self.users.get_key_value(user).ok_or(AuthError::Wrong)?;
        if peer == Peer::Remote && LOOPBACK_ONLY.contains(&user) {
            return Err(AuthError::LoopbackOnly);
        }
        Ok(Login::new(Arc::clone(name), Arc::clone(&account.tags)))
    }

    /// Whether the user has any permission in the virtual host.
    pub fn may_enter(&self, user: &str, vhost: &str) -> bool {
        self.permission(user, vhost).is_some()
    }

    /// Whether the user may do this.
    ///
    /// # Errors
    /// The first permission that is missing.
    pub fn check(&self, user: &str, vhost: &str, action: Action<'_>) -> Result<(), Denied> {
        if let Action::DeclarePassively(target) = action
            && [Operation::Read, Operation::Write]
                .into_iter()
                .any(|operation| self.allows(user, vhost, operation, target))
        {
            return Ok(());
        }
        for (operation, target) in action.requirements() {
            if !self.allows(user, vhost, operation, target) {
                return Err(Denied::new(operation, target, vhost, user));
            }
        }
        Ok(())
    }

    /// One cell of the table: whether the user has this permission on this target.
    pub fn allows(&self, user: &str, vhost: &str, operation: Operation, target: Target<'_>) -> bool {
        if let Target::Topic { exchange, key } = target {
            return self.allows_topic(user, vhost, operation, exchange, key);
        }
        let Some(permission) = self.permission(user, vhost) else {
            return false;
        };
        let pattern = match operation {
            Operation::Configure => &permission.configure,
            Operation::Write => &permission.write,
            Operation::Read => &permission.read,
        };
        pattern.matches(&target.checked_name())
    }

    /// Who has no topic permission for the exchange is not bound by any.
    fn allows_topic(
        &self,
        user: &str,
        vhost: &str,
        operation: Operation,
        exchange: &[u8],
        key: &[u8],
    ) -> bool {
        let (Some(account), Ok(exchange)) = (self.users.get(user), std::str::from_utf8(exchange)) else {
            return false;
        };
        if account.topics.is_empty() {
            return true;
        }
        let Some(topic) = account.topics.get(&(vhost.to_owned(), exchange.to_owned())) else {
            return true;
        };
        match operation {
            Operation::Configure => false,
            Operation::Write => topic.write.matches(key),
            Operation::Read => topic.read.matches(key),
        }
    }

    /// How much the user may have at once.
    pub fn limits(&self, user: &str) -> UserLimits {
        self.users
            .get(user)
            .map(|account| account.limits.clone())
            .unwrap_or_default()
    }

    /// All topic permissions, by user, virtual host and exchange.
    pub fn topic_permissions(&self) -> impl Iterator<Item = &TopicPermission> {
        self.users
            .values()
            .flat_map(|account| account.topics.values())
            .map(|topic| &topic.record)
    }

    /// The user of this name.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name).map(|account| &account.user)
    }

    /// All users, by name.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values().map(|account| &account.user)
    }

    /// What the user may do in the virtual host.
    pub fn permission(&self, user: &str, vhost: &str) -> Option<&Permission> {
        self.users
            .get(user)?
            .permissions
            .get(vhost)
            .map(|permission| &**permission)
    }

    /// All permissions, by user and virtual host.
    pub fn permissions(&self) -> impl Iterator<Item = &Permission> {
        self.users
            .values()
            .flat_map(|account| account.permissions.values())
            .map(|permission| &**permission)
    }

    /// Adds a user, or replaces one and keeps the permissions.
    pub(super) fn put_user(&mut self, user: User) {
        let tags = user.tags.clone().into();
        match self.users.get_mut(user.name.as_str()) {
            Some(account) => {
                account.user = user;
                account.tags = tags;
            }
            None => {
                let name = user.name.as_str().into();
                self.users.insert(
                    name,
                    Account {
                        user,
                        tags,
                        permissions: BTreeMap::new(),
                        topics: BTreeMap::new(),
                        limits: UserLimits::default(),
                    },
                );
            }
        }
    }

    /// Removes a user with all permissions.
    pub(super) fn delete_user(&mut self, name: &str) {
        self.users.remove(name);
    }

    /// Sets a permission; false if there is no such user.
    pub(super) fn put_permission(&mut self, permission: Permission) -> bool {
        let Some(account) = self.users.get_mut(permission.user.as_str()) else {
            return false;
        };
        account
            .permissions
            .insert(permission.vhost.as_str().into(), Arc::new(permission));
        true
    }

    /// Sets how much a user may have; false if there is no such user.
    pub(super) fn put_limits(&mut self, limits: UserLimits) -> bool {
        let account = self.users.get_mut(limits.user.as_str());
        account.map(|account| account.limits = limits).is_some()
    }

    /// Sets a topic permission; false if there is no such user.
    pub(super) fn put_topic_permission(&mut self, topic: Compiled) -> bool {
        let Some(account) = self.users.get_mut(topic.record.user.as_str()) else {
            return false;
        };
        let place = (topic.record.vhost.clone(), topic.record.exchange.clone());
        account.topics.insert(place, Arc::new(topic));
        true
    }

    /// Removes a topic permission.
    pub(super) fn delete_topic_permission(&mut self, permission: &TopicPermission) {
        if let Some(account) = self.users.get_mut(permission.user.as_str()) {
            let place = (permission.vhost.clone(), permission.exchange.clone());
            account.topics.remove(&place);
        }
    }

    /// Removes a permission.
    pub(super) fn delete_permission(&mut self, user: &str, vhost: &str) {
        if let Some(account) = self.users.get_mut(user) {
            account.permissions.remove(vhost);
        }
    }
}

#[cfg(test)]
mod tests;
