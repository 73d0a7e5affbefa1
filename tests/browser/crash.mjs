// A tab that crashes between charge and send, and a browser that is offline meanwhile: nothing is lost, nothing counts twice.
import assert from "node:assert/strict";
import { browser, collector, open, pages, status, test, until } from "./harness.mjs";

/** The wait after a failure is over. */
function later() {
  const real = Date.now;
  Date.now = () => real() + 120_000;
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
  const charged = await until(first, (s) => s.pending <= 1 && s.client.onTheWay === 1, "charging");
  assert.equal(charged.client.uploads.last, "unreachable");
  first.goto("chrome://crash").catch(() => {});
  await first.waitForEvent("crash");
  await first.close();

  await context.setOffline(false);
  const second = await open(context, address, options, later);
  assert.equal((await status(second)).client.begun, "restored");
  assert.equal(await second.evaluate(() => window.deniable.ledger().reports), 1, "the charge was durable");
  await second.evaluate(() => window.deniable.flush());
  await until(second, (s) => s.client.uploads.counted === 1 && s.client.onTheWay === 0, "sending what waited");
  assert.deepEqual(second.errors, []);
  await server.stop();
  assert.equal(server.counts("choice"), 1);
});
