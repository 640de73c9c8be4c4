//! The journey: what a customer, and those who serve them, do with Souk.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::events::Listener;
use super::visitor::{Call, Visitor};
use crate::seed::PASSWORD;

/// How soon a change must have reached the listener.
const PUSH_PATIENCE: Duration = Duration::from_secs(2);
/// How long an open payment may take to settle.
const SETTLE_PATIENCE: Duration = Duration::from_secs(30);

/// Walks the whole way; the number of steps.
pub(super) async fn walk(visitor: &Visitor) -> anyhow::Result<usize> {
    visitor.call(Call::get("is it ready", "/health/ready")).await?;
    let customer = register(visitor).await?;
    let token = customer.token.as_str();

    let product = pick_product(visitor).await?;
    let listener = Listener::connect(visitor, token, None).await?;
    let order = buy(visitor, token, &product).await?;
    hear(visitor, &listener, &order).await?;
    resume(visitor, token, &listener).await?;

    refused_card(visitor, token, &product).await?;
    out_of_stock(visitor, token, &product).await?;
    bad_input(visitor, token).await?;
    unknown_outcome(visitor, token, &product, &listener).await?;
    change_of_mind(visitor, token, &order).await?;
    staff(visitor, token, &product).await?;
    notifications(visitor, token).await?;
    log_out(visitor, &customer).await?;
    Ok(visitor.steps())
}

struct Customer {
    token: String,
    refresh_token: String,
}

fn text<'a>(value: &'a Value, pointer: &str) -> anyhow::Result<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).with_context(|| format!("no text at {pointer} of {value}"))
}

async fn register(visitor: &Visitor) -> anyhow::Result<Customer> {
    let email = format!("demo-{}@souk.test", uuid::Uuid::new_v4().simple());
    let account = json!({ "email": email, "password": "a-long-demo-password", "name": "Demo Customer" });
    visitor.call(Call::post("register", "/api/auth/register", account.clone(), 201)).await?;
    visitor.call(Call::post("register twice is refused", "/api/auth/register", account, 409)).await?;
    let wrong = json!({ "email": email, "password": "not-the-password" });
    visitor.call(Call::post("a wrong password is refused", "/api/auth/login", wrong, 401)).await?;
    let right = json!({ "email": email, "password": "a-long-demo-password" });
    let session = visitor.call(Call::post("log in", "/api/auth/login", right, 200)).await?;
    let refresh = json!({ "refresh_token": text(&session, "/refresh_token")? });
    let session = visitor.call(Call::post("refresh the session", "/api/auth/refresh", refresh, 200)).await?;
    let token = text(&session, "/access_token")?.to_owned();
    let me = visitor.call(Call::get("who am I", "/api/users/me").with_token(&token)).await?;
    visitor.check("my email is mine", me["email"] == json!(email), &me)?;
    Ok(Customer { token, refresh_token: text(&session, "/refresh_token")?.to_owned() })
}

struct Product {
    sku: String,
    price: i64,
}

impl Product {
    fn path(&self) -> String {
        format!("/api/products/{}", self.sku)
    }

    fn order(&self, quantity: u64, method: &str) -> Value {
        json!({ "items": [{ "sku": self.sku, "quantity": quantity }], "payment_method": method })
    }
}

async fn pick_product(visitor: &Visitor) -> anyhow::Result<Product> {
    let page = visitor.call(Call::get("look through the catalogue", "/api/products?limit=100")).await?;
    let items = page["items"].as_array().context("no items")?;
    // One with enough stock for the whole journey, also while others shop.
    let plenty = items.iter().find(|product| (20..=10_000).contains(&product["available"].as_u64().unwrap_or(0)));
    let Some(product) = plenty else { bail!("the catalogue has nothing in stock: run `souk seed`") };
    let product = Product {
        sku: text(product, "/sku")?.to_owned(),
        price: product.pointer("/price/amount_minor").and_then(Value::as_i64).context("no price")?,
    };
    Ok(product)
}

async fn available(visitor: &Visitor, product: &Product, step: &str) -> anyhow::Result<u64> {
    let found = visitor.call(Call::get(step, &product.path())).await?;
    found["available"].as_u64().context("no stock")
}

