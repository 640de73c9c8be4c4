// Clients go on at another node where they were, also when theirs was killed.
//
// NODE_A_URL, NODE_B_URL: examples/cluster, both on one Redis; NODE_A_PID: the first one's process, which is killed here.
// REFERENCE=1: they are the original. Its sessions don't survive that, so connections are cut instead; and its own broadcasts
// don't pass through the stream, so that an offset tells nothing of the other node's: only one node emits, and not while
// sessions are given back.
import assert from "node:assert/strict";
import { after, afterEach, describe, it } from "node:test";
import { client, collect, connected, endClients, next } from "./support/clients.js";
import { Proxy } from "./support/proxy.js";
import { delay, required, until, within } from "./support/wait.js";

const urls = [required("NODE_A_URL"), required("NODE_B_URL")];
const reference = process.env.REFERENCE === "1";
const beyond = { skip: reference && "the original doesn't promise this" };
const websocket = { transports: ["websocket"], auth: { token: "somebody" } };

const proxies = [];
async function proxied(...targets) {
  const proxy = await Proxy.before(...targets);
  proxies.push(proxy);
  return proxy;
}
afterEach(endClients);
after(() => Promise.all(proxies.map((proxy) => proxy.close())));

let last = 0;
/** Numbers that no other test emits. */
const fresh = () => ++last * 1_000_000;

const numbers = (ticks, from) => ticks.map(([{ n }]) => n).filter((n) => n >= from && n < from + 1_000_000);

/** Emits a number until the witnesses hear it: the nodes hear each other. */
async function together(sockets) {
  const ticks = sockets.map((socket) => collect(socket, "tick"));
  for (const socket of sockets) {
    const n = fresh();
    await until(async () => {
      socket.emit("emit", { n });
      await delay(20);
      return ticks.every((seen) => numbers(seen, n).length > 0);
    }, "the nodes hear each other");
  }
}

describe("a client of a cluster", () => {
  it("that never heard anything recovers on the other node", beyond, async () => {
    const proxy = await proxied(urls[0]);
    const socket = await connected(proxy.url, { ...websocket, auth: { token: "early" } });
    const { id } = socket;
    assert.equal(socket._lastOffset, undefined);
    const ticks = collect(socket, "tick");
    const end = next(socket, "disconnect");
    proxy.refuse(true);
    proxy.cut();
    await end;
    const source = await connected(urls[0], websocket);
    const n = fresh();
    const heard = next(source, "tick");
    source.emit("emit", { n });
    await heard;
    const back = next(socket, "connect");
    proxy.targets = [new URL(urls[1])];
    proxy.refuse(false);
    await back;
    assert.equal(socket.recovered, true);
    assert.equal(socket.id, id);
    await until(() => ticks.length > 0, "what it missed");
    assert.deepEqual(numbers(ticks, n), [n]);
  });

  it("hears both nodes' numbers in one order", beyond, async () => {
    const sockets = await Promise.all([...urls, ...urls].map((url) => connected(url, websocket)));
    await together(sockets);
    const ticks = sockets.map((socket) => collect(socket, "tick"));
    const from = fresh();
    for (let k = 0; k < 400; k++) {
      sockets[k % 4].emit("emit", { n: from + k });
      if (k % 20 === 0) await delay(1);
    }
    await until(() => ticks.every((seen) => numbers(seen, from).length >= 400), "all numbers");
    for (const seen of ticks) assert.deepEqual(numbers(seen, from), numbers(ticks[0], from));
    assert.deepEqual(numbers(ticks[0], from).sort((a, b) => a - b), Array.from({ length: 400 }, (_, k) => from + k));
  });

  it("can't take another user's session", beyond, async () => {
    const victim = await connected(urls[0], { ...websocket, auth: { token: "ann" } });
    const source = await connected(urls[1], websocket);
    await together([victim, source]);
    const held = { pid: victim._pid, offset: victim._lastOffset };
    const missed = fresh();
    for (const url of urls) {
      const thief = client(url, { ...websocket, auth: { token: "mallory", ...held } });
      const ticks = collect(thief, "tick");
      await connected(thief);
      assert.notEqual(thief.id, victim.id);
      assert.notEqual(thief._pid, held.pid);
      assert.deepEqual(ticks, []);
    }
    // The victim was not disturbed.
    const ticks = collect(victim, "tick");
    source.emit("emit", { n: missed });
    await until(() => numbers(ticks, missed).length === 1, "the victim still listens");
  });

  it("takes its own session over to the other node while the old connection still stands", beyond, async () => {
    const socket = await connected(urls[0], { ...websocket, auth: { token: "ann" }, reconnection: false });
    const source = await connected(urls[1], websocket);
    await together([socket, source]);
    const old = collect(socket, "tick");
    const held = { pid: socket._pid, offset: socket._lastOffset };
    const { id } = socket;
    const moved = await connected(urls[1], { ...websocket, auth: { token: "ann", ...held } });
    assert.equal(moved.id, id);
    const ticks = collect(moved, "tick");
    await until(() => !socket.connected, "the old connection is ended");
    const n = fresh();
    source.emit("emit", { n });
    await until(() => numbers(ticks, n).length > 0, "the number");
    assert.deepEqual(numbers(ticks, n), [n]);
    assert.deepEqual(numbers(old, n), []);
  });
});

