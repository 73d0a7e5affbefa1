// The static example with its funnel, test of arms and panel, clicked through; then the panel is used by keyboard alone to stop.
// With a fourth argument, a folder, it leaves pictures of the page there.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { browser, collector, pages, status, test, until } from "./harness.mjs";

const root = new URL("../../", import.meta.url).pathname;

/** How far the panel's text, the text of its button, the button (as the bars), and the lines stand out, after WCAG 2. */
function contrasts({ shadowRoot }) {
  const luminance = (colour) => {
    const [red, green, blue] = colour.match(/[\d.]+/g).map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (...colours) => {
    const [dark, light] = colours.map(luminance).sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const [section, button] = ["section", "button"].map((name) => getComputedStyle(shadowRoot.querySelector(name)));
  const { color, backgroundColor, borderTopColor } = section;
  return [contrast(color, backgroundColor), contrast(button.color, button.backgroundColor), contrast(button.backgroundColor, backgroundColor),
    contrast(borderTopColor, backgroundColor)];
}

await test(async () => {
  const server = await collector(`${root}aggregator/data/registries/persona-signin.toml`);
  const site = `${root}wasm/examples/static`;
  const html = readFileSync(`${site}/index.html`, "utf8").replace("http://127.0.0.1:8080", server.address);
  const special = { "/": (_, answer) => answer.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(html) };
  const [address, context] = [await pages({ site, special }), await browser()];
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  const picture = (name) => process.argv[5] && page.screenshot({ path: `${process.argv[5]}/${name}.png`, fullPage: true });
  await page.goto(address);
  await page.evaluate(() => window.deniable.ready);
  await picture("before");
  assert.equal((await status(page)).state, "waiting");

  await page.click("#yes");
  await page.locator("#consent").waitFor({ state: "hidden" });
  assert.equal((await status(page)).client.consent, "given");
  const arm = await page.evaluate(() => window.deniable.experiment("variant").arm());
  assert.ok(["control", "short_form"].includes(arm), arm);
  assert.equal(await page.evaluate(() => document.getElementById("again").hidden), arm === "short_form");
  await page.fill("input[type=email]", "ann@example.org");
  await page.click("#email button");
  await page.fill("#password input", "correct horse");
  await page.click("#password button");
  await page.click("#elsewhere");
  assert.equal(await page.evaluate(() => window.deniable.segment("user_kind")), "new");

  const panel = page.locator("deniable-panel");
  await panel.locator("li").first().waitFor();
  const asked = await page.evaluate(() => window.deniable.preview().map(({ question }) => question));
  assert.deepEqual(await panel.locator("h3").allTextContents(), asked);
  assert.ok(asked.length > 0);
  // Each device answers one group of the questions, which it draws.
  const answers = {
    deepest_step: /^signed_in$/, signin: /^yes$/, error_any: /^no$/, error_kind: /^none$/, load_ms_by_platform: /^(desktop|mobile)\|/,
    button_click: /^yes$/, relying_party: /^127\.0\.0\.1$/, retention_by_week: /^0$/,
  };
  for (const { metric, answer } of await page.evaluate(() => window.deniable.preview())) assert.match(answer, answers[metric], metric);
  await picture("panel");
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    const [text, label, button, border] = await panel.evaluate(contrasts);
    assert.ok(text >= 4.5 && label >= 4.5 && button >= 3 && border >= 3, `${colorScheme}: ${[text, label, button, border]}`);
  }
  await picture("panel-dark");
  await page.setViewportSize({ width: 320, height: 640 });
  await picture("panel-narrow");
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} pixels stand out of a narrow page`);

  // The button has focus after one step of the keyboard from the last control before the panel.
  await page.focus("#elsewhere");
  await page.keyboard.press("Tab");
  await picture("focus");
  await page.keyboard.press("Enter");
  await until(page, (s) => s.client.consent === "withdrawn" && s.pending === 0, "stopping");
  await panel.getByRole("button", { name: "Take part" }).waitFor();
  assert.match(await panel.getByRole("status").textContent(), /Nothing is kept or sent/);
  assert.ok(await panel.getByRole("button").evaluate((button) => button === button.getRootNode().activeElement), "focus stays");
  await picture("stopped");
  assert.deepEqual(errors, []);
});
