// Two nodes as one server: rooms, requests and acknowledgements across them.
//
// NODE_A_URL, NODE_B_URL: testbeds with NODE_NAME a and b, on one Redis and one stream, without recovery. Either may be the
// original. SAME_ORDER=1: all nodes promise to deliver in the stream's order, their own broadcasts too.
import assert from "node:assert/strict";
import { afterEach, before, describe, it } from "node:test";
import { ask, collect, connected, endClients, next, settled, together, unique } from "./support/clients.js";
import { delay, required, until } from "./support/wait.js";

const urls = { a: required("NODE_A_URL"), b: required("NODE_B_URL") };
const websocket = { transports: ["websocket"] };
const polling = { transports: ["polling"] };

afterEach(endClients);

before(async () => {
  for (const namespace of ["", "/chat"]) {
    const [a, b] = await Promise.all([connected(urls.a + namespace, websocket), connected(urls.b + namespace, websocket)]);
    await together(a, b);
  }
  endClients();
});

/** Sockets on both nodes, all in one room of their own. `on(sockets)` are the nodes of each: "ab" is one on each. */
async function crowd(nodes, options = websocket, namespace = "") {
  const everyone = unique("everyone");
  const sockets = await Promise.all([...nodes].map((node) => connected(urls[node] + namespace, options)));
  await Promise.all(sockets.map((socket) => ask(socket, "join", everyone)));
  const heard = sockets.map((socket) => collect(socket, "word"));
  const markers = sockets.map((socket) => collect(socket, "marker"));

  /** What was emitted before, by any of the sockets, has arrived everywhere. */
  const barrier = async () => {
    const marker = unique("marker");
    await Promise.all(sockets.map((socket, n) => ask(socket, "emit", { to: [everyone] }, "marker", `${marker}/${n}`)));
    for (const seen of markers) {
      await until(() => seen.filter(([word]) => word.startsWith(marker)).length === sockets.length, "all markers");
    }
  };
  /** Emits from one and gives how often each has heard it. */
  const counts = async (options, from = 0) => {
    heard.forEach((words) => words.splice(0));
    await ask(sockets[from], "emit", options, "word", "häß", { deep: [1] });
    await barrier();
    for (const words of heard) for (const word of words) assert.deepEqual(word, ["häß", { deep: [1] }]);
    return heard.map((words) => words.length);
  };
  return { everyone, sockets, heard, barrier, counts };
}

const inRoom = async (socket, room) => {
  await ask(socket, "join", room);
  return room;
};

