// Two tabs at once share one state and one ledger; what both say is counted once; a reload goes on where it was.
import assert from "node:assert/strict";
import { browser, collector, open, pages, start, status, test, until } from "./harness.mjs";

await test(async () => {
  const [server, address, context] = [await collector(), await pages(), await browser()];
  const options = { endpoint: server.address, consent: "given" };
  const tabs = [await open(context, address, options), await open(context, address, options)];
  await Promise.all(tabs.map((tab, i) => tab.evaluate(async (i) => {
    for (let round = 0; round < 5; round++) {
      window.deniable.record("choice", i === 0);
      await new Promise((resolve) => setTimeout(resolve, 20));
      await window.deniable.flush();
    }
  }, i)));
  for (const tab of tabs) await tab.evaluate(() => window.deniable.flush());
  for (const tab of tabs) await until(tab, (s) => s.pending === 0 && s.client.waiting + s.client.onTheWay === 0, "sending all");
  const ledger = await tabs[0].evaluate(async () => (await window.deniable.flush(), window.deniable.ledger()));
  assert.equal(ledger.reports, 10, "the ledger is one");
  const counted = await until(tabs[1], (s) => s.client.uploads.counted === 10, "counting ten");
  assert.equal(counted.storage, "indexeddb");

  // A timer of one tab runs on whatever the other writes, and ends when that one forgets the person.
  const write = (tab) => tab.evaluate(async () => (window.deniable.track("opened"), await window.deniable.flush()));
  const stop = (tab) => tab.evaluate(() => window.deniable.stopTimer("stay"));
  for (const [act, kind] of [["flush", "number"], ["reset", "undefined"]]) {
    await tabs[0].evaluate(() => window.deniable.startTimer("stay"));
    await write(tabs[0]);
    await tabs[1].evaluate((act) => window.deniable[act](), act);
    await write(tabs[1]);
    await write(tabs[0]);
    assert.equal(typeof (await stop(tabs[0])), kind, act);
  }

  await tabs[0].reload();
  await start(tabs[0], options);
  assert.equal((await status(tabs[0])).client.begun, "restored");
  assert.equal(await tabs[0].evaluate(() => window.deniable.ledger().reports), 10);
  assert.deepEqual(tabs.flatMap((tab) => tab.errors), []);
  const arms = await Promise.all(tabs.map((tab) => tab.evaluate(() => window.deniable.experiment("colour").arm())));
  assert.ok(arms[0] && arms[0] === arms[1], `tabs are of one arm: ${arms}`);
  await server.stop();
  assert.equal(server.counts("choice"), 10, "the store holds each report once");
});
