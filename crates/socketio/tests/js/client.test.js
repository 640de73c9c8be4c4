// What users of the real socket.io-client expect, in the mode that MODE names: polling, websocket or upgrade.
//
// SERVER_URL: testbed, without recovery.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, afterEach, describe, it } from "node:test";
import { MODE, ask, client, collect, connected, endClients, manager, next, settled, unique, upgraded } from "./support/clients.js";
import { Proxy } from "./support/proxy.js";
import { delay, required, until, within } from "./support/wait.js";

const url = required("SERVER_URL");
const MAX_PAYLOAD = 1_000_000;

const proxies = [];
async function proxied() {
  const proxy = await Proxy.before(url);
  proxies.push(proxy);
  return proxy;
}
afterEach(endClients);
after(() => Promise.all(proxies.map((proxy) => proxy.close())));

/** Why the server says that a socket ended. */
async function reasonAtServer(id, watcher) {
  watcher ??= await connected(url);
  return until(() => ask(watcher, "reason", id), `the server notices the end of ${id}`);
}

describe(`a ${MODE} client connects`, () => {
  it("and gets an id of its own", async () => {
    const [one, two] = await Promise.all([connected(url), connected(url)]);
    assert.equal(typeof one.id, "string");
    assert.notEqual(one.id, two.id);
    assert.notEqual(one.id, one.io.engine.id);
    assert.ok(!one.recovered);
  });

  it("over the transport of its mode", async () => {
    const socket = await connected(url);
    if (MODE === "upgrade") await upgraded(socket);
    assert.equal(socket.io.engine.transport.name, MODE === "polling" ? "polling" : "websocket");
  });

  it("with a payload, which the server sees", async () => {
    const auth = { token: "123", nested: { list: [1, "zwei", null, { drei: 3.5 }] }, greet: true };
    const socket = client(url, { auth });
    const welcome = next(socket, "welcome");
    await connected(socket);
    const [seen] = await welcome;
    assert.equal(seen.id, socket.id);
    assert.deepEqual(seen.auth, auth);
  });

  it("with a payload from a function, asked each time", async () => {
    let calls = 0;
    const socket = client(url, { auth: (give) => give({ call: ++calls }) });
    await connected(socket);
    assert.deepEqual((await ask(socket, "handshake")).auth, { call: 1 });
    socket.disconnect();
    await connected(socket);
    assert.deepEqual((await ask(socket, "handshake")).auth, { call: 2 });
  });

  it("with query and headers, which the server sees", async () => {
    const socket = await connected(url, { query: { colour: "grün & blau" }, extraHeaders: { "x-from-test": "yes" } });
    const { query, header } = await ask(socket, "handshake");
    assert.equal(query.colour, "grün & blau");
    assert.equal(query.EIO, "4");
    assert.equal(header, "yes");
  });

  it("and is refused by a middleware, with data", async () => {
    const socket = client(url, { auth: { token: "refused" } });
    const refused = next(socket, "connect_error");
    socket.connect();
    const [error] = await refused;
    assert.ok(error instanceof Error);
    assert.equal(error.message, "not allowed");
    assert.deepEqual(error.data, { code: "refused", numbers: [1, 2.5, null] });
    assert.equal(socket.connected, false);
    assert.equal(socket.active, false);
    // With better credentials it may come again.
    socket.auth = { token: "good" };
    await connected(socket);
  });

  it("after a middleware that takes its time", async () => {
    const socket = client(url, { auth: { delay: 100 } });
    socket.connect();
    assert.deepEqual(await ask(socket, "echo", "sent before the connect"), "sent before the connect");
  });

  it("and is refused by an unknown namespace", async () => {
    const socket = client(`${url}/nowhere`);
    const refused = next(socket, "connect_error");
    socket.connect();
    assert.equal((await refused)[0].message, "Invalid namespace");
  });

  it("and greets before anything else comes", async () => {
    const room = unique("room");
    const noise = await connected(url);
    const done = ask(noise, "drip", { n: 100, every: 1, room });
    const sockets = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const socket = client(url, { auth: { greet: true, room } });
        const seen = [];
        socket.onAny((event) => seen.push(event));
        await connected(socket);
        await next(socket, "tick").catch(() => {});
        return seen;
      }),
    );
    await done;
    // It joins its room before it is greeted, so that a tick may be first, but never is there a second welcome.
    for (const seen of sockets) assert.equal(seen.filter((event) => event === "welcome").length, 1);
  });
});

