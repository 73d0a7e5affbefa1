// Provokes each refusal of the package and prints what was thrown, by name.
// Argument: the package's folder.
import { pathToFileURL } from "node:url";

const { init, DeniableError, DeviceSecret, Encoder, Params, Randomness, writeBatch } = await import(
  pathToFileURL(`${process.argv[2]}/encoder.node.js`).href
);
await init();

const classic = { bits: 16, hashes: 2, cohorts: 8, f: 0.5, p: 0.25, q: 0.75 };
const stage = { zero: 0.25, one: 0.75 };
const list = { encoding: "unary", bits: 4, hashes: 2, instantaneous: stage };
const secret = DeviceSecret.draw();
const randomness = Randomness.fromCrypto();
const texts = new Encoder("m", 1, Params.rappor(classic), secret);
const choices = new Encoder("m", 1, new Params(list), secret);
const report = () => texts.encodeText("x", 1, randomness);
const spent = report();
writeBatch([spent]);
const wide = new Encoder("m", 1, new Params({ ...list, bits: 4096 }), secret);

function withCrypto(crypto, act) {
  const host = Object.getOwnPropertyDescriptor(globalThis, "crypto");
  Object.defineProperty(globalThis, "crypto", { value: crypto, configurable: true });
  try {
    act();
  } finally {
    Object.defineProperty(globalThis, "crypto", host);
  }
}

function failing() {
  throw new Error("quota");
}

const refusals = {
  bits_out_of_range: () => Params.rappor({ ...classic, bits: 4097 }),
  bits_half: () => Params.rappor({ ...classic, bits: 0.5 }),
  bits_wrapping: () => Params.rappor({ ...classic, bits: 2 ** 32 + 16 }),
  bits_nan: () => Params.rappor({ ...classic, bits: NaN }),
  bits_as_text: () => Params.rappor({ ...classic, bits: "16" }),
  field_missing: () => Params.rappor({ ...classic, q: undefined }),
  field_misspelt: () => new Params({ ...list, cohort: 8 }),
  stage_misspelt: () => new Params({ ...list, permanent: { zero: 0.25, two: 0.75 } }),
  no_object: () => new Params("bloom"),
  nothing: () => new Params(null),
  encoding_unknown: () => new Params({ ...list, encoding: "flower" }),
  no_probability: () => Params.rappor({ ...classic, f: 1.5 }),
  no_information: () => Params.rappor({ ...classic, p: 0.75 }),
  no_stage: () => new Params({ ...list, instantaneous: undefined }),
  unprotected: () => new Params({ ...list, instantaneous: { zero: 0, one: 0.5 } }),
  not_direct: () => new Params({ encoding: "direct", bits: 3, instantaneous: stage }),
  metric_name: () => new Encoder("Metric", 1, Params.rappor(classic), secret),
  version_negative: () => new Encoder("m", -1, Params.rappor(classic), secret),
  secret_short: () => DeviceSecret.fromBytes(new Uint8Array(31)),
  wrong_kind: () => texts.encodeChoice(1, 1, randomness),
  unknown_choice: () => choices.encodeChoice(4, 1, randomness),
  half_a_choice: () => choices.encodeChoice(0.5, 1, randomness),
  too_many_choices: () => choices.encodeChoices([0, 1, 2], 1, randomness),
  text_empty: () => texts.encodeText("", 1, randomness),
  text_long: () => texts.encodeText("é".repeat(2049), 1, randomness),
  epoch_in_milliseconds: () => texts.encodeText("x", 1.7e12, randomness),
  batch_empty: () => writeBatch([]),
  batch_too_large: () => writeBatch(Array.from({ length: 2048 }, () => wide.encodeChoice(0, 1, randomness))),
  batch_id_short: () => writeBatch([report()], undefined, new Uint8Array(15)),
  batch_key_short: () => writeBatch([report()], "0123"),
  report_spent: () => writeBatch([spent]),
  report_forged: () => writeBatch([{ metric: "m", bits: new Uint8Array(2) }]),
  no_crypto: () => withCrypto(undefined, () => Randomness.fromCrypto()),
  no_crypto_for_a_secret: () => withCrypto({}, () => DeviceSecret.draw()),
  crypto_failing: () => withCrypto({ getRandomValues: failing }, () => Randomness.fromCrypto()),
  crypto_failing_for_an_id: () => withCrypto({ getRandomValues: failing }, () => writeBatch([report()])),
};

function thrown(provoke) {
  try {
    provoke();
  } catch (error) {
    return { ours: error instanceof DeniableError && error instanceof Error, name: error.name, code: error.code, message: error.message };
  }
  return { ours: false, message: "nothing was thrown" };
}

console.log(JSON.stringify(Object.entries(refusals).map(([name, provoke]) => [name, thrown(provoke)])));
