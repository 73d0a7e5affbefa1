// How long a page waits: for an encoding at k = 128, for `track`, and for the module with a first report. The bounds are wide, since
// other tests share the machine; the figures are printed, with the targets.
import assert from "node:assert/strict";
import { browser, collector, pages, test } from "./harness.mjs";

/** Microseconds of one encoding, the best of ten rounds. */
async function encode(from) {
  const { init, DeviceSecret, Encoder, Params, Randomness } = await import(from);
  await init();
  const params = Params.rappor({ bits: 128, hashes: 2, cohorts: 64, f: 0.5, p: 0.25, q: 0.75 });
  const encoder = new Encoder("speed", 1, params, DeviceSecret.draw());
  const randomness = Randomness.fromCrypto();
  let best = Infinity;
  for (let round = 0; round < 10; round++) {
    const began = performance.now();
    for (let i = 0; i < 5000; i++) encoder.encodeText(`host-${i % 100}.example`, 20_000, randomness);
    best = Math.min(best, (performance.now() - began) / 5000);
  }
  return 1000 * best;
}

/** Milliseconds until a first report is made, and microseconds of one `track`, the best of ten rounds. */
async function client({ from, endpoint, catalog }) {
  const began = performance.now();
  const { start } = await import(from);
  const deniable = start({ endpoint, catalog: Uint8Array.from(catalog), consent: "given", name: String(began) });
  await deniable.ready;
  const recorded = deniable.record("choice", true);
  const first = performance.now() - began;
  let best = Infinity;
  for (let round = 0; round < 10; round++) {
    const began = performance.now();
    for (let i = 0; i < 90; i++) deniable.track("opened", { screen: "search" });
    best = Math.min(best, (performance.now() - began) / 90);
  }
  return [recorded, first, 1000 * best];
}

await test(async () => {
  const [server, address, context] = [await collector(), await pages(), await browser()];
  const answer = await fetch(`${server.address}/v1/catalog`, { headers: { accept: "application/vnd.deniable.catalog" } });
  const catalog = [...new Uint8Array(await answer.arrayBuffer())];
  const page = await context.newPage();
  await page.goto(address);
  const figures = [["Chromium", await page.evaluate(encode, "/deniable/encoder.js"),
    await page.evaluate(client, { from: "/deniable/deniable.js", endpoint: server.address, catalog })]];
  const folder = process.argv[2];
  figures.push(["Node", await encode(`${folder}/encoder.node.js`),
    await client({ from: `${folder}/deniable.node.js`, endpoint: server.address, catalog })]);
  for (const [host, encoding, [recorded, first, track]] of figures) {
    assert.equal(recorded, "reported");
    console.log(`${host}: encode ${encoding.toFixed(2)} µs (target 5), track ${track.toFixed(1)} µs (20), first report ${first.toFixed(0)} ms (50)`);
    assert.ok(encoding < 50 && track < 200 && first < 1000, `${host} is ten times slower than it should be`);
  }
});
