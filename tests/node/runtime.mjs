// Both entries of the installed package, in whichever program runs this: prints what they say. Argument: the collector's address.
import { MemoryStorage, start } from "deniable";
import { DeviceSecret, Encoder, Params, Randomness, init, writeBatch } from "deniable/encoder";

await init();
const params = Params.rappor({ bits: 128, hashes: 2, cohorts: 64, f: 0.5, p: 0.25, q: 0.75 });
const encoder = new Encoder("host", 1, params, DeviceSecret.fromBytes(new Uint8Array(32).fill(7)));
const report = encoder.encodeText("shop.example", 20_000, Randomness.fromCrypto());
const encoded = [params.fingerprint, report.cohort, report.bits.length, writeBatch([report]).length];

const deniable = start({ endpoint: process.argv[2], consent: "given", storage: new MemoryStorage(), delaySeconds: 0 });
await deniable.ready;
const said = [deniable.track("opened", { screen: "cart" }), deniable.record("choice", true)];
const answer = deniable.preview().find(({ metric }) => metric === "first_screen").answer;
await deniable.flush();
console.log(JSON.stringify({ encoded, said, answer, counted: deniable.status().client.uploads.counted }));
// A module that is not there is told of, and ends nothing.
const lost = start({ endpoint: process.argv[2], consent: "given", storage: new MemoryStorage(), module: Promise.reject(new Error("lost")) });
console.log((await lost.ready).problem.code);
