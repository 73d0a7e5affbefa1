// A module that is not to be had is told of and throws nothing; one that the network refused is taken up when it is there, with all that was
// called until then.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { browser, collector, open, pages, status, test, until, visit } from "./harness.mjs";

const policy = (connect) => ({ "content-security-policy": `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src ${connect}` });

await test(async () => {
  const [server, context] = [await collector(), await browser()];
  const bytes = await readFile(`${process.argv[2]}/client.wasm`);
  const answers = (status, type, body) => (_, answer) => answer.writeHead(status, { "content-type": type }).end(body);
  let isThere = false;
  const special = {
    "/missing.wasm": answers(404, "text/plain", "no"),
    "/page.wasm": answers(200, "text/html", "<!doctype html>"),
    "/cut.wasm": answers(200, "application/wasm", bytes.subarray(0, 5000)),
    "/plain.wasm": answers(200, "text/plain", bytes),
    "/hung.wasm": () => {},
    "/lost.wasm": (_, answer) => (isThere ? answer.writeHead(200).end(bytes) : answer.destroy()),
  };
  const address = await pages({ special });
  const options = (module, name = module) => ({ endpoint: server.address, consent: "given", name, module: `/${module}.wasm` });
  for (const [name, says] of [["missing", /answers 404/], ["page", /magic/], ["cut", /past end/]]) {
    const page = await open(context, address, options(name));
    const { state, problem } = await status(page);
    assert.deepEqual([state, problem.code, page.errors], ["off", "cannot-load", []], name);
    assert.match(problem.message, says);
  }
  assert.equal((await status(await open(context, address, options("plain")))).state, "running", "its type does not matter");

  const page = await open(context, address, options("lost"));
  assert.equal(await page.evaluate(() => window.deniable.record("choice", true)), "queued");
  const lost = await status(page);
  assert.deepEqual([lost.state, lost.consent, lost.problem.code], ["waiting", "given", "cannot-load"]);
  isThere = true;
  await page.evaluate(() => dispatchEvent(new Event("online")));
  const found = await until(page, (s) => s.state === "running", "taking up the module");
  assert.equal(found.problem, undefined);
  await page.evaluate(() => window.deniable.flush());
  await until(page, (s) => s.client.uploads.counted === 1, "sending what waited for it");

  // A tab whose module does not come holds up no other.
  const catalogs = context.waitForEvent("response", (response) => response.url().includes("/v1/catalog"));
  const hung = await visit(context, address);
  await hung.evaluate(async (options) => {
    const { start } = await import("/deniable/deniable.js");
    window.deniable = start(options);
  }, options("hung", "held"));
  await (await catalogs).finished();
  await hung.waitForTimeout(500);
  assert.equal((await status(hung)).state, "waiting");
  assert.equal((await status(await open(context, address, options("plain", "held")))).state, "running", "beside one that waits");
  await hung.close();

  // One that was had is not asked for again, for a response is read once.
  await context.route("**/v1/catalog", (route) => route.abort());
  const once = await visit(context, address);
  await once.evaluate(async (options) => {
    const { start } = await import("/deniable/deniable.js");
    window.deniable = start({ ...options, module: await fetch("/deniable/client.wasm") });
    await window.deniable.ready;
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
  }, options("once"));
  await context.unroute("**/v1/catalog");
  await once.evaluate(() => dispatchEvent(new Event("online")));
  await until(once, (s) => s.state === "running", "opening once there is a catalog");

  // A hash pins the module, for programs and for script tags.
  const { "client.wasm": hash } = JSON.parse(await readFile(`${process.argv[2]}/integrity.json`, "utf8"));
  for (const [integrity, expected] of [[hash, ["running", "running"]], [hash.replace(/-..../, "-AAAA"), ["waiting", "waiting"]]]) {
    const states = await page.evaluate(async ([endpoint, integrity]) => {
      const { start } = await import("/deniable/deniable.js");
      delete window.deniable;
      const tag = Object.assign(document.createElement("script"), { src: "/deniable/script.js" });
      Object.assign(tag.dataset, { endpoint, integrity, consent: "given", name: `tag ${integrity}` });
      document.head.append(tag);
      await new Promise((resolve) => (tag.onload = resolve));
      const module = new Request("/deniable/client.wasm", { integrity });
      const client = start({ endpoint, consent: "given", name: integrity, module });
      return [(await client.ready).state, (await window.deniable.ready).state];
    }, [server.address, integrity]);
    assert.deepEqual(states, expected);
  }

  // A policy that forbids asking for the module, or the collector, is named. One with both, and with trusted types alone, is enough.
  const refused = await open(context, await pages({ headers: policy(server.address) }), { endpoint: server.address, consent: "given" });
  assert.match((await status(refused)).problem.message, /the module cannot be loaded.*connect-src/);
  const apart = await open(context, await pages({ headers: policy("'self'") }), { endpoint: server.address, consent: "given" });
  assert.match((await status(apart)).problem.message, /no catalog of.*connect-src/);
  const strict = policy(`'self' ${server.address}; require-trusted-types-for 'script'; trusted-types 'none'`);
  const enough = await open(context, await pages({ headers: strict }), { endpoint: server.address, consent: "given" });
  await enough.evaluate(async () => {
    await import("/deniable/panel.js");
    document.body.append(document.createElement("deniable-panel"));
  });
  assert.equal((await status(enough)).state, "running");
  assert.deepEqual([page, refused, apart, enough].flatMap(({ errors }) => errors), []);
});
