//! Who is here: connections of each virtual host and user, channels of each user, and the limits that they meet.
//!
//! Invariants:
//! - What an [`Admission`] counted is taken back when it is dropped, whatever became of its session.
//! - A limit is checked and counted under one lock, so two who come at once do not both get the last place.
//!
//! Elsewhere: where the limits are kept (`auth` for users, `topology` for virtual hosts).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many there are.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    connections: u64,
    channels: u64,
}

#[derive(Debug, Default)]
struct Counts {
    vhosts: HashMap<Arc<str>, u64>,
    users: HashMap<Arc<str>, Tally>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Census {
    counts: Mutex<Counts>,
}

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// Of the virtual host's connections.
    Vhost(u64),
    /// Of the user's connections.
    User(u64),
}

/// The limits of connections that somebody meets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConnectionLimits {
    pub of_vhost: Option<u64>,
    pub of_user: Option<u64>,
}

impl Census {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection, unless a limit is reached.
    pub(crate) fn admit(
        self: &Arc<Self>,
        vhost: &Arc<str>,
        user: &Arc<str>,
        limits: ConnectionLimits,
    ) -> Result<Admission, Full> {
        let mut counts = self.counts();
        let of_vhost = counts.vhosts.get(vhost).copied().unwrap_or_default();
        if let Some(limit) = limits.of_vhost.filter(|limit| of_vhost >= *limit) {
            return Err(Full::Vhost(limit));
        }
        let of_user = counts.users.get(user).copied().unwrap_or_default().connections;
        if let Some(limit) = limits.of_user.filter(|limit| of_user >= *limit) {
            return Err(Full::User(limit));
        }
        *counts.vhosts.entry(Arc::clone(vhost)).or_default() += 1;
        counts.users.entry(Arc::clone(user)).or_default().connections += 1;
        Ok(Admission {
            census: Arc::clone(self),
            vhost: Arc::clone(vhost),
            user: Arc::clone(user),
            channels: 0,
        })
    }
}

/// A counted connection and its channels.
#[derive(Debug)]
pub(crate) struct Admission {
    census: Arc<Census>,
    vhost: Arc<str>,
    user: Arc<str>,
    channels: u64,
}

impl Admission {
    /// Counts a channel, unless its user has as many as the limit.
    pub(crate) fn open_channel(&mut self, limit: Option<u64>) -> Result<(), u64> {
        let mut counts = self.census.counts();
        let tally = counts.users.entry(Arc::clone(&self.user)).or_default();
        if let Some(limit) = limit.filter(|limit| tally.channels >= *limit) {
            return Err(limit);
        }
        tally.channels += 1;
        self.channels += 1;
        Ok(())
    }

    /// Takes a channel back.
    pub(crate) fn close_channel(&mut self) {
        let mut counts = self.census.counts();
        if let Some(tally) = counts.users.get_mut(&self.user) {
            tally.channels -= 1;
        }
        self.channels -= 1;
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut counts = self.census.counts();
        if let Some(connections) = counts.vhosts.get_mut(&self.vhost) {
            *connections -= 1;
            if *connections == 0 {
                counts.vhosts.remove(&self.vhost);
            }
        }
        if let Some(tally) = counts.users.get_mut(&self.user) {
            tally.connections -= 1;
            tally.channels -= self.channels;
            if tally.connections == 0 {
                counts.users.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(of_vhost: u64, of_user: u64) -> ConnectionLimits {
        ConnectionLimits {
            of_vhost: Some(of_vhost),
            of_user: Some(of_user),
        }
    }

    #[test]
    fn a_place_is_free_again_when_its_holder_went() {
        let census = Arc::new(Census::default());
        let (vhost, user): (Arc<str>, Arc<str>) = ("v".into(), "u".into());
        let admit = |limits| census.admit(&vhost, &user, limits);
        let first = admit(limits(1, 1)).unwrap();
        assert_eq!(admit(limits(1, 9)).unwrap_err(), Full::Vhost(1));
        assert_eq!(admit(limits(9, 1)).unwrap_err(), Full::User(1));
        drop(first);
        admit(limits(1, 1)).unwrap();
        assert!(census.counts().users.is_empty() && census.counts().vhosts.is_empty());
        assert_eq!(admit(limits(0, 1)).unwrap_err(), Full::Vhost(0));
    }

    #[test]
    fn channels_of_all_connections_of_a_user_count() {
        let census = Arc::new(Census::default());
        let user: Arc<str> = "u".into();
        let mut a = census
            .admit(&"v".into(), &user, ConnectionLimits::default())
            .unwrap();
        let mut b = census
            .admit(&"w".into(), &user, ConnectionLimits::default())
            .unwrap();
        a.open_channel(Some(2)).unwrap();
        b.open_channel(Some(2)).unwrap();
        assert_eq!(b.open_channel(Some(2)), Err(2));
        a.close_channel();
        b.open_channel(Some(2)).unwrap();
        drop(b);
        a.open_channel(Some(1)).unwrap();
    }
}
