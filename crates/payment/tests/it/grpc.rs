//! The service over gRPC, as its neighbours and users call it.

use std::sync::Arc;

use contracts::event_data::PaymentEvent;
use contracts::grpc::payment as pb;
use contracts::grpc::payment::PaymentStatus;
use contracts::timestamp::ManualClock;
use contracts::{Event, Reason, Refusal, Role};
use messaging::Subscription;
use messaging::bus::Deliveries;
use observability::RequestContext;
use payment::bootstrap::{BootstrapError, build};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::running_service::{Running, charge_request, platform, refund_request, settings, usd};
use crate::world::{DEADLINE, TIMING, new_order, new_user, start_of_time};

fn reason<T: std::fmt::Debug>(answer: Result<T, Status>) -> Reason {
    Refusal::from_status(&answer.unwrap_err()).reason
}

fn fields<T: std::fmt::Debug>(answer: Result<T, Status>) -> Vec<String> {
    let refusal = Refusal::from_status(&answer.unwrap_err());
    assert_eq!(refusal.reason, Reason::InvalidRequest);
    refusal.fields.into_iter().map(|field| field.field).collect()
}

pub(crate) async fn listen(running: &Running) -> Box<dyn Deliveries> {
    running.bus.subscribe(Subscription::new("test.payments", &["payment.*"])).await.unwrap()
}

pub(crate) async fn next_event(deliveries: &mut dyn Deliveries) -> Event {
    let mut batch = tokio::time::timeout(DEADLINE, deliveries.next()).await.expect("an event comes").unwrap();
    assert_eq!(batch.len(), 1, "{batch:?}");
    let delivery = batch.remove(0);
    let event = delivery.event.clone().unwrap();
    deliveries.settle(vec![(delivery, messaging::Verdict::Ack)]).await.unwrap();
    event
}

#[tokio::test]
async fn a_charge_is_captured_told_and_shown_to_those_who_may_see_it() {
    let running = Running::start().await;
    let mut told = listen(&running).await;
    let user_id = new_user();
    let request = pb::ChargeRequest { user_id: user_id.to_string(), ..charge_request("card_ok") };
    let context = RequestContext::accept(Some("req-1"), None);
    let payment = context.clone().scope(running.charge(request.clone())).await.unwrap();
    assert_eq!(payment.status(), PaymentStatus::Captured);
    assert_eq!((payment.amount.clone(), payment.refunded.clone()), (Some(usd(1999)), Some(usd(0))));
    assert!(!payment.provider_reference.is_empty() && payment.decline_reason.is_empty());
    assert_eq!((&payment.order_id, &payment.user_id), (&request.order_id, &request.user_id));

    let event = next_event(told.as_mut()).await;
    assert_eq!((event.event_type.as_str(), &event.subject), ("payment.captured", &request.order_id));
    assert_eq!(event.requestid.as_deref(), Some("req-1"));
    assert!(event.traceparent.unwrap().contains(&context.trace_id().to_string()));

    let ask = || pb::GetPaymentRequest { order_id: request.order_id.clone() };
    assert_eq!(running.get(&request.order_id).await.unwrap(), payment, "services see it");
    for (viewer, roles) in
        [(user_id, &[Role::Customer][..]), (new_user(), &[Role::Support]), (new_user(), &[Role::Admin])]
    {
        let seen = running.payment.clone().get_payment(running.as_user(viewer, roles, ask())).await;
        assert_eq!(seen.unwrap().into_inner(), payment, "{roles:?}");
    }
    let stranger = running.as_user(new_user(), &[Role::Customer], ask());
    assert_eq!(reason(running.payment.clone().get_payment(stranger).await), Reason::PaymentNotFound);
    assert_eq!(reason(running.anonymous.clone().get_payment(ask()).await), Reason::AuthenticationRequired);
    assert_eq!(reason(running.get(&new_order().to_string()).await), Reason::PaymentNotFound);
}

