//! What admins do to others.

use std::time::Duration;

use contracts::Reason;
use contracts::grpc::users as proto;

use crate::helpers::{PASSWORD, Souk, answer, as_user, fields, reason, user_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_ends_every_session_at_once_and_keeps_the_user_out_until_lifted() {
    let mut souk = Souk::start().await;
    let admin = souk.admin().await;
    let sessions =
        [souk.register("ada@example.org", "Ada").await, souk.login("ada@example.org", PASSWORD).await.unwrap()];
    let id = user_of(&sessions[0]).id.clone();
    let banned = souk.ban(&admin.access_token, &id, " chargeback fraud ").await.unwrap();
    assert_eq!((banned.ban_reason.as_deref(), banned.version), (Some("chargeback fraud"), 2));
    for session in &sessions {
        assert!(!souk.passes(&session.access_token).await);
        assert_eq!(reason(souk.refresh(&session.refresh_token).await), Reason::InvalidRefreshToken);
    }
    assert!(souk.passes(&admin.access_token).await);
    let refused = souk.login("ada@example.org", PASSWORD).await.unwrap_err();
    assert_eq!(refused.reason, Reason::AccountBanned);
    assert!(refused.detail.contains("chargeback fraud"), "{}", refused.detail);
    assert_eq!(reason(souk.login("ada@example.org", "wrong horse").await), Reason::InvalidCredentials);
    assert_eq!(souk.ban(&admin.access_token, &id, "chargeback fraud").await.unwrap(), banned, "no change");

    let unban = proto::UnbanUserRequest { user_id: id.clone() };
    let unbanned = answer(souk.client().unban_user(as_user(&admin, unban.clone())).await).unwrap();
    assert_eq!((unbanned.ban_reason.as_ref(), unbanned.version), (None, 3));
    assert_eq!(answer(souk.client().unban_user(as_user(&admin, unban)).await).unwrap(), unbanned, "no change");
    assert_eq!(reason(souk.refresh(&sessions[0].refresh_token).await), Reason::InvalidRefreshToken);
    let back = souk.login("ada@example.org", PASSWORD).await.unwrap();
    assert!(souk.passes(&back.access_token).await, "the revocation does not reach tokens issued after it");

    souk.expect_event("user.registered").await;
    souk.expect_event("user.registered").await;
    let (event, data) = souk.expect_event("user.banned").await;
    assert_eq!((event.subject.as_str(), event.aggregateversion), (id.as_str(), 2));
    assert_eq!(data.ban_reason.as_deref(), Some("chargeback fraud"));
    assert!(data.revoked_before.unwrap().unix_ms() > souk.now_ms() && data.session_id.is_none());
    let (event, data) = souk.expect_event("user.unbanned").await;
    assert_eq!((event.aggregateversion, data.ban_reason, data.revoked_before), (3, None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_roles_void_the_old_access_tokens_and_come_with_the_next_refresh() {
    let mut souk = Souk::start().await;
    let admin = souk.admin().await;
    let session = souk.register("ada@example.org", "Ada").await;
    let id = user_of(&session).id.clone();
    let promoted = souk.set_roles(&admin.access_token, &id, &["admin", "customer"]).await.unwrap();
    assert_eq!(
        (promoted.roles.as_slice(), promoted.version),
        (["customer".to_owned(), "admin".to_owned()].as_slice(), 2)
    );
    assert!(!souk.passes(&session.access_token).await, "issued in the same millisecond, with the old roles");
    let refreshed = souk.refresh(&session.refresh_token).await.unwrap();
    assert!(souk.passes(&refreshed.access_token).await, "issued in the same millisecond, with the new roles");
    assert!(souk.list(&refreshed.access_token, "", 0, "").await.is_ok());

    let demoted = souk.set_roles(&admin.access_token, &id, &["support"]).await.unwrap();
    assert_eq!(demoted.roles, ["support"]);
    assert!(!souk.passes(&refreshed.access_token).await);
    assert_eq!(souk.set_roles(&admin.access_token, &id, &["support"]).await.unwrap(), demoted, "no change");
    let support = souk.refresh(&refreshed.refresh_token).await.unwrap();
    assert_eq!(reason(souk.list(&support.access_token, "", 0, "").await), Reason::NotAllowed);
    souk.logout(&support.refresh_token).await.unwrap();
    assert!(!souk.passes(&support.access_token).await, "still the same millisecond");

    souk.expect_event("user.registered").await;
    souk.expect_event("user.registered").await;
    let (event, data) = souk.expect_event("user.roles_changed").await;
    assert_eq!((event.aggregateversion, data.roles.len()), (2, 2));
    assert!(data.revoked_before.is_some() && data.session_id.is_none());
    assert_eq!(souk.expect_event("user.roles_changed").await.0.aggregateversion, 3);
    assert_eq!(souk.expect_event("user.sessions_revoked").await.0.aggregateversion, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admins_can_neither_ban_themselves_nor_take_their_own_key() {
    let souk = Souk::start().await;
    let admin = souk.admin().await;
    let (token, id) = (&admin.access_token, &user_of(&admin).id);
    assert_eq!(reason(souk.ban(token, id, "tired").await), Reason::NotAllowed);
    assert_eq!(reason(souk.set_roles(token, id, &["customer"]).await), Reason::NotAllowed);
    assert_eq!(souk.set_roles(token, id, &["admin", "support"]).await.unwrap().roles, ["support", "admin"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_an_admin_administrates() {
    let souk = Souk::start().await;
    souk.seed("support@souk.test", &["customer", "support"]).await;
    let support = souk.login("support@souk.test", PASSWORD).await.unwrap();
    let ada = souk.register("ada@example.org", "Ada").await;
    let user_id = user_of(&ada).id.clone();
    let ban = proto::BanUserRequest { user_id: user_id.clone(), reason: "x".into() };
    let unban = proto::UnbanUserRequest { user_id: user_id.clone() };
    let roles = proto::SetRolesRequest { user_id, roles: vec!["admin".into()] };
    let list = proto::ListUsersRequest::default();
    for session in [&support, &ada] {
        let mut client = souk.client();
        assert_eq!(reason(answer(client.ban_user(as_user(session, ban.clone())).await)), Reason::NotAllowed);
        assert_eq!(reason(answer(client.unban_user(as_user(session, unban.clone())).await)), Reason::NotAllowed);
        assert_eq!(reason(answer(client.set_roles(as_user(session, roles.clone())).await)), Reason::NotAllowed);
        assert_eq!(reason(answer(client.list_users(as_user(session, list.clone())).await)), Reason::NotAllowed);
    }
    let mut service = souk.service("gateway");
    assert_eq!(reason(answer(service.ban_user(ban.clone()).await)), Reason::NotAllowed);
    assert_eq!(reason(answer(service.set_roles(roles.clone()).await)), Reason::NotAllowed);
    let mut nobody = souk.client();
    assert_eq!(reason(answer(nobody.ban_user(ban).await)), Reason::AuthenticationRequired);
    assert_eq!(reason(answer(nobody.unban_user(unban).await)), Reason::AuthenticationRequired);
    assert_eq!(reason(answer(nobody.set_roles(roles).await)), Reason::AuthenticationRequired);
    assert_eq!(reason(answer(nobody.list_users(list).await)), Reason::AuthenticationRequired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_admin_sends_is_checked_and_the_user_must_exist() {
    let souk = Souk::start().await;
    let admin = souk.admin().await;
    let (token, nobody) = (&admin.access_token, "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b");
    assert_eq!(fields(souk.ban(token, nobody, " ").await), ["/reason"]);
    assert_eq!(fields(souk.ban(token, "me", "x").await), ["id"]);
    assert_eq!(fields(souk.set_roles(token, nobody, &[]).await), ["/roles"]);
    assert_eq!(fields(souk.set_roles(token, nobody, &["customer", "root"]).await), ["/roles/1"]);
    assert_eq!(reason(souk.ban(token, nobody, "x").await), Reason::UserNotFound);
    assert_eq!(reason(souk.set_roles(token, nobody, &["admin"]).await), Reason::UserNotFound);
    let unban = proto::UnbanUserRequest { user_id: nobody.into() };
    let unbanned = answer(souk.client().unban_user(as_user(&admin, unban)).await);
    assert_eq!(reason(unbanned), Reason::UserNotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_listed_page_by_page_in_order_of_registration() {
    let souk = Souk::start().await;
    let admin = souk.admin().await;
    let token = &admin.access_token;
    for (email, name) in [("zoe@example.org", "Zoë Ångström"), ("ada@example.org", "Ada"), ("bob@example.org", "Bob")]
    {
        souk.clock.advance(Duration::from_secs(1));
        souk.register(email, name).await;
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = souk.list(token, "", 2, &cursor).await.unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.into_iter().map(|user| user.email));
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["admin@souk.test", "zoe@example.org", "ada@example.org", "bob@example.org"]);

    let found = souk.list(token, "zoë åNG", 0, "").await.unwrap();
    assert_eq!(found.items.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["Zoë Ångström"]);
    assert_eq!(souk.list(token, "EXAMPLE.org", 0, "").await.unwrap().items.len(), 3);
    assert!(souk.list(token, "%", 0, "").await.unwrap().items.is_empty());
    assert_eq!(fields(souk.list(token, "\0", 101, "?").await), ["search", "cursor", "limit"]);
}
