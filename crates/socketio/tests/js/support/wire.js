// Engine.IO by hand: HTTP requests and WebSocket frames as they are on the wire.
import { request } from "node:http";
import { WebSocket } from "ws";
import { within } from "./wait.js";

/** Separates the packets of one polling payload. */
export const SEPARATOR = "\x1e";

/** One HTTP request on a connection of its own. */
export function http(url, { method = "GET", headers = {}, body, signal } = {}) {
  const answer = new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers, signal, agent: false }, (incoming) => {
      const parts = [];
      incoming.on("data", (part) => parts.push(part));
      incoming.on("error", reject);
      incoming.on("end", () => {
        const text = Buffer.concat(parts).toString("utf8");
        resolve({ status: incoming.statusCode, headers: incoming.headers, text });
      });
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
  return within(answer, `an answer to ${method} ${url}`);
}

/** A WebSocket whose messages and close are kept until they are asked for. */
export class Line {
  #messages = [];
  #waiting = [];

  constructor(url, options = {}) {
    this.socket = new WebSocket(url, { perMessageDeflate: false, ...options });
    this.status = null;
    this.opened = new Promise((resolve) => this.socket.once("open", resolve));
    this.closed = new Promise((resolve) => this.socket.once("close", (code) => resolve(code)));
    // A refused handshake is an error and a close: tests look at the close, and at the status.
    this.socket.on("error", () => {});
    this.socket.on("unexpected-response", (outgoing, incoming) => {
      this.status = incoming.statusCode;
      incoming.resume();
      outgoing.destroy();
      this.socket.emit("close", 1006);
    });
    this.socket.on("message", (data, isBinary) => {
      const message = isBinary ? data : data.toString("utf8");
      const taker = this.#waiting.shift();
      if (taker) taker(message);
      else this.#messages.push(message);
    });
  }

  /** The next message: text as a string, binary as a Buffer. A close instead of it is an error. */
  next(what = "a message") {
    if (this.#messages.length > 0) return Promise.resolve(this.#messages.shift());
    const message = new Promise((resolve) => this.#waiting.push(resolve));
    const gone = this.closed.then((code) => {
      throw new Error(`closed with ${code} while waiting for ${what}`);
    });
    return within(Promise.race([message, gone]), what);
  }

  /** The next message that is no ping; pings are answered. */
  async nextButPing(what) {
    for (;;) {
      const message = await this.next(what);
      if (message !== "2") return message;
      this.send("3");
    }
  }

  send(message) {
    this.socket.send(message);
  }

  /** Waits until the server closed; gives the close code. */
  end(what = "the server's close") {
    return within(this.closed, what);
  }

  close() {
    this.socket.terminate();
  }
}
