//! The wrappers that `deniable gen --lang ts` writes, under the strictest TypeScript: right uses compile and wrong ones do not.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::process::Command;

use deniable_tests::node;

const USES: &str = r#"
import { typed as onboarding } from "./onboarding.ts";
import { typed as campaign } from "./campaign.ts";
import { typed as services } from "./fxa-services.ts";
import { typed as persona } from "./persona-signin.ts";
import { typed as names } from "./names.ts";

const given: unknown[] = [];
const client = {
  track(name: string, properties: Record<string, string | number | boolean> = {}): Promise<number> {
    given.push([name, properties]);
    return Promise.resolve(given.length);
  },
};

const app = onboarding(client);
const answer: Promise<number> = app.track("activated");
app.track("account_created", { device: "iOS", followers: 3 });
app.track("account_created", { device: "other" });
app.track("page_viewed", {});
campaign(client).track("donated", { usd: 0.5 });
services(client).track("account_login", { mobile: true });
persona(client).track("rp_signin", { host: "shop.example" });
names(client).track("Sign Up!", { "first name": "a", "first-name": "b", type: "*/ // \"quoted\" \\ ★" });
names(client).track("new\nline");

// @ts-expect-error: no such event
app.track("account_made");
// @ts-expect-error: no such property
app.track("account_created", { devise: "iOS" });
// @ts-expect-error: no such label
app.track("account_created", { device: "Toaster" });
// @ts-expect-error: a label of another property
app.track("account_created", { device: "agency" });
// @ts-expect-error: another type
app.track("account_created", { followers: "many" });
// @ts-expect-error: an event without properties
app.track("activated", { device: "iOS" });
// @ts-expect-error: another type
services(client).track("account_login", { mobile: "yes" });

void answer;
console.log(JSON.stringify(given));
"#;

#[test]
fn typescript_takes_right_uses_and_refuses_wrong_ones() {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(node::path("aggregator/tests/generated")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ts") {
            fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    fs::write(folder.path().join("uses.ts"), USES).unwrap();
    fs::write(folder.path().join("package.json"), r#"{ "type": "module" }"#).unwrap();
    let compiler = node::path("wasm/node_modules/.bin/tsc");
    assert!(compiler.exists(), "TypeScript is not installed; install it with `cargo xtask wasm`");
    let options = [
        "--strict",
        "--exactOptionalPropertyTypes",
        "--noUncheckedIndexedAccess",
        "--noUnusedLocals",
        "--target",
        "es2022",
        "--module",
        "nodenext",
        "--rewriteRelativeImportExtensions",
        "--lib",
        "es2022,dom",
        "--types",
        "",
        "uses.ts",
    ];
    node::run(Command::new(compiler).current_dir(folder.path()).args(options));
    let given = node::node([&*folder.path().join("uses.js")]);
    let given: Vec<(String, serde_json::Value)> = serde_json::from_str(&given).unwrap();
    // The wrong uses are not stopped at run time: the device drops what it does not know.
    assert_eq!(given.len(), 16);
    assert_eq!(given[1].0, "account_created");
    assert_eq!(given[1].1, serde_json::json!({ "device": "iOS", "followers": 3 }));
    assert_eq!(given[7].1["type"], "*/ // \"quoted\" \\ ★");
    assert_eq!(given[8].0, "new\nline");
}