async fn buy(visitor: &Visitor, token: &str, product: &Product) -> anyhow::Result<String> {
    let before = available(visitor, product, "look at one product").await?;
    let key = uuid::Uuid::new_v4().to_string();
    let body = product.order(2, "card_ok");
    let place = || Call::post("place an order", "/api/orders", body.clone(), 201).with_token(token).with_key(&key);
    let order = visitor.call(place()).await?;
    visitor.check("the order is confirmed", order["status"] == "confirmed", &order)?;
    visitor.check(
        "the total is price times quantity",
        order["total"]["amount_minor"] == json!(2 * product.price),
        &order,
    )?;
    let again = visitor.call(Call { step: "the same key gives the same order", ..place() }).await?;
    visitor.check("one key, one order", again["id"] == order["id"], &again)?;
    let other = Call {
        step: "the key with another body is refused",
        expect: 422,
        body: Some(product.order(3, "card_ok")),
        ..place()
    };
    visitor.call(other).await?;
    let id = text(&order, "/id")?.to_owned();
    let path = format!("/api/payments/{id}");
    let payment = visitor.call(Call::get("see the payment", &path).with_token(token)).await?;
    visitor.check("charged once", payment["status"] == "captured" && payment["amount"] == order["total"], &payment)?;
    let after = available(visitor, product, "two fewer in stock").await?;
    visitor.check("the stock went down by two", after <= before - 2, &json!([before, after]))?;
    Ok(id)
}

async fn hear(visitor: &Visitor, listener: &Listener, order_id: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    for (event, says) in [("order_created", order_id), ("order_updated", order_id), ("notification", order_id)] {
        let heard =
            listener.wait(event, PUSH_PATIENCE, |heard| heard.event == event && heard.data.contains(says)).await?;
        let cursor = heard.id.with_context(|| format!("{event} came without a cursor"))?;
        visitor.tell(&format!("hear {event}"), true, started.elapsed(), &format!("cursor {cursor}"), "");
    }
    Ok(())
}

async fn resume(visitor: &Visitor, token: &str, listener: &Listener) -> anyhow::Result<()> {
    let started = Instant::now();
    let cursors: Vec<u64> = listener.all().iter().filter_map(|event| event.id).collect();
    let first = *cursors.first().context("no cursor was heard")?;
    let again = Listener::connect(visitor, token, Some(first)).await?;
    let wanted: Vec<u64> = cursors.iter().copied().filter(|cursor| *cursor > first).collect();
    let last = *wanted.last().context("only one cursor was heard")?;
    again.wait("replay", PUSH_PATIENCE, |event| event.id == Some(last)).await?;
    let replayed: Vec<u64> =
        again.all().iter().filter_map(|event| event.id).filter(|id| *id <= last && *id > first).collect();
    visitor.check("everything after the cursor, once, in order", replayed == wanted, &json!([wanted, replayed]))?;
    visitor.tell("go on listening where it broke off", true, started.elapsed(), &format!("after cursor {first}"), "");
    Ok(())
}

async fn refused_card(visitor: &Visitor, token: &str, product: &Product) -> anyhow::Result<()> {
    let before = available(visitor, product, "its stock before a refusal").await?;
    let declined =
        Call::post("a declined card", "/api/orders", product.order(1, "card_declined"), 402).with_token(token);
    let problem = visitor.call(declined).await?;
    visitor.check("the problem names the order", problem["order_id"].is_string(), &problem)?;
    let path = format!("/api/orders/{}", text(&problem, "/order_id")?);
    let order = visitor.call(Call::get("its order is cancelled", &path).with_token(token)).await?;
    visitor.check("cancelled", order["status"] == "cancelled", &order)?;
    let back = |found: &Value| found["available"].as_u64() >= Some(before);
    visitor.call_until(Call::get("and its stock is back", &product.path()), PUSH_PATIENCE, back).await?;
    Ok(())
}

async fn out_of_stock(visitor: &Visitor, token: &str, product: &Product) -> anyhow::Result<()> {
    let too_many =
        Call::post("more than there is", "/api/orders", product.order(10_000, "card_ok"), 409).with_token(token);
    let problem = visitor.call(too_many).await?;
    visitor.check("the problem names the product", problem["missing"][0]["sku"] == json!(product.sku), &problem)
}

async fn bad_input(visitor: &Visitor, token: &str) -> anyhow::Result<()> {
    let unknown = json!({ "items": [{ "sku": "NO-SUCH-THING", "quantity": 1 }], "payment_method": "card_ok" });
    let problem = visitor.call(Call::post("an unknown product", "/api/orders", unknown, 400).with_token(token)).await?;
    visitor.check("the problem points at the line", problem["errors"][0]["pointer"] == "/items/0/sku", &problem)?;
    visitor.call(Call { expect: 401, ..Call::get("orders without a token", "/api/orders") }).await?;
    visitor.call(Call { expect: 404, ..Call::get("a route that is not there", "/api/nowhere") }).await?;
    Ok(())
}

