// A server with everything that the clients' suites ask for: the reference for examples/testbed.rs, on the original.
//
// Settings, all from the environment:
//   PORT           where to listen; 0 picks a free port
//   NODE_NAME      what this node calls itself
//   RECOVERY       1: connection state recovery, for 2 minutes
//   PING_INTERVAL, PING_TIMEOUT   milliseconds
//   REDIS_URL      makes it one of a cluster
//   STREAM         the cluster's stream; also the prefix of its channels
//
// Namespaces: `/`, `/chat`, `/admin` (for the token "admin" only) and every `/tenant-<word>`. All have the same events.
import { createServer } from "node:http";
import { Server } from "socket.io";
import { clusterAdapter } from "./cluster-adapter.js";
import { listen } from "./listen.js";

const node = process.env.NODE_NAME ?? "one";
const recovery = { maxDisconnectionDuration: 120_000, skipMiddlewares: false };
const http = createServer();
const io = new Server(http, {
  pingInterval: Number(process.env.PING_INTERVAL ?? 300),
  pingTimeout: Number(process.env.PING_TIMEOUT ?? 2000),
  maxHttpBufferSize: 1_000_000,
  connectTimeout: 5000,
  cors: { origin: "*" },
  connectionStateRecovery: process.env.RECOVERY === "1" ? recovery : undefined,
  adapter: process.env.REDIS_URL ? await clusterAdapter() : undefined,
});

/** Why sockets ended, by their id. */
const reasons = new Map();
/** What other nodes told this one. */
const news = [];
/** How often each flaky event was tried. */
const attempts = new Map();

function refusal(message, data) {
  return Object.assign(new Error(message), { data });
}

/** Token "refused" is refused, with data; `auth.delay` makes the decision take that many milliseconds. */
function admit(socket, next) {
  const { token, delay } = socket.handshake.auth;
  const decide = () => {
    if (token === "refused") return next(refusal("not allowed", { code: "refused", numbers: [1, 2.5, null] }));
    if (socket.nsp.name === "/admin" && token !== "admin") return next(refusal("Admin access required", { code: "forbidden" }));
    next();
  };
  if (delay) setTimeout(decide, delay);
  else decide();
}

/** Sockets that `{ to, except, from, local, volatile, compress }` means; `from` is "server", or the socket itself. */
function audience(socket, { to = [], except = [], from = "server", local, volatile, compress }) {
  // `socket.to` leaves the sender out; `socket` alone with no rooms is a broadcast to all others.
  let operator = from === "socket" ? socket.broadcast : socket.nsp.to([]);
  for (const room of to) operator = operator.to(room);
  for (const room of except) operator = operator.except(room);
  if (local) operator = operator.local;
  if (volatile) operator = operator.volatile;
  if (compress !== undefined) operator = operator.compress(compress);
  return operator;
}

