//! The golden samples of `proto/events/samples`, the schemas beside them and the types of the code tell the same.

use std::collections::{BTreeMap, BTreeSet};

use contracts::Event;
use contracts::event_data::{
    ChatMemberEvent, ChatMessageCreated, InboxAppended, OrderData, OrderStatus, PaymentEvent, ProductEvent,
    ReservationEvent, UserEvent,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The routing keys that the code names: there is no list of them at run time, so the source itself is read.
fn routing_keys() -> BTreeSet<String> {
    include_str!("../../src/event_data.rs")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub const ")?.split_once(": &str = \"")?.1.strip_suffix("\";"))
        .map(str::to_owned)
        .collect()
}

/// The text of every sample, by the routing key that its file is named after.
fn samples() -> BTreeMap<String, String> {
    std::fs::read_dir(crate::repository("proto/events/samples"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            assert_eq!(path.extension().unwrap(), "json", "{}", path.display());
            let key = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (key, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn there_and_back<T: DeserializeOwned + Serialize>(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_str::<T>(text)?)
}

/// Reads a payload as the type of its family and writes it again.
fn payload_there_and_back(key: &str, data: &str) -> Result<Value, serde_json::Error> {
    match family(key) {
        "user" => there_and_back::<UserEvent>(data),
        "order" => there_and_back::<OrderData>(data),
        "reservation" => there_and_back::<ReservationEvent>(data),
        "product" => there_and_back::<ProductEvent>(data),
        "payment" => there_and_back::<PaymentEvent>(data),
        "inbox" => there_and_back::<InboxAppended>(data),
        "chat_message" => there_and_back::<ChatMessageCreated>(data),
        "chat_member" => there_and_back::<ChatMemberEvent>(data),
        other => panic!("no payload type is known for {other}"),
    }
}

/// The name of the payload's schema.
fn family(key: &str) -> &str {
    match key.split_once('.').unwrap() {
        ("inventory", _) => "reservation",
        ("chat", "message_created") => "chat_message",
        ("chat", _) => "chat_member",
        (family, _) => family,
    }
}

fn schema(name: &str) -> Value {
    json(&std::fs::read_to_string(crate::repository(&format!("proto/events/{name}.schema.json"))).unwrap())
}

#[test]
fn every_routing_key_has_a_sample_and_every_sample_a_routing_key() {
    let named: BTreeSet<String> = samples().into_keys().collect();
    let keys = routing_keys();
    assert!(keys.contains("order.confirmed"), "the keys must be found in the source: {keys:?}");
    assert_eq!(named, keys);
}

#[test]
fn samples_survive_the_types_of_the_code_unchanged() {
    for (key, text) in samples() {
        let sample = json(&text);
        assert_eq!(there_and_back::<Event>(&text).unwrap(), sample, "envelope of {key}");
        let event: Event = serde_json::from_str(&text).unwrap();
        assert_eq!(payload_there_and_back(&key, event.data.get()).unwrap(), sample["data"], "payload of {key}");
    }
}

#[test]
fn unknown_members_are_ignored_and_not_passed_on() {
    for (key, text) in samples() {
        let sample = json(&text);
        let mut newer = sample.clone();
        newer["addedlater"] = "x".into();
        // The data of an inbox entry is passed on as it came, whatever is in it.
        let passed_on = newer["data"]["data"].take();
        add_to_every_object(&mut newer["data"]);
        if !passed_on.is_null() {
            newer["data"]["data"] = passed_on;
        }
        let newer = newer.to_string();
        let event: Event = serde_json::from_str(&newer).unwrap_or_else(|error| panic!("envelope of {key}: {error}"));
        let payload = payload_there_and_back(&key, event.data.get());
        let payload = payload.unwrap_or_else(|error| panic!("payload of {key}: {error}"));
        assert_eq!(payload, sample["data"], "payload of {key}");
        assert_eq!(serde_json::to_value(&event).unwrap().get("addedlater"), None, "envelope of {key}");
    }
}

#[test]
fn samples_say_consistently_what_they_are() {
    for (key, text) in samples() {
        let sample = json(&text);
        let data = &sample["data"];
        assert_eq!(sample["type"], *key);
        assert_eq!(sample["dataschema"], format!("urn:souk:event:{key}:v1"));
        let (service, subject) = match family(&key) {
            "user" => ("users", &data["user_id"]),
            "order" => ("orders", &data["id"]),
            "reservation" => ("inventory", &data["order_id"]),
            "product" => ("inventory", &data["sku"]),
            "payment" => ("payment", &data["order_id"]),
            "inbox" => ("notification", &data["user_id"]),
            "chat_message" | "chat_member" => ("notification", &data["room_id"]),
            other => panic!("no publisher is known for {other}"),
        };
        assert_eq!(sample["source"], format!("/souk/{service}"), "{key}");
        assert_eq!(sample["subject"], *subject, "{key}");
        if let Some(version) = data.get("version") {
            assert_eq!(sample["aggregateversion"], version.to_string(), "{key}");
        }
    }
}

/// Every member of an object is described by its schema, and every required one is there.
fn assert_described(schema: &Value, object: &Value, what: &str) {
    let members: BTreeSet<&String> = object.as_object().unwrap().keys().collect();
    let described: BTreeSet<&String> = schema["properties"].as_object().unwrap().keys().collect();
    assert!(members.is_subset(&described), "{what}: {members:?} has members that {described:?} lacks");
    for required in schema["required"].as_array().unwrap() {
        assert!(object.get(required.as_str().unwrap()).is_some(), "{what} lacks {required}");
    }
}

#[test]
fn schemas_describe_what_samples_carry_and_samples_show_what_schemas_describe() {
    let envelope = schema("cloudevent");
    let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, text) in samples() {
        let sample = json(&text);
        assert_described(&envelope, &sample, &key);
        assert_described(&schema(family(&key)), &sample["data"], &format!("payload of {key}"));
        let members = sample["data"].as_object().unwrap().keys().cloned();
        shown.entry(family(&key).to_owned()).or_default().extend(members);
    }
    for (family, members) in shown {
        let described: BTreeSet<String> = schema(&family)["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(members, described, "{family}.schema.json describes what no sample shows");
    }
}

#[test]
fn no_event_says_who_the_person_behind_an_account_is() {
    for (key, text) in samples() {
        assert!(!text.contains('@') && !schema(family(&key)).to_string().contains("email"), "{key} tells an address");
    }
    assert_eq!(schema("user")["properties"].get("name"), None);
}

#[test]
fn the_schema_of_orders_knows_every_status() {
    let known: Vec<String> = serde_json::from_value(schema("order")["properties"]["status"]["enum"].clone()).unwrap();
    let statuses: BTreeSet<&str> = OrderStatus::ALL.iter().map(|status| status.as_str()).collect();
    assert_eq!(known.iter().map(String::as_str).collect::<BTreeSet<_>>(), statuses);
}

fn add_to_every_object(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(add_to_every_object);
            members.insert("added_later".to_owned(), "x".into());
        }
        Value::Array(items) => items.iter_mut().for_each(add_to_every_object),
        _ => {}
    }
}
