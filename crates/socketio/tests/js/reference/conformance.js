// The reference for examples/conformance.rs: what the protocol suites run against, on the original server.
import { createServer } from "node:http";
import { Server as Engine } from "engine.io";
import { Server } from "socket.io";
import { listen } from "./listen.js";

const limits = { pingInterval: 300, pingTimeout: Number(process.env.PING_TIMEOUT ?? 200), maxHttpBufferSize: 1_000_000, cors: { origin: "*" } };
const http = createServer((_, response) => response.writeHead(404).end());

if (process.env.ENGINE_ONLY === "1") {
  const engine = new Engine(limits);
  engine.attach(http, { path: "/engine.io/" });
  engine.on("connection", (socket) => socket.on("message", (message) => socket.send(message)));
} else {
  const io = new Server(http, { ...limits, connectTimeout: 1000 });
  const serve = (socket) => {
    socket.emit("auth", socket.handshake.auth);
    socket.on("message", (...args) => socket.emit("message-back", ...args));
    socket.on("message-with-ack", (...args) => args.pop()(...args));
  };
  io.on("connection", serve);
  io.of("/custom").on("connection", serve);
}

listen(http);
