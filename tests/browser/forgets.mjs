// A no and a reset hold whatever happens around them: a page that closes at once, another tab that knows of nothing, a state that was
// kept aside, and a catalog that is gone. What a catalog may spend and show is the program's to bound.
import assert from "node:assert/strict";
import { between, browser, clock, collector, kept, open, pages, start, status, test, until } from "./harness.mjs";

const record = (page) => page.evaluate(async () => (window.deniable.record("choice", true), await window.deniable.flush()));
const optOut = (page) => page.evaluate(() => window.deniable.optOut());
const screen = (page) => page.evaluate(() => window.deniable.preview().find(({ metric }) => metric === "first_screen")?.answer);

await test(async () => {
  const [server, context] = [await collector(), await browser()];
  const stranger = between(server);
  const address = await pages({ special: stranger.special });
  const seen = [];
  const opened = async (name, more) => {
    const page = await open(context, address, { endpoint: address, name, ...more }, clock);
    seen.push(page);
    return page;
  };

  // The page closed when the no was kept, and the state was not yet written.
  const early = await opened("early");
  await early.evaluate(() => window.deniable.optIn());
  await record(early);
  await early.evaluate(kept, { key: "early consent", at: 0, byte: 0 });
  await early.reload();
  await start(early, { endpoint: address, name: "early" });
  const out = await until(early, (s) => s.client && s.pending === 0, "opening");
  assert.deepEqual([out.client.consent, out.client.begun], ["withdrawn", "restored"]);
  assert.equal(await early.evaluate(() => window.deniable.record("choice", true)), "no-consent");
  await early.evaluate(() => window.deniable.optIn());
  await record(early);
  assert.equal((await status(early)).client.consent, "given", "a yes after that is one");

  // A state that was kept aside tells of the person as well.
  const aside = await opened("aside", { consent: "given" });
  await record(aside);
  await aside.evaluate(kept, { key: "aside state", at: 40, byte: 255 });
  await aside.reload();
  await start(aside, { endpoint: address, name: "aside", consent: "given" });
  assert.equal((await status(aside)).client.begun, "anew");
  assert.ok((await aside.evaluate(kept, { key: "aside aside" })).length > 0, "it is kept aside");
  await optOut(aside);
  assert.deepEqual(await aside.evaluate(kept, { key: "aside aside" }), [], "and erased");

  // A tab with a batch to send asks for the catalog while another one says no: nothing leaves after that.
  const [one, other] = [await opened("tabs", { consent: "given" }), await opened("tabs", { consent: "given" })];
  await record(one);
  stranger.say = () => [503, ""];
  await record(other);
  await until(other, (s) => s.client.onTheWay === 1, "waiting to send again");
  let offered;
  const asked = new Promise((resolve) => (stranger.offer = (pass) => (resolve(), new Promise((answer) => (offered = async () => answer([200, await pass()]))))));
  stranger.say = undefined;
  await other.evaluate(() => (window.days += 1, void dispatchEvent(new Event("online"))));
  await asked;
  await optOut(one);
  const before = stranger.came.length;
  await offered();
  stranger.offer = undefined;
  await until(other, (s) => s.client.consent === "withdrawn", "hearing of the no");
  await other.waitForTimeout(300);
  assert.equal(stranger.came.length, before, "a report left after the no");

  // Nor does the tab send what was erased when it closes, hours after it last looked at what another one wrote.
  const [yes, idle] = [await opened("idle", { consent: "given" }), await opened("idle", { consent: "given" })];
  await record(yes);
  stranger.say = () => [503, ""];
  await record(idle);
  await until(idle, (s) => s.client.onTheWay === 1 && s.pending === 0, "waiting to send again");
  stranger.say = undefined;
  await optOut(yes);
  const sent = stranger.came.length;
  await idle.evaluate(() => {
    const now = performance.now.bind(performance);
    performance.now = () => now() + 3_600_000;
    window.days += 1;
    dispatchEvent(new Event("pagehide"));
  });
  await idle.waitForTimeout(300);
  assert.equal(stranger.came.length, sent, "a report left a closing page after the no");

  // An upload that failed is not tried again after a no.
  const retrying = await opened("retrying", { consent: "given" });
  await record(retrying);
  const tries = await retrying.evaluate(async () => {
    const [real, tries] = [window.fetch, []];
    window.fetch = (url, { keepalive }) => (tries.push(keepalive), Promise.reject(new TypeError("lost")));
    window.deniable.record("choice", true);
    void window.deniable.flush();
    while (!tries.length) await new Promise((resolve) => setTimeout(resolve, 10));
    await window.deniable.optOut();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    window.fetch = real;
    return tries;
  });
  assert.deepEqual(tries, [true]);

  // What one tab was told of a person does not become the next one's, whom another tab let in.
  const [first, second] = [await opened("persons", { consent: "given" }), await opened("persons", { consent: "given" })];
  await record(first);
  await record(second);
  await second.evaluate(() => window.deniable.track("opened", { screen: "cart" }));
  assert.equal(await screen(second), "cart");
  await first.evaluate(() => window.deniable.reset());
  await second.evaluate(() => window.deniable.flush());
  assert.equal(await screen(second), "none");

  // Nothing outlives a no for want of a catalog.
  const stuck = await opened("stuck", { consent: "given" });
  await stuck.evaluate(() => window.deniable.track("opened", { screen: "cart" }));
  await record(stuck);
  await stuck.evaluate(kept, { key: "stuck catalog", at: 4, byte: 99 });
  stranger.offer = () => [0];
  await stuck.reload();
  await start(stuck, { endpoint: address, name: "stuck", consent: "given" });
  assert.equal((await status(stuck)).state, "waiting");
  const full = await stuck.evaluate(kept, { key: "stuck state" });
  await optOut(stuck);
  const { client } = await until(stuck, (s) => s.client?.consent === "withdrawn" && s.pending === 0, "erasing");
  assert.equal(client.dropped.erased + client.waiting + client.onTheWay, client.dropped.erased);
  assert.ok((await stuck.evaluate(kept, { key: "stuck state" })).length < full.length);
  stranger.offer = undefined;
  await stuck.evaluate(async () => (await window.deniable.optIn(), window.days += 1, await window.deniable.flush()));
  await until(stuck, (s) => s.catalog === "current", "going on with the questions");
  await record(stuck);
  const { reports, forLife } = await stuck.evaluate(() => window.deniable.ledger());
  assert.ok(reports === 2 && forLife.spent > 4 - 1e-6, "what was spent stays");

  // What was said last holds in all tabs, also where it was said before the first catalog: a no after a yes that waits, and a yes after a no.
  stranger.offer = () => [0];
  const [agreed, refused] = [await opened("last no"), await opened("last no")];
  await agreed.evaluate(() => (window.deniable.optIn(), window.deniable.record("choice", true)));
  await until(agreed, (s) => s.catalog === "none" && s.problem?.code === "no-catalog", "waiting for the catalog");
  await optOut(refused);
  const [never, late] = [await opened("last yes"), await opened("last yes")];
  await optOut(never);
  const sentBefore = stranger.came.length;
  stranger.offer = undefined;
  await agreed.evaluate(async () => (window.days += 1, await window.deniable.flush()));
  assert.deepEqual([(await status(agreed)).consent, stranger.came.length], ["withdrawn", sentBefore], "a no that came last");
  await late.evaluate(() => window.deniable.optIn());
  const online = (page) => page.evaluate(() => void dispatchEvent(new Event("online")));
  await online(late);
  await record(late);
  await online(never);
  assert.equal((await until(never, (s) => s.client && s.pending === 0, "hearing of the yes")).consent, "given", "a yes that came last");
  await late.evaluate(() => window.deniable.flush());
  assert.equal((await status(late)).consent, "given");

  // What a person erased under two tabs does not come back by the one that slept while the other wrote as often as before.
  const [awake, asleep] = [await opened("woken", { consent: "given", delaySeconds: 3600 }), await opened("woken", { consent: "given", delaySeconds: 3600 })];
  const write = (page) => page.evaluate(() => (window.deniable.record("choice", true), new Promise((resolve) => setTimeout(resolve, 200))));
  await asleep.evaluate(() => window.deniable.track("opened", { screen: "cart" }));
  for (let i = 0; i < 4; i++) await write(asleep);
  assert.equal(await screen(asleep), "cart");
  const { commit } = (await until(asleep, (s) => s.pending === 0, "writing")).client;
  await awake.evaluate(() => new Promise((resolve) => (indexedDB.deleteDatabase("deniable").onsuccess = resolve)));
  const writes = async () => (await until(awake, (s) => s.pending === 0, "writing anew")).client.commit;
  do await write(awake); while ((await writes()) < commit);
  assert.equal(await writes(), commit);
  await write(asleep);
  assert.equal(await screen(asleep), "none", "what was erased came back");

  // A no does not wait for a catalog that does not come.
  const hanging = await opened("hanging");
  const comes = new Promise((resolve) => (stranger.offer = () => (resolve(), new Promise(() => {}))));
  await hanging.evaluate(() => void window.deniable.optIn());
  await comes;
  const settled = await hanging.evaluate(() => Promise.race([
    window.deniable.optOut().then(() => "no"),
    new Promise((resolve) => setTimeout(() => resolve("late"), 15_000)),
  ]));
  assert.equal(settled, "no");
  await hanging.close();
  stranger.offer = undefined;

  // The registry's caps are 60.
  for (const [limits, code] of [[{ weekly: 60, lifetime: 60, publicBits: 0 }, undefined], [{ lifetime: 59.9 }, "bad-catalog"], [{ weekly: NaN }, "bad-catalog"]]) {
    const bounded = await opened(`bounded ${JSON.stringify(limits)}`, { consent: "given", limits });
    assert.equal((await status(bounded)).problem?.code, code, JSON.stringify(limits));
  }
  assert.deepEqual(seen.flatMap(({ errors }) => errors), []);
});