describe(`events of a ${MODE} client`, () => {
  const values = [
    ["nothing", []],
    ["many arguments", [1, "zwei", null, true, 4.5, [], {}, "acht", -9, [[10]]]],
    ["text beyond ASCII", ["häß", "日本語", "🦀👩‍👩‍👧", "\u0000\u001e\u2028", 'quote" \\ slash']],
    ["an object", [{ a: { b: [{ c: "d" }] }, "": "", "ключ": 1 }]],
    ["large and small numbers", [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 1e300, 5e-324, 0.1]],
    ["text like a placeholder", ['{"_placeholder":true,"num":0}', "_placeholder"]],
  ];
  for (const [name, args] of values) {
    it(`come back with ${name}`, async () => {
      const socket = await connected(url);
      const back = next(socket, "back");
      socket.emit("back", ...args);
      assert.deepEqual(await back, args);
    });
  }

  it("come back with binary of every type", async () => {
    const socket = await connected(url);
    const bytes = Buffer.from([0, 1, 2, 253, 254, 255]);
    for (const sent of [bytes, new Uint8Array(bytes), new Uint8Array(bytes).buffer, Buffer.alloc(0)]) {
      const back = next(socket, "back");
      socket.emit("back", sent);
      const [received] = await back;
      assert.ok(Buffer.isBuffer(received));
      assert.deepEqual(received, Buffer.from(sent));
    }
  });

  it("come back with binary deep inside, beside text", async () => {
    const socket = await connected(url);
    const args = ["first", { list: [Buffer.from("a"), { deep: Buffer.from("b") }], plain: "häß" }, Buffer.from("c"), null];
    const back = next(socket, "back");
    socket.emit("back", ...args);
    assert.deepEqual(await back, args);
  });

  it("come back with several attachments", async () => {
    const socket = await connected(url);
    // Ten is as many as the parser of newer servers takes.
    const args = Array.from({ length: 10 }, (_, n) => randomBytes(n * 100));
    const back = next(socket, "back");
    socket.emit("back", ...args);
    assert.deepEqual(await back, args);
  });

  it("reach onAny, once and prepended listeners as documented", async () => {
    const socket = await connected(url);
    const seen = [];
    socket.onAny((event, ...args) => seen.push(["any", event, ...args]));
    socket.prependAny((event) => seen.push(["before any", event]));
    socket.once("back", (n) => seen.push(["once", n]));
    socket.on("back", (n) => seen.push(["on", n]));
    socket.onAnyOutgoing((event) => seen.push(["out", event]));
    socket.emit("back", 1);
    socket.emit("back", 2);
    await settled(socket);
    assert.deepEqual(seen.filter(([kind]) => kind !== "out"), [
      ["before any", "back"], ["any", "back", 1], ["once", 1], ["on", 1],
      ["before any", "back"], ["any", "back", 2], ["on", 2],
    ]);
    assert.deepEqual(seen.filter(([kind]) => kind === "out").map(([, event]) => event), ["back", "back", "echo"]);
  });

  it("that nobody handles are left alone", async () => {
    const socket = await connected(url);
    socket.emit("nobody handles this", 1, Buffer.from("2"));
    await settled(socket);
  });

  it("work with the compress flag", async () => {
    const socket = await connected(url);
    const back = next(socket, "back");
    socket.compress(true).emit("back", "compressed");
    assert.deepEqual(await back, ["compressed"]);
    const hello = next(socket, "hello");
    await ask(socket, "emit", { to: [socket.id], compress: false }, "hello", 1);
    assert.deepEqual(await hello, [1]);
  });

  it("reach the server in order, binary among them", async () => {
    const socket = await connected(url);
    const sent = Array.from({ length: 2000 }, (_, n) => [n, n % 10 === 0 ? n % 300 : 0]);
    for (const [n, size] of sent) socket.emit("number", n, ...(size ? [Buffer.alloc(size)] : []));
    assert.deepEqual(await ask(socket, "numbers"), sent);
  });

  it("reach the client in order", async () => {
    const socket = await connected(url);
    const ticks = collect(socket, "tick");
    socket.emit("burst", { n: 3000 });
    await settled(socket);
    assert.deepEqual(ticks.map(([n]) => n), Array.from({ length: 3000 }, (_, n) => n));
  });

  it("reach the client in order, with attachments", async () => {
    const socket = await connected(url);
    const ticks = collect(socket, "tick");
    socket.emit("burst", { n: 500, binary: 64 });
    await settled(socket);
    assert.deepEqual(ticks, Array.from({ length: 500 }, (_, n) => [n, Buffer.alloc(64, n % 256)]));
  });

  it("keep their place among acknowledgements", async () => {
    const socket = await connected(url);
    const seen = [];
    socket.on("mark", (n) => seen.push(`mark ${n}`));
    for (let n = 0; n < 300; n++) socket.emit("interleave", n, () => seen.push(`ack ${n}`));
    await settled(socket);
    assert.deepEqual(seen, Array.from({ length: 300 }, (_, n) => [`mark ${n}`, `ack ${n}`]).flat());
  });
});