function serve(socket) {
  const { auth } = socket.handshake;
  socket.data.user ??= auth.token ?? null;
  if (auth.room) socket.join(auth.room);
  if (auth.greet) socket.emit("welcome", { id: socket.id, auth, recovered: socket.recovered });
  socket.on("disconnect", (reason) => reasons.set(socket.id, reason));

  // --- events and acknowledgements -----------------------------------------------------------
  /** Answers with the arguments. */
  socket.on("echo", (...args) => args.pop()(...args));
  /** Sends the arguments back as an event. */
  socket.on("back", (...args) => socket.emit("back", ...args));
  /** Asks the client `question` with the argument, and answers with what came: `{ answer }` or `{ error }`. */
  socket.on("ask-me", (argument, timeout, ack) => {
    socket.timeout(timeout).emit("question", argument, (error, answer) => ack(error ? { error: "timeout" } : { answer }));
  });
  /** Sends n numbered `tick`s at once: to this socket, or to a room. With `binary`, a third argument of that many bytes. */
  socket.on("burst", ({ n, room, binary }) => {
    const target = room ? socket.nsp.to(room) : socket;
    for (let i = 0; i < n; i++) {
      if (binary) target.emit("tick", i, Buffer.alloc(binary, i % 256));
      else target.emit("tick", i);
    }
  });
  /** Sends n numbered `tick`s, one every `every` ms, to this socket or to a room; answers when the last is sent. */
  socket.on("drip", ({ n, every, room }, ack) => {
    const target = room ? socket.nsp.to(room) : socket;
    let i = 0;
    const timer = setInterval(() => {
      target.emit("tick", i++);
      if (i === n) {
        clearInterval(timer);
        ack();
      }
    }, every);
  });
  /** Keeps numbers in the order in which they come, with the size of what came beside them; `numbers` tells them. */
  const numbers = [];
  socket.on("number", (n, beside) => numbers.push([n, beside?.length ?? 0]));
  socket.on("numbers", (ack) => ack(numbers));
  /** Sends `mark` n, then the acknowledgement n. */
  socket.on("interleave", (n, ack) => {
    socket.emit("mark", n);
    ack(n);
  });
  /** Acknowledges an id only when it is tried for the third time; answers with the number of tries. */
  socket.on("flaky", (id, ack) => {
    const tries = (attempts.get(id) ?? 0) + 1;
    attempts.set(id, tries);
    if (tries >= 3) ack(tries);
  });
  /** What the server knows of the request: `{ auth, query, header }`. */
  socket.on("handshake", (ack) => {
    const { query, headers } = socket.handshake;
    ack({ auth, query, header: headers["x-from-test"] ?? null });
  });
  /** The namespace, the node, and whether the socket was recovered. */
  socket.on("where", (ack) => ack({ namespace: socket.nsp.name, node, recovered: socket.recovered }));

  // --- rooms and broadcasts --------------------------------------------------------------------
  socket.on("join", async (room, ack) => {
    await socket.join(room);
    ack();
  });
  socket.on("leave", async (room, ack) => {
    await socket.leave(room);
    ack();
  });
  socket.on("rooms", (ack) => ack([...socket.rooms].sort()));
  socket.on("set-data", (data, ack) => {
    Object.assign(socket.data, data);
    ack();
  });
  socket.on("get-data", (ack) => ack(socket.data));
  /** Emits an event with the arguments to an audience, then answers. */
  socket.on("emit", (options, event, ...args) => {
    const ack = args.pop();
    audience(socket, options).emit(event, ...args);
    ack();
  });
  /** The same with acknowledgements: answers `{ responses }`, with `error` if some did not come in time. */
  socket.on("emit-with-ack", (options, timeout, event, argument, ack) => {
    audience(socket, options)
      .timeout(timeout)
      .emit(event, argument, (error, responses) => ack({ error: error ? "timeout" : null, responses }));
  });

  // --- the whole cluster ---------------------------------------------------------------------
  /** Sockets of an audience, as the cluster tells of them. */
  socket.on("fetch", async (options, ack) => {
    const sockets = await audience(socket, options).fetchSockets();
    ack(
      sockets.map(({ id, rooms, data, handshake }) => {
        return { id, rooms: [...rooms].sort(), data, colour: handshake.query.colour ?? null };
      }),
    );
  });
  socket.on("sockets-join", (options, rooms, ack) => {
    audience(socket, options).socketsJoin(rooms);
    ack();
  });
  socket.on("sockets-leave", (options, rooms, ack) => {
    audience(socket, options).socketsLeave(rooms);
    ack();
  });
  socket.on("sockets-disconnect", (options, close, ack) => {
    audience(socket, options).disconnectSockets(close);
    ack();
  });
  /** Tells the other nodes; each keeps it, and `news` tells what a node has heard. */
  socket.on("tell-nodes", (argument, ack) => {
    socket.nsp.serverSideEmit("news", argument);
    ack();
  });
  socket.on("news", (ack) => ack(news));
  /** Asks the other nodes for their names: `{ answers }`, or `{ error }`. */
  socket.on("ask-nodes", (question, ack) => {
    socket.nsp.serverSideEmit("who", question, (error, answers) => ack(error ? { error: "timeout", answers } : { answers }));
  });
  /** How many nodes there are. */
  socket.on("count-nodes", async (ack) => ack(await socket.nsp.adapter.serverCount()));

  // --- ends --------------------------------------------------------------------------------------
  /** Why the socket of that id ended; null if it has not, or never was here. */
  socket.on("reason", (id, ack) => ack(reasons.get(id) ?? null));
  socket.on("disconnect-me", (close) => socket.disconnect(close));
}

for (const namespace of [io.of("/"), io.of("/chat"), io.of("/admin"), io.of(/^\/tenant-\w+$/)]) {
  namespace.use(admit);
  namespace.on("connection", serve);
  namespace.on("news", (argument) => news.push(argument));
  namespace.on("who", (question, ack) => ack(`${node}: ${question}`));
}

listen(http);
