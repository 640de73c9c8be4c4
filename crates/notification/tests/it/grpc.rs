//! The calls, as their proto promises them.

use contracts::event_data::OrderStatus;
use contracts::grpc::notification::{
    AckInboxRequest, GetPreferencesRequest, GetUnreadCountRequest, ListInboxRequest, ListNotificationsRequest,
    MarkAllReadRequest, MarkReadRequest, Notification, Preference, Preferences,
};
use contracts::ids::UserId;
use contracts::{Reason, Refusal};
use service_kit::grpc::client::on_behalf_of;
use tonic::{Response, Status};

use crate::builders::{history, new_order, new_user};
use crate::world::World;

fn refused<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> Refusal {
    Refusal::from_status(&answer.unwrap_err())
}

impl World {
    /// Gives the user one notification for each order, in inbox positions 3, 7, 11…
    async fn confirm_orders(&self, user_id: UserId, count: usize) {
        for done in 1..=count {
            self.publish(&history(new_order(), user_id, &[OrderStatus::Pending, OrderStatus::Confirmed])).await;
            self.inbox_of(user_id, done * 4).await;
        }
    }

    async fn notifications(&self, user_id: UserId, request: ListNotificationsRequest) -> (Vec<Notification>, String) {
        let page = self.client.clone().list_notifications(self.of(user_id, request)).await.unwrap().into_inner();
        (page.items, page.next_cursor)
    }

    async fn unread(&self, user_id: UserId) -> u64 {
        let request = self.of(user_id, GetUnreadCountRequest {});
        self.client.clone().get_unread_count(request).await.unwrap().into_inner().count
    }
}

#[tokio::test]
async fn notifications_are_paged_newest_first_without_gap_or_repetition() {
    let world = World::start().await;
    let user_id = new_user();
    world.confirm_orders(user_id, 5).await;
    let (mut seqs, mut cursor) = (Vec::new(), String::new());
    loop {
        let request = ListNotificationsRequest { unread_only: false, limit: 2, cursor };
        let (items, next) = world.notifications(user_id, request).await;
        seqs.extend(items.iter().map(|item| item.seq));
        if next.is_empty() {
            break;
        }
        assert_eq!(items.len(), 2);
        cursor = next;
    }
    assert_eq!(seqs, [19, 15, 11, 7, 3]);
}

#[tokio::test]
async fn reading_a_notification_is_seen_in_lists_counts_and_the_inbox() {
    let world = World::start().await;
    let user_id = new_user();
    world.confirm_orders(user_id, 3).await;
    assert_eq!(world.unread(user_id).await, 3);
    let (items, _) = world.notifications(user_id, ListNotificationsRequest::default()).await;
    let notification_id = items[1].id.clone();
    for _ in 0..2 {
        let request = world.of(user_id, MarkReadRequest { notification_id: notification_id.clone() });
        let read = world.client.clone().mark_read(request).await.unwrap().into_inner();
        assert_eq!((read.id.as_str(), read.read, read.seq), (notification_id.as_str(), true, items[1].seq));
    }
    assert_eq!(world.unread(user_id).await, 2);
    let unread_only = ListNotificationsRequest { unread_only: true, ..ListNotificationsRequest::default() };
    let (unread, _) = world.notifications(user_id, unread_only).await;
    assert_eq!(unread.iter().map(|item| item.seq).collect::<Vec<_>>(), [11, 3]);
    for expected in [2, 0] {
        let request = world.of(user_id, MarkAllReadRequest {});
        assert_eq!(world.client.clone().mark_all_read(request).await.unwrap().into_inner().marked, expected);
    }
    let inbox = world.inbox_of(user_id, 17).await.split_off(12);
    let without_request = |data: &str| {
        let mut data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert!(data.as_object_mut().unwrap().remove("request_id").is_some(), "{data}");
        data
    };
    let told: Vec<_> = inbox.iter().map(|entry| (entry.event.as_str(), without_request(&entry.data_json))).collect();
    let read = |id: &str| ("notification:read", serde_json::json!({ "id": id }));
    let unread = |count: u64| ("notification:unread", serde_json::json!({ "count": count }));
    assert_eq!(told, [read(&items[1].id), unread(2), read(&items[2].id), read(&items[0].id), unread(0)]);
}

