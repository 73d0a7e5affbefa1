// A tab that crashes between charge and send, while the browser is offline or the collector hangs: nothing is lost, nothing counts twice.
import assert from "node:assert/strict";
import { between, browser, collector, open, pages, status, test, until } from "./harness.mjs";

/** The wait after a failure is over. */
function later() {
  const real = Date.now;
  Date.now = () => real() + 120_000;
}

/** The page waits for answers for ever. */
function patient() {
  AbortSignal.timeout = () => new AbortController().signal;
}

await test(async () => {
  const [server, address, context] = [await collector(), await pages(), await browser()];
  const options = { endpoint: server.address, consent: "given" };
  const first = await open(context, address, options);
  await context.setOffline(true);
  await first.evaluate(async () => {
    window.deniable.record("choice", true);
    await window.deniable.flush();
  });
  await until(first, (s) => s.pending <= 1 && s.client.onTheWay === 1 && s.client.uploads.last === "unreachable", "charging");
  first.goto("chrome://crash").catch(() => {});
  await first.waitForEvent("crash");
  await first.close();

  await context.setOffline(false);
  const second = await open(context, address, options, later);
  assert.equal((await status(second)).client.begun, "restored");
  assert.equal(await second.evaluate(() => window.deniable.ledger().reports), 1, "the charge was durable");
  await second.evaluate(() => window.deniable.flush());
  await until(second, (s) => s.client.uploads.counted === 1 && s.client.onTheWay === 0, "sending what waited");

  // What is answered while an upload hangs is durable all the same.
  const stranger = between(server);
  const other = await pages({ special: stranger.special });
  stranger.say = () => undefined;
  const third = await open(context, other, { ...options, endpoint: other }, patient);
  const record = () => third.evaluate(() => window.deniable.record("choice", true));
  await record();
  await until(third, (s) => s.client.onTheWay === 1 && s.pending === 0, "sending");
  await record();
  await until(third, (s) => s.pending === 0, "writing while an upload hangs");
  assert.deepEqual(stranger.came.map(({ cut }) => cut), [false], "the upload hangs still");
  third.goto("chrome://crash").catch(() => {});
  await third.waitForEvent("crash");
  await third.close();
  stranger.say = undefined;
  const fourth = await open(context, other, { ...options, endpoint: other }, later);
  await fourth.evaluate(() => window.deniable.flush());
  await until(fourth, (s) => s.client.uploads.counted === 2 && s.client.waiting + s.client.onTheWay === 0, "sending both");

  assert.deepEqual([second, third, fourth].flatMap(({ errors }) => errors), []);
  await server.stop();
  assert.equal(server.counts("choice"), 3);
});
