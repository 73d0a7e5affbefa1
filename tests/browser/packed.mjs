// The packed package, installed as its users do: a Node script, a Vite application with its types, and a webpack bundle.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { browser, collector, pages, test } from "./harness.mjs";

const [packageFolder, , folder] = process.argv.slice(2);
const wasm = new URL("../../wasm/", import.meta.url).pathname;
const run = (program, flags, cwd) => execFileSync(program, flags, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
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

/** Opens a bundle in a browser, and says what became of its client. */
async function opened(context, site, server) {
  const html = readFileSync(`${site}/index.html`);
  const special = { "/": (_, answer) => answer.writeHead(200, { "content-type": "text/html" }).end(html) };
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(`${await pages({ site, special })}/?collector=${encodeURIComponent(server.address)}`);
  await page.waitForFunction(() => document.title.startsWith("deniable: "));
  assert.deepEqual(errors, []);
  return page.title();
}

await test(async () => {
  const tarball = `${folder}/${run("npm", ["pack", "--pack-destination", folder, packageFolder]).trim().split("\n").pop()}`;
  const [server, context] = [await collector(), await browser()];

  const node = install("node", tarball, `${wasm}examples/node`);
  for (const counted of [1, 2]) {
    assert.match(run("node", ["report.mjs", server.address], node), new RegExp(`choice: reported\n${counted} counted; ε left: `));
  }

  const vite = install("vite", tarball, `${wasm}examples/vite`);
  const strict = "--strict --noEmit --target es2022 --module esnext --moduleResolution bundler --lib es2022,dom --types";
  tool("typescript/bin/tsc", [...strict.split(" "), "", "src/main.ts"], vite);
  tool("vite/bin/vite.js", ["build", "--logLevel", "error"], vite);
  assert.equal(await opened(context, `${vite}/dist`, server), "deniable: running");

  const webpack = install("webpack", tarball);
  const main = 'import { start } from "deniable";\nimport "deniable/panel";\nconst endpoint = new URLSearchParams(location.search).get("collector");\n'
    + 'start({ endpoint, consent: "given" }).ready.then(({ state }) => { document.title = `deniable: ${state}`; });\n';
  mkdirSync(`${webpack}/src`);
  writeFileSync(`${webpack}/src/index.js`, main);
  tool("webpack/bin/webpack.js", ["--mode", "production", "--output-public-path", "/"], webpack);
  writeFileSync(`${webpack}/dist/index.html`, "<!doctype html><script src=main.js></script>");
  assert.equal(await opened(context, `${webpack}/dist`, server), "deniable: running");
});
