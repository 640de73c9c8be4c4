// Live events over Socket.IO: the inbox, an order's channel, and a room of the chat.
//   npm ci && node socket.js        (BASE_URL, default http://127.0.0.1:8080)
import { io } from "socket.io-client";
import { login, placeOrder, souk } from "./api.js";

const { token } = await login();

// The newest position of the inbox that this client has seen. A real client keeps it where a reload finds it.
let cursor;

const socket = io(souk, {
  // Asked again before every connection: a reconnect shows the newest token and goes on at the newest cursor.
  auth: (send) => send({ token, cursor }),
});

// Every event of the inbox has its position among its data.
const seen = new Promise((resolve) => {
  for (const event of ["order_created", "order_updated", "notification", "notification:read", "notification:unread"]) {
    socket.on(event, (data) => {
      if (cursor !== undefined && data.cursor <= cursor) return; // seen before
      cursor = data.cursor;
      console.log(`${cursor} ${event}`, data.status ?? data.title ?? data.count ?? data.id);
      if (event === "order_updated" && data.status === "confirmed") resolve(data);
    });
  }
});
socket.on("resync", (data) => {
  // What this client knew is of no use any more: read the state anew by REST, then go on from here.
  cursor = data.cursor;
});
socket.on("inbox:ready", (data) => {
  cursor ??= data.cursor;
});
socket.on("connect_error", (error) => console.error(`not connected: ${error.message}`));
socket.on("announcement", ({ text }) => console.log(`announcement: ${text}`));

await new Promise((resolve) => socket.once("inbox:ready", resolve));
const order = await placeOrder(token);
await seen;

// A channel: its present state with its version, then every change. Versions have no gaps: who sees one subscribes again.
const channel = `order:${order.id}`;
const { [channel]: state } = await socket.emitWithAck("subscribe", [channel]);
console.log(`${channel} is ${state.data.status}, version ${state.version}`);

// A refusal is where the answer would be.
const refused = await socket.emitWithAck("join", "");
console.log(`refused: ${refused.error.code}`);

// A room that clients make by joining it.
await socket.emitWithAck("join", "tea");
const said = new Promise((resolve) => socket.once("message", resolve));
await socket.emitWithAck("message", { room_id: "tea", content: "hello" });
console.log(`in ${(await said).room_id}: ${(await said).content}`);

// Everything up to here was dealt with: another device may go on from there with auth.cursor = "acked".
await socket.emitWithAck("inbox:ack", cursor);
socket.disconnect();
console.log("done");
