// What may answer in place of a collector: HTML, 413, 429, 503, a redirect, nothing at all. No exception, no loss, no double count, and
// a line of the debug mode that says what helps.
import assert from "node:assert/strict";
import { between, browser, clock, collector, open, pages, status, test, until } from "./harness.mjs";

const ANSWERS = [
  [() => [200, "<html>welcome"], "not-a-collector", /200, not-a-collector: check the endpoint/],
  [() => [429, ""], "limited", /429, limited: it is sent again/],
  [() => [503, ""], "failed", /503, failed: it is sent again/],
  [() => [404, "<html>no"], "not-a-collector", /404, not-a-collector: check the endpoint/],
  [() => [302, ""], "redirected", /302, redirected: check the endpoint/],
  [() => [401, '{"type":"urn:deniable:problem:unknown-key"}'], "key-refused", /401, key-refused: check the endpoint, key/],
  // A connection that is cut, a server that hangs, and an answer that is lost after the collector counted.
  [() => [0], "unreachable", /no answer, unreachable: check the endpoint/],
  [() => undefined, "timed-out", /timed-out: check the endpoint/],
  [async (pass) => (await pass(), [0]), "unreachable", /no answer, unreachable:/],
];

/** Has the page wait for answers no longer than `window.patience`, if that is set. */
function patience() {
  const timeout = AbortSignal.timeout.bind(AbortSignal);
  AbortSignal.timeout = (milliseconds) => timeout(window.patience ?? milliseconds);
}

/** Records so many answers, and sends them as soon as can be. */
function record(page, answers) {
  return page.evaluate(async (answers) => {
    window.days += 2;
    for (let i = 0; i < answers; i++) window.deniable.record("choice", true);
    await window.deniable.flush();
  }, answers);
}

/** Waits until nothing waits, and says how many reports were counted, of how many it is not known, and how many there are. */
async function sent(page) {
  const { client } = await until(page, (s) => s.pending + s.client.waiting + s.client.onTheWay === 0, "sending all");
  const made = await page.evaluate(() => window.deniable.ledger().reports);
  return [client.uploads.counted, client.dropped.uncertain, made];
}

await test(async () => {
  const [server, context] = [await collector(), await browser()];
  const stranger = between(server);
  const address = await pages({ special: stranger.special });
  const page = await open(context, address, { endpoint: address, consent: "given" }, `(${clock})(); (${patience})()`);
  const failing = async (say, outcome, line, answers = 1) => {
    stranger.say = say;
    const { failures } = (await status(page)).client.uploads;
    page.said = [];
    await page.evaluate((patience) => (window.patience = patience), outcome === "timed-out" ? 300 : undefined);
    await record(page, answers);
    const { client } = await until(page, (s) => s.client.uploads.failures > failures, `failing with ${outcome}`);
    assert.equal(client.uploads.last, outcome);
    assert.ok(page.said.some((said) => line.test(said)), `${line} is not in\n${page.said.join("\n")}`);
  };
  for (const answer of ANSWERS) await failing(...answer);
  stranger.say = undefined;
  await record(page, 0);
  const [counted, uncertain, made] = await sent(page);
  assert.deepEqual([counted, uncertain], [made, 0]);

  // A proxy lets no more than a few reports through at once: the batch is cut until it fits.
  let refused = 0;
  const small = async (pass, body) => (body.length > 180 ? (refused++, [413, "<html>too large"]) : pass());
  stranger.say = small;
  page.said = [];
  await record(page, 12);
  const [cut, lost, all] = await sent(page);
  assert.deepEqual([cut, lost], [all, 0]);
  assert.ok(all >= made + 12 && refused > 1, `${refused} were too large`);
  assert.ok(page.said.some((said) => /413, too-large: it goes in two parts/.test(said)), page.said.join("\n"));

  // The whole batch is counted, but the page does not learn it, and is told then that the batch is too large: of the part that is cut
  // off it is not known whether it counts, so it is not sent again.
  await failing(async (pass) => (await pass(), [0]), "unreachable", /unreachable:/, 12);
  stranger.say = small;
  await record(page, 0);
  const [known, unknown, total] = await sent(page);
  assert.equal(known + unknown, total);
  assert.ok(unknown > 0, "some were cut off");

  assert.deepEqual(page.errors, []);
  await server.stop();
  assert.equal(server.counts("choice") + server.counts("first_screen"), total, "each report is counted, and once");
});
