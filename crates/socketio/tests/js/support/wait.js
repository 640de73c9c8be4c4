// Waiting with a deadline: nothing here sleeps and hopes.
import { setTimeout as delay } from "node:timers/promises";

/** How long a test waits for what must come, in milliseconds: generous, since a loaded machine is no failure. */
export const PATIENCE = 10_000;

/** The promise's outcome, or an error that says what was waited for. */
export async function within(promise, what, milliseconds = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${milliseconds} ms for ${what}`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks again until `condition` gives something true, and returns it. */
export async function until(condition, what, milliseconds = PATIENCE) {
  const end = Date.now() + milliseconds;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${milliseconds} ms until ${what}`);
    await delay(5);
  }
}

export { delay };

/** A value from the environment that a suite can't do without. */
export function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}