describe(`acknowledgements of a ${MODE} client`, () => {
  it("bring many arguments to a callback", async () => {
    const socket = await connected(url);
    const args = [1, "zwei", { drei: [3] }, Buffer.from("vier")];
    const got = await within(new Promise((resolve) => socket.emit("echo", ...args, (...back) => resolve(back))), "the ack");
    assert.deepEqual(got, args);
  });

  it("carry binary", async () => {
    const socket = await connected(url);
    const sent = { file: randomBytes(1000), name: "häß" };
    assert.deepEqual(await ask(socket, "echo", sent), sent);
  });

  it("of many at once find their own", async () => {
    const socket = await connected(url);
    const numbers = Array.from({ length: 500 }, (_, n) => n);
    assert.deepEqual(await Promise.all(numbers.map((n) => ask(socket, "echo", n))), numbers);
  });

  it("that don't come end in a time-out", async () => {
    const socket = await connected(url);
    await assert.rejects(socket.timeout(100).emitWithAck("nobody handles this"), /operation has timed out/);
    await settled(socket);
  });

  it("that are waited for when the client leaves are errors", async () => {
    const socket = await connected(url);
    const waiting = socket.timeout(10_000).emitWithAck("flaky", unique("never"));
    socket.disconnect();
    await assert.rejects(within(waiting, "the end of the wait"), /socket has been disconnected/);
  });

  it("go from the client to the server", async () => {
    const socket = await connected(url);
    socket.on("question", (argument, ack) => ack({ heard: argument }));
    assert.deepEqual(await ask(socket, "ask-me", "häß", 5000), { answer: { heard: "häß" } });
    assert.deepEqual(await ask(socket, "ask-me", null, 5000), { answer: { heard: null } });
  });

  it("go from the client to the server with binary", async () => {
    const socket = await connected(url);
    socket.on("question", (argument, ack) => ack(Buffer.from([1, 2, 3])));
    assert.deepEqual(await ask(socket, "ask-me", 1, 5000), { answer: Buffer.from([1, 2, 3]) });
  });

  it("that the client doesn't give end in a time-out at the server", async () => {
    const socket = await connected(url);
    let late;
    socket.on("question", (_, ack) => (late = ack));
    assert.deepEqual(await ask(socket, "ask-me", 1, 100), { error: "timeout" });
    // Too late does no harm.
    late("too late");
    late("and twice");
    await settled(socket);
  });

  it("are tried again with the option retries, in order", async () => {
    const socket = client(url, { retries: 5, ackTimeout: 100 });
    await connected(socket);
    const order = [];
    const emit = (id) =>
      new Promise((resolve, reject) => {
        socket.emit("flaky", id, (error, tries) => {
          order.push(id);
          if (error) reject(error);
          else resolve(tries);
        });
      });
    const ids = [unique("retry"), unique("retry")];
    assert.deepEqual(await within(Promise.all(ids.map(emit)), "both"), [3, 3]);
    assert.deepEqual(order, ids);
  });
});

