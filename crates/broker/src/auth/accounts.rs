//! The directory of users and permissions that counts now.
//!
//! Invariants:
//! - What is published was written to the catalog before.
//! - The version is raised after each change becomes visible, so whoever sees an old version may hold at most
//!   answers that were right when they asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use logpond_store::catalog::Catalog;
use logpond_store::disk::Disk;
use serde::de::DeserializeOwned;

use super::records::{PERMISSION, TOPIC_PERMISSION, USER, USER_LIMITS};
use super::topic::Compiled;
use super::{
    Action, AuthError, Denied, Directory, Draft, DraftError, FirstUser, Login, Operation, Peer, Permission,
    Target, TopicPermission, User, UserLimits,
};

/// All users and permissions. There is no empty default: nobody could log in.
#[derive(Debug)]
pub struct Accounts {
    current: ArcSwap<Directory>,
    version: AtomicU64,
}

impl Accounts {
    /// Reads them from the catalog. What cannot be read is left alone and described in `warnings`.
    ///
    /// `first` is for a new data directory, and durable on return. Open the accounts before the first virtual
    /// host is written: that one tells the next start that the directory is not new any more.
    ///
    /// # Errors
    /// If the first user cannot be written.
    pub fn open<D: Disk>(
        catalog: &mut Catalog<D>,
        first: Option<&FirstUser<'_>>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, DraftError> {
        let accounts = Self {
            current: ArcSwap::from_pointee(read(catalog, warnings)),
            version: AtomicU64::new(0),
        };
        if let Some(first) = first {
            let mut draft = accounts.draft();
            draft.put_first_user(first)?;
            let (directory, changes) = draft.into_parts();
            catalog.commit(changes)?;
            accounts.publish(directory);
        }
        Ok(accounts)
    }

    /// Raised by every change, so that sessions know when what they remember is stale.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Users and permissions of now, to look through.
    pub fn directory(&self) -> Arc<Directory> {
        self.current.load_full()
    }

    /// Begins a change. Hold the administration lock until it is published or dropped.
    pub fn draft(&self) -> Draft {
        Draft::new(Directory::clone(&self.current.load()))
    }

