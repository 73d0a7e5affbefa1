// Encodes cases of golden vectors with the entry `deniable/encoder`, in Node or in a page; the batch of each in hexadecimal.

const bytes = (hex) => Uint8Array.from(hex.match(/../g), (byte) => parseInt(byte, 16));
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The host gives these bytes, and no others. */
function giveRandomness(given) {
  crypto.getRandomValues = (out) => {
    if (out.length !== given.length) throw new RangeError(`${out.length} random bytes were asked for`);
    out.set(given);
    return out;
  };
}

function encode(encoder, value, epoch, randomness) {
  if (typeof value === "string") return encoder.encodeText(value, epoch, randomness);
  if (Array.isArray(value)) return encoder.encodeChoices(value, epoch, randomness);
  return encoder.encodeChoice(value, epoch, randomness);
}

export function batch({ DeviceSecret, Encoder, Params, Randomness, writeBatch }, given) {
  const { metric, version, params, secret, seed, write_key, batch_id, epoch, values } = given;
  giveRandomness(bytes(seed));
  const randomness = Randomness.fromCrypto();
  const encoder = new Encoder(metric, version, new Params(params), DeviceSecret.fromBytes(bytes(secret)));
  const reports = values.map((value, i) => encode(encoder, value, epoch + i, randomness));
  giveRandomness(bytes(batch_id));
  return hex(writeBatch(reports, write_key));
}
