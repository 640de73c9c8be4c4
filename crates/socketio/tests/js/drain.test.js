// Clients of a node that is drained go on at the other, little by little.
//
// NODE_A_URL, NODE_B_URL: examples/cluster, both on one Redis; NODE_A_PID: the first one's process, which is told to drain.
import assert from "node:assert/strict";
import { after, it } from "node:test";
import { client, collect, connected, endClients } from "./support/clients.js";
import { Proxy } from "./support/proxy.js";
import { delay, required, until } from "./support/wait.js";

const CLIENTS = 40;
const urls = [required("NODE_A_URL"), required("NODE_B_URL")];
const auth = { token: "somebody" };
const websocket = { transports: ["websocket"], auth };
const proxies = [];
after(async () => {
  endClients();
  await Promise.all(proxies.map((proxy) => proxy.close()));
});

async function proxied(...targets) {
  const proxy = await Proxy.before(...targets);
  proxies.push(proxy);
  return proxy;
}

/** A client that counts what it hears, and says how it fared. */
async function follower(url, options) {
  const socket = client(url, options);
  const ticks = collect(socket, "tick");
  const ends = collect(socket, "disconnect");
  await connected(socket);
  const { id } = socket;
  const made = { socket, ticks, ends, id, back: [] };
  socket.on("connect", () => made.back.push(socket.recovered && socket.id === id));
  return made;
}

it("clients of a drained node recover on the other and miss nothing", async () => {
  const [both, first] = [await proxied(...urls), await proxied(urls[0])];
  const source = await connected(urls[1], websocket);
  const followers = [];
  for (let n = 0; n < CLIENTS; n++) followers.push(await follower(both.url, websocket));
  const onFirst = CLIENTS / 2;
  // Where a client polls, a cluster needs sticky sessions: this one is at the first node.
  const polling = await follower(first.url, { transports: ["polling"], auth });
  followers.push(polling);

  let emitted = 0;
  let going = true;
  const stream = (async () => {
    while (going) {
      source.emit("emit", { n: emitted++ });
      await delay(2);
    }
  })();
  await until(() => followers.every(({ ticks }) => ticks.length > 20), "all listen");

  const begun = Date.now();
  process.kill(Number(required("NODE_A_PID")), "SIGUSR1");
  await until(() => polling.ends.length > 0, "the polling client is told");
  first.targets = [new URL(urls[1])];
  await until(() => followers.filter(({ back }) => back.length > 0).length === onFirst + 1, "those of the first come back");
  const took = Date.now() - begun;
  await until(() => followers.every(({ socket }) => socket.connected), "all are connected");
  going = false;
  await stream;
  await until(() => followers.every(({ ticks }) => ticks.length >= emitted), "all is heard");

  const wanted = Array.from({ length: emitted }, (_, n) => n);
  const from = followers.map(({ ticks }) => ticks[0][0].n);
  for (const [which, { ticks, ends, back }] of followers.entries()) {
    assert.deepEqual(ticks.map(([{ n }]) => n), wanted.slice(from[which]), `client ${which}`);
    assert.deepEqual(ends.map(([reason]) => reason), back.map(() => "transport close"), `client ${which}`);
    assert.deepEqual(back, back.map(() => true), `client ${which} recovered`);
  }
  assert.ok(took > 300, `50 a second, and all within ${took} ms`);
});
