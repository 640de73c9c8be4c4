//! Accounts with published passwords.

use contracts::Reason;
use contracts::grpc::users as proto;

use crate::helpers::{PASSWORD, Souk, answer, as_user, fields, reason, seed_request};

async fn count(souk: &Souk) -> u64 {
    let request = proto::CountSeededAccountsRequest {};
    souk.service("gateway").count_seeded_accounts(request).await.unwrap().into_inner().count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeding_makes_an_account_once_and_counts_it() {
    let mut souk = Souk::start().await;
    assert_eq!(count(&souk).await, 0);
    let first = souk.seed("Ada@souk.test", &["customer", "support"]).await;
    assert!(first.created);
    assert_eq!(first.user.as_ref().unwrap().roles, ["customer", "support"]);
    let second = souk.seed("ada@SOUK.test", &["admin"]).await;
    assert_eq!((second.created, second.user), (false, first.user));
    assert_eq!(count(&souk).await, 1);
    souk.login("ada@souk.test", PASSWORD).await.unwrap();
    assert_eq!(souk.expect_event("user.registered").await.1.roles, ["customer", "support"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_somebody_registered_is_left_alone() {
    let souk = Souk::start().await;
    let registered = souk.register("ada@souk.test", "Ada").await;
    let seeded = souk.seed("ada@souk.test", &["admin"]).await;
    assert_eq!((seeded.created, seeded.user), (false, registered.user));
    assert_eq!(count(&souk).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_souk_seeds_and_nobody_but_services_counts() {
    let souk = Souk::start().await;
    let admin = souk.admin().await;
    let seed = seed_request("eve@example.org", &["admin"]);
    let mut client = souk.client();
    assert_eq!(reason(answer(souk.service("gateway").seed_account(seed.clone()).await)), Reason::NotAllowed);
    assert_eq!(reason(answer(client.seed_account(as_user(&admin, seed.clone())).await)), Reason::NotAllowed);
    assert_eq!(reason(answer(client.seed_account(seed).await)), Reason::AuthenticationRequired);
    let request = proto::CountSeededAccountsRequest {};
    assert_eq!(reason(answer(client.count_seeded_accounts(as_user(&admin, request)).await)), Reason::NotAllowed);
    assert_eq!(reason(answer(client.count_seeded_accounts(request).await)), Reason::AuthenticationRequired);
    let bad = seed_request("eve", &["admin"]);
    assert_eq!(fields(answer(souk.service("souk").seed_account(bad).await)), ["/email"]);
}
