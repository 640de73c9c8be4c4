// Connection state recovery as the real client sees it, on one node, in the mode that MODE names.
//
// SERVER_URL: testbed with RECOVERY=1. REFERENCE=1: the server is the original, which promises less.
import assert from "node:assert/strict";
import { after, afterEach, describe, it } from "node:test";
import { MODE, ask, client, collect, connected, endClients, next, settled, unique, upgraded } from "./support/clients.js";
import { Proxy } from "./support/proxy.js";
import { delay, required, until } from "./support/wait.js";

const url = required("SERVER_URL");
const reference = process.env.REFERENCE === "1";
const beyond = { skip: reference && "the original doesn't promise this" };

const proxies = [];
async function proxied() {
  const proxy = await Proxy.before(url);
  proxies.push(proxy);
  return proxy;
}
afterEach(endClients);
after(() => Promise.all(proxies.map((proxy) => proxy.close())));

/** A client behind a proxy, in a room of its own, and a source that can speak to the room. */
async function listener(auth = {}, options = {}) {
  const proxy = await proxied();
  const room = unique("room");
  const source = await connected(url);
  const socket = await connected(proxy.url, { auth, ...options });
  if (MODE === "upgrade") await upgraded(socket);
  await ask(socket, "join", room);
  const say = (...args) => ask(source, "emit", { to: [room] }, "word", ...args);
  return { proxy, room, source, socket, say };
}

/** Cuts the connection, runs `meanwhile` while the client is away, and lets it come back. */
async function away({ proxy, socket, source }, meanwhile = async () => {}) {
  const { id } = socket;
  const end = next(socket, "disconnect");
  proxy.refuse(true);
  proxy.cut();
  await end;
  await meanwhile();
  // The original has a session to give back only when it has noticed that the connection is gone.
  if (reference) await until(() => ask(source, "reason", id), "the server notices");
  const back = next(socket, "connect");
  proxy.refuse(false);
  await back;
}

const words = (seen) => seen.map(([word]) => word);

describe(`a ${MODE} client that was away`, () => {
  it("gets what it missed, in order, with its id, its rooms and its data", async () => {
    const hall = await listener({ token: "ann" });
    const { socket, source, room, say } = hall;
    const id = socket.id;
    const seen = collect(socket, "word");
    await ask(socket, "set-data", { colour: "blue" });
    await say("before");
    await settled(socket);
    await away(hall, async () => {
      for (let n = 0; n < 50; n++) await say(n);
    });
    assert.equal(socket.recovered, true);
    assert.equal(socket.id, id);
    await say("after");
    await settled(socket);
    assert.deepEqual(words(seen), ["before", ...Array.from({ length: 50 }, (_, n) => n), "after"]);
    assert.deepEqual(await ask(socket, "rooms"), [id, room].sort());
    assert.deepEqual(await ask(socket, "get-data"), { user: "ann", colour: "blue" });
    assert.equal((await ask(socket, "where")).recovered, true);
    await settled(source);
  });

  it("gets what it missed with binary and many arguments", async () => {
    const hall = await listener();
    const { socket, say } = hall;
    const seen = collect(socket, "word");
    await say("before");
    await settled(socket);
    await away(hall, () => say("häß", Buffer.from([1, 2, 3]), { deep: [Buffer.from([4])] }, null));
    await settled(socket);
    assert.equal(socket.recovered, true);
    // The offset stands behind the arguments.
    assert.deepEqual(seen[1].slice(0, -1), ["häß", Buffer.from([1, 2, 3]), { deep: [Buffer.from([4])] }, null]);
  });

  it("gets what was sent to it alone, and to all, but not what was for others", async () => {
    const hall = await listener();
    const { socket, source, room, say } = hall;
    const seen = collect(socket, "word");
    await say("before");
    await settled(socket);
    await away(hall, async () => {
      const emit = (options, word) => ask(source, "emit", options, "word", word);
      await emit({ except: [room] }, "not for the room");
      await emit({ to: [unique("other")] }, "for others");
      await emit({}, "for all");
      await emit({ to: [room], volatile: true }, "volatile");
      await emit({ from: "socket" }, "for all but the source");
    });
    await settled(socket);
    assert.equal(socket.recovered, true);
    // What other tests' sockets are sent is not heard here: they speak to rooms.
    assert.deepEqual(words(seen), ["before", "for all", "for all but the source"]);
  });

  const quick = { skip: reference && MODE === "polling" && "the original takes longer to notice than the stream lasts" };
  it("can be away again and again in the middle of a stream", quick, async () => {
    const hall = await listener();
    const { socket, source, room } = hall;
    const ticks = collect(socket, "tick");
    const done = ask(source, "drip", { n: 600, every: 2, room });
    for (let round = 0; round < 4; round++) {
      const heard = ticks.length;
      await until(() => ticks.length > heard + 20, "the stream goes on");
      await away(hall, () => delay(20));
      assert.equal(socket.recovered, true);
    }
    await done;
    await until(() => ticks.length >= 600, "all of the stream");
    await settled(source, socket);
    assert.deepEqual(words(ticks), Array.from({ length: 600 }, (_, n) => n));
  });

  it("hears nothing twice when nothing was missed", async () => {
    const hall = await listener();
    const { socket, say } = hall;
    const seen = collect(socket, "word");
    await say(1);
    await settled(socket);
    await away(hall);
    assert.equal(socket.recovered, true);
    await say(2);
    await settled(socket);
    assert.deepEqual(words(seen), [1, 2]);
  });

  it("gets what it missed also if it never heard anything before", beyond, async () => {
    const hall = await listener();
    const { socket, say } = hall;
    const id = socket.id;
    const seen = collect(socket, "word");
    await away(hall, () => say("missed"));
    assert.equal(socket.recovered, true);
    assert.equal(socket.id, id);
    await settled(socket);
    assert.deepEqual(words(seen), ["missed"]);
  });

  it("finds itself in the rooms that the server gave it or took from it meanwhile", beyond, async () => {
    const hall = await listener();
    const { socket, source, say } = hall;
    await say("before");
    await settled(socket);
    await ask(socket, "join", "joined");
    await ask(socket, "join", "left");
    await ask(source, "sockets-leave", { to: ["left"] }, ["left"]);
    await settled(socket);
    await away(hall);
    assert.equal(socket.recovered, true);
    const rooms = await ask(socket, "rooms");
    assert.ok(rooms.includes("joined") && !rooms.includes("left"), String(rooms));
  });

  it("and left on purpose begins anew", async () => {
    const { socket, source, say } = await listener();
    await say("before");
    await settled(socket);
    const id = socket.id;
    socket.disconnect();
    // Two connections: what the second says could come before the last word of the first.
    await until(() => ask(source, "reason", id), "the server knows");
    await connected(socket);
    assert.equal(socket.recovered, false);
    assert.notEqual(socket.id, id);
  });

  it("and was sent away begins anew", async () => {
    const { socket, say } = await listener();
    await say("before");
    await settled(socket);
    const id = socket.id;
    const end = next(socket, "disconnect");
    socket.emit("disconnect-me", false);
    await end;
    await connected(socket);
    assert.equal(socket.recovered, false);
    assert.notEqual(socket.id, id);
  });
});

