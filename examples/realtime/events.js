// Live events by server-sent events. In a browser, EventSource is there already; the rest is the same.
//   npm ci && node events.js        (BASE_URL, default http://127.0.0.1:8080)
import { EventSource } from "eventsource";
import { login, placeOrder, souk } from "./api.js";

const { token } = await login();

// An EventSource can set no headers: the token goes in the query. When the connection is lost it connects again by itself, and
// shows the id of the last event it saw, so that nothing is missed. After a restart of the page, add &cursor=<that id>.
const source = new EventSource(`${souk}/events?token=${token}`);

source.addEventListener("connected", async (event) => {
  console.log(`connected at ${event.lastEventId}`);
  await placeOrder(token);
});
source.addEventListener("order_created", (event) => console.log(`${event.lastEventId} order_created`));
source.addEventListener("order_updated", (event) => {
  const order = JSON.parse(event.data);
  console.log(`${event.lastEventId} order_updated ${order.status}`);
  if (order.status === "confirmed") {
    source.close();
    console.log("done");
  }
});
source.addEventListener("resync", () => console.log("too long away: read the state anew by REST"));
source.addEventListener("error", (event) => console.error(`connecting again: ${event.message ?? ""}`));
