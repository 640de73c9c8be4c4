//! From a notification to an email.

use std::sync::Arc;
use std::time::Duration;

use contracts::event_data::OrderStatus;
use contracts::grpc::notification::{Preference, Preferences};
use contracts::ids::{UserId, UuidV7Generator};
use notification::adapters::persistence::sqlite::SqliteStore;
use notification::application::ports::ContactRepository as _;
use sqlite::SqliteUrl;

use crate::builders::{history, new_order, new_user, user_updated};
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

    /// The users service was asked this often, as time goes by.
    async fn asked(&self, times: usize) {
        eventually(&format!("{times} questions"), async || {
            let asked = self.users.callers.lock().unwrap().len();
            if asked < times {
                self.clock.advance(Duration::from_millis(100));
            }
            (asked >= times).then_some(())
        })
        .await;
    }

    /// The user's address is kept, or not any more.
    async fn keeps_address_of(&self, user_id: UserId, kept: bool) {
        let url = SqliteUrl::of(self.folder.path().join("notification.db"));
        let store = SqliteStore::open(&url, Arc::new(UuidV7Generator)).unwrap();
        eventually(if kept { "an address is kept" } else { "an address is forgotten" }, async || {
            (store.find_contact(user_id).await.unwrap().is_some() == kept).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_outcome_is_sent_to_the_address_that_users_tells_this_service() {
    let world = World::start().await;
    let user_id = new_user();
    world.users.knows(user_id, "ada@souk.test", "Ada", 1);
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
    assert_eq!(*world.users.callers.lock().unwrap(), ["notification"]);
}

#[tokio::test]
async fn an_address_that_was_told_is_not_asked_again_and_serves_while_users_is_away() {
    let world = World::start().await;
    let user_id = new_user();
    world.users.knows(user_id, "ada@souk.test", "Ada", 1);
    world.confirm_an_order_of(user_id).await;
    world.emails_once(1).await;
    world.users.is_away_for(user_id);
    world.publish(&history(new_order(), user_id, &[OrderStatus::Pending, OrderStatus::Confirmed])).await;
    let emails = world.emails_once(2).await;
    assert!(emails.iter().all(|email| email.contains("<ada@souk.test>")));
    assert_eq!(world.users.callers.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn after_a_change_the_next_email_goes_to_the_new_address_and_waits_for_it_while_users_is_away() {
    let world = World::start().await;
    let user_id = new_user();
    world.users.knows(user_id, "old@souk.test", "Ada", 1);
    world.confirm_an_order_of(user_id).await;
    world.emails_once(1).await;
    world.users.is_away_for(user_id);
    world.publish(&[user_updated(user_id, 2)]).await;
    world.keeps_address_of(user_id, false).await;
    world.publish(&history(new_order(), user_id, &[OrderStatus::Pending, OrderStatus::Confirmed])).await;
    world.asked(2).await;
    world.users.knows(user_id, "new@souk.test", "Ada Lovelace", 2);
    let emails = world.emails_in_time(2).await;
    assert_eq!(emails.iter().filter(|email| email.contains("<old@souk.test>")).count(), 1);
    let to_new: Vec<_> = emails.iter().filter(|email| email.contains("<new@souk.test>")).collect();
    assert!(to_new.len() == 1 && to_new[0].contains("Hello Ada Lovelace"), "{emails:?}");
}

#[tokio::test]
async fn an_answer_older_than_the_event_is_no_answer() {
    let world = World::start().await;
    let user_id = new_user();
    world.users.knows(user_id, "old@souk.test", "Ada", 1);
    world.confirm_an_order_of(user_id).await;
    world.emails_once(1).await;
    world.publish(&[user_updated(user_id, 2)]).await;
    world.keeps_address_of(user_id, false).await;
    // The one who is asked is behind.
    world.publish(&history(new_order(), user_id, &[OrderStatus::Pending, OrderStatus::Confirmed])).await;
    world.asked(2).await;
    world.clock.advance(Duration::from_secs(1));
    // The second email was tried, and was not sent, else it would not be tried again.
    world.asked(3).await;
    world.users.knows(user_id, "new@souk.test", "Ada", 2);
    let emails = world.emails_in_time(2).await;
    assert_eq!(emails.iter().filter(|email| email.contains("<old@souk.test>")).count(), 1);
    assert_eq!(emails.iter().filter(|email| email.contains("<new@souk.test>")).count(), 1);
}

#[tokio::test]
async fn an_email_that_fails_is_tried_again_and_holds_no_other_up() {
    let world = World::start().await;
    let (stuck, other) = (new_user(), new_user());
    world.users.is_away_for(stuck);
    world.confirm_an_order_of(stuck).await;
    world.users.knows(other, "ada@souk.test", "Ada", 1);
    world.confirm_an_order_of(other).await;
    assert!(world.emails_once(1).await[0].contains("<ada@souk.test>"));
    world.users.knows(stuck, "linus@souk.test", "Linus", 1);
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
    world.users.knows(other, "ada@souk.test", "Ada", 1);
    world.confirm_an_order_of(other).await;
    world.emails_once(1).await;
    assert_eq!(world.users.callers.lock().unwrap().len(), 2, "about each once");
}

#[tokio::test]
async fn an_email_that_waits_survives_a_restart() {
    let world = World::start().await;
    std::fs::write(world.mail_folder(), "in the way").unwrap();
    let user_id = new_user();
    world.users.knows(user_id, "ada@souk.test", "Ada", 1);
    world.confirm_an_order_of(user_id).await;
    world.keeps_address_of(user_id, true).await;
    let folder = world.stop().await;
    std::fs::remove_file(folder.path().join("mail")).unwrap();
    let world = World::start_in(folder).await;
    assert!(world.emails_in_time(1).await[0].contains("<ada@souk.test>"));
}

#[tokio::test]
async fn what_a_user_does_not_want_by_email_is_notified_without() {
    let world = World::start().await;
    let user_id = new_user();
    world.users.knows(user_id, "ada@souk.test", "Ada", 1);
    let off = Preferences { items: vec![Preference { kind: "order_confirmed".to_owned(), ..Preference::default() }] };
    world.client.clone().update_preferences(world.of(user_id, off)).await.unwrap();
    let events = history(new_order(), user_id, &[OrderStatus::Pending, OrderStatus::Confirmed, OrderStatus::Shipped]);
    world.publish(&events).await;
    world.inbox_of(user_id, 5).await;
    let emails = world.emails_once(1).await;
    assert_eq!(emails.len(), 1);
    assert!(emails[0].contains("Subject: Your order is on its way"), "{}", emails[0]);
}