describe("a broadcast in a cluster", () => {
  it("reaches a room on both nodes, once", async () => {
    const { sockets, counts } = await crowd("aabb");
    const room = unique("room");
    await Promise.all([sockets[1], sockets[2]].map((socket) => inRoom(socket, room)));
    for (const from of [0, 1, 2, 3]) assert.deepEqual(await counts({ to: [room] }, from), [0, 1, 1, 0], `from ${from}`);
  });

  it("reaches several rooms on both nodes, once", async () => {
    const { sockets, counts } = await crowd("abb");
    const [one, two] = [unique("room"), unique("room")];
    await Promise.all(sockets.slice(1).map((socket) => inRoom(socket, one)));
    await inRoom(sockets[1], two);
    assert.deepEqual(await counts({ to: [one, two] }), [0, 1, 1]);
  });

  it("leaves out rooms and sockets on both nodes", async () => {
    const { sockets, counts, everyone } = await crowd("aabb");
    const out = unique("out");
    await Promise.all([sockets[1], sockets[2]].map((socket) => inRoom(socket, out)));
    for (const from of [0, 3]) {
      assert.deepEqual(await counts({ to: [everyone], except: [out] }, from), [1, 0, 0, 1]);
      assert.deepEqual(await counts({ to: [everyone], except: [sockets[0].id, sockets[2].id] }, from), [0, 1, 0, 1]);
    }
  });

  it("from a socket leaves out that socket only", async () => {
    const { counts, everyone } = await crowd("aabb");
    assert.deepEqual(await counts({ from: "socket", to: [everyone] }, 0), [0, 1, 1, 1]);
    assert.deepEqual(await counts({ from: "socket", to: [everyone] }, 3), [1, 1, 1, 0]);
    assert.deepEqual(await counts({ from: "socket" }, 2), [1, 1, 0, 1]);
  });

  it("reaches one socket on the other node by its id", async () => {
    const { sockets, counts } = await crowd("ab");
    assert.deepEqual(await counts({ to: [sockets[1].id] }, 0), [0, 1]);
    assert.deepEqual(await counts({ to: [sockets[0].id] }, 1), [1, 0]);
  });

  it("that is local stays on its node", async () => {
    const { counts, everyone } = await crowd("aabb");
    assert.deepEqual(await counts({ to: [everyone], local: true }, 0), [1, 1, 0, 0]);
    assert.deepEqual(await counts({ to: [everyone], local: true }, 3), [0, 0, 1, 1]);
  });

  it("that is volatile reaches who can take it", async () => {
    const { sockets, everyone, heard } = await crowd("ab");
    for (const from of sockets) {
      heard.forEach((words) => words.splice(0));
      await until(async () => {
        await ask(from, "emit", { to: [everyone], volatile: true }, "word", 1);
        return heard.every((words) => words.length > 0);
      }, "both hear");
    }
  });

  it("carries binary", async () => {
    const { sockets, everyone, heard, barrier } = await crowd("ab");
    const args = ["text", Buffer.from([0, 1, 254, 255]), { deep: [Buffer.from("x"), null, -1.5] }];
    for (const from of sockets) {
      await ask(from, "emit", { to: [everyone] }, "word", ...args);
      await barrier();
    }
    for (const words of heard) assert.deepEqual(words, [args, args]);
  });

  it("carries text and numbers of every kind", async () => {
    const { sockets, everyone, heard, barrier } = await crowd("ab");
    const args = ["häß 日本語 🦀 \u0000\u2028", 0, -1, 1.5, 2 ** 31, -(2 ** 33), Number.MAX_SAFE_INTEGER, 1e300, true, null, [], {}, { "": [[]] }];
    for (const from of sockets) {
      await ask(from, "emit", { to: [everyone] }, "word", ...args);
      // With binary beside them they travel in another shape.
      await ask(from, "emit", { to: [everyone] }, "word", ...args, Buffer.from([1]));
      await barrier();
    }
    for (const words of heard) assert.deepEqual(words, [args, [...args, Buffer.from([1])], args, [...args, Buffer.from([1])]]);
  });

  it("stays in its namespace", async () => {
    const main = await crowd("ab");
    const chat = await crowd("ab", websocket, "/chat");
    assert.deepEqual(await chat.counts({}), [1, 1]);
    await main.barrier();
    assert.deepEqual(main.heard, [[], []]);
  });

  it("from both nodes at once is lost, doubled and reordered nowhere", async () => {
    const { sockets, everyone, heard, barrier } = await crowd("aaaaabbbbb");
    const n = 500;
    const stream = async (socket, name) => {
      for (let k = 0; k < n; k++) {
        socket.emit("emit", { to: [everyone] }, "word", name, k, () => {});
        if (k % 20 === 0) await delay(1);
      }
      await settled(socket);
    };
    await Promise.all([stream(sockets[0], "a"), stream(sockets[9], "b")]);
    await barrier();
    const wanted = Array.from({ length: n }, (_, k) => k);
    for (const words of heard) {
      for (const name of ["a", "b"]) assert.deepEqual(words.filter(([from]) => from === name).map(([, k]) => k), wanted);
    }
    if (process.env.SAME_ORDER === "1") for (const words of heard) assert.deepEqual(words, heard[0]);
  });

  it("reaches polling clients, each on its own node", async () => {
    const { sockets, counts, everyone } = await crowd("aabb", polling);
    assert.deepEqual(await counts({ to: [everyone] }), [1, 1, 1, 1]);
    assert.deepEqual(await counts({ to: [everyone], except: [sockets[3].id] }, 2), [1, 1, 1, 0]);
  });

  it("reaches clients that upgrade, each on its own node", async () => {
    const { counts, everyone } = await crowd("abab", { transports: ["polling", "websocket"] });
    for (let round = 0; round < 20; round++) assert.deepEqual(await counts({ to: [everyone] }, round % 4), [1, 1, 1, 1]);
  });
});

