/**
 * `<deniable-panel>`: shows the visitor each question, their true answer, the odds, what was sent and the ε left, and lets them stop.
 *
 * Importing this file defines the element. Its `client` is `window.deniable` unless set. It is light or dark as the page's
 * `color-scheme` says. Looks are set by the custom properties `--deniable-colour`, `--deniable-background`, `--deniable-accent`,
 * `--deniable-on-accent`, `--deniable-border` and `--deniable-font`, and by the parts `panel`, `title`, `budget`, `question`, `answer`,
 * `odds` and `button`. Words are in `words`, for other languages.
 *
 * @module
 */

import type { Budget, Client, Ledger, Odds, Preview, Spent, Status } from "./deniable.js";

const REFRESH_MS = 2000;

/** With as many digits as tell it from never and always. */
const percent = (chance: number) => `${(100 * chance).toFixed(Math.min(9, Math.ceil(-Math.log10(10 * Math.min(chance, 1 - chance)))))} %`;

/** What the panel says. Texts may be replaced one by one. */
export const WORDS = {
  /** The language of the words. */
  lang: "en",
  title: "What this site can learn of you",
  intro: "Answers are kept in this browser. What leaves it is changed by chance, so that nobody can tell yours from it for certain.",
  off: "Nothing is kept or sent.",
  offline: "Nothing is kept or sent: this page cannot run the program that answers.",
  memory: "This browser keeps nothing for this site, so all is forgotten when the page closes.",
  budget: (spent: string, cap: string, left: string) => `Privacy spent: ε ${spent} of at most ${cap}, so ${left} is left`,
  week: (spent: string, cap: string, left: string) => `This week: ε ${spent} of at most ${cap}, so ${left} is left`,
  answer: "Your answer",
  unknown: "known only when the site asks",
  odds: "The odds",
  sent: "Sent",
  reports: (sent: number, waiting: number) => `${sent} ${sent === 1 ? "report" : "reports"}${waiting ? `, and ${waiting} waiting` : ""}`,
  cost: (epsilon: string) => `ε ${epsilon} a report`,
  choice: (odds: Odds & { kind: "choice" }) =>
    `The report names your answer with a chance of ${percent(odds.truth)}, and ${
      odds.answers > 2 ? `each of the ${odds.answers - 1} others` : "the other one"} with ${percent(odds.other)}.`,
  bits: (odds: Odds & { kind: "bits" }) =>
    `The report is ${odds.bits} coin tosses. Those of your answer fall on “yes” with a chance of ${percent(odds.set)}, all others with ${percent(odds.unset)}.`,
  stopped: { week: "no more this week", life: "no more" },
  none: "No questions yet.",
  stop: "Stop, and erase what is kept",
  resume: "Take part",
};

// The colours stand out by 4.5 : 1 in texts and 3 : 1 elsewhere, on light and on dark.
const STYLE = `
:host { display: block; font: var(--deniable-font, 1rem/1.5 system-ui, sans-serif); color: var(--deniable-colour, CanvasText); }
section { --accent: var(--deniable-accent, #2a6fdb); --border: 1px solid var(--deniable-border, #767676); background: var(--deniable-background, Canvas); border: var(--border); border-radius: .5rem; padding: 1rem 1.25rem; max-width: 42rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25em; margin: 0 0 .5rem; } h3 { font-size: 1em; margin: 0; } p { margin: .25rem 0 .75rem; }
ul { list-style: none; margin: 1rem 0; padding: 0; } li { border-top: var(--border); padding: .75rem 0; }
dl { display: grid; grid-template-columns: fit-content(40%) 1fr; gap: .15rem 1rem; margin: .35rem 0 0; } dt { opacity: .8; } dd { margin: 0; }
[part=answer] { font-weight: 600; }
label { display: block; margin: .5rem 0; }
progress { appearance: none; display: block; width: 100%; height: .6rem; margin-top: .25rem; border: var(--border); border-radius: .3rem; overflow: hidden; background: none; }
::-webkit-progress-bar { background: none; } ::-webkit-progress-value { background: var(--accent); } ::-moz-progress-bar { background: var(--accent); }
button { font: inherit; color: var(--deniable-on-accent, #fff); background: var(--accent); border: 0; border-radius: .375rem; margin-top: .5rem; padding: .5rem 1rem; cursor: pointer; }
button:hover { text-decoration: underline; } button:focus-visible { outline: 3px solid; outline-color: var(--deniable-colour, CanvasText); outline-offset: 3px; }
@media (max-width: 24rem) { dl { grid-template-columns: 1fr; } dt { margin-top: .35rem; } }
@media (forced-colors: active) { button { border: 1px solid; } progress { --accent: Highlight; forced-color-adjust: none; } }
`;

type Words = typeof WORDS;

/** What is shown. */
interface State {
  status: Status | undefined;
  previews: Preview[];
  ledger: Ledger | undefined;
}

