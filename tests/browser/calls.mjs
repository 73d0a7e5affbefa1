// Calls with arguments that no type allows: none throws into the page, none breaks the client, and none becomes a report. Calls without
// end are written all the same.
import assert from "node:assert/strict";
import { PATIENCE_MS, browser, collector, open, pages, status, test, until } from "./harness.mjs";

/** Calls every method with each of the strange things, and says what was thrown or returned that should not have been. */
async function abuse() {
  const throws = () => { throw new Error("the page's own"); };
  const strange = [
    undefined, null, true, NaN, -Infinity, 10n, Symbol("s"), () => 1, {}, [], [Symbol("s")], [{}], new Map([[1, 2]]), new Date(NaN),
    Object.create(null), { toString: throws, valueOf: throws }, { toString: () => "cart" }, { get screen() { throw new Error("the page's own"); } },
    new Proxy({}, { ownKeys: throws, get: throws }), "\ud800", "\0", "x".repeat(200_000),
    Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`p${i}`, i])),
  ];
  const wrong = [];
  const call = (name, act, fine) => {
    for (const [i, thing] of strange.entries()) {
      try {
        const got = act(thing);
        if (!fine(got)) wrong.push(`${name} of ${i}: ${String(got)}`);
      } catch (error) {
        wrong.push(`${name} of ${i} throws ${error}`);
      }
    }
  };
  const { deniable } = window;
  const taken = (got) => ["taken", "unknown"].includes(got);
  const nothing = (got) => got === undefined;
  call("track", (thing) => deniable.track(thing), (got) => got === "unknown");
  call("track with properties", (thing) => deniable.track("opened", thing), taken);
  call("track with a property", (thing) => deniable.track("opened", { screen: thing }), (got) => got === "taken");
  call("page", (thing) => deniable.page(thing, thing), taken);
  call("identify", (thing) => deniable.identify(thing), taken);
  call("record", (thing) => deniable.record(thing, true), (got) => ["unknown", "unfit"].includes(got));
  call("an answer", (thing) => (thing === true ? "unfit" : deniable.record("choice", thing)), (got) => got === "unfit");
  call("startTimer", (thing) => deniable.startTimer(thing), nothing);
  call("stopTimer", (thing) => deniable.stopTimer(thing), (got) => got === undefined || typeof got === "number");
  call("arm", (thing) => deniable.experiment(thing).arm(), nothing);
  call("segment", (thing) => deniable.segment(thing), nothing);

  const { start, MemoryStorage } = await import("/deniable/deniable.js");
  const names = ["endpoint", "name", "consent", "delaySeconds", "key", "module", "catalog", "storage"];
  const plain = () => ({ endpoint: "http://127.0.0.1:9", storage: new MemoryStorage(), consent: "given" });
  const set = [undefined, null, true, NaN, 10n, Symbol("s"), () => 1, {}, [], new Date(NaN), "\0", Object.create(null)];
  const settings = set.flatMap((thing, i) => names.map((name) => [`${name} of ${i}`, { ...plain(), [name]: thing }]));
  const clients = [["nothing", undefined], ...settings].flatMap(([name, options]) => {
    try {
      const client = start(options);
      return [[name, client, client.track("opened")]];
    } catch (error) {
      wrong.push(`start with ${name} throws ${error}`);
      return [];
    }
  });
  await Promise.race([Promise.all(clients.map(([, { ready }]) => ready)), new Promise((resolve) => setTimeout(resolve, 3000))]);
  for (const [name, client, tracked] of clients) {
    const { state, problem } = client.status();
    if (/^consent of [^0]/.test(name) && problem?.code !== "bad-argument") wrong.push(`start with ${name}: ${problem?.code}`);
    if (!["queued", "off"].includes(tracked) || state === "running") wrong.push(`start with ${name}: ${tracked}, ${state}`);
  }
  return wrong;
}

await test(async () => {
  const [server, address, context] = [await collector(), await pages(), await browser()];
  const page = await open(context, address, { endpoint: server.address, consent: "given" });
  const first = await page.evaluate(() => {
    window.deniable.track("opened", { screen: { toString: () => "cart" } });
    return window.deniable.preview().map(({ answer }) => answer);
  });
  assert.ok(!first.includes("cart"), "an object is no label");
  const longest = await page.evaluate(() => {
    const { encode } = TextEncoder.prototype;
    let longest = 0;
    TextEncoder.prototype.encode = function (text) {
      longest = Math.max(longest, text.length);
      return encode.call(this, text);
    };
    const text = "x".repeat(1e6);
    window.deniable.track("opened", { screen: text, [text]: 1 });
    window.deniable.track(text);
    window.deniable.record("choice", text);
    window.deniable.record("choice", [text]);
    window.deniable.record(text, true);
    window.deniable.startTimer(text);
    window.deniable.experiment(text).arm();
    TextEncoder.prototype.encode = encode;
    return longest;
  });
  assert.ok(longest < 5000, `${longest} characters are read of a text that is too long`);
  assert.deepEqual(await page.evaluate(abuse), []);
  assert.equal((await status(page)).state, "running");
  assert.equal(await page.evaluate(async () => (await window.deniable.flush(), window.deniable.ledger().reports)), 0);
  assert.equal(await page.evaluate(() => window.deniable.record("choice", true)), "reported");
  await until(page, (s) => s.client.uploads.counted === 1, "sending");
  const [calls, pending] = await page.evaluate(async () => {
    // Fewer than can wait.
    for (let calls = 1; ; calls++) {
      window.deniable.record("choice", true);
      await new Promise((resolve) => setTimeout(resolve, 20));
      const { pending } = window.deniable.status();
      if (calls === 900 || (calls > 50 && pending < calls / 2)) return [calls, pending];
    }
  });
  assert.ok(pending < calls / 2, `${pending} of ${calls} calls wait still`);
  // Calls that change nothing do not fill the list for those that do.
  const idle = await open(context, address, { endpoint: server.address, consent: "given", name: "idle" });
  const last = await idle.evaluate(async (patience) => {
    await window.deniable.flush();
    const end = performance.now() + patience;
    for (let i = 0; i < 3000; i++) {
      while (i % 600 === 0 && window.deniable.status().pending >= 400 && performance.now() < end) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      if (i % 2) window.deniable.startTimer("idle");
      else window.deniable.record("no name", true);
    }
    return window.deniable.track("opened");
  }, PATIENCE_MS);
  assert.equal(last, "taken");
  // Settings that would take protection away are refused.
  for (const [setting, line] of [[{ delaySeconds: -1 }, /delaySeconds is -1/], [{ delaySeconds: NaN }, /delaySeconds is NaN/], [{ consent: "yes" }, /consent must be/]]) {
    const wrong = await open(context, address, { endpoint: server.address, ...setting });
    const { state, problem } = await status(wrong);
    assert.deepEqual([state, problem.code], ["off", "bad-argument"]);
    assert.match(problem.message, line);
  }
  assert.deepEqual(page.errors, []);
});
