// The panel away from the sunny side: before there are questions, with many and long ones, in other words, and taken out and put back.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { browser, collector, pages, start, test, until, visit } from "./harness.mjs";

const metric = (i) => `
[metrics.m${i}]
version = 1
question = "${i ? `Question ${i}, which goes ${"on and ".repeat(20)}on?` : `W${"ä".repeat(150)}?`}"
kind = "boolean"
epsilon = ${i === 1 ? 8.0 : 0.4}
`;

await test(async () => {
  const registry = `${process.argv[4]}/many.toml`;
  const metrics = Array.from({ length: 50 }, (_, i) => metric(i)).join("");
  writeFileSync(registry, `[privacy]\nweekly = 64.0\nlifetime = 64.0\n${metrics}`);
  const [server, context, address] = [await collector(registry), await browser(), await pages()];
  const options = { endpoint: server.address, consent: "given" };
  const page = await visit(context, address);
  await page.setViewportSize({ width: 320, height: 640 });
  await page.evaluate(async () => {
    const panel = document.createElement("deniable-panel");
    panel.words = { title: "Was diese Seite erfährt", lang: "de" };
    document.body.append(panel);
    await import("/deniable/panel.js");
  });
  const panel = page.locator("deniable-panel");
  assert.match(await panel.getByRole("status").textContent(), /Nothing is kept or sent/);
  const named = async () => [await panel.getByRole("heading", { level: 2 }).textContent(), await panel.getByRole("region").getAttribute("lang")];
  assert.deepEqual(await named(), ["Was diese Seite erfährt", "de"], "words that came before the element");

  // Before the first catalog there is nothing to show yet, but what was agreed to can be stopped.
  await context.route("**/v1/catalog", (route) => route.abort());
  await start(page, options);
  await panel.getByRole("button", { name: "Stop" }).click();
  await panel.getByRole("button", { name: "Take part" }).click();
  await panel.getByRole("button", { name: "Stop" }).waitFor();
  await context.unroute("**/v1/catalog");
  await page.evaluate(() => dispatchEvent(new Event("online")));
  await until(page, (s) => s.client?.consent === "given", "asking for the catalog");
  await panel.getByRole("listitem").nth(49).waitFor();

  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0, "long words break");
  const odds = await panel.locator("li", { hasText: "Question 1," }).locator("[part=odds]").textContent();
  assert.match(odds, /99\.966 %.* 0\.034 %/, "what is not sure is not called so");
  const bars = await panel.getByRole("progressbar").evaluateAll((bars) => bars.map((bar) => bar.labels[0].textContent));
  assert.equal(bars.length, 2);
  for (const name of ["Privacy spent: ε 0.00 of at most 64.00", "This week: ε 0.00 of at most 64.00"]) {
    assert.equal(await panel.getByRole("progressbar", { name }).count(), 1, `${name} in ${bars}`);
  }

  await panel.evaluate((panel) => (panel.words = { title: "Ce que ce site apprend" }));
  assert.deepEqual(await named(), ["Ce que ce site apprend", "en"], "words that are changed");
  await panel.evaluate((panel) => {
    panel.remove();
    window.deniable.record("m2", true);
    setTimeout(() => document.body.append(panel), 100);
  });
  await panel.locator("li", { hasText: "Question 2," }).getByText(/1 report/).waitFor();
  assert.deepEqual(page.errors, []);
});