/** An element with its attributes and children. */
function make(tag: string, attributes: Record<string, string>, ...children: (Node | string)[]): HTMLElement {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const number = (epsilon: number) => (Math.ceil(epsilon * 100) / 100).toFixed(2);

/** A program that makes pages ahead of the browser imports this file too, and finds no elements. */
const Base: typeof HTMLElement = globalThis.HTMLElement ?? Object;

/** The element. */
export class DeniablePanel extends Base {
  #words: Partial<Words> = {};
  #client: Client | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #shown = "";
  readonly #root = this.attachShadow({ mode: "open" });
  readonly #title = make("h2", { part: "title", id: "title" });
  readonly #says = make("p", { role: "status" });
  readonly #rest = make("div", {});
  readonly #section = make("section", { part: "panel", "aria-labelledby": "title" }, this.#title, this.#says, this.#rest);

  /** What it says, in place of {@link WORDS}. */
  get words(): Partial<Words> {
    return this.#words;
  }

  set words(words: Partial<Words>) {
    this.#words = words;
    this.#shown = "";
    this.refresh();
  }

  /** The client that it shows. */
  get client(): Client | undefined {
    const { deniable } = globalThis as { deniable?: Client };
    // An element whose id is `deniable` has that name too.
    return this.#client ?? (deniable?.track && deniable);
  }

  set client(client: Client | undefined) {
    this.#client = client;
    this.refresh();
  }

  connectedCallback(): void {
    // What was set before the element was defined would hide the setters.
    for (const name of ["client", "words"] as const) {
      const before = Object.getOwnPropertyDescriptor(this, name);
      if (before && Reflect.deleteProperty(this, name)) this[name] = before.value;
    }
    // A sheet of its own, since a content policy may refuse styles in the page.
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    this.#root.adoptedStyleSheets = [sheet];
    this.#root.append(this.#section);
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
    const state: State = { status: client?.status(), previews: client?.preview() ?? [], ledger: client?.ledger() };
    const { status } = state;
    const shown = JSON.stringify([status?.state, status?.storage, status?.consent, state.previews, state.ledger]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const words = { ...WORDS, ...this.words };
    const isOff = status?.state === "off";
    const takesPart = status?.consent === "given" && !isOff;
    const hadFocus = this.#root.activeElement?.id;
    this.#title.textContent = words.title;
    this.#section.lang = words.lang;
    // It stays, so that it is read out when it changes, and then alone.
    const says = takesPart ? words.intro : isOff ? words.offline : words.off;
    if (this.#says.textContent !== says) this.#says.textContent = says;
    this.#rest.replaceChildren(...this.#state(words, state, takesPart).filter((child) => child !== undefined));
    if (hadFocus) this.#root.getElementById(hadFocus)?.focus();
  }

  #state(words: Words, { status, previews, ledger }: State, takesPart: boolean): (Node | undefined)[] {
    const questions = previews.map((preview) => {
      return this.#question(words, preview, ledger?.metrics.filter(({ metric }) => metric === preview.metric) ?? []);
    });
    return [
      takesPart && status?.storage === "memory" ? make("p", {}, words.memory) : undefined,
      ledger && this.#budget(words.budget, ledger.forLife),
      ledger && this.#budget(words.week, ledger.thisWeek),
      takesPart ? (questions.length ? make("ul", {}, ...questions) : make("p", {}, words.none)) : undefined,
      status && status.state !== "off" ? this.#button(words, takesPart) : undefined,
    ];
  }

  #budget(words: Words["budget"], { spent, cap }: Budget): HTMLElement {
    const rounded = Math.min(Math.ceil(spent * 100) / 100, cap);
    const label = words(rounded.toFixed(2), cap.toFixed(2), (cap - rounded).toFixed(2));
    return make("label", { part: "budget" }, label, make("progress", { max: String(cap), value: String(rounded) }, label));
  }

  #question(words: Words, preview: Preview, spent: Spent[]): HTMLElement {
    const { odds } = preview;
    const chances = odds.kind === "choice" ? words.choice(odds) : words.bits(odds);
    const sum = (of: "reports" | "waiting") => spent.reduce((sum, version) => sum + version[of], 0);
    const stopped = spent.find(({ stoppedBy }) => stoppedBy)?.stoppedBy;
    const sent = words.reports(sum("reports") - sum("waiting"), sum("waiting"));
    return make("li", { part: "question" },
      make("h3", {}, preview.question),
      make("dl", {},
        make("dt", {}, words.answer), make("dd", { part: "answer" }, preview.answer ?? words.unknown),
        make("dt", {}, words.odds), make("dd", { part: "odds" }, chances),
        make("dt", {}, words.sent),
        make("dd", {}, `${sent} · ${words.cost(number(preview.epsilonOne))}${stopped ? ` · ${words.stopped[stopped]}` : ""}`),
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

declare global {
  interface HTMLElementTagNameMap {
    "deniable-panel": DeniablePanel;
  }
}

if (globalThis.customElements && !customElements.get("deniable-panel")) customElements.define("deniable-panel", DeniablePanel);
