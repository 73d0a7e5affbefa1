// Catalogs that are older, newer, damaged or none at all, brought by the page, kept in the browser, or served at its start or later; and
// states of a newer program. No exception, no loss: the client waits or does nothing and says why, or the old questions stay.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { between, browser, catalog, clock, collector, kept, open, pages, start, status, test, until } from "./harness.mjs";

const ask = (page) => page.evaluate(() => window.deniable.preview().map(({ metric }) => metric));
const record = (page) => page.evaluate(async () => {
  const recorded = window.deniable.record("choice", true);
  await window.deniable.flush();
  return recorded;
});

/** Waits until so many answers have become reports and are delivered. */
const delivered = (page, answers) => page.waitForFunction((answers) => {
  const spent = window.deniable.ledger()?.metrics.find(({ metric }) => metric === "choice");
  return spent?.reports === answers && spent.waiting === 0;
}, answers);

/** Lets the page's clock go on past every wait. */
const later = (page) => page.evaluate(async () => {
  window.days += 1;
  await window.deniable.flush();
});

const changed = (bytes, at, byte) => Buffer.from(bytes).fill(byte, at, at + 1);

await test(async () => {
  const [server, context] = [await collector(), await browser()];
  const ours = await catalog(server);
  const strangers = {
    "of an older format": [changed(ours, 4, ours[4] - 1), "bad-catalog"],
    "of a newer format": [changed(ours, 4, ours[4] + 1), "bad-catalog"],
    "cut short": [ours.subarray(0, ours.length - 9), "bad-catalog"],
    "damaged": [Buffer.from(ours).fill(255, ours.length / 2), "bad-catalog"],
    "a head alone": [ours.subarray(0, 4), "bad-catalog"],
    "HTML": [Buffer.from("<!doctype html><title>Welcome</title>"), "no-catalog"],
    "other bytes": [Buffer.alloc(4000, 7), "no-catalog"],
    "nothing": [Buffer.alloc(0), "no-catalog"],
  };
  const stranger = between(server);
  const address = await pages({ special: stranger.special });
  const options = { endpoint: address, consent: "given" };
  const seen = [];
  const opened = async (name, more) => {
    const page = await open(context, address, { ...options, name, ...more }, clock);
    seen.push(page);
    return page;
  };
  const says = (page, line) => assert.ok(page.said.some((said) => line.test(said)), `${line} is not in\n${page.said.join("\n")}`);

  for (const [what, [bytes, code]] of Object.entries(strangers)) {
    // Brought by the page: nothing else can be asked, so the client does nothing.
    const brought = await context.newPage();
    await brought.goto(address);
    const [state, problem, ...told] = await brought.evaluate(async ({ options, bytes }) => {
      const { start } = await import("/deniable/deniable.js");
      const client = start({ ...options, name: "brought", catalog: Uint8Array.from(bytes) });
      const { state, problem } = await client.ready;
      await client.optIn();
      return [state, problem.code, client.track("opened"), client.record("choice", true), client.preview().length];
    }, { options, bytes: [...bytes] });
    assert.deepEqual([state, problem, ...told], ["off", "bad-catalog", "off", "off", 0], what);

    // Served at the first start: the client waits with what it is told, until the collector is put right.
    stranger.offer = () => [200, bytes];
    const first = await opened(`first ${what}`);
    const waiting = await status(first);
    assert.deepEqual([waiting.state, waiting.problem.code], ["waiting", code], what);
    says(first, code === "bad-catalog" ? /bad-catalog .*update the older/ : /no-catalog .*check the endpoint/);
    assert.equal(await record(first), "queued", what);
    stranger.offer = undefined;
    await later(first);
    await delivered(first, 1);
    const running = await status(first);
    assert.deepEqual([running.catalog, running.problem], ["current", undefined], what);

    // Served to a page that runs: its questions stay.
    stranger.offer = () => [200, bytes];
    first.said = [];
    await later(first);
    const { problem: later_ } = await until(first, (s) => s.problem, `refusing ${what}`);
    assert.equal(later_.code, code);
    says(first, code === "bad-catalog" ? /bad-catalog .*questions stay/ : /no-catalog .*check the endpoint/);
    assert.equal(await record(first), "reported", what);
    await delivered(first, 2);

    // Served at a later start: the questions that were kept are answered, and stay kept.
    await first.reload();
    await start(first, { ...options, name: `first ${what}` });
    const again = await status(first);
    assert.deepEqual([again.state, again.client.begun], ["running", "restored"], what);
    assert.equal(await record(first), "reported", what);
    assert.deepEqual(await first.evaluate(kept, { key: `first ${what} catalog` }), [...ours], what);
  }

  // What was called before such a catalog came waits for one that can be used.
  stranger.offer = () => [200, strangers["cut short"][0]];
  const early = await opened("early", { consent: "pending" });
  await early.evaluate(async () => {
    const said = window.deniable.optIn();
    window.deniable.record("choice", true);
    await said;
  });
  const unusable = await status(early);
  assert.deepEqual([unusable.catalog, unusable.pending], ["unusable", 2]);
  stranger.offer = undefined;
  await later(early);
  await delivered(early, 1);

  // Kept, and damaged there, while the collector cannot be had: nothing is lost meanwhile, and who said yes need not say it again.
  stranger.offer = undefined;
  const page = await opened("kept", { consent: "pending" });
  await page.evaluate(() => window.deniable.optIn());
  await record(page);
  await page.evaluate(kept, { key: "kept catalog", at: 4, byte: 99 });
  stranger.offer = () => [0];
  await page.reload();
  await start(page, { ...options, name: "kept", consent: "pending" });
  assert.equal((await status(page)).state, "waiting");
  assert.equal(await record(page), "queued");
  stranger.offer = undefined;
  await later(page);
  await delivered(page, 2);

  // Another registry, newer or older, takes the place of the one before in a page that stays open.
  const [older, folder] = [await ask(page), process.argv[4]];
  writeFileSync(`${folder}/newer.toml`, readFileSync(new URL("site.toml", import.meta.url), "utf8")
    + '\n[metrics.second]\nversion = 1\nquestion = "And the second?"\nkind = "boolean"\nepsilon = 1.0\n');
  const newer = await collector(`${folder}/newer.toml`, "newer");
  for (const [from, metrics] of [[newer, [...older, "second"].sort()], [server, older]]) {
    const bytes = await catalog(from);
    stranger.offer = () => [200, bytes];
    await later(page);
    await page.waitForFunction((metrics) => String(window.deniable.preview().map(({ metric }) => metric).sort()) === metrics, String(metrics));
  }

  // A clock that is set back does not put off asking.
  await until(page, (s) => s.catalog === "current" && s.pending === 0, "taking the older one");
  let asked = 0;
  stranger.offer = (pass) => (asked++, pass().then((bytes) => [200, bytes]));
  for (const days of [-2, 0]) {
    await page.evaluate((days) => (window.days += days, window.deniable.flush()), days);
    assert.equal(asked, 1, "once, and not again before the catalog is of age");
  }

  // A tab that had the older one goes on with the newer that another tab brought, once that one wrote.
  const [one, other] = [await opened("tabs"), await opened("tabs")];
  await until(other, (s) => s.catalog === "current", "asking for the older one");
  const bytes = await catalog(newer);
  stranger.offer = () => [200, bytes];
  const second = (page) => page.evaluate(async () => {
    const recorded = window.deniable.record("second", true);
    await window.deniable.flush();
    return recorded;
  });
  await later(other);
  await other.waitForFunction(() => window.deniable.preview().some(({ metric }) => metric === "second"));
  assert.equal(await second(other), "reported");
  await record(one);
  for (const page of [one, other, one]) assert.equal(await second(page), "reported");
  stranger.offer = undefined;

  // A state that a newer program wrote stays as it is.
  await page.evaluate(kept, { key: "kept state", at: 4, byte: 2 });
  const state = await page.evaluate(kept, { key: "kept state" });
  await page.reload();
  await start(page, { ...options, name: "kept" });
  const newerState = await status(page);
  assert.deepEqual([newerState.state, newerState.problem.code], ["off", "newer-state"]);
  says(page, /newer-state .*update this one/);
  assert.equal(await record(page), "off");
  assert.deepEqual(await page.evaluate(kept, { key: "kept state" }), state);

  const nobody = await open(context, address, { endpoint: "http://127.0.0.1:9", name: "nobody", consent: "given" });
  assert.equal(await nobody.evaluate(() => window.deniable.track("opened", { screen: "home" })), "queued");
  assert.equal((await status(nobody)).problem.code, "no-catalog");
  says(nobody, /no-catalog no catalog of .*check the endpoint/);
  assert.deepEqual([...seen, nobody].flatMap(({ errors }) => errors), []);
});
