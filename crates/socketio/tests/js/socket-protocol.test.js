// Socket.IO v5 as its protocol document words it, packet by packet.
//
// SERVER_URL: examples/conformance (pingInterval 300 ms, pingTimeout 200 ms, connectTimeout 1000 ms).
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { Line, SEPARATOR, http } from "./support/wire.js";
import { required } from "./support/wait.js";

const base = required("SERVER_URL");
const CONNECT_TIMEOUT = 1000;

const lines = [];
after(() => lines.forEach((line) => line.close()));

/** A WebSocket after Engine.IO's handshake, in no namespace yet. */
async function engine() {
  const line = new Line(`${base.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
  lines.push(line);
  assert.match(await line.next("the handshake"), /^0\{/);
  return line;
}

/** Connects to a namespace and takes the two packets that follow. Gives the socket's id. */
async function connect(line, namespace = "", auth = "") {
  line.send(`40${namespace}${auth}`);
  const prefix = namespace.endsWith(",") || namespace === "" ? namespace : `${namespace},`;
  const connected = await line.nextButPing("the namespace");
  assert.ok(connected.startsWith(`40${prefix}`), connected);
  const answer = JSON.parse(connected.slice(2 + prefix.length));
  assert.deepEqual(Object.keys(answer), ["sid"]);
  assert.equal(typeof answer.sid, "string");
  const event = await line.nextButPing("the auth event");
  assert.ok(event.startsWith(`42${prefix}[`), event);
  // The order of keys is free.
  assert.deepEqual(JSON.parse(event.slice(2 + prefix.length)), ["auth", JSON.parse(auth || "{}")]);
  return answer.sid;
}

async function connected() {
  const line = await engine();
  await connect(line);
  return line;
}

describe("connect", () => {
  it("reaches the main namespace", async () => {
    await connect(await engine());
  });

  it("hands over a payload to the main namespace", async () => {
    await connect(await engine(), "", '{"token":"123"}');
  });

  it("reaches a namespace of its own", async () => {
    await connect(await engine(), "/custom,");
  });

  it("reaches a namespace written without the comma", async () => {
    await connect(await engine(), "/custom");
  });

  it("hands over a payload to a namespace of its own", async () => {
    await connect(await engine(), "/custom,", '{"token":"abc"}');
  });

  it("hands over a payload as it is", async () => {
    await connect(await engine(), "", '{"a":[1,2.5,null,true,{"b":"häß 🦀"}],"":""}');
  });

  it("gives another id in each namespace, none of them Engine.IO's", async () => {
    const line = new Line(`${base.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
    lines.push(line);
    const engineId = JSON.parse((await line.next()).slice(1)).sid;
    const ids = [engineId, await connect(line), await connect(line, "/custom,")];
    assert.equal(new Set(ids).size, 3);
  });

  it("is refused for an unknown namespace, and the line stays open", async () => {
    const line = await engine();
    line.send("40/random");
    assert.equal(await line.nextButPing(), '44/random,{"message":"Invalid namespace"}');
    await connect(line);
  });

  it("closes on a first packet that is none", async () => {
    const line = await engine();
    line.send("4abc");
    await line.end();
  });

  it("closes on an event before any namespace", async () => {
    const line = await engine();
    line.send('42["message","too early"]');
    await line.end();
  });

  it("closes on a second connect to the same namespace", async () => {
    const line = await connected();
    line.send("40");
    await line.end();
  });

  it("closes a line that connects to nothing", async () => {
    const line = await engine();
    const begun = Date.now();
    const pong = setInterval(() => line.send("3"), 100);
    line.closed.then(() => clearInterval(pong));
    await line.end("the close by the connect time-out");
    const waited = Date.now() - begun;
    assert.ok(waited > CONNECT_TIMEOUT - 200, `closed after ${waited} ms`);
  });

  it("works by polling", async () => {
    const url = `${base}/socket.io/?EIO=4&transport=polling`;
    const sid = JSON.parse((await http(url)).text.slice(1)).sid;
    const session = `${url}&sid=${sid}`;
    assert.equal((await http(session, { method: "POST", body: '40{"token":"123"}' })).text, "ok");
    const packets = (await http(session)).text.split(SEPARATOR);
    if (packets.length < 2) packets.push(...(await http(session)).text.split(SEPARATOR));
    assert.match(packets[0], /^40\{"sid":"[^"]+"\}$/);
    assert.equal(packets[1], '42["auth",{"token":"123"}]');
  });
});

describe("disconnect", () => {
  it("from the main namespace leaves the line open", async () => {
    const line = await connected();
    line.send("41");
    assert.equal(await line.next("a ping"), "2");
    line.send("3");
    await connect(line);
  });

  it("from one namespace leaves the others", async () => {
    const line = await connected();
    await connect(line, "/custom");
    line.send("41/custom");
    line.send('42["message","to the main namespace"]');
    assert.equal(await line.nextButPing(), '42["message-back","to the main namespace"]');
  });

  it("ends the namespace: an event to it closes the line", async () => {
    const line = await connected();
    await connect(line, "/custom");
    line.send("41/custom,");
    line.send('42/custom,["message","too late"]');
    await line.end();
  });

  it("can be followed by another connect", async () => {
    const line = await connected();
    const first = await connect(line, "/custom,");
    line.send("41/custom,");
    line.send('42["message","in between"]');
    assert.equal(await line.nextButPing(), '42["message-back","in between"]');
    const second = await connect(line, "/custom,");
    assert.notEqual(first, second);
  });
});

describe("events", () => {
  const texts = [
    ["arguments of every kind", '1,"2",{"3":[true]}'],
    ["no arguments", ""],
    ["text beyond ASCII", '"häß 日本語 🦀"'],
    ["escapes", '"\\"quoted\\"\\\\ \\n"'],
    ["numbers", "0,-1,1.5,9007199254740991"],
    ["null and nested emptiness", "null,[],{},[[]]"],
    ["what looks like a packet", '"42[1]","451-","2-"'],
  ];
  for (const [name, args] of texts) {
    it(`carry ${name}`, async () => {
      const line = await connected();
      line.send(`42["message"${args && `,${args}`}]`);
      assert.equal(await line.nextButPing(), `42["message-back"${args && `,${args}`}]`);
    });
  }

  it("go to their namespace", async () => {
    const line = await connected();
    await connect(line, "/custom,");
    line.send('42/custom,["message",1]');
    assert.equal(await line.nextButPing(), '42/custom,["message-back",1]');
    line.send('42["message",2]');
    assert.equal(await line.nextButPing(), '42["message-back",2]');
  });

  it("carry attachments", async () => {
    const line = await connected();
    const two = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';
    line.send(`452-["message",${two}]`);
    line.send(Buffer.from([1, 2, 3]));
    line.send(Buffer.from([4, 5, 6]));
    assert.equal(await line.nextButPing(), `452-["message-back",${two}]`);
    assert.deepEqual(await line.nextButPing(), Buffer.from([1, 2, 3]));
    assert.deepEqual(await line.nextButPing(), Buffer.from([4, 5, 6]));
  });

  it("carry attachments deep inside, in a namespace", async () => {
    const line = await connected();
    await connect(line, "/custom,");
    const args = '{"a":[{"_placeholder":true,"num":0},"b"]}';
    line.send(`451-/custom,["message",${args}]`);
    line.send(Buffer.alloc(0));
    assert.equal(await line.nextButPing(), `451-/custom,["message-back",${args}]`);
    assert.deepEqual(await line.nextButPing(), Buffer.alloc(0));
  });

  it("carry attachments by polling", async () => {
    const url = `${base}/socket.io/?EIO=4&transport=polling`;
    const sid = JSON.parse((await http(url)).text.slice(1)).sid;
    const session = `${url}&sid=${sid}`;
    const packets = [];
    const poll = async (count) => {
      while (packets.length < count) {
        const { status, text } = await http(session);
        assert.equal(status, 200, text);
        for (const packet of text.split(SEPARATOR)) {
          if (packet === "2") await http(session, { method: "POST", body: "3" });
          else packets.push(packet);
        }
      }
    };
    assert.equal((await http(session, { method: "POST", body: "40" })).text, "ok");
    await poll(2);
    const body = ['451-["message",{"_placeholder":true,"num":0}]', "bAQIDBA=="].join(SEPARATOR);
    assert.equal((await http(session, { method: "POST", body })).text, "ok");
    await poll(4);
    assert.deepEqual(packets.slice(1), [
      '42["auth",{}]',
      '451-["message-back",{"_placeholder":true,"num":0}]',
      "bAQIDBA==",
    ]);
  });

  it("that nobody handles are left alone", async () => {
    const line = await connected();
    line.send('42["nobody handles this",1]');
    line.send('42["message","still there"]');
    assert.equal(await line.nextButPing(), '42["message-back","still there"]');
  });

  it("keep their order", async () => {
    const line = await connected();
    for (let n = 0; n < 200; n++) line.send(`42["message",${n}]`);
    for (let n = 0; n < 200; n++) assert.equal(await line.nextButPing(), `42["message-back",${n}]`);
  });
});

describe("acknowledgements", () => {
  it("carry the arguments", async () => {
    const line = await connected();
    line.send('42456["message-with-ack",1,"2",{"3":[false]}]');
    assert.equal(await line.nextButPing(), '43456[1,"2",{"3":[false]}]');
  });

  it("of id 0 and without arguments", async () => {
    const line = await connected();
    line.send('420["message-with-ack"]');
    assert.equal(await line.nextButPing(), "430[]");
  });

  it("come in their namespace", async () => {
    const line = await connected();
    await connect(line, "/custom,");
    line.send('42/custom,7["message-with-ack",1]');
    assert.equal(await line.nextButPing(), "43/custom,7[1]");
  });

  it("carry attachments", async () => {
    const line = await connected();
    const two = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';
    line.send(`452-789["message-with-ack",${two}]`);
    line.send(Buffer.from([1, 2, 3]));
    line.send(Buffer.from([4, 5, 6]));
    assert.equal(await line.nextButPing(), `462-789[${two}]`);
    assert.deepEqual(await line.nextButPing(), Buffer.from([1, 2, 3]));
    assert.deepEqual(await line.nextButPing(), Buffer.from([4, 5, 6]));
  });

  it("that nobody asked for are left alone", async () => {
    const line = await connected();
    line.send("4399[1]");
    line.send('42["message",1]');
    assert.equal(await line.nextButPing(), '42["message-back",1]');
  });
});

describe("what is no packet closes the line", () => {
  const malformed = [
    ["an unknown type", "4abc"],
    ["a type beyond the last", "47"],
    ["nothing", "4"],
    ["an event that is no array", "42{}"],
    ["an event without a name", "42[]"],
    ["an event whose name is an object", "42[{}]"],
    ["an acknowledgement that is no array", "431{}"],
    ["an id that is no number", '42abc["message-with-ack",1]'],
    ["broken JSON", '42["message",1'],
    ["a count of attachments that is no number", '45x-["message",{"_placeholder":true,"num":0}]'],
    ["a missing count of attachments", '45["message",{"_placeholder":true,"num":0}]'],
    ["a connect payload that is no object", "40[1]"],
    ["a disconnect with a payload", "41{}"],
    ["a packet for a namespace it is not in", '42/custom,["message",1]'],
    ["an error from a client", '44{"message":"from a client"}'],
    ["an event with the name of the server's own", '42["disconnect",1]'],
  ];
  for (const [name, packet] of malformed) {
    it(name, async () => {
      const line = await connected();
      line.send(packet);
      // Whatever is written after it is not looked at.
      line.send('42["message","after"]');
      for (;;) {
        const message = await line.nextButPing().catch(() => null);
        if (message === null) break;
        assert.fail(`got ${message}`);
      }
      await line.end();
    });
  }

  it("text where an attachment was announced", async () => {
    const line = await connected();
    line.send('451-["message",{"_placeholder":true,"num":0}]');
    line.send('42["message",1]');
    await line.end();
  });

  it("binary that nothing announced", async () => {
    const line = await connected();
    line.send(Buffer.from([1]));
    await line.end();
  });

  it("a placeholder for an attachment that was not announced", async () => {
    const line = await connected();
    line.send('451-["message",{"_placeholder":true,"num":7}]');
    line.send(Buffer.from([1]));
    await line.end();
  });
});