for (const [from, name] of [[0, "a"], [1, "b"]]) {
  describe(`node ${name} of a cluster`, () => {
    const other = 1 - from;
    const otherName = name === "a" ? "b" : "a";

    it("fetches the sockets of both", async () => {
      const room = unique("fetched");
      const as = (token) => ({ ...websocket, auth: { token, room }, query: { colour: `${token} & häß` } });
      const sockets = [await connected(urls.a, as("ann")), await connected(urls.b, as("bob"))];
      await ask(sockets[other], "set-data", { nested: { list: [1, "zwei", null] } });
      const found = await ask(sockets[from], "fetch", { to: [room] });
      found.sort((one, two) => (one.data.user < two.data.user ? -1 : 1));
      const wanted = sockets.map((socket, n) => ({
        id: socket.id,
        rooms: [socket.id, room].sort(),
        data: { user: ["ann", "bob"][n], ...(n === other ? { nested: { list: [1, "zwei", null] } } : {}) },
        colour: `${["ann", "bob"][n]} & häß`,
      }));
      assert.deepEqual(found, wanted);
      const except = await ask(sockets[from], "fetch", { to: [room], except: [sockets[other].id] });
      assert.deepEqual(except.map(({ id }) => id), [sockets[from].id]);
      const local = await ask(sockets[from], "fetch", { to: [room], local: true });
      assert.deepEqual(local.map(({ id }) => id), [sockets[from].id]);
    });

    it("has sockets of both join and leave, in order with its broadcasts", async () => {
      const { sockets, everyone, counts } = await crowd("ab");
      const room = unique("joined");
      await ask(sockets[from], "sockets-join", { to: [everyone] }, [room, unique("more")]);
      assert.deepEqual(await counts({ to: [room] }, from), [1, 1]);
      await ask(sockets[from], "sockets-leave", { to: [everyone], except: [sockets[other].id] }, [room]);
      assert.deepEqual(await counts({ to: [room] }, from), [from === 0 ? 0 : 1, from === 0 ? 1 : 0]);
      await ask(sockets[from], "sockets-leave", { to: [sockets[other].id] }, [room]);
      assert.deepEqual(await counts({ to: [room] }, from), [0, 0]);
    });

    it("disconnects a socket of the other from its namespace", async () => {
      const { sockets } = await crowd("ab");
      const { id } = sockets[other];
      const end = next(sockets[other], "disconnect");
      await ask(sockets[from], "sockets-disconnect", { to: [id] }, false);
      assert.equal((await end)[0], "io server disconnect");
      const witness = await connected(urls[otherName], websocket);
      assert.equal(await until(() => ask(witness, "reason", id), "the end is told"), "server namespace disconnect");
      assert.equal(sockets[from].connected, true);
    });

    it("closes the connections of a room on both", async () => {
      const { sockets, everyone } = await crowd("aabb");
      const speaker = sockets[from * 2];
      const ends = sockets.filter((socket) => socket !== speaker).map((socket) => next(socket, "disconnect"));
      await ask(speaker, "sockets-disconnect", { to: [everyone], except: [speaker.id] }, true);
      for (const [reason] of await Promise.all(ends)) assert.equal(reason, "io server disconnect");
      assert.equal(speaker.connected, true);
    });

    it("tells the other node, not itself", async () => {
      const { sockets } = await crowd("ab");
      for (const argument of [{ word: unique("news"), list: [1, null, "häß"] }, { word: unique("news"), bytes: Buffer.from([1, 2, 255]) }]) {
        await ask(sockets[from], "tell-nodes", argument);
        const has = (news) => news.find(({ word }) => word === argument.word);
        assert.deepEqual(await until(async () => has(await ask(sockets[other], "news")), "the news"), argument);
        assert.equal(has(await ask(sockets[from], "news")), undefined);
      }
    });

    it("asks the other node", async () => {
      const { sockets } = await crowd("ab");
      assert.deepEqual(await ask(sockets[from], "ask-nodes", "häß?"), { answers: [`${otherName}: häß?`] });
    });

    it("counts two nodes", async () => {
      const { sockets } = await crowd("ab");
      assert.equal(await ask(sockets[from], "count-nodes"), 2);
    });

    it("collects acknowledgements from both", async () => {
      const { sockets, everyone } = await crowd("aabb");
      sockets.forEach((socket, n) => socket.on("vote", (question, ack) => ack({ n, question })));
      const { error, responses } = await ask(sockets[from * 2], "emit-with-ack", { to: [everyone] }, 5000, "vote", "häß?");
      assert.equal(error, null);
      responses.sort((one, two) => one.n - two.n);
      assert.deepEqual(responses, [0, 1, 2, 3].map((n) => ({ n, question: "häß?" })));
    });

    it("collects acknowledgements with binary from both", async () => {
      const { sockets, everyone } = await crowd("ab");
      sockets.forEach((socket, n) => socket.on("vote", (question, ack) => ack(Buffer.from([n, ...question]))));
      const { error, responses } = await ask(sockets[from], "emit-with-ack", { to: [everyone] }, 5000, "vote", Buffer.from([9, 255]));
      assert.equal(error, null);
      assert.deepEqual(responses.map((answer) => [...answer]).sort(), [[0, 9, 255], [1, 9, 255]]);
    });

    it("collects the acknowledgements that come, and says that others did not", async () => {
      const { sockets, everyone } = await crowd("abb");
      sockets[0].on("vote", (_, ack) => ack("a"));
      sockets[1].on("vote", (_, ack) => ack("b"));
      const { error, responses } = await ask(sockets[from], "emit-with-ack", { to: [everyone] }, 500, "vote", null);
      assert.equal(error, "timeout");
      assert.deepEqual(responses.sort(), ["a", "b"]);
    });

    it("collects nothing from nobody", async () => {
      const { sockets } = await crowd("ab");
      const answer = await ask(sockets[from], "emit-with-ack", { to: [unique("nobody")] }, 5000, "vote", null);
      assert.deepEqual(answer, { error: null, responses: [] });
    });

    it("forgets who left on the other", async () => {
      const { sockets, everyone } = await crowd("ab");
      const { id } = sockets[other];
      sockets[other].disconnect();
      await until(async () => {
        const found = await ask(sockets[from], "fetch", { to: [everyone] });
        return found.every((socket) => socket.id !== id);
      }, "it is gone");
    });
  });
}
