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

/** The person says no while a client writes, and another one writes right after: what is stored then. */
async function meet(endpoint) {
  const { start, MemoryStorage } = await import("/deniable/deniable.js");
  const storage = new MemoryStorage();
  const options = { endpoint, consent: "given", delaySeconds: 0 };
  const second = start({ ...options, name: "second", storage });
  await second.ready;
  let saved;
  const save = storage.save.bind(storage);
  storage.save = async (state, before) => {
    const isSaved = await save(state, before);
    await saved?.();
    return isSaved;
  };
  const first = start({ ...options, name: "first", storage });
  await first.ready;
  let said;
  saved = async () => {
    saved = undefined;
    said = first.optOut();
    second.record("choice", true);
    await second.flush();
  };
  first.record("choice", true);
  await first.flush();
  await said;
  const third = start({ ...options, name: "third", storage });
  return (await third.ready).client.consent;
}

/** The person says no while a client writes and another call waits to be written: what is stored, and what still waits, when the promise resolves. */
async function crowd(endpoint) {
  const { start, MemoryStorage } = await import("/deniable/deniable.js");
  const storage = new MemoryStorage();
  const options = { endpoint, consent: "given", delaySeconds: 0 };
  let writes;
  const save = storage.save.bind(storage);
  storage.save = async (state, before) => {
    writes?.();
    await new Promise((resolve) => setTimeout(resolve, 100));
    return save(state, before);
  };
  const client = start({ ...options, name: "crowd", storage });
  await client.ready;
  const writing = new Promise((resolve) => (writes = resolve));
  client.record("choice", true);
  void client.flush();
  await writing;
  void client.reset();
  await client.optOut();
  const { pending } = client.status();
  const next = start({ ...options, name: "next", storage });
  return [(await next.ready).client.consent, pending];
}

/** The problem that a client tells of and the reports that are counted, while its storage is full and once it has room again. */
async function recover(endpoint) {
  const { start, MemoryStorage } = await import("/deniable/deniable.js");
  const storage = new MemoryStorage();
  let full = true;
  const save = storage.save.bind(storage);
  storage.kind = "disk";
  storage.save = (state, before) => {
    if (full) throw new DOMException("no room", "QuotaExceededError");
    return save(state, before);
  };
  const client = start({ endpoint, consent: "given", name: "full", storage });
  await client.ready;
  client.record("choice", true);
  const told = [];
  for (full of [true, false]) {
    await client.flush();
    const { problem, client: { uploads } } = client.status();
    told.push([problem?.code, uploads.counted]);
  }
  return told;
}

/** The person erases what the browser keeps under a client that runs, after saying yes and after saying no: what holds, and what is counted. */
async function erase(endpoint) {
  const { start } = await import("/deniable/deniable.js");
  const told = [];
  for (const [name, consent, says] of [["asked", "pending", "optIn"], ["agreed", "given", undefined], ["refused", "given", "optOut"]]) {
    const client = start({ endpoint, consent, name, delaySeconds: 0 });
    await client.ready;
    await client[says]?.();
    client.record("choice", true);
    await client.flush();
    await new Promise((resolve, reject) => Object.assign(indexedDB.deleteDatabase("deniable"), { onsuccess: resolve, onerror: reject, onblocked: reject }));
    await client.flush();
    client.record("choice", true);
    await client.flush();
    const { problem, pending, client: { consent: holds } } = client.status();
    const next = start({ endpoint, consent, name, delaySeconds: 0 });
    await next.ready;
    told.push([problem?.code, pending, holds, next.ledger()?.reports]);
  }
  return told;
}

/** How often an answer is counted whose storage says that it failed, and has the state all the same. */
async function twice(endpoint) {
  const { start, MemoryStorage } = await import("/deniable/deniable.js");
  const storage = new MemoryStorage();
  const save = storage.save.bind(storage);
  storage.save = async (state, before) => {
    const isSaved = await save(state, before);
    if (state.commit > 1) storage.save = save;
    throw new Error(`lost after ${isSaved}`);
  };
  const client = start({ endpoint, consent: "given", name: "twice", storage });
  await client.ready;
  client.record("choice", true);
  for (let i = 0; i < 3; i++) await client.flush();
  return [client.ledger().reports, client.status().client.uploads.counted];
}