#[tokio::test]
async fn only_services_move_money() {
    let running = Running::start().await;
    let (charge, refund) = (charge_request("card_ok"), refund_request(&new_order().to_string(), 1));
    let mut anonymous = running.anonymous.clone();
    assert_eq!(reason(anonymous.charge(charge.clone()).await), Reason::AuthenticationRequired);
    assert_eq!(reason(anonymous.refund(refund.clone()).await), Reason::AuthenticationRequired);
    let mut client = running.payment.clone();
    let admin = |running: &Running| running.as_user(new_user(), &[Role::Admin], ());
    let with = |token: Request<()>, message: pb::ChargeRequest| token.map(|()| message);
    assert_eq!(reason(client.charge(with(admin(&running), charge.clone())).await), Reason::NotAllowed);
    assert_eq!(reason(client.refund(admin(&running).map(|()| refund)).await), Reason::NotAllowed);
    assert_eq!(reason(running.get(&charge.order_id).await), Reason::PaymentNotFound, "nothing was written");
}

#[tokio::test]
async fn every_field_at_fault_is_named_and_nothing_is_written() {
    let running = Running::start().await;
    let good = charge_request("card_ok");
    let bad_money = |amount_minor, currency: &str| {
        Some(contracts::grpc::types::Money { amount_minor, currency: currency.to_owned() })
    };
    let charges = [
        (pb::ChargeRequest { order_id: "x".into(), ..good.clone() }, vec!["/order_id"]),
        (pb::ChargeRequest { user_id: "\0".into(), ..good.clone() }, vec!["/user_id"]),
        (pb::ChargeRequest { amount: None, ..good.clone() }, vec!["/amount"]),
        (pb::ChargeRequest { amount: Some(usd(0)), ..good.clone() }, vec!["/amount/amount_minor"]),
        (pb::ChargeRequest { amount: Some(usd(-1)), ..good.clone() }, vec!["/amount/amount_minor"]),
        (pb::ChargeRequest { amount: Some(usd(i64::MAX)), ..good.clone() }, vec!["/amount/amount_minor"]),
        (pb::ChargeRequest { amount: bad_money(1, "usd"), ..good.clone() }, vec!["/amount/currency"]),
        (pb::ChargeRequest { amount: bad_money(1, "U\0D"), ..good.clone() }, vec!["/amount/currency"]),
        (pb::ChargeRequest { method: String::new(), ..good.clone() }, vec!["/payment_method"]),
        (pb::ChargeRequest { method: "card_ok\0".into(), ..good.clone() }, vec!["/payment_method"]),
        (pb::ChargeRequest { method: "x".repeat(100_000), ..good.clone() }, vec!["/payment_method"]),
        (pb::ChargeRequest { method: "card_unheard_of".into(), ..good.clone() }, vec!["/payment_method"]),
        (pb::ChargeRequest::default(), vec!["/order_id", "/user_id", "/amount", "/payment_method"]),
    ];
    for (request, expected) in charges {
        assert_eq!(fields(running.charge(request).await), expected);
    }
    assert_eq!(reason(running.get(&good.order_id).await), Reason::PaymentNotFound);
    assert_eq!(fields(running.get("x").await), ["/order_id"]);

    let refund = refund_request(&good.order_id, 1);
    let refunds = [
        (pb::RefundRequest { refund_id: "1".into(), ..refund.clone() }, vec!["/refund_id"]),
        (pb::RefundRequest { amount: Some(usd(0)), ..refund.clone() }, vec!["/amount/amount_minor"]),
        (pb::RefundRequest { reason: "a\0b".into(), ..refund.clone() }, vec!["/reason"]),
        (pb::RefundRequest { reason: "x".repeat(501), ..refund }, vec!["/reason"]),
        (pb::RefundRequest::default(), vec!["/order_id", "/refund_id", "/amount"]),
    ];
    for (request, expected) in refunds {
        assert_eq!(fields(running.refund(request).await), expected);
    }
}

