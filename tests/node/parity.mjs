// Encodes the cases of a JSON file with the package, and prints the batch of each in hexadecimal.
// Arguments: the package's folder, the file.
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

import { batch } from "./cases.mjs";

const [folder, file] = process.argv.slice(2);
const encoder = await import(pathToFileURL(`${folder}/encoder.node.js`).href);
await encoder.init();

const cases = JSON.parse(await readFile(file, "utf8"));
console.log(JSON.stringify(cases.map((given) => batch(encoder, given))));
