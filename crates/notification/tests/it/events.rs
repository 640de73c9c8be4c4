//! From an event on the bus to an entry in an inbox.

use std::sync::Arc;
use std::time::Duration;

use contracts::event_data::{InboxAppended, OrderStatus};
use contracts::ids::UuidV7Generator;
use contracts::timestamp::ManualClock;
use messaging::Subscription;
use notification::bootstrap::{BootstrapError, build};
use notification::settings::Settings;
use secrecy::SecretString;
use service_kit::Platform;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::builders::{START, history, new_order, new_user, order, order_event, user_updated};
use crate::world::World;

#[tokio::test]
async fn a_confirmed_order_is_shown_notified_and_pushed() {
    let world = World::start().await;
    let mut pushed = world.bus.subscribe(Subscription::new("test", &["inbox.appended"])).await.unwrap();
    let (user_id, order_id) = (new_user(), new_order());
    let events = history(order_id, user_id, &[OrderStatus::Pending, OrderStatus::Confirmed]);
    world.publish(&events).await;

    let inbox = world.inbox_of(user_id, 4).await;
    let names: Vec<_> = inbox.iter().map(|entry| (entry.seq, entry.event.as_str())).collect();
    assert_eq!(names, [(1, "order_created"), (2, "order_updated"), (3, "notification"), (4, "notification:unread")]);
    let unread: serde_json::Value = serde_json::from_str(&inbox[3].data_json).unwrap();
    assert_eq!(unread["count"], 1);
    for (entry, event) in inbox.iter().zip(&events) {
        let mut told: serde_json::Value = serde_json::from_str(&entry.data_json).unwrap();
        let request = told.as_object_mut().unwrap().remove("request_id").unwrap();
        assert_eq!(Some(request.as_str().unwrap()), event.requestid.as_deref(), "whose order it was");
        assert_eq!(told, event.data::<serde_json::Value>().unwrap());
    }
    let notification: serde_json::Value = serde_json::from_str(&inbox[2].data_json).unwrap();
    assert_eq!(notification["seq"], 3);
    assert_eq!(notification["kind"], "order_confirmed");
    assert_eq!(notification["title"], "Your order is confirmed");
    assert!(notification["body"].as_str().unwrap().contains("$39.98 for 2 x Mint Tea"), "{notification}");
    assert_eq!(notification["data"]["order_id"], order_id.to_string());
    assert_eq!(notification["read"], false);
    assert_eq!(notification["created_at"], START.to_string());

    let mut seen = Vec::new();
    while seen.len() < 4 {
        let batch = tokio::time::timeout(Duration::from_secs(10), pushed.next()).await.unwrap().unwrap();
        seen.extend(batch.into_iter().map(|delivery| delivery.event.unwrap()));
    }
    for (event, entry) in seen.iter().zip(&inbox) {
        let data: InboxAppended = event.data().unwrap();
        assert_eq!(
            (data.seq, data.event.as_str(), data.data.get()),
            (entry.seq, entry.event.as_str(), entry.data_json.as_str())
        );
        assert_eq!(event.requestid.as_deref(), Some("request-of-the-order"));
    }
}

#[tokio::test]
async fn a_reason_reaches_the_customer() {
    let world = World::start().await;
    let user_id = new_user();
    world.publish(&history(new_order(), user_id, &[OrderStatus::Pending, OrderStatus::Cancelled])).await;
    let inbox = world.inbox_of(user_id, 3).await;
    assert!(inbox[2].data_json.contains("Reason: the card was declined."), "{}", inbox[2].data_json);
}

#[tokio::test]
async fn an_event_that_arrives_before_its_predecessor_is_used_after_it() {
    let world = World::start().await;
    let user_id = new_user();
    let history = history(new_order(), user_id, &[OrderStatus::Pending, OrderStatus::Confirmed, OrderStatus::Shipped]);
    world.publish(&[history[2].clone(), history[0].clone()]).await;
    world.inbox_of(user_id, 1).await;
    world.publish(&[history[1].clone()]).await;
    world.inbox_of(user_id, 3).await;
    // The early one is in the queue again; it becomes due after the first delay, and the next event wakes the consumer.
    world.clock.advance(Duration::from_secs(2));
    world.publish(&[history[1].clone()]).await;
    let inbox = world.inbox_of(user_id, 7).await;
    let names: Vec<_> = inbox.iter().map(|entry| entry.event.as_str()).collect();
    let notified = ["order_updated", "notification", "notification:unread"];
    assert_eq!(names, [&["order_created"], &notified[..], &notified[..]].concat());
    assert!(inbox[4].data_json.contains("\"shipped\""));
}

