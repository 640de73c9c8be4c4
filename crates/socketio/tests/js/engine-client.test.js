// The real engine.io-client against a server that echoes every message, in the mode that MODE names.
//
// SERVER_URL: examples/conformance with ENGINE_ONLY=1, and PING_TIMEOUT=2000: this client is not about to prove its own haste.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, afterEach, describe, it } from "node:test";
import { Socket } from "engine.io-client";
import { Proxy } from "./support/proxy.js";
import { required, until, within } from "./support/wait.js";

const url = required("SERVER_URL");
const MODE = process.env.MODE ?? "upgrade";
const transports = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] }[MODE];
assert.ok(transports, `MODE is ${MODE}`);

const sockets = new Set();
afterEach(() => {
  sockets.forEach((socket) => socket.close());
  sockets.clear();
});
const proxies = [];
after(() => Promise.all(proxies.map((proxy) => proxy.close())));

function once(socket, event) {
  return within(new Promise((resolve) => socket.once(event, (...args) => resolve(args))), `the event ${event}`);
}

function make(options = {}, target = url) {
  const socket = new Socket(target, { path: "/engine.io/", transports, ...options });
  sockets.add(socket);
  socket.seen = [];
  socket.on("message", (message) => socket.seen.push(message));
  return socket;
}

async function open(options, target) {
  const socket = make(options, target);
  await once(socket, "open");
  return socket;
}

async function upgraded(socket) {
  await until(() => socket.transport.name === "websocket" && !socket.upgrading, "the upgrade");
  await echoed(socket, "upgraded");
  socket.seen.splice(0);
}

async function echoed(socket, ...messages) {
  const heard = socket.seen.length;
  messages.forEach((message) => socket.send(message));
  await until(() => socket.seen.length >= heard + messages.length, "the echo");
  return socket.seen.slice(heard);
}

describe(`engine.io-client by ${MODE}`, () => {
  it("opens", async () => {
    const socket = await open();
    assert.equal(typeof socket.id, "string");
    assert.equal(socket.readyState, "open");
  });

  it("ends on the transport of its mode", async () => {
    const socket = await open();
    if (MODE === "upgrade") await upgraded(socket);
    assert.equal(socket.transport.name, MODE === "polling" ? "polling" : "websocket");
  });

  it("sends and receives text", async () => {
    const socket = await open();
    const sent = ["hello", "häß 日本語 🦀", "\u0000 \u2028", "4", "2probe"];
    assert.deepEqual(await echoed(socket, ...sent), sent);
  });

  for (const binaryType of ["nodebuffer", "arraybuffer"]) {
    it(`sends and receives binary as ${binaryType}`, async () => {
      const socket = await open();
      socket.binaryType = binaryType;
      const bytes = randomBytes(1000);
      for (const sent of [bytes, new Uint8Array(bytes), new Uint8Array(bytes).buffer, Buffer.alloc(0)]) {
        const [received] = await echoed(socket, sent);
        assert.equal(Buffer.isBuffer(received), binaryType === "nodebuffer");
        assert.deepEqual(Buffer.from(received), Buffer.from(sent));
      }
    });
  }

  it("keeps text and binary in order", async () => {
    const socket = await open();
    const sent = Array.from({ length: 1000 }, (_, n) => (n % 3 === 0 ? Buffer.from([n % 256]) : `text ${n}`));
    assert.deepEqual(await echoed(socket, ...sent), sent);
  });

  it("takes large messages", async () => {
    const socket = await open();
    const text = "häß".repeat(150_000);
    const bytes = randomBytes(700_000);
    assert.deepEqual(await echoed(socket, text, bytes), [text, bytes]);
  });

  it("splits what is more than maxPayload in sum", async () => {
    const socket = await open();
    const sent = Array.from({ length: 10 }, (_, n) => String(n).repeat(300_000));
    assert.deepEqual(await echoed(socket, ...sent), sent);
  });

  it("loses, doubles and reorders nothing while it upgrades", async () => {
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const socket = await open();
        const sent = [];
        for (let n = 0; n < 300; n++) {
          const message = n % 5 === 0 ? Buffer.from([n % 256]) : `text ${n}`;
          sent.push(message);
          socket.send(message);
          if (n % 3 === 0) await new Promise(setImmediate);
        }
        await until(() => socket.seen.length >= sent.length, "all echoes");
        if (MODE === "upgrade") await until(() => socket.transport.name === "websocket", "the upgrade");
        assert.deepEqual(await echoed(socket, "last"), ["last"]);
        assert.deepEqual(socket.seen.slice(0, -1), sent);
      }),
    );
  });

  it("is kept alive by the heartbeat", async () => {
    const socket = await open();
    let pings = 0;
    socket.on("ping", () => pings++);
    await until(() => pings >= 3, "three pings");
    assert.deepEqual(await echoed(socket, "alive"), ["alive"]);
  });

  it("closes", async () => {
    const socket = await open();
    const close = once(socket, "close");
    socket.close();
    assert.equal((await close)[0], "forced close");
    assert.equal(socket.readyState, "closed");
  });

  it("writes what is waiting before it closes", async () => {
    const socket = await open();
    const close = once(socket, "close");
    let flushed = false;
    socket.send("last words", {}, () => (flushed = true));
    socket.close();
    await close;
    assert.equal(flushed, true);
  });

  it("sees the connection break", async () => {
    const proxy = await Proxy.before(url);
    proxies.push(proxy);
    const socket = await open({}, proxy.url);
    if (MODE === "upgrade") await upgraded(socket);
    const close = once(socket, "close");
    await until(() => proxy.connections > 0, "a connection to cut");
    proxy.cut();
    assert.ok(["transport close", "transport error"].includes((await close)[0]));
  });

  it("sees the network fall silent", async () => {
    const proxy = await Proxy.before(url);
    proxies.push(proxy);
    const socket = await open({}, proxy.url);
    if (MODE === "upgrade") await upgraded(socket);
    const close = once(socket, "close");
    proxy.stall();
    assert.equal((await close)[0], "ping timeout");
  });

  it("is told when it sends too much", async () => {
    const socket = await open();
    if (MODE === "upgrade") await upgraded(socket);
    const close = once(socket, "close");
    socket.send("x".repeat(1_000_001));
    assert.ok(["transport close", "transport error"].includes((await close)[0]));
  });

  it("is refused where nobody serves", async () => {
    const socket = make({ path: "/nowhere/" });
    assert.ok((await once(socket, "error"))[0] instanceof Error);
  });
});
