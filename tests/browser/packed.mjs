// The packed package, installed as its users do: scripts in Node, Deno and Bun, a Vite application with its types, from the development
// server and as a bundle, a webpack bundle, and one script of esbuild.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { browser, collector, pages, test } from "./harness.mjs";

const [packageFolder, , folder] = process.argv.slice(2);
const wasm = new URL("../../wasm/", import.meta.url).pathname;
const runtimes = new URL("../node/", import.meta.url).pathname;
/** Programs keep what they keep in the test's folder, and ask nobody for newer ones. */
const own = { npm_config_cache: `${folder}/npm`, npm_config_update_notifier: "false", DENO_DIR: `${folder}/deno`, DENO_NO_UPDATE_CHECK: "1" };
const run = (program, flags, cwd) => execFileSync(program, flags, {
  cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...own },
});
const RUNTIMES = [
  ["Node", "node", []],
  ["Deno", `${runtimes}node_modules/.bin/deno`, ["run", "--quiet", "--no-prompt", "--allow-net", "--allow-read", "--allow-write"]],
  ["Bun", `${runtimes}node_modules/.bin/bun`, ["run"]],
];
const tool = (path, flags, cwd) => run("node", [`${wasm}node_modules/${path}`, ...flags], cwd);

/** An application with the packed package installed. */
function install(name, tarball, from) {
  const app = `${folder}/${name}`;
  if (from) cpSync(from, app, { recursive: true });
  else mkdirSync(app);
  writeFileSync(`${app}/package.json`, '{ "private": true, "type": "module" }');
  run("npm", ["install", "--offline", "--no-fund", "--no-audit", tarball], app);
  return app;
}

/** Serves a bundle. */
function served(site) {
  const html = readFileSync(`${site}/index.html`);
  return pages({ site, special: { "/": (_, answer) => answer.writeHead(200, { "content-type": "text/html" }).end(html) } });
}

/** Opens an application in a browser, waits until its client runs, and gives the page. */
async function opened(context, address, server) {
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(`${address}/?collector=${encodeURIComponent(server.address)}`);
  const title = await page.waitForFunction(() => document.title.startsWith("deniable: ") && document.title);
  assert.equal(await title.jsonValue(), "deniable: running");
  assert.deepEqual(errors, []);
  return page;
}

/** What the panel of the Vite application shows of the question whose answer the page told. */
function shown(page) {
  return page.locator("deniable-panel li", { hasText: "Which screen does a day begin with?" }).locator("[part=answer]").textContent();
}

await test(async () => {
  const tarball = `${folder}/${run("npm", ["pack", "--pack-destination", folder, packageFolder]).trim().split("\n").pop()}`;
  const [server, context] = [await collector(), await browser()];

  const node = install("node", tarball, `${wasm}examples/node`);
  cpSync(new URL("../node/runtime.mjs", import.meta.url).pathname, `${node}/runtime.mjs`);
  for (const license of ["APACHE", "MIT"]) readFileSync(`${node}/node_modules/deniable/LICENSE-${license}`);
  // Pages that are made on a server import all of it there, and begin nothing.
  const imported = 'await import("deniable/panel"); const { start } = await import("deniable"); console.log(start({ endpoint: "http://127.0.0.1:9" }).status().state)';
  assert.equal(run("node", ["--input-type=module", "--eval", imported], node), "waiting\n");
  const expected = run("node", ["runtime.mjs", server.address], node);
  const { said, answer, counted } = JSON.parse(expected.split("\n")[0]);
  assert.deepEqual([said, answer, counted], [["taken", "reported"], "cart", 1]);
  assert.match(expected, /\ncannot-load\n$/);
  for (const [name, program, flags] of RUNTIMES) {
    assert.equal(run(program, [...flags, "runtime.mjs", server.address], node), expected, name);
    // The example goes on where it was.
    for (const counted of [1, 2]) {
      const printed = run(program, [...flags, "report.mjs", server.address], node);
      assert.match(printed, new RegExp(`choice: reported\n${counted} counted; ε left: `), name);
    }
    for (const kept of ["state", "catalog"]) rmSync(`${node}/deniable-${kept}`);
  }

  const vite = install("vite", tarball, `${wasm}examples/vite`);
  const strict = "--strict --noEmit --target es2022 --module esnext --moduleResolution bundler --lib es2022,dom --types";
  tool("typescript/bin/tsc", [...strict.split(" "), "", "src/main.ts"], vite);
  tool("vite/bin/vite.js", ["build", "--logLevel", "error"], vite);
  assert.equal(await shown(await opened(context, await served(`${vite}/dist`), server)), "home");
  const { createServer } = await import(`${wasm}node_modules/vite/dist/node/index.js`);
  const development = await createServer({ root: vite, logLevel: "error", server: { host: "127.0.0.1", port: 0 } });
  await development.listen();
  const { port } = development.httpServer.address();
  assert.equal(await shown(await opened(context, `http://127.0.0.1:${port}`, server)), "home");

  const webpack = install("webpack", tarball);
  const main = 'import { start } from "deniable";\nimport "deniable/panel";\nconst endpoint = new URLSearchParams(location.search).get("collector");\n'
    + 'start({ endpoint, consent: "given" }).ready.then(({ state }) => { document.title = `deniable: ${state}`; });\n';
  mkdirSync(`${webpack}/src`);
  writeFileSync(`${webpack}/src/index.js`, main);
  tool("webpack/bin/webpack.js", ["--mode", "production", "--output-public-path", "/"], webpack);
  writeFileSync(`${webpack}/dist/index.html`, "<!doctype html><script src=main.js></script>");
  await opened(context, await served(`${webpack}/dist`), server);

  // A classic script has no address beside which a module lies: it is told of, unless the module is given.
  const single = install("single", tarball);
  const given = 'import { start } from "deniable";\nimport { init } from "deniable/encoder";\nimport module from "deniable/client.wasm";\n'
    + 'const options = { endpoint: new URLSearchParams(location.search).get("collector"), consent: "given" };\n'
    + 'window.lost = Promise.all([start({ ...options, name: "lost" }).ready, init().catch((error) => ({ problem: error }))]);\n'
    + "start({ ...options, module }).ready.then(({ state }) => { document.title = `deniable: ${state}`; });\n";
  writeFileSync(`${single}/main.js`, given);
  run(`${wasm}node_modules/.bin/esbuild`, ["main.js", "--bundle", "--loader:.wasm=binary", "--outfile=out.js", "--log-level=error"], single);
  writeFileSync(`${single}/index.html`, "<!doctype html><script src=out.js></script>");
  const lost = await (await opened(context, await served(single), server)).evaluate(() => window.lost.then((all) => all.map(({ problem }) => problem.code)));
  assert.deepEqual(lost, ["cannot-load", "cannot-load"]);
});