#[tokio::test]
async fn another_user_s_notification_does_not_exist_and_stays_unread() {
    let world = World::start().await;
    let (owner, thief) = (new_user(), new_user());
    world.confirm_orders(owner, 1).await;
    let (items, _) = world.notifications(owner, ListNotificationsRequest::default()).await;
    let request = world.of(thief, MarkReadRequest { notification_id: items[0].id.clone() });
    assert_eq!(refused(world.client.clone().mark_read(request).await).reason, Reason::NotificationNotFound);
    assert_eq!(world.unread(owner).await, 1);
    assert_eq!(world.notifications(thief, ListNotificationsRequest::default()).await.0, []);
}

#[tokio::test]
async fn an_inbox_is_its_owner_s_and_the_services_alone() {
    let world = World::start().await;
    let (owner, other) = (new_user(), new_user());
    world.confirm_orders(owner, 1).await;
    let list = async |caller: Option<UserId>, user_id: String| {
        let message = ListInboxRequest { user_id, after_seq: 0, limit: 2 };
        let request = match caller {
            Some(caller) => world.of(caller, message),
            None => tonic::Request::new(message),
        };
        world.client.clone().list_inbox(request).await
    };
    for user_id in [String::new(), owner.to_string()] {
        let page = list(Some(owner), user_id).await.unwrap().into_inner();
        assert_eq!((page.items.len(), page.items[0].seq, page.head_seq), (2, 1, 4));
    }
    assert_eq!(list(None, owner.to_string()).await.unwrap().into_inner().items.len(), 2);
    assert_eq!(refused(list(Some(other), owner.to_string()).await).reason, Reason::NotAllowed);
    for nobody in ["", "\0", "0"] {
        assert_eq!(refused(list(None, nobody.to_owned()).await).fields[0].field, "user_id");
    }
    let beyond = ListInboxRequest { user_id: owner.to_string(), after_seq: u64::MAX, limit: 0 };
    let page = world.client.clone().list_inbox(beyond).await.unwrap().into_inner();
    assert_eq!((page.items.len(), page.head_seq), (0, 4));
}

#[tokio::test]
async fn whoever_is_not_signed_in_is_refused_by_every_call() {
    let world = World::start().await;
    // Without a user the client speaks as a service, which these calls are not for; a forged token is nobody's.
    let forged = |message| on_behalf_of("forged", message).unwrap();
    let message = ListInboxRequest::default();
    assert_eq!(refused(world.client.clone().list_inbox(forged(message)).await).reason, Reason::InvalidToken);
    let mut client = world.client.clone();
    let mark = MarkReadRequest { notification_id: new_order().to_string() };
    for reason in [
        refused(client.list_notifications(ListNotificationsRequest::default()).await).reason,
        refused(client.mark_read(mark).await).reason,
        refused(client.mark_all_read(MarkAllReadRequest {}).await).reason,
        refused(client.get_unread_count(GetUnreadCountRequest {}).await).reason,
        refused(client.ack_inbox(AckInboxRequest::default()).await).reason,
        refused(client.get_preferences(GetPreferencesRequest {}).await).reason,
        refused(client.update_preferences(Preferences::default()).await).reason,
    ] {
        assert_eq!(reason, Reason::NotAllowed);
    }
}

#[tokio::test]
async fn input_that_is_not_valid_is_pointed_at() {
    let world = World::start().await;
    let user_id = new_user();
    let list = async |limit, cursor: &str| {
        let message = ListNotificationsRequest { unread_only: false, limit, cursor: cursor.to_owned() };
        refused(world.client.clone().list_notifications(world.of(user_id, message)).await)
    };
    assert_eq!(list(101, "").await.fields[0].field, "limit");
    assert_eq!(list(0, "no cursor").await.fields[0].field, "cursor");
    let message = ListInboxRequest { limit: 501, ..ListInboxRequest::default() };
    let too_many = refused(world.client.clone().list_inbox(world.of(user_id, message)).await);
    assert_eq!(too_many.fields[0].field, "limit");
    for id in ["", "1", "\0", "0190a1b2c3d47e5f8a9b0c1d2e3f4a5b"] {
        let request = world.of(user_id, MarkReadRequest { notification_id: id.to_owned() });
        let refusal = refused(world.client.clone().mark_read(request).await);
        assert_eq!((refusal.reason, refusal.fields[0].field.as_str()), (Reason::InvalidRequest, "id"));
    }
}