describe(`volatile events of a ${MODE} client`, () => {
  it("reach a server that listens", async () => {
    const socket = await connected(url);
    if (MODE === "upgrade") await upgraded(socket);
    await until(() => socket.io.engine.transport.writable, "the transport can write");
    const back = next(socket, "back");
    socket.volatile.emit("back", 1);
    assert.deepEqual(await back, [1]);
  });

  it("are dropped while the client is away", async () => {
    const socket = client(url);
    socket.volatile.emit("number", 1);
    socket.emit("number", 2);
    await connected(socket);
    assert.deepEqual(await ask(socket, "numbers"), [[2, 0]]);
  });

  it("from the server come in order or not at all, and never push out others", async () => {
    const socket = await connected(url);
    const seen = collect(socket, "maybe");
    const sure = collect(socket, "sure");
    for (let n = 0; n < 200; n++) {
      socket.emit("emit", { to: [socket.id], volatile: true }, "maybe", n, () => {});
      if (n % 10 === 0) socket.emit("emit", { to: [socket.id] }, "sure", n, () => {});
    }
    await settled(socket);
    const numbers = seen.map(([n]) => n);
    assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b));
    assert.deepEqual(sure.map(([n]) => n), Array.from({ length: 20 }, (_, n) => n * 10));
    // A client that can take it gets one, sooner or later.
    await until(async () => {
      await ask(socket, "emit", { to: [socket.id], volatile: true }, "maybe", -1);
      return seen.some(([n]) => n === -1);
    }, "a volatile event comes");
  });
});