/** What is written beside the state, while clients come and go that are served one catalog. */
async function beside(endpoint) {
  const { start, MemoryStorage } = await import("/deniable/deniable.js");
  const [storage, written] = [new MemoryStorage(), []];
  const keep = storage.keep.bind(storage);
  storage.keep = (name, bytes) => (written.push(name), keep(name, bytes));
  for (const name of ["one", "two", "three"]) {
    const client = start({ endpoint, consent: "given", name, storage });
    await client.ready;
    await client.flush();
    if (client.status().catalog !== "current") written.push(client.status().catalog);
  }
  return written;
}

/** A frame without an origin, where neither storage nor locks are allowed, which tells the page around it how it fares. */
const FRAME = (endpoint) => `<!doctype html><script type="module">
  import { start } from "/deniable/deniable.js";
  const client = start({ endpoint: "${endpoint}", consent: "given", delaySeconds: 0 });
  await client.ready;
  client.record("choice", true);
  await client.flush();
  const status = client.status();
  parent.postMessage([status.state, status.storage, status.client?.uploads.counted], "*");
</script>`;

/** Opens a frame, and waits for what it tells. */
function frame() {
  const frame = Object.assign(document.createElement("iframe"), { sandbox: "allow-scripts", src: "/frame.html" });
  return new Promise((resolve) => {
    addEventListener("message", ({ data }) => resolve(data), { once: true });
    document.body.append(frame);
  });
}

await test(async () => {
  const [server, context] = [await collector(), await browser()];
  const special = { "/frame.html": (_, answer) => answer.writeHead(200, { "content-type": "text/html" }).end(FRAME(server.address)) };
  const address = await pages({ special, headers: { "access-control-allow-origin": "*" } });
  const options = { endpoint: server.address, consent: "given" };
  const page = await open(context, address, options, refuseStorage);
  const found = await status(page);
  assert.deepEqual([found.state, found.storage, found.problem.code], ["running", "memory", "no-storage"]);
  await page.evaluate(async () => (window.deniable.record("choice", true), await window.deniable.flush()));
  await until(page, (s) => s.client.uploads.counted === 1, "sending from memory");

  assert.deepEqual(await page.evaluate(frame), ["running", "memory", 1], "a frame without an origin");

  const other = await open(context, address, options);
  await other.evaluate(async () => (window.deniable.record("choice", true), await window.deniable.flush()));
  await until(other, (s) => s.pending === 0 && s.client.uploads.counted === 1, "sending");
  await other.evaluate(damage, server.address);
  await other.reload();
  await start(other, options);
  const anew = await status(other);
  assert.deepEqual([anew.state, anew.client.begun, anew.problem.code], ["running", "anew", "unreadable-state"]);

  assert.equal(await page.evaluate(meet, server.address), "withdrawn", "a no outlives what another tab writes");
  assert.deepEqual(await page.evaluate(crowd, server.address), ["withdrawn", 0], "a no is durable when its promise resolves");
  assert.deepEqual(await page.evaluate(recover, server.address), [["no-storage", 0], [undefined, 1]], "what is over is not told of");
  assert.deepEqual(await page.evaluate(twice, server.address), [1, 1], "what was written is not done again");
  assert.deepEqual(await page.evaluate(beside, server.address), ["catalog"], "a catalog that is kept is not written again");
  const erased = [[undefined, 0, "pending", undefined], [undefined, 0, "given", 1], [undefined, 0, "withdrawn", 0]];
  assert.deepEqual(await other.evaluate(erase, server.address), erased, "a state that is erased begins anew");
  assert.deepEqual([...page.errors, ...other.errors], []);
});