#[tokio::test]
async fn an_unknown_method_is_answered_with_those_there_are() {
    let running = Running::start().await;
    let refusal = Refusal::from_status(&running.charge(charge_request("4242424242424242")).await.unwrap_err());
    let message = &refusal.fields[0].message;
    for method in [
        "card_ok",
        "card_declined",
        "card_insufficient_funds",
        "card_slow",
        "card_timeout_captured",
        "card_timeout_declined",
    ] {
        assert!(message.contains(method), "{message}");
    }
    assert!(!message.contains("4242"), "what may be card data is not repeated: {message}");
}

#[tokio::test]
async fn a_declined_card_and_a_repeat_with_other_details_have_their_answers() {
    let running = Running::start().await;
    let request = charge_request("card_insufficient_funds");
    let payment = running.charge(request.clone()).await.unwrap();
    assert_eq!((payment.status(), payment.decline_reason.as_str()), (PaymentStatus::Declined, "insufficient funds"));
    assert_eq!(running.charge(request.clone()).await.unwrap(), payment);
    let other = pb::ChargeRequest { amount: Some(usd(2000)), ..request };
    assert_eq!(reason(running.charge(other).await), Reason::PaymentMismatch);
}

#[tokio::test]
async fn refunds_are_answered_as_the_contract_says() {
    let running = Running::start().await;
    let order_id = running.charge(charge_request("card_ok")).await.unwrap().order_id;
    let part = refund_request(&order_id, 1000);
    let payment = running.refund(part.clone()).await.unwrap();
    assert_eq!((payment.status(), payment.refunded.clone()), (PaymentStatus::PartiallyRefunded, Some(usd(1000))));
    assert_eq!(running.refund(part.clone()).await.unwrap(), payment);
    let other_amount = pb::RefundRequest { amount: Some(usd(999)), ..part };
    assert_eq!(reason(running.refund(other_amount).await), Reason::PaymentMismatch);
    let too_much = Refusal::from_status(&running.refund(refund_request(&order_id, 1000)).await.unwrap_err());
    assert_eq!((too_much.reason, too_much.metadata["left_minor"].as_str()), (Reason::RefundExceedsCapture, "999"));
    let euros = contracts::grpc::types::Money { amount_minor: 1, currency: "EUR".to_owned() };
    let euros = pb::RefundRequest { amount: Some(euros), ..refund_request(&order_id, 1) };
    assert_eq!(fields(running.refund(euros).await), ["/amount/currency"]);
    assert_eq!(running.refund(refund_request(&order_id, 999)).await.unwrap().status(), PaymentStatus::Refunded);

    let declined = running.charge(charge_request("card_declined")).await.unwrap().order_id;
    for order_id in [declined, new_order().to_string()] {
        assert_eq!(reason(running.refund(refund_request(&order_id, 1)).await), Reason::PaymentNotCaptured);
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_settled_and_told_without_being_asked_for() {
    let running = Running::start().await;
    let mut told = listen(&running).await;
    for (method, status) in [("card_timeout_captured", "captured"), ("card_timeout_declined", "declined")] {
        let request = charge_request(method);
        let payment = running.charge(request.clone()).await.unwrap();
        assert_eq!(payment.status(), PaymentStatus::Unknown);
        running.clock.advance(TIMING.late_settlement);
        let event = next_event(told.as_mut()).await;
        assert_eq!((event.event_type.as_str(), &event.subject), (&*format!("payment.{status}"), &request.order_id));
        assert_eq!(event.data::<PaymentEvent>().unwrap().status, status);
        let settled = running.get(&request.order_id).await.unwrap();
        assert_eq!(event.aggregateversion, settled.version);
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_settled_after_a_restart() {
    let running = Running::start().await;
    // Declares the queue: from here on nothing published is lost.
    drop(listen(&running).await);
    let request = charge_request("card_timeout_captured");
    assert_eq!(running.charge(request.clone()).await.unwrap().status(), PaymentStatus::Unknown);
    let running = running.restart().await;
    let mut told = listen(&running).await;
    assert_eq!(running.get(&request.order_id).await.unwrap().status(), PaymentStatus::Unknown);
    running.clock.advance(TIMING.late_settlement);
    let event = next_event(told.as_mut()).await;
    assert_eq!((event.event_type.as_str(), &event.subject), ("payment.captured", &request.order_id));
}

#[tokio::test]
async fn the_sandbox_keeps_books_of_its_own_beside_the_database() {
    let running = Running::start().await;
    let order_id = running.charge(charge_request("card_ok")).await.unwrap().order_id;
    let books = crate::world::open_beside(&running.folder.path().join("sandbox.db"));
    let sql = "SELECT times_asked, outcome FROM charges WHERE idempotency_key = ?1";
    let row: (u32, String) = books.query_row(sql, [order_id], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(row, (1, "captured".to_owned()));
}

#[tokio::test]
async fn what_can_not_be_had_is_refused_by_the_name_of_its_setting() {
    let folder = TempDir::new().unwrap();
    let (platform, _users) = platform(&ManualClock::starting_at(start_of_time()), &CancellationToken::new());
    let broker = format!("sqlite://{}", folder.path().join("broker.db").display());
    let bus = messaging::connect(&broker, Arc::clone(&platform.clock)).await.unwrap();
    let good = settings(folder.path());
    let refused = |settings| {
        let (platform, bus) = (platform.clone(), Arc::clone(&bus));
        async move { build(&settings, &platform, bus).await.map(|_| ()).unwrap_err() }
    };
    let lacking = if cfg!(feature = "postgres") { "mysql" } else { "postgres" };
    let mut other = good.clone();
    other.database_url = format!("{lacking}://db/payment");
    let error = refused(other).await;
    assert!(matches!(error, BootstrapError::UnknownEngine(_)), "{error:?}");
    assert!(error.to_string().contains("SOUK_PAYMENT_DATABASE_URL") && error.to_string().contains(lacking), "{error}");
    let mut books = good.clone();
    books.sandbox_url = Some("mysql://db/sandbox".to_owned());
    assert!(refused(books).await.to_string().contains("SOUK_PAYMENT_SANDBOX_URL"));
    let mut memory = good.clone();
    memory.database_url = "memory://".to_owned();
    let error = refused(memory).await.to_string();
    assert!(error.contains("SOUK_PAYMENT_DATABASE_URL") && error.contains("for tests alone"), "{error}");
    let mut memory = good.clone();
    memory.database_url = "sqlite://:memory:".to_owned();
    assert!(matches!(refused(memory).await, BootstrapError::InvalidUrl { .. }));
    let mut stripe = good.clone();
    stripe.provider = "stripe".to_owned();
    let error = refused(stripe).await.to_string();
    assert!(error.contains("SOUK_PAYMENT_PROVIDER") && error.contains("stripe"), "{error}");
    let mut shared = good.clone();
    shared.sandbox_url = Some(good.database_url.clone());
    assert!(matches!(refused(shared).await, BootstrapError::SharedFile));
}

#[tokio::test]
async fn a_store_that_holds_nonsense_is_an_internal_error_and_tells_no_secrets() {
    let running = Running::start().await;
    let order_id = running.charge(charge_request("card_ok")).await.unwrap().order_id;
    let database = crate::world::open_beside(&running.folder.path().join("payment.db"));
    database.execute("UPDATE payments SET currency = 'pounds'", []).unwrap();
    let status = running.get(&order_id).await.unwrap_err();
    assert!(!status.message().contains("payments") && !status.message().contains(&order_id), "{status:?}");
    assert_eq!(reason::<Response<()>>(Err(status)), Reason::Internal);
}
