//! From a notification to an email.

use std::time::Duration;

use contracts::event_data::{OrderStatus, event_type};
use contracts::grpc::notification::{Preference, Preferences};
use contracts::ids::UserId;

use crate::builders::{history, new_order, new_user, user_event};
use crate::world::{World, eventually};

impl World {
    async fn confirm_an_order_of(&self, user_id: UserId) {
        self.publish(&history(new_order(), user_id, &[OrderStatus::Pending, OrderStatus::Confirmed])).await;
        self.inbox_of(user_id, 3).await;
    }

    /// The emails, as time goes by and their next attempts become due.
    async fn emails_in_time(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} emails"), async || {
            self.clock.advance(Duration::from_secs(1));
            Some(self.emails()).filter(|emails| emails.len() >= count)
        })
        .await
    }
}

#[tokio::test]
async fn an_outcome_is_sent_to_the_address_that_the_user_has_now() {
    let world = World::start().await;
    let user_id = new_user();
    world.register(user_id, "old@souk.test", "Ada").await;
    world.publish(&[user_event(event_type::USER_UPDATED, user_id, "ada@souk.test", "Ada Lovelace", 2)]).await;
    world.confirm_an_order_of(user_id).await;
    let emails = world.emails_once(1).await;
    let inbox = world.inbox_of(user_id, 3).await;
    let notification: serde_json::Value = serde_json::from_str(&inbox[2].data_json).unwrap();
    let message_id = format!("Message-ID: <{}@souk.test>", notification["id"].as_str().unwrap());
    for part in [
        message_id.as_str(),
        "From: Souk <no-reply@souk.test>",
        "<ada@souk.test>",
        "Subject: Your order is confirmed",
        "Hello Ada",
        "2 x Mint Tea, $19.99 each: $39.98",
    ] {
        assert!(emails[0].contains(part), "{part} in {}", emails[0]);
    }
    assert!(world.users.callers.lock().unwrap().is_empty(), "the address was known from events");
}

#[tokio::test]
async fn an_address_that_no_event_told_is_asked_of_users_by_this_service() {
    let world = World::start().await;
    let user_id = new_user();
    world.users.knows(user_id, "linus@souk.test");
    world.confirm_an_order_of(user_id).await;
    let emails = world.emails_once(1).await;
    assert!(emails[0].contains("<linus@souk.test>") && emails[0].contains("Hello Linus"), "{}", emails[0]);
    assert_eq!(*world.users.callers.lock().unwrap(), ["notification"]);
}

#[tokio::test]
async fn an_email_that_fails_is_tried_again_and_holds_no_other_up() {
    let world = World::start().await;
    let (stuck, other) = (new_user(), new_user());
    world.users.is_away_for(stuck);
    world.confirm_an_order_of(stuck).await;
    world.register(other, "ada@souk.test", "Ada").await;
    world.confirm_an_order_of(other).await;
    assert!(world.emails_once(1).await[0].contains("<ada@souk.test>"));
    world.users.knows(stuck, "linus@souk.test");
    let emails = world.emails_in_time(2).await;
    assert_eq!(emails.iter().filter(|email| email.contains("<linus@souk.test>")).count(), 1);
}

#[tokio::test]
async fn an_email_to_nobody_is_given_up_at_once() {
    let world = World::start().await;
    let (nobody, other) = (new_user(), new_user());
    world.confirm_an_order_of(nobody).await;
    let asked = async || Some(world.users.callers.lock().unwrap().len()).filter(|asked| *asked > 0);
    assert_eq!(eventually("the question who that is", asked).await, 1);
    world.clock.advance(Duration::from_hours(2));
    world.register(other, "ada@souk.test", "Ada").await;
    world.confirm_an_order_of(other).await;
    world.emails_once(1).await;
    assert_eq!(world.users.callers.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_email_that_waits_survives_a_restart() {
    let world = World::start().await;
    std::fs::write(world.mail_folder(), "in the way").unwrap();
    let user_id = new_user();
    world.register(user_id, "ada@souk.test", "Ada").await;
    world.confirm_an_order_of(user_id).await;
    let folder = world.stop().await;
    std::fs::remove_file(folder.path().join("mail")).unwrap();
    let world = World::start_in(folder).await;
    assert!(world.emails_in_time(1).await[0].contains("<ada@souk.test>"));
}

#[tokio::test]
async fn what_a_user_does_not_want_by_email_is_notified_without() {
    let world = World::start().await;
    let user_id = new_user();
    world.register(user_id, "ada@souk.test", "Ada").await;
    let off = Preferences { items: vec![Preference { kind: "order_confirmed".to_owned(), email: false }] };
    world.client.clone().update_preferences(world.of(user_id, off)).await.unwrap();
    let events = history(new_order(), user_id, &[OrderStatus::Pending, OrderStatus::Confirmed, OrderStatus::Shipped]);
    world.publish(&events).await;
    world.inbox_of(user_id, 5).await;
    let emails = world.emails_once(1).await;
    assert_eq!(emails.len(), 1);
    assert!(emails[0].contains("Subject: Your order is on its way"), "{}", emails[0]);
}
