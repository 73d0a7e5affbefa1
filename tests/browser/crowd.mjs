// Some hundred simulated visitors, each a client of its own in a real page: what arrives decodes to the right figures.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { PATIENCE_MS, browser, collector, open, pages, test } from "./harness.mjs";

const VISITORS = 400;
/** A browser has room for the memories of some hundred modules at once. */
const PER_PAGE = 50;
const YES = 0.7;

/** Visitors, one after the other, each with a state of its own; how many reports were counted. */
async function visit({ endpoint, first, last, yeses, patience }) {
  const { start, MemoryStorage } = await import("/deniable/deniable.js");
  const module = await WebAssembly.compileStreaming(fetch("/deniable/client.wasm"));
  const answer = await fetch(`${endpoint}/v1/catalog`, { headers: { accept: "application/vnd.deniable.catalog" } });
  const catalog = new Uint8Array(await answer.arrayBuffer());
  let counted = 0;
  for (let visitor = first; visitor < last; visitor++) {
    const storage = new MemoryStorage();
    const client = start({ endpoint, name: `visitor ${visitor}`, storage, module, catalog, consent: "given", delaySeconds: 0 });
    await client.ready;
    client.record("choice", visitor < yeses);
    const end = performance.now() + patience;
    do await client.flush();
    while (client.status().client.uploads.counted === 0 && performance.now() < end);
    counted += client.status().client.uploads.counted;
  }
  return counted;
}

await test(async () => {
  const [server, address, context] = [await collector(), await pages(), await browser()];
  let counted = 0;
  for (let first = 0; first < VISITORS; first += PER_PAGE) {
    const page = await open(context, address, { endpoint: server.address });
    const visitors = { first, last: first + PER_PAGE, yeses: YES * VISITORS };
    counted += await page.evaluate(visit, { endpoint: server.address, patience: PATIENCE_MS, ...visitors });
    await page.close();
  }
  assert.equal(counted, VISITORS);
  await server.stop();
  assert.equal(server.counts("choice"), VISITORS);
  // ε₁ = 2 keeps an answer with probability e²/(1 + e²) = 0.881. As so many answer yes, and not about so many, the estimated share has a
  // standard deviation of √(0.881·0.119)/(2·0.881 − 1)/√400 = 0.0212; 0.17 is eight of them, which chance exceeds once in 10¹⁴.
  const folder = process.argv[4];
  writeFileSync(`${folder}/labels`, "no\nyes\n");
  const csv = server.run("decode", "--store", `${folder}/store`, "--metric", "choice", "--candidates", `${folder}/labels`, "--format", "csv", "--all");
  const [head, ...rows] = csv.trim().split("\n").map((line) => line.split(","));
  const column = head.findIndex((name) => /proportion|share/.test(name));
  const shares = Object.fromEntries(rows.map((row) => [row[0], Number(row[column])]));
  assert.ok(column > 0, csv);
  const share = shares.yes ?? shares.true ?? shares["1"];
  assert.ok(Math.abs(share - YES) < 0.17, `${share} of ${YES}: ${csv}`);
  assert.ok(Math.abs(share - (1 - YES)) > 0.17, "the test could not tell yes from no");
});