#[tokio::test]
async fn preferences_list_every_kind_and_change_only_what_is_named() {
    let world = World::start().await;
    let (user_id, other) = (new_user(), new_user());
    let update = async |kind: &str, email| {
        let items = vec![Preference { kind: kind.to_owned(), email, ..Preference::default() }];
        world.client.clone().update_preferences(world.of(user_id, Preferences { items })).await
    };
    let get = async |user_id| {
        let request = world.of(user_id, GetPreferencesRequest {});
        let items = world.client.clone().get_preferences(request).await.unwrap().into_inner().items;
        assert_eq!(items.len(), 6);
        items.into_iter().filter(|item| !item.email).map(|item| item.kind).collect::<Vec<_>>()
    };
    assert_eq!(get(user_id).await, [""; 0]);
    let changed = update("order_shipped", false).await.unwrap().into_inner();
    assert_eq!(changed.items.len(), 6);
    update("order_refunded", false).await.unwrap();
    update("order_shipped", true).await.unwrap();
    assert_eq!(get(user_id).await, ["order_refunded"]);
    assert_eq!(get(other).await, [""; 0]);
    let refusal = refused(update("newsletter", false).await);
    assert_eq!((refusal.reason, refusal.fields[0].field.as_str()), (Reason::InvalidRequest, "/items/0/kind"));
}

#[tokio::test]
async fn a_channel_that_is_not_named_stays_as_it_is() {
    let world = World::start().await;
    let user_id = new_user();
    let shipped = async |change: Preference| {
        let change = Preference { kind: "order_shipped".to_owned(), ..change };
        let request = world.of(user_id, Preferences { items: vec![change] });
        let items = world.client.clone().update_preferences(request).await.unwrap().into_inner().items;
        assert!(items.iter().all(|item| item.push.is_some() && !item.keep_email));
        let [shipped] =
            items.into_iter().filter(|item| item.kind == "order_shipped").collect::<Vec<_>>().try_into().unwrap();
        (shipped.push.unwrap(), shipped.email)
    };
    let quiet = Preference { push: Some(false), keep_email: true, ..Preference::default() };
    assert_eq!(shipped(quiet).await, (false, true));
    assert_eq!(shipped(Preference { email: false, ..Preference::default() }).await, (false, false));
    assert_eq!(shipped(Preference { keep_email: true, ..Preference::default() }).await, (false, false));
    assert_eq!(shipped(Preference { push: Some(true), email: true, ..Preference::default() }).await, (true, true));
}

#[tokio::test]
async fn a_device_without_a_cursor_goes_on_where_another_one_was() {
    let world = World::start().await;
    let (user_id, other) = (new_user(), new_user());
    world.confirm_orders(user_id, 1).await;
    let ack = async |of, cursor| world.client.clone().ack_inbox(world.of(of, AckInboxRequest { cursor })).await;
    let list = async |of| {
        let page =
            world.client.clone().list_inbox(world.of(of, ListInboxRequest::default())).await.unwrap().into_inner();
        (page.acked_seq, page.head_seq)
    };
    assert_eq!(list(user_id).await, (0, 4));
    for (cursor, acked) in [(3, 3), (1, 3), (0, 3), (3, 3)] {
        assert_eq!(ack(user_id, cursor).await.unwrap().into_inner().acked_seq, acked, "{cursor}");
    }
    assert_eq!((list(user_id).await, list(other).await), ((3, 4), (0, 0)));
    for (of, cursor, head) in [(user_id, 5, "4"), (user_id, u64::MAX, "4"), (other, 1, "0")] {
        let refusal = refused(ack(of, cursor).await);
        assert_eq!((refusal.reason, refusal.fields[0].field.as_str()), (Reason::InvalidRequest, "cursor"));
        assert!(refusal.fields[0].message.contains(head), "{refusal:?}");
    }
    assert_eq!(list(user_id).await, (3, 4));
}
