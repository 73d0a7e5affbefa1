// Pages that are hidden or closed: what is due leaves with them, within what a browser lets go on, without cookie or referrer, and counts
// once although the page never sees the answer.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { between, browser, clock, collector, open, pages, test, until } from "./harness.mjs";

/** What a browser lets all requests that outlive their page have together. */
const KEEPALIVE_BYTES = 65_536;

const REGISTRY = `
[privacy]
weekly = 64.0
lifetime = 64.0
[metrics.word]
version = 1
question = "Which word does this device choose?"
kind = "string"
report = { encoding = "bloom", bits = 4096, instantaneous = { zero = 0.25, one = 0.26 } }
`;

/** Pretends that the page is hidden, or seen again, with the events that a browser has for it. */
function show(isHidden) {
  Object.defineProperty(document, "hidden", { configurable: true, value: isHidden });
  Object.defineProperty(document, "visibilityState", { configurable: true, value: isHidden ? "hidden" : "visible" });
  document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
}

/** Has a day pass when the page is hidden or goes, before its client hears of that: only then is due what was put off. */
function overnight() {
  for (const event of ["pagehide", "visibilitychange"]) addEventListener(event, () => (window.days += 1), { once: true });
}

await test(async () => {
  const registry = `${process.argv[4]}/closing.toml`;
  writeFileSync(registry, REGISTRY);
  const [server, context] = [await collector(registry), await browser()];
  const stranger = between(server);
  const address = await pages({ special: stranger.special });
  await context.addCookies([{ name: "who", value: "ann", url: address }]);
  const options = { endpoint: address, consent: "given" };

  /** A page with answers that are durable, but were refused once, and are due again when the page is hidden. */
  const late = async (answers) => {
    stranger.say = () => [503, ""];
    const page = await open(context, address, options, `(${clock})(); (${overnight})()`);
    await page.evaluate(async (answers) => {
      for (let i = 0; i < answers; i++) window.deniable.record("word", `word ${i}`);
      await window.deniable.flush();
    }, answers);
    await until(page, (s) => s.client.uploads.last === "failed" && s.pending === 0, "being refused");
    stranger.came.length = 0;
    return page;
  };
  /** Waits until so many batches came, and looks at each. */
  const came = async (batches) => {
    for (let tries = 0; stranger.came.length < batches; tries++) {
      assert.ok(tries < 1000, `${stranger.came.length} batches came, not ${batches}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    for (const { body, headers } of stranger.came) {
      assert.ok(body.length <= KEEPALIVE_BYTES, `${body.length} bytes`);
      assert.deepEqual([headers.cookie, headers.referer, headers["content-type"]], [undefined, undefined, undefined]);
    }
  };
  /** Opens a page that sends what is left, and says how many reports are counted by now. */
  const after = async () => {
    stranger.say = undefined;
    const page = await open(context, address, options, clock);
    await page.evaluate(() => (window.days += 2, window.deniable.flush()));
    const { client } = await until(page, (s) => s.pending + s.client.waiting + s.client.onTheWay === 0, "sending the rest");
    const errors = page.errors;
    await page.close();
    assert.deepEqual(errors, []);
    return client.uploads.counted;
  };

  // The page goes, with its answers or while they are on their way, and the collector counts, but the answer finds nobody.
  const ways = [(page) => page.goto("about:blank"), (page) => page.close(), (page) => page.close({ runBeforeUnload: true })];
  let counted = 0;
  for (const isOnTheWay of [false, true]) {
    for (const leave of ways) {
      const what = `${isOnTheWay ? "while sending" : "before sending"}, ${leave}`;
      const page = await late(3);
      let gone;
      const left = new Promise((resolve) => (gone = resolve));
      stranger.say = async (pass) => {
        const passed = await pass();
        await left;
        return passed;
      };
      if (isOnTheWay) {
        await page.evaluate(() => (window.days += 1, void window.deniable.flush()));
        await came(1);
      }
      await leave(page);
      await came(1);
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.deepEqual(stranger.came.map(({ cut }) => cut), [false], `one request, which outlives the page (${what})`);
      gone();
      assert.equal(await after(), (counted += 3), `counted once (${what})`);
      assert.equal(stranger.came.length, 2, `sent again, since the page had not seen the answer (${what})`);
      assert.ok(stranger.came[0].body.equals(stranger.came[1].body), `with the same bytes (${what})`);
    }
  }

  // The page is hidden, at once or after an hour, and lives on: it sees the answer, and sends nothing twice.
  for (const idle of [0, 3_600_000]) {
    const page = await late(3);
    stranger.say = undefined;
    await page.evaluate((idle) => {
      const now = performance.now.bind(performance);
      performance.now = () => now() + idle;
    }, idle);
    await page.evaluate(show, true);
    counted += 3;
    await until(page, (s) => s.client.uploads.counted === counted && s.client.onTheWay === 0, "sending when hidden");
    await page.evaluate(show, false);
    await came(1);
    await page.close();
  }

  // More than may leave: what does not fit stays, and leaves later.
  const many = await late(200);
  stranger.say = undefined;
  await many.goto("about:blank");
  await came(1);
  assert.ok(stranger.came[0].body.length > KEEPALIVE_BYTES / 2, "as much as may leave");
  assert.equal(await after(), counted + 200);
  await came(3);

  // Others used up what may leave: nothing is lost.
  const full = await late(3);
  stranger.say = undefined;
  await full.evaluate((address) => {
    void fetch(`${address}/hang`, { method: "POST", keepalive: true, body: new Uint8Array(65_000) }).catch(() => {});
  }, await pages({ special: { "/hang": () => {} } }));
  await full.goto("about:blank");
  assert.equal(await after(), counted + 203);

  await server.stop();
  assert.equal(server.counts("word"), counted + 203, "each is counted once");
});
