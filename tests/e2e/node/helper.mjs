// Runs the TypeScript helper of docs/check-a-receipt.md: its types are taken out, and nothing is put in.
//
// Usage: helper.mjs NODE_MODULES HELPER.ts BUNDLE REQUEST RESPONSE BOOT

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, helper, bundle, request, response, boot] = process.argv.slice(2);
const { transformSync } = createRequire(join(modules, "x.js"))("amaro");
const { code } = transformSync(readFileSync(helper, "utf8"), { mode: "strip-only" });
const { check } = await import(`data:text/javascript;base64,${Buffer.from(code).toString("base64")}`);
const bytes = (path) => new Uint8Array(readFileSync(path));
try {
  const checked = await check(JSON.parse(readFileSync(bundle, "utf8")), bytes(request), bytes(response), boot);
  console.log(JSON.stringify(checked));
} catch (problem) {
  console.error(`not proved: ${problem.message}`);
  process.exit(1);
}
