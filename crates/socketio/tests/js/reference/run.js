// Runs the suites against the original servers: what holds there may be asked of another server.
//
//   node reference/run.js [SUITE…]       REDIS_URL: a Redis for the clusters; without it they are left out
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("..", import.meta.url));
const children = [];

/** Starts a server of this folder and waits until it says where it listens. */
async function start(name, settings = {}) {
  const child = spawn(process.execPath, [`reference/${name}.js`], {
    cwd: folder,
    env: { ...process.env, ...settings, PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  child.stdout.setEncoding("utf8");
  const [line] = await Promise.race([once(child.stdout, "data"), once(child, "exit").then(() => [""])]);
  const url = /http:\S+/.exec(line)?.[0];
  if (!url) throw new Error(`${name} did not start`);
  return { url, pid: String(child.pid) };
}

const one = (name, settings) => async () => ({ SERVER_URL: (await start(name, settings)).url });
const two = (name, settings = {}) => async () => {
  const stream = { STREAM: `reference-${process.pid}-${children.length}`, REDIS_URL: process.env.REDIS_URL, ...settings };
  const [a, b] = [await start(name, { ...stream, NODE_NAME: "a" }), await start(name, { ...stream, NODE_NAME: "b" })];
  return { NODE_A_URL: a.url, NODE_B_URL: b.url, NODE_A_PID: a.pid };
};

const modes = ["polling", "websocket", "upgrade"];
const suites = [
  ["engine-protocol", [""], one("conformance", { ENGINE_ONLY: "1" })],
  ["socket-protocol", [""], one("conformance", { ENGINE_ONLY: "0" })],
  ["engine-client", modes, one("conformance", { ENGINE_ONLY: "1", PING_TIMEOUT: "2000" })],
  ["client", modes, one("testbed", { REDIS_URL: "" })],
  ["recovery", modes, one("testbed", { REDIS_URL: "", RECOVERY: "1" })],
  ["cluster", [""], two("testbed")],
  ["cluster-recovery", [""], two("cluster")],
];

let failed = 0;
const wanted = process.argv.slice(2);
for (const [suite, itsModes, servers] of suites) {
  if (wanted.length > 0 && !wanted.includes(suite)) continue;
  if (suite.startsWith("cluster") && !process.env.REDIS_URL) {
    console.log(`left out: ${suite}, REDIS_URL is not set`);
    continue;
  }
  for (const mode of itsModes) {
    const environment = { ...process.env, ...(await servers()), REFERENCE: "1", ...(mode && { MODE: mode }) };
    const run = spawn(process.execPath, ["--test", `${suite}.test.js`], { cwd: folder, env: environment, stdio: "inherit" });
    const [code] = await once(run, "exit");
    console.log(`${code === 0 ? "passed" : "FAILED"}: ${suite} ${mode}`);
    failed += code === 0 ? 0 : 1;
    children.splice(0).forEach((child) => child.kill());
  }
}
process.exitCode = failed === 0 ? 0 : 1;