describe(`a session of a ${MODE} client`, () => {
  /** What its client would show for it. */
  const keys = (socket) => ({ pid: socket._pid, offset: socket._lastOffset });

  /** A client that is gone for good, and the keys to its session. */
  async function left() {
    const hall = await listener({ token: "ann" }, { reconnection: false });
    const { proxy, socket, say, source } = hall;
    await say("before");
    await settled(socket);
    const held = { ...keys(socket), id: socket.id };
    const end = next(socket, "disconnect");
    proxy.refuse(true);
    proxy.cut();
    await end;
    if (reference) await until(() => ask(source, "reason", held.id), "the server notices");
    await say("missed");
    return { ...hall, held };
  }

  /** Comes with keys; gives the socket and what it hears. */
  async function claim({ pid, offset }, token) {
    const socket = client(url, { auth: { token, pid, offset } });
    const seen = collect(socket, "word");
    await connected(socket);
    await settled(socket);
    return { socket, seen };
  }

  it("is given back to who shows its keys", async () => {
    const { held } = await left();
    const { socket, seen } = await claim(held, "ann");
    assert.equal((await ask(socket, "where")).recovered, true);
    assert.equal(socket.id, held.id);
    assert.deepEqual(words(seen), ["missed"]);
  });

  it("is not given to another user, and stays with its own", beyond, async () => {
    const { held } = await left();
    const thief = await claim(held, "mallory");
    assert.equal((await ask(thief.socket, "where")).recovered, false);
    assert.notEqual(thief.socket.id, held.id);
    assert.notEqual(thief.socket._pid, held.pid);
    assert.deepEqual(thief.seen, []);
    assert.deepEqual(await ask(thief.socket, "rooms"), [thief.socket.id]);
    const anonymous = await claim(held, undefined);
    assert.equal((await ask(anonymous.socket, "where")).recovered, false);
    const { socket, seen } = await claim(held, "ann");
    assert.equal((await ask(socket, "where")).recovered, true);
    assert.deepEqual(words(seen), ["missed"]);
  });

  it("is not given to a refused user", beyond, async () => {
    const { held } = await left();
    const refused = client(url, { auth: { token: "refused", pid: held.pid, offset: held.offset } });
    const error = next(refused, "connect_error");
    refused.connect();
    assert.equal((await error)[0].message, "not allowed");
    const { socket } = await claim(held, "ann");
    assert.equal((await ask(socket, "where")).recovered, true);
  });

  for (const offset of ["nonsense", "", "0-0x", "-", "99999999999999999999-0", "1-1-1", 5, {}]) {
    it(`is not given for the offset ${JSON.stringify(offset)}`, async () => {
      const { held } = await left();
      const { socket, seen } = await claim({ pid: held.pid, offset }, "ann");
      assert.equal((await ask(socket, "where")).recovered, false);
      assert.notEqual(socket.id, held.id);
      assert.deepEqual(seen, []);
    });
  }

  for (const pid of ["nobody's", "", "*", 5, {}, null]) {
    it(`is not found by the pid ${JSON.stringify(pid)}`, async () => {
      const { held } = await left();
      const { socket, seen } = await claim({ pid, offset: held.offset }, "ann");
      assert.equal((await ask(socket, "where")).recovered, false);
      assert.notEqual(socket.id, held.id);
      assert.deepEqual(seen, []);
    });
  }

  it("is held by one of two who come at once", beyond, async () => {
    const { held } = await left();
    const { pid, offset } = held;
    const claims = [0, 1].map(() => client(url, { auth: { token: "ann", pid, offset }, reconnection: false }));
    claims.forEach((socket) => socket.connect());
    const holders = () => claims.filter((socket) => socket.connected && socket.id === held.id);
    const decided = () => claims.every((socket) => socket.connected || socket.io._readyState === "closed");
    await until(() => decided() && holders().length === 1, "one holds it");
    await settled(...holders());
    assert.equal((await ask(holders()[0], "where")).recovered, true);
  });
});
