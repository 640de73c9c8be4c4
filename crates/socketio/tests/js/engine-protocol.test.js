// Engine.IO v4 as its protocol document words it, packet by packet, against a server that echoes every message.
//
// SERVER_URL: examples/conformance with ENGINE_ONLY=1 (pingInterval 300 ms, pingTimeout 200 ms, maxPayload 1 000 000).
import assert from "node:assert/strict";
import { request } from "node:http";
import { after, describe, it } from "node:test";
import { Line, SEPARATOR, http } from "./support/wire.js";
import { delay, required, until, within } from "./support/wait.js";

const base = required("SERVER_URL");
const PING_INTERVAL = 300;
const PING_TIMEOUT = 200;
const MAX_PAYLOAD = 1_000_000;
// What a loaded machine may add to a timer before it counts as wrong.
const SLACK = 1000;

const polling = (sid, extra = "") => `${base}/engine.io/?EIO=4&transport=polling${sid ? `&sid=${sid}` : ""}${extra}`;
const websocket = (sid) => `${base.replace("http", "ws")}/engine.io/?EIO=4&transport=websocket${sid ? `&sid=${sid}` : ""}`;

const lines = [];
function open(url, options) {
  const line = new Line(url, options);
  lines.push(line);
  return line;
}
after(() => lines.forEach((line) => line.close()));

async function pollingSession() {
  const { status, text } = await http(polling());
  assert.equal(status, 200, text);
  return JSON.parse(text.slice(1)).sid;
}

