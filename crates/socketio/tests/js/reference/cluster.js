// The reference for examples/cluster.rs: every socket is in the room `all`; `emit` {n} is broadcast to it as `tick` {n}.
import { createServer } from "node:http";
import { Server } from "socket.io";
import { clusterAdapter } from "./cluster-adapter.js";
import { listen } from "./listen.js";

const http = createServer();
const io = new Server(http, {
  connectionStateRecovery: { maxDisconnectionDuration: 120_000 },
  adapter: await clusterAdapter(),
});
io.on("connection", (socket) => {
  socket.join("all");
  socket.on("emit", ({ n }) => io.to("all").emit("tick", { n }));
});
listen(http);
