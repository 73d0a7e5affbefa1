// A browser that keeps nothing: the client works in memory and says so. A damaged state is kept aside.
import assert from "node:assert/strict";
import { browser, collector, open, pages, start, status, test, until } from "./harness.mjs";

function refuseStorage() {
  Object.defineProperty(window, "indexedDB", { get: () => { throw new DOMException("no", "SecurityError"); } });
}

function damage(name) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("deniable", 1);
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      const transaction = request.result.transaction("kept", "readwrite");
      const kept = transaction.objectStore("kept");
      const state = kept.get(`${name} state`);
      state.onsuccess = () => {
        state.result.bytes[40] ^= 1;
        kept.put(state.result, `${name} state`);
      };
      transaction.oncomplete = resolve;
    };
  });
}

await test(async () => {
  const [server, address, context] = [await collector(), await pages(), await browser()];
  const options = { endpoint: server.address, consent: "given" };
  const page = await open(context, address, options, refuseStorage);
  const found = await status(page);
  assert.deepEqual([found.state, found.storage, found.problem.code], ["running", "memory", "no-storage"]);
  await page.evaluate(async () => (window.deniable.record("choice", true), await window.deniable.flush()));
  await until(page, (s) => s.client.uploads.counted === 1, "sending from memory");

  const other = await open(context, address, options);
  await other.evaluate(async () => (window.deniable.record("choice", true), await window.deniable.flush()));
  await until(other, (s) => s.pending === 0 && s.client.uploads.counted === 1, "sending");
  await other.evaluate(damage, server.address);
  await other.reload();
  await start(other, options);
  const anew = await status(other);
  assert.deepEqual([anew.state, anew.client.begun, anew.problem.code], ["running", "anew", "unreadable-state"]);
  assert.deepEqual([...page.errors, ...other.errors], []);
});
