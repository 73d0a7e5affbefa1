// Stands in for the network: what is posted to a collector goes into the file BODY, and is answered with 200.
import { writeFileSync } from "node:fs";

globalThis.fetch = async (url, { method, body }) => {
  if (method !== "POST" || new URL(url).pathname !== "/v1/reports") return new Response(null, { status: 404 });
  writeFileSync(process.env.BODY, body);
  return new Response(null, { status: 200 });
};
