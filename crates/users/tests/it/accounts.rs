//! Registering, logging in, and one's own account.

use std::time::Duration;

use contracts::Reason;
use contracts::grpc::users as proto;
use service_kit::auth::ACCESS_TOKEN_TTL;

use crate::helpers::{PASSWORD, Souk, answer, as_user, fields, reason, user_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_registers_is_signed_in_as_a_customer_and_others_hear_of_it() {
    let mut souk = Souk::start().await;
    let session = souk.register(" Ada@Example.org ", "Ada").await;
    let user = user_of(&session).clone();
    assert_eq!((user.email.as_str(), user.name.as_str(), user.version), ("ada@example.org", "Ada", 1));
    assert_eq!((user.roles.as_slice(), user.ban_reason.as_ref()), (["customer".to_owned()].as_slice(), None));
    assert_eq!(user.created_at_unix_ms, souk.now_ms());
    assert_eq!(session.expires_in_seconds, ACCESS_TOKEN_TTL.as_secs());
    let token = souk.verify(&session.access_token).await.unwrap();
    assert_eq!(token.user_id.to_string(), user.id);
    assert_eq!(souk.get_user(&session.access_token, &user.id).await.unwrap(), user);
    souk.refresh(&session.refresh_token).await.unwrap();

    let (event, data) = souk.expect_event("user.registered").await;
    assert_eq!((event.subject.as_str(), event.aggregateversion), (user.id.as_str(), 1));
    assert_eq!(event.source, "/souk/users");
    assert!(event.requestid.is_some() && event.traceparent.is_some());
    assert_eq!(
        (data.user_id.to_string(), data.roles.as_slice()),
        (user.id.clone(), ["customer".to_owned()].as_slice())
    );
    assert_eq!((data.revoked_before, data.session_id), (None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_register_one_address_at_the_same_time_one_is_told_that_it_is_taken() {
    let souk = Souk::start().await;
    let (a, b) = tokio::join!(souk.try_register("ada@example.org", "A"), souk.try_register("ADA@example.org", "B"));
    let refused: Vec<_> = [answer(a), answer(b)].into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].reason, refused[0].fields[0].field.as_str()), (Reason::EmailTaken, "/email"));
}

#[tokio::test]
async fn everything_wrong_with_a_registration_is_named_as_the_body_names_it() {
    let souk = Souk::start().await;
    let request = proto::RegisterRequest { email: "ada".into(), password: "short".into(), name: "\0".into() };
    assert_eq!(fields(answer(souk.client().register(request).await)), ["/email", "/password", "/name"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_password_alone_signs_in_and_what_was_wrong_is_not_told() {
    let souk = Souk::start().await;
    let registered = souk.register("ada@example.org", "Ada").await;
    let session = souk.login("ADA@example.org ", PASSWORD).await.unwrap();
    assert_eq!(session.user, registered.user);
    let (first, second) =
        (souk.verify(&registered.access_token).await.unwrap(), souk.verify(&session.access_token).await.unwrap());
    assert_ne!(first.session_id, second.session_id);

    let wrong_password = souk.login("ada@example.org", "wrong horse").await.unwrap_err();
    let wrong_email = souk.login("eda@example.org", PASSWORD).await.unwrap_err();
    assert_eq!(wrong_password.reason, Reason::InvalidCredentials);
    assert_eq!(wrong_password, wrong_email);
    assert_eq!(reason(souk.login("ada@example.org", "x").await), Reason::InvalidCredentials);
    assert_eq!(fields(souk.login("ada", "").await), ["/email", "/password"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_ten_failures_not_even_the_right_password_is_heard_until_the_window_slides_on() {
    let souk = Souk::start().await;
    souk.register("ada@example.org", "Ada").await;
    for _ in 0..10 {
        assert_eq!(reason(souk.login("ada@example.org", "wrong horse").await), Reason::InvalidCredentials);
    }
    souk.clock.advance(Duration::from_mins(5));
    let refused = souk.login("Ada@Example.org", PASSWORD).await.unwrap_err();
    assert_eq!((refused.reason, refused.retry_after), (Reason::TooManyAttempts, Some(Duration::from_mins(10))));
    assert_eq!(reason(souk.login("eda@example.org", PASSWORD).await), Reason::InvalidCredentials);
    souk.clock.advance(Duration::from_mins(10));
    souk.login("ada@example.org", PASSWORD).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_made_at_the_same_time_are_counted_as_those_made_in_turn() {
    let souk = Souk::start().await;
    souk.register("ada@example.org", "Ada").await;
    let guesses = (0..14).map(|_| souk.login("ada@example.org", "wrong horse"));
    let mut told = 0;
    for guess in join_all(guesses).await {
        told += usize::from(reason(guess) == Reason::InvalidCredentials);
    }
    assert_eq!(told, 10);
}

async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pinned: Vec<_> = futures.map(Box::pin).collect();
    let mut outputs: Vec<_> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, output) in pinned.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let std::task::Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *output = Some(ready);
            }
        }
        if outputs.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_see_and_change_themselves_and_are_unseen_by_others() {
    let mut souk = Souk::start().await;
    let (ada, eve) = (souk.register("ada@example.org", "Ada").await, souk.register("eve@example.org", "Eve").await);
    let id = user_of(&ada).id.clone();
    let rename = |name: Option<&str>| proto::UpdateUserRequest { user_id: id.clone(), name: name.map(str::to_owned) };

    let renamed = answer(souk.client().update_user(as_user(&ada, rename(Some(" Augusta Ada ")))).await).unwrap();
    assert_eq!((renamed.name.as_str(), renamed.version), ("Augusta Ada", 2));
    let again = answer(souk.client().update_user(as_user(&ada, rename(Some("Augusta Ada")))).await).unwrap();
    assert_eq!(again, renamed, "the same name is no change");
    assert_eq!(answer(souk.client().update_user(as_user(&ada, rename(None))).await).unwrap(), renamed);
    assert_eq!(fields(answer(souk.client().update_user(as_user(&ada, rename(Some("a\nb")))).await)), ["/name"]);
    assert!(souk.passes(&ada.access_token).await, "a new name voids no token");

    let by_eve = answer(souk.client().update_user(as_user(&eve, rename(Some("Mallory")))).await);
    assert_eq!(reason(by_eve), Reason::UserNotFound);
    let admin = souk.admin().await;
    let by_admin = answer(souk.client().update_user(as_user(&admin, rename(Some("Mallory")))).await);
    assert_eq!(reason(by_admin), Reason::NotAllowed);
    assert_eq!(reason(answer(souk.client().update_user(rename(None)).await)), Reason::AuthenticationRequired);

    assert_eq!(reason(souk.get_user(&eve.access_token, &id).await), Reason::UserNotFound);
    assert_eq!(souk.get_user(&admin.access_token, &id).await.unwrap(), renamed);
    let get = proto::GetUserRequest { user_id: id.clone() };
    assert_eq!(answer(souk.service("orders").get_user(get.clone()).await).unwrap(), renamed);
    assert_eq!(reason(answer(souk.client().get_user(get).await)), Reason::AuthenticationRequired);
    let nobody = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
    assert_eq!(reason(souk.get_user(&admin.access_token, nobody).await), Reason::UserNotFound);
    assert_eq!(fields(souk.get_user(&admin.access_token, "1").await), ["id"]);

    souk.expect_event("user.registered").await;
    souk.expect_event("user.registered").await;
    let (event, data) = souk.expect_event("user.updated").await;
    // Whoever asks who that is now knows by the version whether the answer is as new as the event.
    assert_eq!((event.aggregateversion, data.user_id.to_string()), (2, id));
    assert_eq!((renamed.version, renamed.name.as_str()), (2, "Augusta Ada"));
    souk.expect_event("user.registered").await;
}
