// Encodes the cases of a JSON file with the package, and prints the batch of each in hexadecimal.
// Arguments: the package's folder, the file.
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [folder, file] = process.argv.slice(2);
const { init, DeviceSecret, Encoder, Params, Randomness, writeBatch } = await import(
  pathToFileURL(`${folder}/encoder.node.js`).href
);
await init();

/** The host gives these bytes, and no others. */
function giveRandomness(bytes) {
  crypto.getRandomValues = (out) => {
    if (out.length !== bytes.length) throw new RangeError(`${out.length} random bytes were asked for`);
    out.set(bytes);
    return out;
  };
}

function encode(encoder, value, epoch, randomness) {
  if (typeof value === "string") return encoder.encodeText(value, epoch, randomness);
  if (Array.isArray(value)) return encoder.encodeChoices(value, epoch, randomness);
  return encoder.encodeChoice(value, epoch, randomness);
}

function batch({ metric, version, params, secret, seed, write_key, batch_id, epoch, values }) {
  giveRandomness(Buffer.from(seed, "hex"));
  const randomness = Randomness.fromCrypto();
  const encoder = new Encoder(
    metric,
    version,
    new Params(params),
    DeviceSecret.fromBytes(Buffer.from(secret, "hex")),
  );
  const reports = values.map((value, i) => encode(encoder, value, epoch + i, randomness));
  giveRandomness(Buffer.from(batch_id, "hex"));
  return Buffer.from(writeBatch(reports, write_key)).toString("hex");
}

const cases = JSON.parse(await readFile(file, "utf8"));
console.log(JSON.stringify(cases.map(batch)));