    /// Makes a draft count, after its changes were committed to the catalog.
    pub fn publish(&self, directory: Directory) {
        self.current.store(Arc::new(directory));
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Checks a password.
    ///
    /// # Errors
    /// When user and password do not fit, or the user may not come from there.
    pub fn authenticate(&self, user: &str, password: &[u8], peer: Peer) -> Result<Login, AuthError> {
        self.current.load().authenticate(user, password, peer)
    }

    /// The login of a user whom somebody else vouches for.
    ///
    /// # Errors
    /// When there is no such user, or the user may not come from there.
    pub fn vouched(&self, user: &str, peer: Peer) -> Result<Login, AuthError> {
        self.current.load().vouched(user, peer)
    }

    /// Whether the user has any permission in the virtual host.
    pub fn may_enter(&self, user: &str, vhost: &str) -> bool {
        self.current.load().may_enter(user, vhost)
    }

    /// The one authorisation: whether the user may do this.
    ///
    /// # Errors
    /// The first permission that is missing, in RabbitMQ's words.
    pub fn check(&self, user: &str, vhost: &str, action: Action<'_>) -> Result<(), Denied> {
        self.current.load().check(user, vhost, action)
    }

    /// How much the user may have at once.
    pub fn limits(&self, user: &str) -> UserLimits {
        self.current.load().limits(user)
    }

    /// One cell of the table, for those who cannot name an [`Action`].
    pub fn allows(&self, user: &str, vhost: &str, operation: Operation, target: Target<'_>) -> bool {
        self.current.load().allows(user, vhost, operation, target)
    }
}

fn read<D: Disk>(catalog: &Catalog<D>, warnings: &mut Vec<String>) -> Directory {
    let mut directory = Directory::default();
    for user in entries::<D, User>(catalog, USER, warnings) {
        directory.put_user(user);
    }
    for limits in entries::<D, UserLimits>(catalog, USER_LIMITS, warnings) {
        let user = limits.user.clone();
        if !directory.put_limits(limits) {
            warnings.push(format!("user '{user}' is missing in the catalog, but has limits"));
        }
    }
    for permission in entries::<D, TopicPermission>(catalog, TOPIC_PERMISSION, warnings) {
        let known = Compiled::new(&permission).is_ok_and(|topic| directory.put_topic_permission(topic));
        if !known {
            warnings.push(format!(
                "a topic permission of user '{}' fits no user, or its pattern cannot be used",
                permission.user
            ));
        }
    }
    for permission in entries::<D, Permission>(catalog, PERMISSION, warnings) {
        let (user, vhost) = (permission.user.clone(), permission.vhost.clone());
        if !directory.put_permission(permission) {
            warnings.push(format!(
                "user '{user}' is missing in the catalog, but has permissions in '{vhost}'"
            ));
        }
    }
    directory
}

fn entries<D: Disk, T: DeserializeOwned>(
    catalog: &Catalog<D>,
    kind: u8,
    warnings: &mut Vec<String>,
) -> Vec<T> {
    let mut found = Vec::new();
    for (key, value) in catalog.with_prefix(&[kind]) {
        match Catalog::<D>::decode(value) {
            Ok(entry) => found.push(entry),
            Err(cause) => {
                let key = String::from_utf8_lossy(key);
                warnings.push(format!(
                    "catalog entry {key:?} cannot be read and is left alone: {cause}"
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use logpond_store::catalog::CatalogOptions;
    use logpond_store::disk::sim::SimDisk;

    use super::*;

    fn catalog(disk: &SimDisk) -> Catalog<SimDisk> {
        Catalog::open(disk.clone(), 7, CatalogOptions::default())
            .unwrap()
            .0
    }

    fn first<'a>() -> FirstUser<'a> {
        FirstUser {
            name: "root",
            password: b"pw",
            vhost: "main",
            salt: [1, 2, 3, 4],
        }
    }

    #[test]
    fn users_and_permissions_are_read_back_from_the_catalog() {
        let disk = SimDisk::new(1);
        let mut warnings = Vec::new();
        let accounts = Accounts::open(&mut catalog(&disk), Some(&first()), &mut warnings).unwrap();
        let again = Accounts::open(&mut catalog(&disk), None, &mut warnings).unwrap();
        assert_eq!(again.directory().user("root"), accounts.directory().user("root"));
        assert!(again.authenticate("root", b"pw", Peer::Remote).is_ok());
        assert_eq!(again.check("root", "main", Action::Publish(b"x")), Ok(()));
        assert_eq!(warnings, [""; 0]);
    }

    #[test]
    fn what_a_draft_removes_is_gone_from_the_catalog() {
        let disk = SimDisk::new(1);
        let mut warnings = Vec::new();
        let mut written = catalog(&disk);
        let accounts = Accounts::open(&mut written, Some(&first()), &mut warnings).unwrap();
        let before = accounts.version();
        let mut draft = accounts.draft();
        draft.delete_user("root");
        let (directory, changes) = draft.into_parts();
        written.commit(changes).unwrap();
        assert!(
            accounts.may_enter("root", "main"),
            "nothing counts before it is published"
        );
        accounts.publish(directory);
        assert!(accounts.version() > before);
        assert!(!accounts.may_enter("root", "main"));
        let again = Accounts::open(&mut written, None, &mut warnings).unwrap();
        assert_eq!(again.directory().users().count(), 0);
        assert_eq!(warnings, [""; 0]);
    }

    #[test]
    fn entries_that_mean_nothing_are_reported_and_left_alone() {
        let disk = SimDisk::new(1);
        let mut warnings = Vec::new();
        let mut written = catalog(&disk);
        written.put(b"ubroken", &1_u8).unwrap();
        let orphan = Permission::everything("nobody", "/");
        written.put(b"porphan", &orphan).unwrap();
        Accounts::open(&mut written, None, &mut warnings).unwrap();
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].contains("ubroken"), "{warnings:?}");
        assert!(warnings[1].contains("'nobody' is missing"), "{warnings:?}");
        assert!(written.get(b"ubroken").is_some());
    }
}
