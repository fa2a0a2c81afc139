//! How many requests of one user, with however many keys, may be under way that change something: from the token that is found to be
//! good to the outcome, also when the client has gone. Each of them has a connection's place, a file and some memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ChangeError;
use crate::keys::User;

/// The most requests of one user. Cargo sends one after the other.
pub(super) const AT_ONCE: usize = 16;

/// How many requests of whom are under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rooms(Arc<Mutex<HashMap<User, usize>>>);

/// Leave for one request, as long as it is held.
#[derive(Debug)]
pub(crate) struct Room {
    user: User,
    rooms: Rooms,
}

impl Rooms {
    /// Returns at once.
    ///
    /// # Errors
    /// [`ChangeError::AtOnce`].
    pub(crate) fn enter(&self, user: User) -> Result<Room, ChangeError> {
        let mut under_way = self.list();
        let of_user = under_way.entry(user.clone()).or_default();
        if *of_user == AT_ONCE {
            return Err(ChangeError::AtOnce(user));
        }
        *of_user += 1;
        Ok(Room { user, rooms: self.clone() })
    }

    fn list(&self) -> MutexGuard<'_, HashMap<User, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Whose request it is.
    pub(crate) fn user(&self) -> &User {
        &self.user
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut under_way = self.rooms.list();
        if let Some(of_user) = under_way.get_mut(&self.user) {
            *of_user -= 1;
            if *of_user == 0 {
                under_way.remove(&self.user);
            }
        }
    }
}
