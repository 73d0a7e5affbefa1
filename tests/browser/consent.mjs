// Nothing is kept, asked or sent before consent; opting out erases; the browser's wish for privacy is a no.
import assert from "node:assert/strict";
import { browser, collector, open, pages, start, status, test, until } from "./harness.mjs";

function wishForPrivacy() {
  Object.defineProperty(navigator, "globalPrivacyControl", { value: true });
}

const kept = (page) => page.evaluate(() => new Promise((resolve) => {
  const request = indexedDB.open("deniable", 1);
  request.onsuccess = () => {
    const keys = request.result.transaction("kept").objectStore("kept").getAllKeys();
    keys.onsuccess = () => resolve(keys.result);
  };
}));

await test(async () => {
  const [server, address, context] = [await collector(), await pages(), await browser()];
  const requests = [];
  context.on("request", (request) => requests.push(`${request.method()} ${new URL(request.url()).pathname}`));
  const asked = () => requests.filter((request) => request.includes("/v1/"));

  const page = await open(context, address, { endpoint: server.address });
  await page.evaluate(() => window.deniable.record("choice", true));
  await page.waitForTimeout(300);
  assert.deepEqual(asked(), [], "nobody is asked before consent");
  assert.deepEqual(await kept(page), [], "nothing is kept before consent");

  // However much is called before, the yes is heard, and a tab that another one gave consent hears of it.
  const tab = await open(context, address, { endpoint: server.address });
  await page.evaluate(() => {
    for (let i = 0; i < 1500; i++) window.deniable.track("opened");
    return window.deniable.optIn();
  });
  await until(page, (s) => s.client?.consent === "given", "opting in");
  await tab.evaluate(() => window.deniable.track("signed_up"));
  await until(tab, (s) => s.client?.consent === "given", "hearing of consent");
  await page.evaluate(async () => (window.deniable.track("opened", { screen: "cart" }), await window.deniable.flush()));
  const preview = await page.evaluate(() => window.deniable.preview());
  assert.equal(preview.find((each) => each.metric === "first_screen").answer, "cart");

  // A yes that is known already is not said again over the no of another tab.
  await tab.evaluate(async () => (await window.deniable.flush(), await window.deniable.optIn()));
  await page.evaluate(() => window.deniable.optOut());
  assert.equal(await tab.evaluate(async () => (await window.deniable.flush(), window.deniable.record("choice", true))), "no-consent");
  await until(page, (s) => s.pending === 0 && s.client.consent === "withdrawn", "opting out");
  await page.reload();
  await start(page, { endpoint: server.address, consent: "given" });
  const after = await status(page);
  assert.deepEqual([after.client.consent, after.client.waiting, after.client.begun], ["withdrawn", 0, "restored"]);
  assert.deepEqual(await page.evaluate(() => window.deniable.preview()), [], "what was answered is erased");
  assert.equal(await page.evaluate(() => window.deniable.record("choice", true)), "no-consent");

  const before = asked().length;
  const wish = await open(context, address, { endpoint: server.address, name: "wish", consent: "given" }, wishForPrivacy);
  await wish.evaluate(() => window.deniable.record("choice", true));
  await wish.waitForTimeout(300);
  assert.equal(asked().length, before, "a wish for privacy is a no");
  await wish.evaluate(() => window.deniable.optIn());
  await until(wish, (s) => s.client?.consent === "given", "opting in in spite of it");
  // A no holds even if it came before the first catalog.
  const early = { endpoint: server.address, name: "early", consent: "given" };
  await context.route("**/v1/catalog", (route) => route.abort());
  const first = await open(context, address, early);
  assert.equal((await status(first)).state, "waiting");
  await first.evaluate(() => window.deniable.optOut());
  await context.unroute("**/v1/catalog");
  const heard = asked().length;
  await first.reload();
  await start(first, early);
  await first.waitForTimeout(300);
  assert.equal(asked().length, heard, "nobody is asked after a no");
  await first.evaluate(() => (window.deniable.record("choice", true), window.deniable.optIn()));
  const { client } = await until(first, (s) => s.client?.consent === "given", "opting in after all");
  assert.equal(client.refusals.noConsent, 1, "what was said before stays unsaid");
  assert.deepEqual(requests.filter((request) => request.startsWith("OPTIONS")), [], "nothing was asked twice");
  assert.equal(await page.evaluate(() => document.cookie), "");
  assert.deepEqual([...page.errors, ...wish.errors], []);
});
