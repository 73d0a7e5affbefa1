// The funnel and the two tests of aggregator/data/registries/persona-signin.toml, on one page.
const began = performance.now();
const $ = (id) => document.getElementById(id);
const { deniable } = window;

function ready() {
  deniable.track("dialog_ready", {
    platform: matchMedia("(pointer: coarse)").matches ? "mobile" : "desktop",
    user_kind: "new",
    load_ms: performance.now() - began,
  });
  // The funnel's first step is that the dialog is seen, and its answer for whoever goes no further.
  deniable.track("bounced_at_dialog");
  deniable.track("app_opened");
  deniable.track("button_shown");
  // Both arms are drawn on the device. Without consent there is none, and the page is as it always was.
  $("again").hidden = deniable.experiment("variant").arm() === "short_form";
  $("elsewhere").dataset.arm = deniable.experiment("placement").arm() ?? "inline";
}

$("yes").onclick = async () => {
  await deniable.optIn();
  $("consent").hidden = true;
  ready();
};
$("no").onclick = () => {
  deniable.optOut();
  $("consent").hidden = true;
};
$("email").addEventListener("submit", (event) => {
  event.preventDefault();
  $("email").hidden = true;
  $("password").hidden = false;
});
$("password").addEventListener("submit", (event) => {
  event.preventDefault();
  $("password").hidden = true;
  $("done").hidden = false;
  deniable.track("signed_in");
  deniable.track("rp_signin", { host: document.referrer ? new URL(document.referrer).hostname : location.hostname });
});

const { consent } = await deniable.ready;
if (consent === "given") {
  $("consent").hidden = true;
  ready();
}
