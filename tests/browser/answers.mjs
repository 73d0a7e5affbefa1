// What may answer in place of a collector: nothing, HTML, 413, 429, 503, another catalog. No exception, no loss, no double count.
import assert from "node:assert/strict";
import { browser, collector, open, pages, status, test, until } from "./harness.mjs";

/** The page lives in the past, and its clock goes on only when told, so that waits are over at once. */
function clock() {
  const real = Date.now;
  window.days = -20;
  Date.now = () => real() + window.days * 86_400_000;
}

await test(async () => {
  const [server, context] = [await collector(), await browser()];
  const cors = { "access-control-allow-origin": "*", "access-control-expose-headers": "retry-after" };
  let say;
  const special = {
    "/v1/catalog": async (request, answer) => {
      const { accept } = request.headers;
      const catalog = await fetch(`${server.address}/v1/catalog`, { headers: { accept } });
      answer.writeHead(200, cors).end(Buffer.from(await catalog.arrayBuffer()));
    },
    "/v1/reports": async (request, answer) => {
      const body = [];
      for await (const piece of request) body.push(piece);
      const sent = Buffer.concat(body);
      if (say) return answer.writeHead(say[0], { ...cors, "retry-after": "1" }).end(say[1]);
      const passed = await fetch(`${server.address}/v1/reports`, { method: "POST", body: sent });
      answer.writeHead(passed.status, cors).end(await passed.text());
    },
  };
  const address = await pages({ special });
  const page = await open(context, address, { endpoint: address, consent: "given" }, clock);
  const outcomes = [];
  for (const [code, text] of [[200, "<html>welcome"], [429, ""], [503, ""], [404, "<html>no"], [302, ""]]) {
    say = [code, text];
    const failures = (await status(page)).client.uploads.failures;
    await page.evaluate(async () => {
      window.days += 2;
      window.deniable.record("choice", true);
      await window.deniable.flush();
    });
    const { client } = await until(page, (s) => s.client.uploads.failures > failures, `failing at ${code}`);
    outcomes.push(client.uploads.last);
  }
  assert.deepEqual(outcomes, ["not-a-collector", "limited", "failed", "not-a-collector", "redirected"]);
  say = undefined;
  await page.evaluate(() => (window.days += 2, window.deniable.flush()));
  await until(page, (s) => s.client.uploads.counted >= 5 && s.client.waiting + s.client.onTheWay === 0, "sending all at last");

  const nobody = await open(context, address, { endpoint: "http://127.0.0.1:9", name: "nobody", consent: "given" });
  assert.equal(await nobody.evaluate(() => window.deniable.track("opened", { screen: "home" })), "queued");
  assert.equal((await status(nobody)).problem.code, "no-catalog");
  const html = await open(context, address, { endpoint: `${address}/deniable/nothing`, name: "html", consent: "given" });
  assert.equal((await status(html)).problem.code, "no-catalog");
  assert.deepEqual([...page.errors, ...nobody.errors, ...html.errors], []);
  await server.stop();
  assert.equal(server.counts("choice"), 5);
});
