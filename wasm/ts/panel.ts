/**
 * `<deniable-panel>`: shows the visitor each question, their true answer, the odds, what was sent and the ε left, and lets them stop.
 *
 * Importing this file defines the element. Its `client` is `window.deniable` unless set. Looks are set by the custom properties
 * `--deniable-colour`, `--deniable-background`, `--deniable-accent`, `--deniable-border` and `--deniable-font`, and by the parts
 * `panel`, `title`, `budget`, `question`, `answer`, `odds` and `button`. Words are in `words`, for other languages.
 *
 * @module
 */

import type { Client, Odds, Preview, Spent } from "./deniable.js";

const REFRESH_MS = 2000;

const percent = (chance: number) => `${(100 * chance).toFixed(chance < 0.1 ? 1 : 0)} %`;

/** What the panel says. Texts may be replaced one by one. */
export const WORDS = {
  title: "What this site can learn of you",
  intro: "Answers are kept in this browser. What leaves it is changed by chance, so that nobody can tell yours from it for certain.",
  off: "Nothing is kept or sent.",
  offline: "Nothing is kept or sent: this page cannot run the program that answers.",
  memory: "This browser keeps nothing for this site, so all is forgotten when the page closes.",
  budget: (spent: string, cap: string) => `Privacy spent: ε ${spent} of at most ${cap}`,
  week: (spent: string, cap: string) => `This week: ε ${spent} of at most ${cap}`,
  answer: "Your answer",
  unknown: "known only when the site asks",
  odds: "The odds",
  sent: "Sent",
  reports: (sent: number, waiting: number) => `${sent} ${sent === 1 ? "report" : "reports"}${waiting ? `, and ${waiting} waiting` : ""}`,
  cost: (epsilon: string) => `ε ${epsilon} a report`,
  choice: (odds: Odds & { kind: "choice" }) =>
    `The report names your answer with a chance of ${percent(odds.truth)}, and each of the ${odds.answers - 1} others with ${percent(odds.other)}.`,
  bits: (odds: Odds & { kind: "bits" }) =>
    `The report is ${odds.bits} coin tosses. Those of your answer fall on “yes” with a chance of ${percent(odds.set)}, all others with ${percent(odds.unset)}.`,
  none: "No questions yet.",
  stop: "Stop, and erase what is kept",
  resume: "Take part",
};

const STYLE = `
:host { display: block; color-scheme: light dark; font: var(--deniable-font, 1rem/1.5 system-ui, sans-serif); color: var(--deniable-colour, #1a1a1a); }
[part=panel] { background: var(--deniable-background, #fff); border: 1px solid var(--deniable-border, #767676); border-radius: .5rem; padding: 1rem 1.25rem; max-width: 42rem; }
h2 { font-size: 1.25em; margin: 0 0 .5rem; } h3 { font-size: 1em; margin: 0; } p { margin: .25rem 0 .75rem; }
ul { list-style: none; margin: 1rem 0; padding: 0; } li { border-top: 1px solid var(--deniable-border, #767676); padding: .75rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .35rem 0 0; } dt { opacity: .8; } dd { margin: 0; overflow-wrap: anywhere; }
[part=answer] { font-weight: 600; }
label { display: block; margin: .5rem 0; } progress { display: block; width: 100%; height: .6rem; accent-color: var(--deniable-accent, #0b57d0); }
button { font: inherit; color: #fff; background: var(--deniable-accent, #0b57d0); border: 0; border-radius: .375rem; padding: .5rem 1rem; cursor: pointer; transition: filter .2s; }
button:hover { filter: brightness(.9); } button:focus-visible { outline: 3px solid var(--deniable-colour, CanvasText); outline-offset: 3px; }
@media (prefers-color-scheme: dark) { :host { color: var(--deniable-colour, #f1f1f1); } [part=panel] { background: var(--deniable-background, #1e1e1e); } }
@media (prefers-reduced-motion: reduce) { button { transition: none; } }
@media (forced-colors: active) { button { border: 1px solid; } }
`;

type Words = typeof WORDS;
/** A child, or none. */
type Child = Node | string | false | undefined;

/** An element with its attributes and children. */
function make(tag: string, attributes: Record<string, string>, ...children: Child[]): HTMLElement {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child): child is Node | string => typeof child === "string" || child instanceof Node));
  return element;
}

