// The client in a worker and in a service worker shares the state of the origin's pages.
import assert from "node:assert/strict";
import { browser, collector, open, pages, test, until } from "./harness.mjs";

const script = (endpoint) => `
  import { start } from "/deniable/deniable.js";
  const deniable = start({ endpoint: "${endpoint}", consent: "given", delaySeconds: 0 });
  const tell = async (port) => {
    await deniable.ready;
    const recorded = deniable.record("choice", true);
    await deniable.flush();
    const { state, storage } = deniable.status();
    port.postMessage([recorded, state, storage]);
  };
  addEventListener("message", (event) => {
    const told = tell(event.ports[0]);
    // A service worker that takes long is not ended meanwhile.
    event.waitUntil?.(told);
  });
`;

/** Starts a worker of a kind in the page, has it record an answer, and says what it tells. */
async function ask(kind) {
  let worker;
  if (kind === "worker") {
    worker = new Worker("/worker.js", { type: "module" });
  } else {
    await navigator.serviceWorker.register("/worker.js", { type: "module" });
    worker = (await navigator.serviceWorker.ready).active;
  }
  const { port1, port2 } = new MessageChannel();
  const told = new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data)));
  worker.postMessage("ask", [port2]);
  return told;
}

await test(async () => {
  const [server, context] = [await collector(), await browser()];
  const special = {
    "/worker.js": (_, answer) => answer.writeHead(200, { "content-type": "text/javascript" }).end(script(server.address)),
  };
  const page = await open(context, await pages({ special }), { endpoint: server.address, consent: "given" });
  for (const kind of ["worker", "service worker"]) {
    assert.deepEqual(await page.evaluate(ask, kind), ["reported", "running", "indexeddb"], kind);
  }
  await page.evaluate(async () => (window.deniable.record("choice", false), await window.deniable.flush()));
  await until(page, (s) => s.client.waiting + s.client.onTheWay === 0 && s.client.uploads.counted === 3, "sending what all three said");
  assert.equal(await page.evaluate(() => window.deniable.ledger().reports), 3);
  assert.deepEqual(page.errors, []);
});
