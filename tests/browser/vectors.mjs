// All golden vectors of the encoder, in a browser, by the asynchronous way and the synchronous one.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { browser, pages, test } from "./harness.mjs";

const file = (path) => readFileSync(new URL(path, import.meta.url), "utf8");

await test(async () => {
  const special = { "/cases.mjs": (_, answer) => answer.writeHead(200, { "content-type": "text/javascript" }).end(file("../node/cases.mjs")) };
  const [address, context] = [await pages({ special }), await browser()];
  const golden = JSON.parse(file("../data/encoder_vectors.json"));
  for (const way of ["init", "initSync"]) {
    const page = await context.newPage();
    await page.goto(address);
    const batches = await page.evaluate(async ({ golden, way }) => {
      const [encoder, { batch }] = await Promise.all([import("/deniable/encoder.js"), import("/cases.mjs")]);
      const bytes = await (await fetch("/deniable/encoder.wasm")).arrayBuffer();
      await encoder[way](bytes);
      return golden.map((given) => batch(encoder, given));
    }, { golden, way });
    assert.ok(golden.length > 50, `${golden.length} vectors`);
    golden.forEach(({ params, batch }, i) => assert.equal(batches[i], batch, `${way}: ${JSON.stringify(params)}`));
  }
});
