//! What every adapter of the stores must do alike although the engines differ underneath: moments, letters, pages.

use std::collections::HashSet;
use std::time::Duration;

use contracts::Timestamp;
use users::application::effects::{Effects, EndedSessions};
use users::application::ports::{RepositoryError, UserPosition, UserQuery};
use users::domain::user::NewUser;
use users::domain::{Revocation, SigningKey, User};

use crate::contract::{Stores, a_registration, new_user, user_made_at};
use crate::helpers::START;

macro_rules! every_difference {
    ($($header:tt)*) => {
        store_contract! { $($header)*;
            moments_come_back_to_the_millisecond
            two_spellings_of_an_address_are_one_account
            pages_neither_skip_nor_repeat_while_accounts_are_added
        }
    };
}

every_difference!(memory, std::future::ready(crate::memory::stores()), cfg(test));
every_difference!(sqlite, std::future::ready(crate::contract::sqlite_in_tempdir()), cfg(test));
#[cfg(feature = "mongodb")]
every_difference!(mongo, crate::mongo_store::stores(), ignore = "needs SOUK_TEST_MONGODB_URL");

async fn moments_come_back_to_the_millisecond(stores: Stores) {
    // Finer than any store keeps; what is cut is cut before it is stored, the same way everywhere.
    let fine = Timestamp::parse("2100-01-01T00:00:00.123999Z").unwrap();
    assert_eq!(fine.unix_ms(), 4_102_444_800_123);
    let last = fine.plus(Duration::from_millis(1));
    for (name, moment) in
        [("fine", fine), ("zero", Timestamp::from_unix_ms(0)), ("before", Timestamp::from_unix_ms(-1))]
    {
        let user = user_made_at(name, moment);
        stores.users.add(user.clone(), None, a_registration(&user)).await.unwrap();
        assert_eq!(stores.users.find(user.id()).await.unwrap(), Some(user), "{moment}");
    }
    let user = user_made_at("ada", fine);
    stores.users.add(user.clone(), None, a_registration(&user)).await.unwrap();
    let told = Revocation { user_id: user.id(), session_id: None, not_before: fine, expires_at: last };
    let revocation = told.clone();
    let change = move |user: &mut User| {
        assert!(user.set_roles(users::domain::Roles::new([contracts::Role::Support]).unwrap(), fine));
        Effects::none().voiding(revocation.clone()).ending(EndedSessions::All(fine))
    };
    stores.users.change(user.id(), Box::new(change)).await.unwrap();
    assert_eq!(stores.sessions.list_revocations(fine).await.unwrap(), [told], "it holds until its last millisecond");
    assert_eq!(stores.sessions.list_revocations(last).await.unwrap(), []);
    let key = |kid: &str, created_at| SigningKey { kid: kid.to_owned(), pkcs8: vec![1], created_at, retired_at: None };
    stores.keys.succeed(key("first", fine), None).await.unwrap();
    stores.keys.succeed(key("second", last), Some("first".to_owned())).await.unwrap();
    let mut keys = stores.keys.list().await.unwrap();
    keys.sort_by_key(|key| key.created_at);
    assert_eq!(keys, [SigningKey { retired_at: Some(last), ..key("first", fine) }, key("second", last)]);
}

async fn two_spellings_of_an_address_are_one_account(stores: Stores) {
    let spelled = |email: &str| User::register(NewUser { email: email.parse().unwrap(), ..new_user("ada") }, START);
    let ada = spelled("Ada.Lovelace@Example.ORG");
    stores.users.add(ada.clone(), None, a_registration(&ada)).await.unwrap();
    for spelling in ["ADA.LOVELACE@EXAMPLE.ORG", "ada.lovelace@example.org", " Ada.Lovelace@example.org "] {
        let again = spelled(spelling);
        let refused = stores.users.add(again.clone(), None, a_registration(&again)).await;
        assert!(matches!(refused, Err(RepositoryError::Conflict)), "{spelling}: {refused:?}");
        assert_eq!(stores.users.find_by_email(&spelling.parse().unwrap()).await.unwrap(), Some(ada.clone()));
    }
    // What an engine's rules for languages may take for the same is not: dots, dashes and underlines count.
    for other in ["adalovelace@example.org", "ada-lovelace@example.org", "ada_lovelace@example.org"] {
        let other = spelled(other);
        stores.users.add(other.clone(), None, a_registration(&other)).await.unwrap();
        assert_eq!(stores.users.find_by_email(other.email()).await.unwrap(), Some(other));
    }
    assert_eq!((stores.events)().await.len(), 4);
}

async fn pages_neither_skip_nor_repeat_while_accounts_are_added(stores: Stores) {
    let add = async |n: u32, made_at: Timestamp| {
        let user = user_made_at(&format!("user{n}"), made_at);
        stores.users.add(user.clone(), None, a_registration(&user)).await.unwrap();
        (user.created_at(), user.id())
    };
    let later = |seconds| START.plus(Duration::from_secs(seconds));
    let mut expected = Vec::new();
    for n in 0..6 {
        expected.push(add(n, later(100 + u64::from(n))).await);
    }
    let (mut seen, mut after) = (Vec::new(), None);
    for page in 0..8_u32 {
        let found = stores.users.list(UserQuery { search: String::new(), after, limit: 2 }).await.unwrap();
        let Some(last) = found.last() else { break };
        after = Some(UserPosition { created_at: last.created_at(), id: last.id() });
        seen.extend(found.iter().map(|user| (user.created_at(), user.id())));
        if page < 2 {
            // By a replica whose clock is behind: before what was seen, which must not move. And a new one, for the end.
            add(10 + page, later(u64::from(page))).await;
            expected.push(add(20 + page, later(200 + u64::from(page))).await);
        }
    }
    assert_eq!(seen, expected);
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len());
}