#[tokio::test]
async fn what_makes_no_sense_becomes_a_dead_letter_and_holds_nothing_up() {
    let world = World::start().await;
    let mut dead = world.bus.subscribe(Subscription::new("notification.events.dead", &[])).await.unwrap();
    let user_id = new_user();
    let valid = order(new_order(), user_id, OrderStatus::Pending, 1);
    let mut foreign_subject = order_event(&valid);
    (foreign_subject.id, foreign_subject.subject) = (Uuid::new_v4(), new_order().to_string());
    let mut foreign_version = order_event(&valid);
    (foreign_version.id, foreign_version.aggregateversion) = (Uuid::new_v4(), 2);
    let beyond = order_event(&order(new_order(), user_id, OrderStatus::Pending, u64::MAX));
    let zero = order_event(&order(new_order(), user_id, OrderStatus::Pending, 0));
    let mut no_order = order_event(&valid);
    no_order.data = serde_json::value::RawValue::from_string("{}".to_owned()).unwrap();
    let mut no_user = user_updated(user_id, 1);
    no_user.data = no_order.data.clone();
    world.publish(&[foreign_subject, foreign_version, beyond, zero, no_order, no_user, order_event(&valid)]).await;
    let inbox = world.inbox_of(user_id, 1).await;
    assert_eq!((inbox.len(), inbox[0].event.as_str()), (1, "order_created"));
    let mut letters = 0;
    while letters < 6 {
        letters += tokio::time::timeout(Duration::from_secs(10), dead.next()).await.unwrap().unwrap().len();
    }
}

#[tokio::test]
async fn an_order_event_of_a_later_souk_updates_the_order_without_a_notification() {
    let world = World::start().await;
    let user_id = new_user();
    let mut events =
        history(new_order(), user_id, &[OrderStatus::Pending, OrderStatus::Confirmed, OrderStatus::Confirmed]);
    events[2].event_type = "order.annotated".to_owned();
    world.publish(&events).await;
    let names: Vec<_> = world.inbox_of(user_id, 5).await.into_iter().map(|entry| entry.event).collect();
    assert_eq!(names, ["order_created", "order_updated", "notification", "notification:unread", "order_updated"]);
}

#[tokio::test]
async fn after_a_restart_the_inbox_goes_on_where_it_was() {
    let world = World::start().await;
    let (user_id, order_id) = (new_user(), new_order());
    let events = history(order_id, user_id, &[OrderStatus::Pending, OrderStatus::Confirmed]);
    world.publish(&events[..1]).await;
    world.inbox_of(user_id, 1).await;
    let world = World::start_in(world.stop().await).await;
    // The first comes again, as after a crash before it was acknowledged.
    world.publish(&events).await;
    let names: Vec<_> = world.inbox_of(user_id, 4).await.into_iter().map(|entry| entry.event).collect();
    assert_eq!(names, ["order_created", "order_updated", "notification", "notification:unread"]);
}

#[tokio::test]
async fn a_store_of_an_engine_that_is_not_compiled_in_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let clock = Arc::new(ManualClock::starting_at(START));
    let broker = format!("sqlite://{}", folder.path().join("broker.db").display());
    let bus = messaging::connect(&broker, clock.clone()).await.unwrap();
    let platform = Platform {
        clock,
        ids: Arc::new(UuidV7Generator),
        service_secret: SecretString::from("a secret of the tests".to_owned()),
        neighbours: std::collections::HashMap::new(),
        stop: CancellationToken::new(),
    };
    let settings = |database_url: &str| Settings {
        database_url: database_url.to_owned(),
        email_url: None,
        email_from: "Souk <no-reply@souk.test>".parse().unwrap(),
    };
    let refused = build(&settings("postgres://host/souk"), &platform, bus.clone()).await.err().unwrap().to_string();
    assert!(refused.contains("SOUK_NOTIFICATION_DATABASE_URL") && refused.contains("postgres"), "{refused}");
    #[cfg(feature = "mongodb")]
    {
        let refused = build(&settings("mongodb://host/souk"), &platform, bus.clone()).await.err().unwrap();
        assert!(matches!(refused, BootstrapError::NoPlaceForEmails), "{refused}");
    }
    let file = folder.path().join("notification.db");
    let alone = build(&settings(&format!("sqlite://{}", file.display())), &platform, bus).await.err().unwrap();
    assert!(matches!(alone, BootstrapError::Neighbour(_)), "{alone:?}");
}