describe(`rooms with ${MODE} clients`, () => {
  /** Sockets with what each has heard; a socket's rooms are given as letters. */
  async function hall(...letters) {
    const prefix = unique("hall");
    const name = (letter) => `${prefix}-${letter}`;
    const sockets = await Promise.all(letters.map(() => connected(url)));
    await Promise.all(sockets.flatMap((socket, n) => [...letters[n], "*"].map((letter) => ask(socket, "join", name(letter)))));
    const heard = sockets.map((socket) => collect(socket, "word"));
    /** Emits from the first and gives which have heard it, and how often. */
    const counts = async (options) => {
      heard.forEach((words) => words.splice(0));
      await ask(sockets[0], "emit", options, "word", "said", Buffer.from([7]));
      await settled(...sockets);
      for (const words of heard) for (const word of words) assert.deepEqual(word, ["said", Buffer.from([7])]);
      return heard.map((words) => words.length);
    };
    return { sockets, name, counts, everyone: name("*") };
  }

  it("get what is sent to one", async () => {
    const { counts, name } = await hall("a", "b", "ab", "");
    assert.deepEqual(await counts({ to: [name("a")] }), [1, 0, 1, 0]);
    assert.deepEqual(await counts({ to: [name("b")] }), [0, 1, 1, 0]);
    assert.deepEqual(await counts({ to: [name("nobody")] }), [0, 0, 0, 0]);
  });

  it("get what is sent to several once", async () => {
    const { counts, name } = await hall("a", "b", "ab", "");
    assert.deepEqual(await counts({ to: [name("a"), name("b")] }), [1, 1, 1, 0]);
  });

  it("don't get what is sent to all except them", async () => {
    const { counts, name, everyone } = await hall("a", "b", "ab", "");
    assert.deepEqual(await counts({ to: [everyone], except: [name("a")] }), [0, 1, 0, 1]);
    assert.deepEqual(await counts({ to: [everyone], except: [name("a"), name("b")] }), [0, 0, 0, 1]);
    assert.deepEqual(await counts({ to: [name("a")], except: [name("b")] }), [1, 0, 0, 0]);
  });

  it("leave out the socket that sends", async () => {
    const { counts, name, everyone } = await hall("a", "a", "b");
    assert.deepEqual(await counts({ from: "socket", to: [name("a")] }), [0, 1, 0]);
    assert.deepEqual(await counts({ from: "socket", to: [everyone], except: [name("b")] }), [0, 1, 0]);
  });

  it("reach all others by a broadcast, and all by the namespace", async () => {
    const { counts } = await hall("", "", "");
    assert.deepEqual(await counts({ from: "socket" }), [0, 1, 1]);
    assert.deepEqual(await counts({}), [1, 1, 1]);
    assert.deepEqual(await counts({ local: true }), [1, 1, 1]);
  });

  it("reach one socket by its id", async () => {
    const { counts, sockets, everyone } = await hall("", "", "");
    assert.deepEqual(await counts({ to: [sockets[1].id] }), [0, 1, 0]);
    assert.deepEqual(await counts({ to: [everyone], except: [sockets[1].id] }), [1, 0, 1]);
  });

  it("can be left", async () => {
    const { counts, sockets, name } = await hall("a", "a");
    await ask(sockets[1], "leave", name("a"));
    assert.deepEqual(await counts({ to: [name("a")] }), [1, 0]);
    await ask(sockets[1], "leave", name("a"));
    await ask(sockets[1], "join", name("a"));
    await ask(sockets[1], "join", name("a"));
    assert.deepEqual(await counts({ to: [name("a")] }), [1, 1]);
  });

  it("are told to the socket", async () => {
    const { sockets, name, everyone } = await hall("ab");
    assert.deepEqual(await ask(sockets[0], "rooms"), [sockets[0].id, everyone, name("a"), name("b")].sort());
  });

  it("are empty after a disconnect", async () => {
    const { sockets, name } = await hall("a", "a");
    const gone = sockets[1].id;
    sockets[1].disconnect();
    await reasonAtServer(gone, sockets[0]);
    const left = await ask(sockets[0], "fetch", { to: [name("a")] });
    assert.deepEqual(left.map(({ id }) => id), [sockets[0].id]);
  });

  it("are asked for acknowledgements", async () => {
    const { sockets, everyone } = await hall("", "", "");
    sockets.forEach((socket, n) => socket.on("vote", (question, ack) => ack({ n, question })));
    const { error, responses } = await ask(sockets[0], "emit-with-ack", { to: [everyone] }, 5000, "vote", "häß?");
    assert.equal(error, null);
    assert.deepEqual(responses.map(({ n }) => n).sort(), [0, 1, 2]);
    assert.ok(responses.every(({ question }) => question === "häß?"));
  });

  it("are asked for acknowledgements with binary", async () => {
    const { sockets, everyone } = await hall("", "");
    sockets.forEach((socket, n) => socket.on("vote", (question, ack) => ack(Buffer.from([n, ...question]))));
    const { responses } = await ask(sockets[0], "emit-with-ack", { to: [everyone] }, 5000, "vote", Buffer.from([9]));
    assert.deepEqual(responses.map((answer) => [...answer]).sort(), [[0, 9], [1, 9]]);
  });

  it("of which some don't acknowledge are an error with the answers that came", async () => {
    const { sockets, everyone } = await hall("", "", "");
    sockets.slice(1).forEach((socket) => socket.on("vote", (_, ack) => ack("yes")));
    const { error, responses } = await ask(sockets[0], "emit-with-ack", { to: [everyone] }, 200, "vote", null);
    assert.equal(error, "timeout");
    assert.deepEqual(responses, ["yes", "yes"]);
  });

  it("without anybody acknowledge at once", async () => {
    const { sockets, name } = await hall("");
    const answer = await ask(sockets[0], "emit-with-ack", { to: [name("nobody")] }, 5000, "vote", null);
    assert.deepEqual(answer, { error: null, responses: [] });
  });

  it("are fetched with data and handshake", async () => {
    const prefix = unique("fetched");
    const sockets = await Promise.all(
      ["ann", "bob"].map((token) => connected(url, { auth: { token, room: prefix }, query: { colour: token } })),
    );
    await ask(sockets[0], "set-data", { nested: { list: [1, "zwei"] } });
    const found = await ask(sockets[1], "fetch", { to: [prefix] });
    found.sort((a, b) => (a.data.user < b.data.user ? -1 : 1));
    assert.deepEqual(found, [
      { id: sockets[0].id, rooms: [sockets[0].id, prefix].sort(), data: { user: "ann", nested: { list: [1, "zwei"] } }, colour: "ann" },
      { id: sockets[1].id, rooms: [sockets[1].id, prefix].sort(), data: { user: "bob" }, colour: "bob" },
    ]);
  });

  it("join, leave and disconnect many at once", async () => {
    const { sockets, counts, name, everyone } = await hall("a", "b", "b");
    await ask(sockets[0], "sockets-join", { to: [name("b")] }, [name("c"), name("d")]);
    assert.deepEqual(await counts({ to: [name("c")] }), [0, 1, 1]);
    await ask(sockets[0], "sockets-leave", { to: [name("b")], except: [sockets[2].id] }, [name("c")]);
    assert.deepEqual(await counts({ to: [name("c")] }), [0, 0, 1]);
    assert.deepEqual(await counts({ to: [name("d")] }), [0, 1, 1]);
    const ends = sockets.slice(1).map((socket) => next(socket, "disconnect"));
    await ask(sockets[0], "sockets-disconnect", { to: [everyone], except: [name("a")] }, true);
    for (const [reason] of await Promise.all(ends)) assert.equal(reason, "io server disconnect");
    assert.equal(sockets[0].connected, true);
  });
});