async fn unknown_outcome(visitor: &Visitor, token: &str, product: &Product, listener: &Listener) -> anyhow::Result<()> {
    let body = product.order(1, "card_timeout_captured");
    let order =
        visitor.call(Call::post("a provider that does not answer", "/api/orders", body, 202).with_token(token)).await?;
    let id = text(&order, "/id")?.to_owned();
    let started = Instant::now();
    println!("      … waiting for the provider's verdict, at most {} s", SETTLE_PATIENCE.as_secs());
    let settled = |event: &super::events::Heard| event.event == "notification" && event.data.contains(&id);
    listener.wait("verdict", SETTLE_PATIENCE, settled).await?;
    visitor.tell("the verdict arrives by itself", true, started.elapsed(), "", "");
    let path = format!("/api/orders/{id}");
    let order = visitor.call(Call::get("the order is confirmed after all", &path).with_token(token)).await?;
    visitor.check("confirmed", order["status"] == "confirmed", &order)
}

async fn change_of_mind(visitor: &Visitor, token: &str, order_id: &str) -> anyhow::Result<()> {
    let path = format!("/api/orders/{order_id}/cancel");
    let cancel =
        Call::post("cancel the first order", &path, json!({ "reason": "changed my mind" }), 200).with_token(token);
    let order = visitor.call(cancel).await?;
    visitor.check("cancelled", order["status"] == "cancelled", &order)?;
    let path = format!("/api/payments/{order_id}");
    let refunded = |payment: &Value| payment["status"] == "refunded";
    visitor.call_until(Call::get("the money goes back", &path).with_token(token), PUSH_PATIENCE, refunded).await?;
    let path = format!("/api/orders/{order_id}/timeline");
    let timeline = visitor.call(Call::get("what happened to it", &path).with_token(token)).await?;
    let statuses: Vec<_> =
        timeline["items"].as_array().into_iter().flatten().map(|entry| entry["status"].clone()).collect();
    visitor.check(
        "pending, confirmed, cancelled",
        json!(statuses) == json!(["pending", "confirmed", "cancelled"]),
        &timeline,
    )
}

/// Shipping wants an admin: skipped where the demo accounts do not exist.
async fn staff(visitor: &Visitor, token: &str, product: &Product) -> anyhow::Result<()> {
    let body = product.order(1, "card_ok");
    let order = visitor.call(Call::post("another order", "/api/orders", body, 201).with_token(token)).await?;
    let id = text(&order, "/id")?.to_owned();
    let ship = format!("/api/orders/{id}/ship");
    visitor.call(Call::post("a customer may not ship", &ship, json!({}), 403).with_token(token)).await?;
    let admin = visitor
        .call(Call::post(
            "the admin logs in",
            "/api/auth/login",
            json!({ "email": "admin@souk.test", "password": PASSWORD }),
            200,
        ))
        .await
        .context("the journey needs the demo accounts: run `souk seed`")?;
    let admin = text(&admin, "/access_token")?;
    let order = visitor.call(Call::post("the admin ships it", &ship, json!({}), 200).with_token(admin)).await?;
    visitor.check("shipped", order["status"] == "shipped", &order)?;
    let cancel = format!("/api/orders/{id}/cancel");
    visitor.call(Call::post("too late to cancel", &cancel, json!({}), 409).with_token(token)).await?;
    let refund = format!("/api/orders/{id}/refund");
    let reason = json!({ "reason": "arrived broken" });
    let order = visitor.call(Call::post("the admin refunds it", &refund, reason, 200).with_token(admin)).await?;
    visitor.check("refunded", order["status"] == "refunded", &order)
}

async fn notifications(visitor: &Visitor, token: &str) -> anyhow::Result<()> {
    let told = |page: &Value| {
        let mut items = page["items"].as_array().into_iter().flatten();
        items.any(|item| item["kind"] == "order_refunded")
    };
    let read = Call::get("read the notifications", "/api/notifications?limit=100").with_token(token);
    let page = visitor.call_until(read, PUSH_PATIENCE, told).await?;
    let path = format!("/api/notifications/{}/read", text(&page, "/items/0/id")?);
    visitor.call(Call::post("mark one read", &path, json!({}), 200).with_token(token)).await?;
    visitor.call(Call::post("mark all read", "/api/notifications/read-all", json!({}), 200).with_token(token)).await?;
    let unread = visitor.call(Call::get("nothing unread", "/api/notifications/unread-count").with_token(token)).await?;
    visitor.check("none", unread["count"] == 0, &unread)
}

async fn log_out(visitor: &Visitor, customer: &Customer) -> anyhow::Result<()> {
    let body = json!({ "refresh_token": customer.refresh_token });
    visitor.call(Call::post("log out", "/api/auth/logout", body.clone(), 204)).await?;
    visitor.call(Call::post("the session is over", "/api/auth/refresh", body, 401)).await?;
    let started = Instant::now();
    loop {
        let me = visitor.client().get(format!("{}/api/users/me", visitor.url())).bearer_auth(&customer.token);
        if me.send().await?.status() == 401 {
            break;
        }
        if started.elapsed() > PUSH_PATIENCE {
            bail!("the access token still works after the log-out");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    visitor.tell("its access token is void", true, started.elapsed(), "", "");
    Ok(())
}