const number = (epsilon: number) => (Math.ceil(epsilon * 100) / 100).toFixed(2);

/** The element. */
export class DeniablePanel extends HTMLElement {
  /** What it says, in place of {@link WORDS}. */
  words: Partial<Words> = {};
  #client: Client | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #shown = "";
  readonly #root = this.attachShadow({ mode: "open" });

  /** The client that it shows. */
  get client(): Client | undefined {
    return this.#client ?? (globalThis as { deniable?: Client }).deniable;
  }

  set client(client: Client | undefined) {
    this.#client = client;
    this.refresh();
  }

  connectedCallback(): void {
    // A sheet of its own, since a content policy may refuse styles in the page.
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    this.#root.adoptedStyleSheets = [sheet];
    this.refresh();
    this.#timer = setInterval(() => this.refresh(), REFRESH_MS);
  }

  disconnectedCallback(): void {
    clearInterval(this.#timer);
  }

  /** Shows how things stand now. What has not changed is not drawn anew, so that focus and reading go on. */
  refresh(): void {
    if (!this.isConnected) return;
    const { client } = this;
    const state = { status: client?.status(), previews: client?.preview() ?? [], ledger: client?.ledger() };
    const { status } = state;
    const shown = JSON.stringify([status?.state, status?.storage, status?.client?.consent, state.previews, state.ledger]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const hadFocus = this.#root.activeElement?.id;
    this.#root.replaceChildren(this.#panel({ ...WORDS, ...this.words }, state));
    if (hadFocus) this.#root.getElementById(hadFocus)?.focus();
  }

  #panel(words: Words, { status, previews, ledger }: {
    status: ReturnType<Client["status"]> | undefined;
    previews: Preview[];
    ledger: ReturnType<Client["ledger"]>;
  }): HTMLElement {
    const takesPart = status?.client?.consent === "given";
    const questions = previews.map((preview) => {
      const spent = ledger?.metrics.find(({ metric }) => metric === preview.metric);
      return this.#question(words, preview, spent);
    });
    return make("section", { part: "panel", "aria-labelledby": "title" },
      make("h2", { part: "title", id: "title" }, words.title),
      make("p", { role: "status" }, takesPart ? words.intro : status?.state === "off" ? words.offline : words.off),
      status?.storage === "memory" && takesPart && make("p", {}, words.memory),
      ledger && this.#budget(words.budget(number(ledger.forLife.spent), number(ledger.forLife.cap)), ledger.forLife),
      ledger && this.#budget(words.week(number(ledger.thisWeek.spent), number(ledger.thisWeek.cap)), ledger.thisWeek),
      takesPart && (questions.length ? make("ul", {}, ...questions) : make("p", {}, words.none)),
      status && status.state !== "off" && this.#button(words, takesPart),
    );
  }

  #budget(label: string, { spent, cap }: { spent: number; cap: number }): HTMLElement {
    const value = String(Math.min(spent, cap));
    return make("label", { part: "budget" }, label, make("progress", { max: String(cap), value }, label));
  }

  #question(words: Words, preview: Preview, spent: Spent | undefined): HTMLElement {
    const { odds } = preview;
    const chances = odds.kind === "choice" ? words.choice(odds) : words.bits(odds);
    const sent = words.reports((spent?.reports ?? 0) - (spent?.waiting ?? 0), spent?.waiting ?? 0);
    return make("li", { part: "question" },
      make("h3", {}, preview.question),
      make("dl", {},
        make("dt", {}, words.answer), make("dd", { part: "answer" }, preview.answer ?? words.unknown),
        make("dt", {}, words.odds), make("dd", { part: "odds" }, chances),
        make("dt", {}, words.sent), make("dd", {}, `${sent} · ${words.cost(number(preview.epsilonOne))}`),
      ),
    );
  }

  #button(words: Words, takesPart: boolean): HTMLElement {
    const button = make("button", { part: "button", id: "button", type: "button" }, takesPart ? words.stop : words.resume);
    button.addEventListener("click", () => {
      const { client } = this;
      void (takesPart ? client?.optOut() : client?.optIn())?.then(() => this.refresh());
      this.refresh();
    });
    return button;
  }
}

if (!customElements.get("deniable-panel")) customElements.define("deniable-panel", DeniablePanel);
