// A plain TCP proxy that hands connections out in turn, and can misbehave like a network.
import { connect, createServer } from "node:net";
import { once } from "node:events";

export class Proxy {
  #server;
  #pairs = new Set();
  #turn = 0;
  #stalled = false;
  #refusing = false;

  /** A proxy before `targets`, URLs of servers that get the connections in turn. */
  static async before(...targets) {
    const proxy = new Proxy();
    proxy.targets = targets.map((target) => new URL(target));
    proxy.#server = createServer((near) => proxy.#accept(near));
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    proxy.url = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  #accept(near) {
    if (this.#refusing || this.targets.length === 0) {
      near.destroy();
      return;
    }
    const target = this.targets[this.#turn++ % this.targets.length];
    const far = connect({ host: target.hostname, port: Number(target.port) });
    const pair = { near, far };
    this.#pairs.add(pair);
    for (const [from, to] of [[near, far], [far, near]]) {
      from.setNoDelay(true);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        to.destroy();
        this.#pairs.delete(pair);
      });
    }
    if (this.#stalled) hold(pair);
  }

  /** Connections that are open now. */
  get connections() {
    return this.#pairs.size;
  }

  /** Resets every connection, as when a network goes away. New ones are taken. */
  cut() {
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  }

  /** Carries nothing any more, without a word to either side. */
  stall() {
    this.#stalled = true;
    this.#pairs.forEach(hold);
  }

  /** Whether new connections are refused. */
  refuse(refusing) {
    this.#refusing = refusing;
  }

  async close() {
    this.#server.close();
    for (const { near, far } of this.#pairs) {
      near.destroy();
      far.destroy();
    }
  }
}

function hold({ near, far }) {
  for (const socket of [near, far]) {
    socket.unpipe();
    socket.pause();
  }
}