async function websocketSession() {
  const line = open(websocket());
  assert.match(await line.next("the handshake"), /^0\{/);
  return line;
}

/** A polling session whose WebSocket has had its probe answered. */
async function probed() {
  const sid = await pollingSession();
  const line = open(websocket(sid));
  await line.opened;
  line.send("2probe");
  assert.equal(await line.next("the probe's answer"), "3probe");
  return { sid, line };
}

const post = (sid, body, headers) => http(polling(sid), { method: "POST", body, headers });
const poll = (sid, extra) => http(polling(sid, extra));

/** The status that a request in the making comes to, or "cut". */
function outcome(outgoing) {
  const answer = new Promise((resolve) => {
    outgoing.on("response", (incoming) => resolve(incoming.resume().statusCode));
    outgoing.on("error", () => resolve("cut"));
  });
  return within(answer, "an answer");
}

function assertHandshake(packet, upgrades) {
  assert.equal(packet[0], "0");
  const handshake = JSON.parse(packet.slice(1));
  assert.deepEqual(Object.keys(handshake).sort(), ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"]);
  assert.equal(typeof handshake.sid, "string");
  assert.ok(handshake.sid.length >= 16, "an id that can't be guessed");
  assert.deepEqual(handshake.upgrades, upgrades);
  assert.equal(handshake.pingInterval, PING_INTERVAL);
  assert.equal(handshake.pingTimeout, PING_TIMEOUT);
  assert.equal(handshake.maxPayload, MAX_PAYLOAD);
}

async function assertRefused(url, code) {
  const { status, text, headers } = await http(url);
  assert.equal(status, 400);
  assert.match(headers["content-type"], /^application\/json/);
  assert.equal(JSON.parse(text).code, code);
}

async function assertNoWebSocket(url) {
  const line = open(url);
  await line.end("the refusal");
  // By the handshake's answer, or by a close right after it.
  assert.ok([400, null].includes(line.status), `status ${line.status}`);
}

describe("handshake", () => {
  describe("by polling", () => {
    it("opens a session and offers the upgrade", async () => {
      const { status, headers, text } = await http(polling());
      assert.equal(status, 200);
      assert.match(headers["content-type"], /^text\/plain/);
      assertHandshake(text, ["websocket"]);
    });

    it("gives every session its own id", async () => {
      const ids = await Promise.all(Array.from({ length: 20 }, pollingSession));
      assert.equal(new Set(ids).size, 20);
    });

    it("leaves parameters alone that are not its own", async () => {
      const { status, text } = await http(`${base}/engine.io/?EIO=4&transport=polling&t=abc.1&other=%20x`);
      assert.equal(status, 200);
      assertHandshake(text, ["websocket"]);
    });

    it("is refused for another protocol version", async () => {
      await assertRefused(`${base}/engine.io/?transport=polling`, 5);
      await assertRefused(`${base}/engine.io/?EIO=abc&transport=polling`, 5);
      await assertRefused(`${base}/engine.io/?EIO=3&transport=polling`, 5);
    });

    it("is refused for an unknown transport", async () => {
      await assertRefused(`${base}/engine.io/?EIO=4`, 0);
      await assertRefused(`${base}/engine.io/?EIO=4&transport=abc`, 0);
    });

    it("is refused for methods other than GET", async () => {
      for (const method of ["POST", "PUT", "DELETE"]) {
        const { status, text } = await http(polling(), { method });
        assert.equal(status, 400, method);
        assert.equal(JSON.parse(text).code, 2, method);
      }
    });

    it("is refused for a session id that nobody has", async () => {
      await assertRefused(polling("nobody-has-this"), 1);
      const { status, text } = await post("nobody-has-this", "4hello");
      assert.equal(status, 400);
      assert.equal(JSON.parse(text).code, 1);
    });
  });

  describe("by WebSocket", () => {
    it("opens a session and offers no upgrade", async () => {
      const line = open(websocket());
      assertHandshake(await line.next("the handshake"), []);
    });

    it("is refused for another protocol version", async () => {
      await assertNoWebSocket(`${base.replace("http", "ws")}/engine.io/?transport=websocket`);
      await assertNoWebSocket(`${base.replace("http", "ws")}/engine.io/?EIO=abc&transport=websocket`);
    });

    it("is refused for an unknown transport", async () => {
      await assertNoWebSocket(`${base.replace("http", "ws")}/engine.io/?EIO=4`);
      await assertNoWebSocket(`${base.replace("http", "ws")}/engine.io/?EIO=4&transport=abc`);
    });

    it("is refused for a session id that nobody has", async () => {
      await assertNoWebSocket(websocket("nobody-has-this"));
    });

    it("is refused for a request that is no WebSocket handshake", async () => {
      const { status } = await http(websocket().replace("ws", "http"));
      assert.equal(status, 400);
    });

    it("never agrees on compression per message", async () => {
      const line = open(websocket(), { perMessageDeflate: true });
      await line.next("the handshake");
      assert.equal(line.socket.extensions, "");
    });
  });
});

describe("messages", () => {
  describe("by polling", () => {
    const echoed = [
      ["one text packet", "4hello"],
      ["several text packets", ["4first", "4second", "4third"].join(SEPARATOR)],
      ["text beside binary", ["4hello", "bAQIDBA=="].join(SEPARATOR)],
      ["binary alone", "bAQIDBA=="],
      ["binary without padding needed", "bAQID"],
      ["an empty text", "4"],
      ["text beyond ASCII", "4häß – 日本語 – 🦀"],
    ];
    for (const [name, payload] of echoed) {
      it(`carries ${name}`, async () => {
        const sid = await pollingSession();
        const pushed = await post(sid, payload);
        assert.equal(pushed.status, 200);
        assert.equal(pushed.text, "ok");
        const answer = await poll(sid);
        assert.equal(answer.status, 200);
        assert.match(answer.headers["content-type"], /^text\/plain; *charset=utf-8$/i);
        assert.equal(answer.text, payload);
      });
    }

    it("hands a message to the poll that waits", async () => {
      const sid = await pollingSession();
      const waiting = poll(sid);
      await delay(20);
      await post(sid, "4hello");
      assert.equal((await waiting).text, "4hello");
    });

    it("keeps the order of many messages", async () => {
      const sid = await pollingSession();
      const sent = Array.from({ length: 500 }, (_, n) => `4${n}`);
      for (let n = 0; n < 500; n += 100) await post(sid, sent.slice(n, n + 100).join(SEPARATOR));
      const received = [];
      while (received.length < 500) {
        for (const packet of (await poll(sid)).text.split(SEPARATOR)) {
          if (packet === "2") await post(sid, "3");
          else received.push(packet);
        }
      }
      assert.deepEqual(received, sent);
    });

    it("closes the session on a packet that is none", async () => {
      for (const body of ["abc", "", `4hello${SEPARATOR}9`]) {
        const sid = await pollingSession();
        const { status } = await post(sid, body);
        assert.ok(status === 400 || status === 200, `status ${status}`);
        await until(async () => (await poll(sid)).status === 400, `the session ended after ${JSON.stringify(body)}`, 2000);
      }
    });

    it("closes the session on base64 that is none, or drops it to nothing", async () => {
      const sid = await pollingSession();
      const { status } = await post(sid, "b***");
      assert.ok(status === 400 || status === 200, `status ${status}`);
      const { text } = await poll(sid);
      assert.ok(!text.includes("***"));
    });

    it("closes the session when it is polled twice at once", async () => {
      const sid = await pollingSession();
      const first = poll(sid);
      await delay(20);
      const second = await poll(sid, "&t=second");
      assert.equal((await first).text, "1");
      assert.ok([400, 500].includes(second.status), `status ${second.status}`);
      assert.equal((await poll(sid)).status, 400);
    });

    it("closes the session when it is posted to twice at once", async () => {
      const sid = await pollingSession();
      const waiting = poll(sid);
      const half = request(polling(sid), { method: "POST", agent: false, headers: { "content-length": "6" } });
      const answer = outcome(half);
      half.write("4he");
      await until(() => half.socket?.bytesWritten > 0, "the first post is under way");
      await delay(50);
      const second = await post(sid, "4other");
      assert.ok([400, 500].includes(second.status), `status ${second.status}`);
      assert.equal((await waiting).text, "1");
      half.end("llo");
      const status = await answer;
      assert.ok(status === "cut" || status >= 400, `status ${status}`);
      assert.equal((await poll(sid)).status, 400);
    });

    it("closes the session when a poll is given up", async () => {
      const sid = await pollingSession();
      const controller = new AbortController();
      const given = http(polling(sid), { signal: controller.signal }).catch(() => {});
      await delay(20);
      controller.abort();
      await given;
      // The server learns of it by the closed connection: soon, but not at once.
      await delay(20);
      assert.equal((await poll(sid)).status, 400);
    });

    it("takes a payload as large as it said, and refuses a larger one", async () => {
      const sid = await pollingSession();
      const largest = `4${"x".repeat(MAX_PAYLOAD - 1)}`;
      assert.equal((await post(sid, largest)).status, 200);
      assert.equal((await poll(sid)).text, largest);

      const { status } = await post(sid, `${largest}x`).catch(() => ({ status: "cut" }));
      assert.ok(status === 413 || status === "cut", `status ${status}`);
    });

    it("refuses a payload that is too large and doesn't say so", async () => {
      const sid = await pollingSession();
      const chunked = request(polling(sid), { method: "POST", agent: false });
      const answer = outcome(chunked);
      for (let n = 0; n < 3; n++) chunked.write("4".repeat(MAX_PAYLOAD / 2));
      chunked.end();
      const status = await answer;
      assert.ok(status === 413 || status === "cut", `status ${status}`);
    });
  });

  describe("by WebSocket", () => {
    for (const text of ["4hello", "4", "4häß – 日本語 – 🦀"]) {
      it(`carries the text ${JSON.stringify(text)}`, async () => {
        const line = await websocketSession();
        line.send(text);
        assert.equal(await line.next(), text);
      });
    }

    it("carries binary as a binary frame", async () => {
      const line = await websocketSession();
      line.send(Buffer.from([1, 2, 3, 4]));
      assert.deepEqual(await line.next(), Buffer.from([1, 2, 3, 4]));
    });

    it("keeps the order of text and binary", async () => {
      const line = await websocketSession();
      const sent = Array.from({ length: 200 }, (_, n) => (n % 3 === 0 ? Buffer.from([n]) : `4${n}`));
      sent.forEach((message) => line.send(message));
      const received = [];
      while (received.length < sent.length) received.push(await line.nextButPing());
      assert.deepEqual(received, sent);
    });

    it("closes the session on a packet that is none", async () => {
      for (const packet of ["abc", "", "9"]) {
        const line = await websocketSession();
        line.send(packet);
        await line.end(`the close after ${JSON.stringify(packet)}`);
      }
    });

    it("takes a message as large as it said, and closes on a larger one", async () => {
      const line = await websocketSession();
      const largest = `4${"x".repeat(MAX_PAYLOAD - 1)}`;
      line.send(largest);
      assert.equal(await line.nextButPing(), largest);
      line.send(`${largest}x`);
      for (;;) {
        const message = await line.nextButPing().catch(() => null);
        if (message === null) break;
        assert.notEqual(message, `${largest}x`);
      }
      await line.end();
    });
  });
});

describe("heartbeat", () => {
  describe("by polling", () => {
    it("pings and takes the pong", async () => {
      const sid = await pollingSession();
      for (let n = 0; n < 3; n++) {
        const begun = Date.now();
        const { status, text } = await poll(sid);
        const waited = Date.now() - begun;
        assert.equal(status, 200);
        assert.equal(text, "2");
        assert.ok(waited < PING_INTERVAL + SLACK, `pinged after ${waited} ms`);
        assert.equal((await post(sid, "3")).status, 200);
      }
    });

    it("closes a session that doesn't answer", async () => {
      const sid = await pollingSession();
      assert.equal((await poll(sid)).text, "2");
      const begun = Date.now();
      // Not in the protocol's words, but what the poll that waits is told.
      const { text, status } = await poll(sid);
      const waited = Date.now() - begun;
      assert.ok(status !== 200 || text === "1" || text === "", `${status} ${text}`);
      assert.ok(waited >= PING_TIMEOUT - 50 && waited < PING_TIMEOUT + SLACK, `closed after ${waited} ms`);
      assert.equal((await poll(sid)).status, 400);
    });

    it("has forgotten a session that never polled", async () => {
      const sid = await pollingSession();
      await delay(PING_INTERVAL + PING_TIMEOUT);
      await assertRefused(polling(sid), 1);
    });
  });

  describe("by WebSocket", () => {
    it("pings every interval and takes the pong", async () => {
      const line = await websocketSession();
      for (let n = 0; n < 3; n++) {
        const begun = Date.now();
        assert.equal(await line.next("a ping"), "2");
        const waited = Date.now() - begun;
        assert.ok(waited > PING_INTERVAL - 100 && waited < PING_INTERVAL + SLACK, `pinged after ${waited} ms`);
        line.send("3");
      }
    });

    it("closes a session that doesn't answer", async () => {
      const line = await websocketSession();
      const begun = Date.now();
      assert.equal(await line.next("a ping"), "2");
      await line.end();
      const waited = Date.now() - begun;
      assert.ok(waited > PING_INTERVAL + PING_TIMEOUT - 100, `closed after ${waited} ms`);
      assert.ok(waited < PING_INTERVAL + PING_TIMEOUT + SLACK, `closed after ${waited} ms`);
    });

    it("is not kept alive by messages that are no pong", async () => {
      const line = await websocketSession();
      const busy = setInterval(() => line.send("4still here"), 50);
      try {
        await line.end("the close in spite of messages");
      } finally {
        clearInterval(busy);
      }
    });
  });
});

describe("close", () => {
  it("by polling ends the poll that waits with a noop", async () => {
    const sid = await pollingSession();
    const [waiting, closing] = await Promise.all([poll(sid), delay(20).then(() => post(sid, "1"))]);
    assert.equal(waiting.status, 200);
    assert.equal(waiting.text, "6");
    assert.equal(closing.status, 200);
    assert.equal((await poll(sid)).status, 400);
  });

  it("by polling needs no poll that waits", async () => {
    const sid = await pollingSession();
    assert.equal((await post(sid, "1")).status, 200);
    assert.equal((await poll(sid)).status, 400);
  });

  it("by WebSocket closes it", async () => {
    const line = await websocketSession();
    line.send("1");
    await line.end();
  });

  it("of the WebSocket without a packet leaves nothing that answers", async () => {
    const { sid, line } = await probed();
    line.send("5");
    line.send("4hello");
    assert.equal(await line.next(), "4hello");
    line.close();
    await until(async () => JSON.parse((await poll(sid)).text).code === 1, "the session is forgotten");
  });
});

describe("upgrade", () => {
  it("takes the session from polling to WebSocket", async () => {
    const { sid, line } = await probed();
    const { status, text } = await poll(sid);
    assert.equal(status, 200);
    assert.equal(text, "6");
    line.send("5");
    line.send("4hello");
    assert.equal(await line.next(), "4hello");
  });

  it("ends a poll that already waits with a noop", async () => {
    const sid = await pollingSession();
    const waiting = poll(sid);
    await delay(20);
    const line = open(websocket(sid));
    await line.opened;
    line.send("2probe");
    assert.equal(await line.next("the probe's answer"), "3probe");
    assert.equal((await waiting).text, "6");
    line.send("5");
    line.send("4hello");
    assert.equal(await line.next(), "4hello");
  });

  it("delivers by polling what was sent before it, and the rest by WebSocket", async () => {
    const { sid, line } = await probed();
    await post(sid, "4before");
    // What has not been polled yet must come, once, on one of the two.
    const polled = (await poll(sid)).text.split(SEPARATOR).filter((packet) => packet !== "6");
    line.send("5");
    line.send("4after");
    const received = [...polled];
    while (!received.includes("4after")) received.push(await line.nextButPing());
    assert.deepEqual(received, ["4before", "4after"]);
  });

  it("keeps what was not polled before it", async () => {
    const sid = await pollingSession();
    await post(sid, `4one${SEPARATOR}bAQID${SEPARATOR}4two`);
    const line = open(websocket(sid));
    await line.opened;
    line.send("2probe");
    assert.equal(await line.next("the probe's answer"), "3probe");
    line.send("5");
    assert.equal(await line.next(), "4one");
    assert.deepEqual(await line.next(), Buffer.from([1, 2, 3]));
    assert.equal(await line.next(), "4two");
  });

  it("leaves polling without the session", async () => {
    const { sid, line } = await probed();
    line.send("5");
    assert.equal((await poll(sid)).status, 400);
    line.send("4hello");
    assert.equal(await line.next(), "4hello");
    assert.equal((await post(sid, "4hello")).status, 400);
    line.send("4again");
    assert.equal(await line.next(), "4again");
  });

  it("leaves polling without the session, also in one breath with the probe", async () => {
    for (let round = 0; round < 10; round++) {
      const sid = await pollingSession();
      const line = open(websocket(sid));
      await line.opened;
      line.send("2probe");
      line.send("5");
      assert.equal((await poll(sid)).status, 400);
      line.close();
    }
  });

  it("leaves a second WebSocket without the session", async () => {
    const { sid, line } = await probed();
    line.send("5");
    const second = open(websocket(sid));
    await second.end("the close of the second");
    line.send("4hello");
    assert.equal(await line.next(), "4hello");
  });

  it("is not begun by a second WebSocket while one is probed", async () => {
    const { sid, line } = await probed();
    const second = open(websocket(sid));
    await second.end("the close of the second");
    line.send("5");
    line.send("4hello");
    assert.equal(await line.next(), "4hello");
  });

  it("that is given up leaves the session polling", async () => {
    const sid = await pollingSession();
    const line = open(websocket(sid));
    await line.opened;
    line.send("2probe");
    await line.next("the probe's answer");
    line.close();
    await line.end();
    assert.equal((await post(sid, "4hello")).status, 200);
    const received = [];
    await until(async () => {
      received.push(...(await poll(sid)).text.split(SEPARATOR));
      return received.includes("4hello");
    }, "the message comes by polling");
  });

  it("that doesn't begin with a probe is closed and leaves the session polling", async () => {
    const sid = await pollingSession();
    const line = open(websocket(sid));
    await line.opened;
    line.send("4hello");
    await line.end();
    await post(sid, "4by polling");
    const received = [];
    await until(async () => {
      received.push(...(await poll(sid)).text.split(SEPARATOR));
      return received.includes("4by polling");
    }, "the message comes by polling");
    assert.ok(!received.includes("4hello"));
  });

  it("goes on with the heartbeat", async () => {
    const { line } = await probed();
    line.send("5");
    for (let n = 0; n < 3; n++) {
      assert.equal(await line.next("a ping"), "2");
      line.send("3");
    }
  });
});

describe("pages of other origins", () => {
  const origin = "https://shop.example";

  it("may read what polling answers", async () => {
    const opened = await http(polling(), { headers: { origin } });
    assert.equal(opened.status, 200);
    assert.ok(["*", origin].includes(opened.headers["access-control-allow-origin"]));
    const sid = JSON.parse(opened.text.slice(1)).sid;
    const pushed = await post(sid, "4hello", { origin });
    assert.ok(["*", origin].includes(pushed.headers["access-control-allow-origin"]));
    const refused = await http(polling("nobody-has-this"), { headers: { origin } });
    assert.equal(refused.status, 400);
    assert.ok(["*", origin].includes(refused.headers["access-control-allow-origin"]));
  });

  it("get an answer to their preflight", async () => {
    const { status, headers } = await http(polling(), {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type" },
    });
    assert.ok(status === 200 || status === 204, `status ${status}`);
    assert.ok(["*", origin].includes(headers["access-control-allow-origin"]));
    assert.match(headers["access-control-allow-methods"], /POST/);
    assert.match(headers["access-control-allow-headers"], /content-type|\*/i);
  });
});
