// What the browser tests stand on: a real collector, a server of pages on the loopback, and a real Chromium.
// Arguments of each test: the folder of the package, the program `deniable`, an empty folder.
import { spawn, execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [packageFolder, program, folder] = process.argv.slice(2);
const root = new URL("../../", import.meta.url).pathname;
const { chromium } = createRequire(`${root}wasm/package.json`)("playwright-core");

const TYPES = { html: "text/html; charset=utf-8", js: "text/javascript", mjs: "text/javascript", wasm: "application/wasm", css: "text/css" };
/** The most that anything here may take, also where a machine has much else to do. */
export const PATIENCE_MS = 300_000;
// Browsers and programs live where it is noon, so that no day ends while a test runs. The sign is that of POSIX.
const hoursAhead = 12 - new Date().getUTCHours();
process.env.TZ = `Etc/GMT${hoursAhead < 0 ? "+" : "-"}${Math.abs(hoursAhead)}`;
const EMPTY = "<!doctype html><meta charset=utf-8><title>page</title>";

/** A collector of the registry given, on a port of its own. */
export async function collector(registry = `${root}tests/browser/site.toml`, name = "store") {
  const store = `${folder}/${name}`;
  const flags = ["serve", "--metrics", registry, "--store", store, "--listen", "127.0.0.1:0", "--allow-origin", "*"];
  const child = spawn(program, flags, { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, RUST_LOG: "warn" } });
  process.once("exit", () => child.kill("SIGKILL"));
  for await (const line of createInterface(child.stdout)) {
    const address = line.match(/http:\/\/\S+/)?.[0];
    if (address) return { address, stop: () => stop(child), counts: (metric) => counts(store, metric), run };
  }
  throw new Error("the collector did not start");
}

async function stop(child) {
  child.kill("SIGINT");
  if (child.exitCode === null) await once(child, "exit");
}

function run(...flags) {
  return execFileSync(program, flags, { encoding: "utf8" });
}

/** The reports of a metric in a store that no collector uses, over all epochs. */
function counts(store, metric) {
  const streams = JSON.parse(run("counts", "--store", store, "--format", "json"));
  return streams.filter((row) => row.metric === metric).reduce((sum, row) => sum + row.reports, 0);
}

/** Serves an empty page, the package under `/deniable/`, a folder of pages, and what `special` answers; `headers` go with all. */
export async function pages({ headers = {}, special = {}, site } = {}) {
  const server = createServer(async (request, answer) => {
    const path = new URL(request.url, "http://page").pathname;
    if (path === "/favicon.ico") return answer.writeHead(204).end();
    try {
      if (special[path]) return await special[path](request, answer);
      const file = path.startsWith("/deniable/") ? packageFolder + path.slice(9) : site && site + path;
      const body = path === "/" ? EMPTY : await readFile(file);
      answer.writeHead(200, { "content-type": TYPES[path === "/" ? "html" : path.split(".").pop()] ?? "text/plain", ...headers });
      answer.end(body);
    } catch {
      if (special[path]) answer.destroy();
      else answer.writeHead(404).end();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  process.once("exit", () => server.close());
  return `http://127.0.0.1:${server.address().port}`;
}

/**
 * Stands between pages and a collector: passes on what comes, unless `say` or `offer` answers in its place. `say` is asked for each
 * batch and `offer` for each catalog; they give a status and a body, or nothing, as a server that hangs. What
 * came is in `came`, and whether the page did not wait for the answer in its `cut`.
 */
export function between(server) {
  const between = { say: undefined, offer: undefined, came: [] };
  const cors = { "access-control-allow-origin": "*", "access-control-expose-headers": "retry-after" };
  const tell = (answer, said) => said && (said[0] ? answer.writeHead(said[0], { ...cors, "retry-after": "1" }).end(said[1]) : answer.destroy());
  between.special = {
    "/v1/catalog": async (_, answer) => {
      const pass = () => catalog(server);
      tell(answer, between.offer ? await between.offer(pass) : [200, await pass()]);
    },
    "/v1/reports": async (request, answer) => {
      const pieces = [];
      for await (const piece of request) pieces.push(piece);
      const body = Buffer.concat(pieces);
      const came = { body, headers: request.headers, cut: false };
      between.came.push(came);
      answer.on("close", () => (came.cut = !answer.writableFinished));
      const pass = async () => {
        const passed = await ask(`${server.address}/v1/reports`, { method: "POST", body });
        return [passed.status, await passed.text()];
      };
      tell(answer, between.say ? await between.say(pass, body) : await pass());
    },
  };
  return between;
}

/** The catalog of a collector, in the bytes that clients read. */
export async function catalog({ address }) {
  const answer = await ask(`${address}/v1/catalog`, { headers: { accept: "application/vnd.deniable.catalog" } });
  return Buffer.from(await answer.arrayBuffer());
}

/** Asks a collector, and again if it closed the connection just then. */
function ask(...request) {
  return fetch(...request).catch(() => fetch(...request));
}

/** For a page that lives in the past: its clock goes on by `window.days` only when told, so that waits are over at once. */
export function clock() {
  const real = Date.now;
  window.days = -40;
  Date.now = () => real() + window.days * 86_400_000;
}

/** A browser with an empty profile of its own, and `more` of Playwright's options. */
export async function browser(more = {}) {
  const context = await chromium.launchPersistentContext(`${folder}/profile-${Math.random()}`, {
    executablePath: "/usr/bin/chromium",
    headless: true,
    timeout: PATIENCE_MS,
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync",
    ],
    ...more,
  });
  context.setDefaultTimeout(PATIENCE_MS);
  return context;
}

/** Opens a page. Its errors are in `errors`, and what it tells the console in `said`. */
export async function visit(context, address, before) {
  const page = await context.newPage();
  [page.errors, page.said] = [[], []];
  page.on("pageerror", (error) => page.errors.push(String(error)));
  page.on("console", (message) => page.said.push(message.text()));
  if (before) await page.addInitScript(before);
  await page.goto(address);
  return page;
}

/** Opens a page and starts a client in it as `deniable`. */
export async function open(context, address, options, before) {
  const page = await visit(context, address, before);
  await start(page, options);
  return page;
}

/** Starts a client in a page. */
export async function start(page, options) {
  await page.evaluate(async (options) => {
    const { start } = await import("/deniable/deniable.js");
    window.deniable = start({ delaySeconds: 0, debug: true, ...options });
    await window.deniable.ready;
  }, options);
}

/** What the client of a page tells of itself. */
export function status(page) {
  return page.evaluate(() => window.deniable.status());
}

/** Waits until the status of a page's client is as `test` wants it. */
export async function until(page, test, what) {
  for (const end = Date.now() + PATIENCE_MS; ; await page.waitForTimeout(50)) {
    const last = await status(page);
    if (test(last)) return last;
    if (Date.now() > end) throw new Error(`${what} did not come to pass: ${JSON.stringify(last)}`);
  }
}

/** In a page: reads what the browser keeps under a key, or changes a byte of it. */
export function kept({ key, at, byte }) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("deniable", 1);
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      const store = request.result.transaction("kept", "readwrite").objectStore("kept");
      // Else it would keep others from erasing it.
      store.transaction.oncomplete = () => request.result.close();
      store.get(key).onsuccess = ({ target: { result: value } }) => {
        const bytes = value?.bytes ?? value;
        if (byte === undefined) return resolve(bytes && [...bytes]);
        bytes[at] = byte;
        store.put(value, key).onsuccess = resolve;
      };
    };
  });
}

/** Runs a test, then ends the process, whatever still runs. */
export async function test(act) {
  try {
    await act();
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
  process.exit(0);
}