describe(`namespaces with ${MODE} clients`, () => {
  it("share one connection", async () => {
    const shared = manager(url);
    const main = shared.socket("/");
    const chat = shared.socket("/chat");
    await Promise.all([connected(main), connected(chat)]);
    assert.equal(main.io.engine, chat.io.engine);
    assert.notEqual(main.id, chat.id);
    assert.equal((await ask(main, "where")).namespace, "/");
    assert.equal((await ask(chat, "where")).namespace, "/chat");
  });

  it("don't hear each other", async () => {
    const shared = manager(url);
    const [main, chat] = await Promise.all(["/", "/chat"].map((name) => connected(shared.socket(name))));
    const room = unique("same");
    await Promise.all([ask(main, "join", room), ask(chat, "join", room)]);
    const [inMain, inChat] = [collect(main, "word"), collect(chat, "word")];
    await ask(chat, "emit", { to: [room] }, "word", 1);
    await settled(main, chat);
    assert.deepEqual([inMain, inChat], [[], [[1]]]);
  });

  it("keep events with attachments apart", async () => {
    const shared = manager(url);
    const sockets = await Promise.all(["/", "/chat", "/tenant-a"].map((name) => connected(shared.socket(name))));
    const ticks = sockets.map((socket) => collect(socket, "tick"));
    sockets.forEach((socket) => socket.emit("burst", { n: 100, binary: 10 }));
    await settled(...sockets);
    const wanted = Array.from({ length: 100 }, (_, n) => [n, Buffer.alloc(10, n)]);
    for (const seen of ticks) assert.deepEqual(seen, wanted);
  });

  it("are left one by one", async () => {
    const shared = manager(url);
    const [main, chat] = await Promise.all(["/", "/chat"].map((name) => connected(shared.socket(name))));
    const id = chat.id;
    chat.disconnect();
    assert.equal(await reasonAtServer(id, main), "client namespace disconnect");
    assert.equal(main.connected, true);
    await connected(chat);
    assert.notEqual(chat.id, id);
    await settled(main, chat);
  });

  it("refuse without harm to the others", async () => {
    const shared = manager(url);
    const main = await connected(shared.socket("/"));
    for (const [name, message] of [["/admin", "Admin access required"], ["/nowhere", "Invalid namespace"]]) {
      const refused = shared.socket(name);
      const error = next(refused, "connect_error");
      refused.connect();
      assert.equal((await error)[0].message, message);
    }
    await settled(main);
    const admin = shared.socket("/admin", { auth: { token: "admin" } });
    admin.auth = { token: "admin" };
    await connected(admin);
    assert.equal((await ask(admin, "where")).namespace, "/admin");
  });

  it("can be dynamic", async () => {
    const shared = manager(url);
    const sockets = await Promise.all(["/tenant-one", "/tenant-two"].map((name) => connected(shared.socket(name))));
    assert.deepEqual(await Promise.all(sockets.map((socket) => ask(socket, "where").then(({ namespace }) => namespace))), [
      "/tenant-one",
      "/tenant-two",
    ]);
    const [one, two] = sockets.map((socket) => collect(socket, "word"));
    await ask(sockets[0], "emit", {}, "word", 1);
    await settled(...sockets);
    assert.deepEqual([one, two], [[[1]], []]);
    const error = next(shared.socket("/tenant-with-dashes").connect(), "connect_error");
    assert.equal((await error)[0].message, "Invalid namespace");
  });

  it("see a query in the namespace's own part of the payload only", async () => {
    const shared = manager(url, { query: { of: "the connection" } });
    const main = shared.socket("/");
    main.auth = { who: "main" };
    const chat = shared.socket("/chat");
    chat.auth = { who: "chat" };
    await Promise.all([connected(main), connected(chat)]);
    const [inMain, inChat] = await Promise.all([ask(main, "handshake"), ask(chat, "handshake")]);
    assert.deepEqual([inMain.auth, inChat.auth], [{ who: "main" }, { who: "chat" }]);
    assert.deepEqual([inMain.query.of, inChat.query.of], ["the connection", "the connection"]);
  });
});

