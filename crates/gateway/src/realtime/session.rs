//! Who is connected to this gateway, and as whom.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use contracts::ids::UserId;
use socketio::Socket;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::extract::Caller;

/// The server's room that every socket of a user is in. No client can name it.
pub fn room_of(user: UserId) -> String {
    format!("user:{user}")
}

/// What is known of a connected client; the socket's extension, so that it never holds the socket.
pub struct Session {
    caller: RwLock<Caller>,
    /// Cancelled when the client is gone: ends what was going on for it.
    pub left: CancellationToken,
    /// Told when the client has shown a newer token.
    pub renewed: Notify,
    /// Held while a message of the client is stored: what it says is stored in the order in which it says it.
    pub saying: tokio::sync::Mutex<()>,
    /// The client was told that its token is about to expire.
    reminded: AtomicBool,
    /// The client was told that its token no longer counts.
    ended: AtomicBool,
}

impl Session {
    /// A client that has shown who it is.
    pub fn new(caller: Caller) -> Self {
        Self {
            caller: RwLock::new(caller),
            left: CancellationToken::new(),
            renewed: Notify::new(),
            saying: tokio::sync::Mutex::default(),
            reminded: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    /// Who it is, with the newest token it has shown.
    pub fn caller(&self) -> Caller {
        self.caller.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It has shown a newer token of the same user.
    pub fn renew(&self, caller: Caller) {
        *self.caller.write().unwrap_or_else(PoisonError::into_inner) = caller;
        self.reminded.store(false, Ordering::Relaxed);
        self.renewed.notify_one();
    }

    /// Whether this is the first reminder since the client has shown its token.
    pub fn is_first_reminder(&self) -> bool {
        !self.reminded.swap(true, Ordering::Relaxed)
    }

    /// Whether nobody has told the client yet that its token no longer counts.
    pub fn is_first_end(&self) -> bool {
        !self.ended.swap(true, Ordering::Relaxed)
    }

    /// The session of a socket that was let in.
    pub fn of(socket: &Socket) -> Option<Arc<Self>> {
        socket.extension()
    }
}

/// A connected client.
#[derive(Clone)]
pub struct Connected {
    /// Its socket.
    pub socket: Socket,
    /// What is known of it.
    pub session: Arc<Session>,
}

/// All who are connected to this gateway, by user.
#[derive(Default)]
pub struct Sessions {
    users: Mutex<HashMap<UserId, Vec<Connected>>>,
}

impl Sessions {
    fn users(&self) -> MutexGuard<'_, HashMap<UserId, Vec<Connected>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client has connected.
    pub fn add(&self, socket: &Socket, session: &Arc<Session>) {
        let connected = Connected { socket: socket.clone(), session: Arc::clone(session) };
        self.users().entry(session.caller().id()).or_default().push(connected);
    }

    /// A client is gone; nothing if it is not there.
    pub fn remove(&self, socket: &Socket, user: UserId) {
        let mut users = self.users();
        if let Some(all) = users.get_mut(&user) {
            all.retain(|connected| connected.socket != *socket);
            if all.is_empty() {
                users.remove(&user);
            }
        }
    }

    /// The clients of a user.
    pub fn of(&self, user: UserId) -> Vec<Connected> {
        self.users().get(&user).cloned().unwrap_or_default()
    }

    /// Everybody.
    pub fn all(&self) -> Vec<Connected> {
        self.users().values().flatten().cloned().collect()
    }

    /// Users who are connected here.
    pub fn user_ids(&self) -> Vec<UserId> {
        self.users().keys().copied().collect()
    }
}
