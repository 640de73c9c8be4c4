import { createAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";

/** The Redis Streams adapter, by REDIS_URL and STREAM. */
export async function clusterAdapter() {
  const client = createClient({ url: process.env.REDIS_URL });
  client.on("error", (error) => console.error(`redis: ${error.message}`));
  await client.connect();
  const stream = process.env.STREAM ?? "socket.io";
  return createAdapter(client, { streamName: stream, channelPrefix: stream, sessionKeyPrefix: `${stream}:session:` });
}
