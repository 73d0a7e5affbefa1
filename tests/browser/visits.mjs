// Pages that a browser keeps when they are left, or makes ready before they are seen, and script tags that are not quite right.
import assert from "node:assert/strict";
import { browser, collector, pages, status, test, visit } from "./harness.mjs";

const page = (...body) => (_, answer) => answer.writeHead(200, { "content-type": "text/html" }).end(`<!doctype html><title>page</title>${body.join("")}`);

/** Has the document say that nobody sees it yet, until `seen` is called. */
function prerender() {
  Object.defineProperty(document, "prerendering", { configurable: true, value: true });
  window.seen = () => {
    delete document.prerendering;
    document.dispatchEvent(new Event("prerenderingchange"));
  };
}

/** Says yes to a question, and what becomes of that. */
async function record() {
  const recorded = window.deniable.record("choice", true);
  await window.deniable.flush();
  const { state, problem, client } = window.deniable.status();
  return [recorded, state, problem, client.uploads.counted, window.deniable.ledger().reports];
}

await test(async () => {
  const [server, context] = [await collector(), await browser({ ignoreDefaultArgs: ["--disable-back-forward-cache"] })];
  const tag = `<script src=/deniable/script.js data-endpoint="${server.address}" data-consent=given data-delay-seconds=0 data-debug data-page-views></script>`;
  const special = {
    "/page.html": page(tag, "<p data-deniable=opened data-deniable-on=view>"),
    "/named.html": page("<p id=deniable>", tag, "<script type=module src=/deniable/panel.js></script><deniable-panel></deniable-panel>"),
    "/panel.html": page("<p id=deniable>", "<script type=module src=/deniable/panel.js></script><deniable-panel></deniable-panel>"),
    "/module.html": page(tag.replace("<script", "<script type=module")),
    "/other.html": page(),
  };
  const address = await pages({ special });
  const open = async (path, before) => {
    const page = await visit(context, address + path, before);
    await page.evaluate(() => window.deniable?.ready);
    return page;
  };

  // A page that has nothing left to write can be gone back to as it was, and goes on.
  const left = await open("/page.html");
  assert.deepEqual(await left.evaluate(record), ["reported", "running", undefined, 1, 1]);
  await left.evaluate(() => {
    window.isSame = true;
    setTimeout(() => (location.href = "/other.html"), 500);
  });
  await left.waitForURL("**/other.html");
  await left.waitForTimeout(500);
  await left.evaluate(() => void setTimeout(() => history.back()));
  await left.waitForURL("**/page.html", { waitUntil: "commit" });
  assert.ok(await left.evaluate(() => window.isSame), "the page is the same one");
  assert.deepEqual(await left.evaluate(record), ["reported", "running", undefined, 2, 2]);

  // What is made ready ahead tells of views once it is seen.
  const ahead = await open("/page.html", prerender);
  const views = () => ahead.said.filter((line) => line.startsWith("deniable: track")).map((line) => line.split(" ")[2]);
  assert.deepEqual(views(), []);
  await ahead.evaluate(() => window.seen());
  assert.deepEqual(views(), ["/page.html", "opened"]);

  // An element may have the client's name.
  const named = await open("/named.html");
  assert.equal((await status(named)).state, "running");
  const alone = await open("/panel.html");
  assert.match(await alone.locator("deniable-panel").getByRole("status").textContent(), /Nothing is kept or sent/);

  const module = await open("/module.html");
  assert.match(module.said.join(), /type=module/, "a script that cannot find its tag says so");
  assert.deepEqual([left, ahead, named, alone, module].flatMap(({ errors }) => errors), []);
});
