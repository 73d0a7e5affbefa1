// Prints all that can be read of parameters, an encoder and a report, and the batch of that report.
// Argument: the package's folder.
import { pathToFileURL } from "node:url";

const { init, DeviceSecret, Encoder, Params, Randomness, writeBatch } = await import(
  pathToFileURL(`${process.argv[2]}/encoder.node.js`).href
);
await init();

const params = Params.rappor({ bits: 100, hashes: 2, cohorts: 65536, f: 0.5, p: 0.25, q: 0.75 });
const drawn = DeviceSecret.draw();
const encoder = new Encoder("relying_party", 7, params, drawn);
const restored = new Encoder("relying_party", 7, params, DeviceSecret.fromBytes(drawn.toBytes()));
const report = encoder.encodeText("shop.example", 20000, Randomness.fromCrypto());
const { metric, version, epoch, cohort, bits } = report;

console.log(
  JSON.stringify({
    fingerprint: params.fingerprint,
    epsilons: [params.epsilonOne, params.epsilonInfinity].map(String),
    cohorts: [encoder.cohort, restored.cohort, cohort],
    report: [metric, version, epoch],
    bits: [...bits],
    batch: [...writeBatch([report])],
  }),
);
