import { start } from "deniable";
import "deniable/panel";

const endpoint = new URLSearchParams(location.search).get("collector") ?? "http://127.0.0.1:8080";
const deniable = start({ endpoint, consent: "given", delaySeconds: 60 });

document.querySelector("deniable-panel")!.client = deniable;
document.querySelector<HTMLFormElement>("#search")!.addEventListener("submit", (event) => {
  event.preventDefault();
  deniable.track("opened", { screen: "search" });
});

deniable.page("search");
deniable.track("opened", { screen: "home" });
const { state, problem } = await deniable.ready;
document.title = `deniable: ${state}`;
if (problem) console.warn(problem.code, problem.message);