describe(`ends that a ${MODE} client and its server see`, () => {
  it("the server disconnects the namespace", async () => {
    const shared = manager(url);
    const [main, chat] = await Promise.all(["/", "/chat"].map((name) => connected(shared.socket(name))));
    const { id } = chat;
    const end = next(chat, "disconnect");
    chat.emit("disconnect-me", false);
    assert.equal((await end)[0], "io server disconnect");
    assert.equal(chat.active, false);
    assert.equal(await reasonAtServer(id, main), "server namespace disconnect");
    assert.equal(main.connected, true);
    // It is the client's turn to come back.
    await connected(chat);
  });

  it("the server closes the connection", async () => {
    const shared = manager(url, { reconnection: false });
    const [main, chat] = await Promise.all(["/", "/chat"].map((name) => connected(shared.socket(name))));
    const ids = [main.id, chat.id];
    const ends = [next(main, "disconnect"), next(chat, "disconnect")];
    const closed = new Promise((resolve) => shared.once("close", resolve));
    main.emit("disconnect-me", true);
    for (const [reason] of await Promise.all(ends)) assert.equal(reason, "io server disconnect");
    await within(closed, "the connection's end");
    const watcher = await connected(url);
    for (const id of ids) assert.equal(await reasonAtServer(id, watcher), "server namespace disconnect");
  });

  it("the client disconnects", async () => {
    const socket = await connected(url);
    const { id } = socket;
    const end = next(socket, "disconnect");
    socket.disconnect();
    assert.equal((await end)[0], "io client disconnect");
    assert.equal(await reasonAtServer(id), "client namespace disconnect");
  });

  it("the client closes the connection without a word", async () => {
    const socket = await connected(url, { reconnection: false });
    if (MODE === "upgrade") await upgraded(socket);
    const { id } = socket;
    socket.io.engine.close();
    assert.equal(await reasonAtServer(id), "transport close");
  });

  it("the connection breaks", async () => {
    const proxy = await proxied();
    const socket = await connected(proxy.url, { reconnection: false });
    if (MODE === "upgrade") await upgraded(socket);
    const { id } = socket;
    const end = next(socket, "disconnect");
    await until(() => proxy.connections > 0, "a connection to cut");
    proxy.cut();
    const [reason] = await end;
    const reasons = ["transport close", "transport error"];
    assert.ok(reasons.includes(reason), reason);
    // By polling the server may have had no request of this client in its hands.
    if (MODE === "polling") reasons.push("ping timeout");
    const atServer = await reasonAtServer(id);
    assert.ok(reasons.includes(atServer), atServer);
  });

  it("the network is silent", async () => {
    const proxy = await proxied();
    const socket = await connected(proxy.url, { reconnection: false });
    if (MODE === "upgrade") await upgraded(socket);
    await settled(socket);
    const { id } = socket;
    const end = next(socket, "disconnect");
    proxy.stall();
    assert.equal((await end)[0], "ping timeout");
    assert.equal(await reasonAtServer(id), "ping timeout");
  });

  it("the client sends what is no packet", async () => {
    const socket = await connected(url, { reconnection: false });
    if (MODE === "upgrade") await upgraded(socket);
    const { id } = socket;
    const end = next(socket, "disconnect");
    socket.io.engine.write("abc");
    const [reason] = await end;
    assert.ok(["transport close", "transport error"].includes(reason), reason);
    // The original tells the one for a bad Engine.IO packet, the other for a bad Socket.IO packet.
    assert.ok(["parse error", "forced close"].includes(await reasonAtServer(id)));
  });

  it("the client sends what is no packet of Engine.IO", { skip: MODE === "polling" && "needs a WebSocket" }, async () => {
    const socket = await connected(url, { reconnection: false });
    if (MODE === "upgrade") await upgraded(socket);
    const { id } = socket;
    const end = next(socket, "disconnect");
    socket.io.engine.transport.ws.send("abc");
    const [reason] = await end;
    assert.ok(["transport close", "transport error"].includes(reason), reason);
    assert.equal(await reasonAtServer(id), "parse error");
  });

  it("the client sends more than maxPayload", async () => {
    const socket = await connected(url, { reconnection: false });
    if (MODE === "upgrade") await upgraded(socket);
    const { id } = socket;
    const end = next(socket, "disconnect");
    socket.emit("back", "x".repeat(MAX_PAYLOAD));
    const [reason] = await end;
    assert.ok(["transport close", "transport error"].includes(reason), reason);
    const watcher = await connected(url);
    assert.ok(["transport close", "transport error"].includes(await reasonAtServer(id, watcher)));
  });
});

