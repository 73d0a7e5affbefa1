// Content policies with and without 'wasm-unsafe-eval': a client, or a clear error and a client that does nothing.
import assert from "node:assert/strict";
import { browser, collector, open, pages, test } from "./harness.mjs";

const policy = (scripts) => ({ "content-security-policy": `default-src 'none'; script-src 'self' ${scripts}; connect-src *` });

await test(async () => {
  const [server, context] = [await collector(), await browser()];
  const options = { endpoint: server.address, consent: "given" };
  const allowed = await open(context, await pages({ headers: policy("'wasm-unsafe-eval'") }), options);
  assert.equal(await allowed.evaluate(() => window.deniable.record("choice", true)), "reported");

  const refused = await open(context, await pages({ headers: policy("") }), options);
  const { state, problem } = await refused.evaluate(() => window.deniable.status());
  assert.equal(state, "off");
  assert.equal(problem.code, "cannot-load");
  assert.match(problem.message, /wasm-unsafe-eval/);
  const said = await refused.evaluate(async () => {
    await window.deniable.optOut();
    return [window.deniable.track("opened"), window.deniable.record("choice", true), window.deniable.preview(), window.deniable.ledger()];
  });
  assert.deepEqual(said, ["off", "off", [], undefined]);
  assert.deepEqual([...allowed.errors, ...refused.errors], []);
});