describe("a hundred clients of a cluster", () => {
  it(`lose and double nothing when ${reference ? "connections are cut" : "a node is killed"}`, async () => {
    const proxy = await proxied(...urls);
    const witness = await connected(urls[1], websocket);
    const sources = [await connected(urls[0], { ...websocket, reconnection: false }), await connected(urls[1], websocket)];
    await together([...sources, witness]);
    const truth = collect(witness, "tick");

    const clients = await Promise.all(
      Array.from({ length: 100 }, async (_, which) => {
        const socket = client(proxy.url, { ...websocket, auth: { token: `user ${which}` }, reconnectionDelay: 50, reconnectionDelayMax: 500 });
        const ticks = collect(socket, "tick");
        await connected(socket);
        const made = { socket, ticks, id: socket.id, back: [] };
        socket.on("connect", () => made.back.push({ id: socket.id, recovered: socket.recovered }));
        return made;
      }),
    );

    // Even numbers by one node, odd by the other, until told to stop.
    const from = fresh();
    const emitted = [0, 0];
    let going = true;
    let paused = false;
    const streams = sources.map(async (source, node) => {
      if (reference && node === 0) return;
      while (going && source.connected) {
        if (!paused) source.emit("emit", { n: from + 2 * emitted[node]++ + node });
        await delay(4);
      }
    });
    await until(() => clients.every(({ ticks }) => numbers(ticks, from).length > 50), "all listen");

    if (reference) {
      proxy.refuse(true);
      proxy.cut();
      await until(() => clients.every(({ socket }) => !socket.connected), "all are away");
      await delay(200);
      paused = true;
      await until(() => numbers(truth, from).length === emitted[1], "what they miss");
      proxy.refuse(false);
    } else {
      process.kill(Number(required("NODE_A_PID")), "SIGKILL");
      proxy.targets = [new URL(urls[1])];
      await within(new Promise((resolve) => (sources[0].connected ? sources[0].once("disconnect", resolve) : resolve())), "the end of the first source");
    }
    const cut = reference ? 100 : 50;
    await until(() => clients.filter(({ back }) => back.length > 0).length >= cut, "the clients come back", 20_000);
    await until(() => clients.every(({ socket }) => socket.connected), "all are connected");
    paused = false;
    await delay(200);
    going = false;
    await Promise.all(streams);

    const end = from + 999_999;
    sources[1].emit("emit", { n: end });
    await until(() => clients.every(({ ticks }) => numbers(ticks, from).includes(end)), "the last number everywhere");
    await until(() => numbers(truth, from).includes(end), "the last number at the witness");

    const wanted = numbers(truth, from);
    const odd = wanted.filter((n) => n !== end && (n - from) % 2 === 1);
    assert.deepEqual(odd, Array.from({ length: emitted[1] }, (_, k) => from + 2 * k + 1), "the witness heard all");
    for (const [which, { ticks, back, id }] of clients.entries()) {
      for (const { recovered, id: again } of back) {
        assert.equal(recovered, true, `client ${which} recovered`);
        assert.equal(again, id, `client ${which} is the same`);
      }
      const heard = numbers(ticks, from);
      assert.equal(new Set(heard).size, heard.length, `client ${which} heard something twice`);
      assert.deepEqual(heard, wanted, `client ${which}`);
    }
  });
});