describe(`large payloads of a ${MODE} client`, () => {
  it("near maxPayload go both ways", async () => {
    const socket = await connected(url);
    const text = "häß".repeat(MAX_PAYLOAD / 6);
    assert.equal(await ask(socket, "echo", text), text);
  });

  it("near maxPayload go both ways in binary", async () => {
    const socket = await connected(url);
    // By polling binary is base64, a third larger.
    const bytes = randomBytes(700_000);
    assert.deepEqual(await ask(socket, "echo", bytes), bytes);
  });

  it("come in any number at once", async () => {
    const socket = await connected(url);
    const texts = Array.from({ length: 8 }, (_, n) => String(n).repeat(400_000));
    const back = await Promise.all(texts.map((text) => ask(socket, "echo", text)));
    for (const [n, text] of back.entries()) assert.ok(text === texts[n], `text ${n} came back another`);
  });
});

describe(`a ${MODE} client whose connection breaks`, () => {
  it("comes back as another, with what it wanted to say meanwhile", async () => {
    const proxy = await proxied();
    const socket = await connected(proxy.url);
    const first = socket.id;
    const end = next(socket, "disconnect");
    proxy.refuse(true);
    proxy.cut();
    await end;
    assert.equal(socket.active, true);
    for (let n = 0; n < 10; n++) socket.emit("number", n);
    const attempt = new Promise((resolve) => socket.io.once("reconnect_error", resolve));
    await within(attempt, "an attempt that fails");
    const connect = next(socket, "connect");
    proxy.refuse(false);
    await connect;
    assert.notEqual(socket.id, first);
    assert.ok(!socket.recovered);
    assert.deepEqual(await ask(socket, "numbers"), Array.from({ length: 10 }, (_, n) => [n, 0]));
  });

  it("comes back in all its namespaces", async () => {
    const proxy = await proxied();
    const shared = manager(proxy.url, { reconnectionDelay: 20 });
    const sockets = await Promise.all(["/", "/chat", "/tenant-x"].map((name) => connected(shared.socket(name))));
    for (let round = 0; round < 3; round++) {
      const back = sockets.map((socket) => next(socket, "connect"));
      await until(() => proxy.connections > 0, "a connection to cut");
      proxy.cut();
      await Promise.all(back);
      await settled(...sockets);
    }
  });

  it("doesn't come back by itself after the server sent it away", async () => {
    const socket = await connected(url);
    const end = next(socket, "disconnect");
    let connects = 0;
    socket.on("connect", () => connects++);
    socket.emit("disconnect-me", false);
    assert.equal((await end)[0], "io server disconnect");
    await delay(200);
    assert.equal(connects, 0);
    await connected(socket);
  });
});

describe(`many ${MODE} clients under traffic`, () => {
  it("lose, double and reorder nothing while they connect and upgrade", async () => {
    const clients = 40;
    const n = 300;
    await Promise.all(
      Array.from({ length: clients }, async (_, which) => {
        const socket = client(url);
        const ticks = collect(socket, "tick");
        const seen = [];
        socket.on("back", (k) => seen.push(k));
        await connected(socket);
        const streamed = ask(socket, "drip", { n, every: 1 });
        for (let k = 0; k < n; k++) {
          socket.emit("number", k, ...(k % 7 === 0 ? [Buffer.alloc(k)] : []));
          socket.emit("back", k);
          if (k % 10 === which % 10) await delay(1);
        }
        await streamed;
        await settled(socket);
        const wanted = Array.from({ length: n }, (_, k) => k);
        assert.deepEqual(ticks.map(([k]) => k), wanted);
        assert.deepEqual(seen, wanted);
        assert.deepEqual(await ask(socket, "numbers"), wanted.map((k) => [k, k % 7 === 0 ? k : 0]));
        if (MODE === "upgrade") assert.equal(socket.io.engine.transport.name, "websocket");
      }),
    );
  });

  it("hear a room's numbered stream while they connect and upgrade", async () => {
    const room = unique("stream");
    const source = await connected(url);
    const done = ask(source, "drip", { n: 500, every: 1, room });
    const heard = await Promise.all(
      Array.from({ length: 30 }, async (_, which) => {
        await delay(which * 5);
        const socket = client(url, { auth: { room } });
        const ticks = collect(socket, "tick");
        return { socket: await connected(socket), ticks };
      }),
    );
    await done;
    await settled(...heard.map(({ socket }) => socket));
    for (const { ticks } of heard) {
      const numbers = ticks.map(([k]) => k);
      assert.deepEqual(numbers, Array.from({ length: numbers.length }, (_, k) => 500 - numbers.length + k));
      assert.ok(numbers.length > 0);
    }
  });
});
