/*
 * The client for pages without a build step: one script tag, served from the page's own origin.
 *
 *   <script src="/deniable/script.js" data-endpoint="https://answers.example" data-consent="given" defer></script>
 *
 * Its attributes are the options `endpoint`, `key`, `consent`, `name`, `delay-seconds` and `debug`; `data-integrity` is the hash of
 * `client.wasm`; the client is `window.deniable`.
 * With `data-page-views` each page that is opened is told as `page`, by the name that the attribute gives or the page's path.
 * Elements tell of themselves: `data-deniable="signed_up"` names an event, `data-deniable-properties` has its properties as JSON,
 * and `data-deniable-on` says when: `click`, `submit` (for forms without saying so) or `view`, once the element is there.
 */

import { start, type Client, type Consent, type Properties } from "./deniable.js";

declare global {
  interface Window {
    /** The client that the script tag started. */
    deniable?: Client;
  }
}

const script = document.currentScript as HTMLScriptElement | null;

// An element whose id is `deniable` has that name until the client does.
if (!script) console.warn("deniable: script.js is for a script tag without type=module");
else if (!window.deniable?.track) begin(script, script.dataset);

function begin({ src }: HTMLScriptElement, data: DOMStringMap): void {
  const client = (window.deniable = start({
    endpoint: data["endpoint"] ?? new URL(src).origin,
    consent: (data["consent"] ?? "pending") as Consent,
    delaySeconds: Number(data["delaySeconds"] ?? 3600),
    debug: "debug" in data,
    module: new Request(new URL("client.wasm", src), { integrity: data["integrity"] ?? "" }),
    ...(data["key"] && { key: data["key"] }),
    ...(data["name"] && { name: data["name"] }),
  }));
  for (const kind of ["click", "submit"]) {
    document.addEventListener(kind, (event) => told(client, kind, event.target as Element), { capture: true });
  }
  // What the browser makes ready ahead, and perhaps for nothing, nobody sees yet.
  once((document as { prerendering?: boolean }).prerendering, "prerenderingchange", () => {
    const pageName = data["pageViews"];
    if (pageName !== undefined) client.page(pageName || location.pathname);
    once(document.readyState === "loading", "DOMContentLoaded", () => viewed(client));
  });
}

/** Acts now, or on an event of the document where it is to come. */
function once(isToCome: boolean | undefined, event: string, act: () => void): void {
  if (isToCome) document.addEventListener(event, act, { once: true });
  else act();
}

/** An event of the page reached an element; the nearest one around it that tells of this kind does. */
function told(client: Client, kind: string, target: Element | null): void {
  const element = target?.closest?.<HTMLElement>("[data-deniable]");
  const when = element?.dataset["deniableOn"] ?? (element?.localName === "form" ? "submit" : "click");
  if (element && when === kind) tell(client, element);
}

function viewed(client: Client): void {
  document.querySelectorAll<HTMLElement>("[data-deniable][data-deniable-on=view]").forEach((element) => tell(client, element));
}

function tell(client: Client, { dataset }: HTMLElement): void {
  let properties: Properties = {};
  try {
    properties = JSON.parse(dataset["deniableProperties"] ?? "{}");
  } catch {
    console.warn(`deniable: data-deniable-properties of ${dataset["deniable"]} is no JSON, so it is left out`);
  }
  client.track(dataset["deniable"]!, properties);
}
