// A Node script that answers a question for itself. Argument: the collector's address.
import { readFile, rename, writeFile } from "node:fs/promises";

import { start } from "deniable";

/** A state in files beside this script, for one process at a time. Without a storage it would be gone with the process. */
class Files {
  kind = "files";

  async load() {
    const bytes = await this.read("state");
    return bytes && { commit: bytes.readUInt32LE(), bytes: new Uint8Array(bytes.subarray(4)) };
  }

  async commit() {
    return (await this.load())?.commit ?? 0;
  }

  async save({ commit, bytes }, before) {
    if ((await this.commit()) !== before) return false;
    const head = Buffer.alloc(4);
    head.writeUInt32LE(commit);
    await this.keep("state", Buffer.concat([head, bytes]));
    return true;
  }

  async read(name) {
    return readFile(`deniable-${name}`).catch(() => undefined);
  }

  async keep(name, bytes) {
    await writeFile(`deniable-${name}.new`, bytes, { flush: true });
    await rename(`deniable-${name}.new`, `deniable-${name}`);
  }
}

const endpoint = process.argv[2] ?? "http://127.0.0.1:8080";
const deniable = start({ endpoint, consent: "given", storage: new Files(), delaySeconds: 0 });
const { problem } = await deniable.ready;
if (problem) console.error(problem.code, problem.message);

console.log("choice:", deniable.record("choice", true));
await deniable.flush();
await deniable.flush();
const { client } = deniable.status();
console.log(`${client.uploads.counted} counted; ε left: ${deniable.ledger().forLife.left.toFixed(2)}`);
