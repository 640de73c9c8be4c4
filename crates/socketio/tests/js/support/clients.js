// The real socket.io-client, in the mode that MODE names: polling, websocket or upgrade (the default of the client).
import assert from "node:assert/strict";
import { Manager, io } from "socket.io-client";
import { PATIENCE, until, within } from "./wait.js";

export const MODE = process.env.MODE ?? "upgrade";
const transports = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] }[MODE];
assert.ok(transports, `MODE is ${MODE}`);

const managers = new Set();

/** Ends every client that was made here. */
export function endClients() {
  for (const manager of managers) {
    manager.reconnection(false);
    Object.values(manager.nsps).forEach((socket) => socket.disconnect());
    manager._close();
  }
  managers.clear();
}

/** A client that is not connected yet. */
export function client(url, options = {}) {
  const socket = io(url, {
    transports,
    forceNew: true,
    autoConnect: false,
    reconnectionDelay: 20,
    reconnectionDelayMax: 100,
    ...options,
  });
  managers.add(socket.io);
  return socket;
}

/** A connection that several namespaces can share. */
export function manager(url, options = {}) {
  const made = new Manager(url, { transports, autoConnect: false, ...options });
  managers.add(made);
  return made;
}

/** Connects a client and waits for it. A refusal is an error. */
export async function connected(urlOrSocket, options) {
  const socket = typeof urlOrSocket === "string" ? client(urlOrSocket, options) : urlOrSocket;
  const connect = new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("connect_error", (error) => socket.active || reject(error));
  });
  socket.connect();
  await within(connect, "the connect event");
  return socket;
}

/** The arguments of the next event of this name. */
export function next(socket, event, milliseconds) {
  const args = new Promise((resolve) => socket.once(event, (...values) => resolve(values)));
  return within(args, `the event ${event}`, milliseconds);
}

/** Asks the server; no answer is an error. */
export function ask(socket, event, ...args) {
  return socket.timeout(PATIENCE).emitWithAck(event, ...args);
}

/** Collects the events of a name: an array that grows, of their arguments. */
export function collect(socket, event) {
  const seen = [];
  socket.on(event, (...values) => seen.push(values));
  return seen;
}

/** Waits until the client runs on a WebSocket, and the server knows it. */
export async function upgraded(socket) {
  await until(() => socket.io.engine?.transport?.name === "websocket", "the client is upgraded");
  await settled(socket);
}

/** Waits until two nodes hear each other, in both directions. */
export async function together(a, b) {
  for (const [from, to] of [[a, b], [b, a]]) {
    const seen = collect(to, "together");
    await until(async () => {
      await ask(from, "emit", { to: [to.id] }, "together");
      return seen.length > 0;
    }, "the nodes hear each other");
    await until(async () => (await ask(from, "count-nodes")) === 2, "there are two nodes");
    to.off("together");
  }
}

/** Waits until what was sent to this socket before has arrived. */
export async function settled(...sockets) {
  await Promise.all(sockets.map((socket) => ask(socket, "echo", "settled")));
}

/** A name that no other test uses. */
let names = 0;
export function unique(word) {
  return `${word}-${process.pid}-${names++}`;
}
