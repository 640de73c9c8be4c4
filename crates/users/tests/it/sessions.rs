//! Refreshing and logging out.

use std::time::Duration;

use contracts::{Reason, Timestamp};

use crate::helpers::{PASSWORD, Souk, fields, reason, user_of};

const DAY: Duration = Duration::from_hours(24);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_works_once_and_its_successor_after_it() {
    let souk = Souk::start().await;
    let first = souk.register("ada@example.org", "Ada").await;
    souk.clock.advance(Duration::from_mins(20));
    let second = souk.refresh(&first.refresh_token).await.unwrap();
    assert_ne!(second.refresh_token, first.refresh_token);
    assert_eq!(user_of(&second), user_of(&first));
    let (before, after) = (souk.verify(&first.access_token).await, souk.verify(&second.access_token).await.unwrap());
    assert_eq!(reason(before), Reason::InvalidToken, "twenty minutes are more than an access token lives");
    assert_eq!(after.issued_at.unix_ms(), souk.now_ms());
    souk.refresh(&second.refresh_token).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_used_twice_ends_its_session_and_no_other() {
    let mut souk = Souk::start().await;
    let first = souk.register("ada@example.org", "Ada").await;
    let other = souk.login("ada@example.org", PASSWORD).await.unwrap();
    let second = souk.refresh(&first.refresh_token).await.unwrap();
    let session = souk.verify(&second.access_token).await.unwrap();

    assert_eq!(reason(souk.refresh(&first.refresh_token).await), Reason::InvalidRefreshToken);
    assert_eq!(reason(souk.refresh(&second.refresh_token).await), Reason::InvalidRefreshToken);
    assert!(!souk.passes(&first.access_token).await && !souk.passes(&second.access_token).await);
    assert!(souk.passes(&other.access_token).await);
    souk.refresh(&other.refresh_token).await.unwrap();

    souk.expect_event("user.registered").await;
    let (event, data) = souk.expect_event("user.sessions_revoked").await;
    assert_eq!(data.session_id, Some(session.session_id));
    assert!(data.revoked_before.unwrap() > session.issued_at, "tokens of the same millisecond are void, too");
    assert_eq!(event.aggregateversion, 2, "the event is newer than the one before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_present_one_token_at_the_same_time_at_most_one_gets_a_session() {
    let souk = Souk::start().await;
    let first = souk.register("ada@example.org", "Ada").await;
    let token = &first.refresh_token;
    let (a, b, c) = tokio::join!(souk.refresh(token), souk.refresh(token), souk.refresh(token));
    let winners: Vec<_> = [a, b, c].into_iter().filter_map(Result::ok).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(reason(souk.refresh(&winners[0].refresh_token).await), Reason::InvalidRefreshToken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_thirty_days_after_the_log_in_however_often_it_was_refreshed() {
    let souk = Souk::start().await;
    let mut session = souk.register("ada@example.org", "Ada").await;
    for _ in 0..2 {
        souk.clock.advance(DAY * 14);
        session = souk.refresh(&session.refresh_token).await.unwrap();
    }
    souk.clock.advance(DAY * 2);
    assert_eq!(reason(souk.refresh(&session.refresh_token).await), Reason::InvalidRefreshToken);
    assert!(souk.revocations().await.is_empty(), "nothing was stolen: nothing is revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logging_out_ends_the_session_with_its_access_tokens_and_succeeds_again() {
    let mut souk = Souk::start().await;
    let session = souk.register("ada@example.org", "Ada").await;
    let other = souk.login("ada@example.org", PASSWORD).await.unwrap();
    souk.clock.advance(Duration::from_secs(5));
    for _ in 0..2 {
        souk.logout(&session.refresh_token).await.unwrap();
    }
    assert!(!souk.passes(&session.access_token).await);
    assert!(souk.passes(&other.access_token).await);
    assert_eq!(reason(souk.refresh(&session.refresh_token).await), Reason::InvalidRefreshToken);

    let id = souk.verify(&session.access_token).await.unwrap().session_id;
    let revocations = souk.revocations().await;
    assert_eq!(revocations.len(), 1, "the second log-out revokes nothing");
    assert_eq!(revocations[0].session_id, Some(id.to_string()));
    souk.expect_event("user.registered").await;
    let (_, data) = souk.expect_event("user.sessions_revoked").await;
    assert_eq!(data.session_id, Some(id));
    assert_eq!(data.revoked_before, Some(Timestamp::from_unix_ms(revocations[0].not_before_unix_ms)));
    souk.register("eve@example.org", "Eve").await;
    souk.expect_event("user.registered").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_was_used_logs_its_session_out() {
    let souk = Souk::start().await;
    let first = souk.register("ada@example.org", "Ada").await;
    let second = souk.refresh(&first.refresh_token).await.unwrap();
    souk.logout(&first.refresh_token).await.unwrap();
    assert_eq!(reason(souk.refresh(&second.refresh_token).await), Reason::InvalidRefreshToken);
}

#[tokio::test]
async fn tokens_that_nobody_issued_are_refused_and_log_nobody_out() {
    let souk = Souk::start().await;
    assert_eq!(reason(souk.refresh("made-up").await), Reason::InvalidRefreshToken);
    souk.logout("made-up").await.unwrap();
    for bad in ["", "a b", &"x".repeat(513)] {
        assert_eq!(fields(souk.refresh(bad).await), ["/refresh_token"], "{bad:?}");
        assert_eq!(fields(souk.logout(bad).await), ["/refresh_token"], "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocations_are_told_to_services_until_the_tokens_have_expired() {
    let souk = Souk::start().await;
    let session = souk.register("ada@example.org", "Ada").await;
    souk.logout(&session.refresh_token).await.unwrap();
    souk.clock.advance(Duration::from_mins(16));
    assert_eq!(souk.revocations().await.len(), 1);
    souk.clock.advance(Duration::from_millis(1));
    assert!(souk.revocations().await.is_empty());
    let request = contracts::grpc::users::ListRevocationsRequest {};
    let anonymous = crate::helpers::answer(souk.client().list_revocations(request).await);
    assert_eq!(reason(anonymous), Reason::AuthenticationRequired);
    let again = souk.login("ada@example.org", PASSWORD).await.unwrap();
    let by_user = souk.client().list_revocations(crate::helpers::as_user(&again, request)).await;
    assert_eq!(reason(crate::helpers::answer(by_user)), Reason::NotAllowed);
}
