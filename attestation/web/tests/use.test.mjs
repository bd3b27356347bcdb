// The package as people use it: typed, bundled for a browser, imported by one; and what the page's
// Content-Security-Policy forbids, shown beside a page without one.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join } from "node:path";
import { test } from "node:test";
import { folder, policy, vectors, web } from "./support.mjs";

const modules = process.env.VOUCHSAFE_NODE_MODULES;
const require = createRequire(join(modules, "x.js"));
const { chromium } = require("playwright-core");
const TYPES = { ".js": "text/javascript", ".wasm": "application/wasm", ".html": "text/html" };

/** Serves a folder on this machine, and records what is asked for. */
async function serve(context, root) {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(request.url);
    try {
      const content = readFileSync(join(root, request.url === "/" ? "index.html" : request.url));
      response.setHeader("content-type", TYPES[extname(request.url)] ?? "text/html").end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => server.close());
  return { asked, origin: `http://127.0.0.1:${server.address().port}` };
}

async function browserOf(context) {
  const browser = await chromium.launch({ executablePath: process.env.VOUCHSAFE_CHROMIUM, args: ["--no-sandbox"] });
  context.after(() => browser.close());
  return browser;
}

/** A project that depends on the package. */
function project(context) {
  const home = folder(context);
  const place = join(home, "node_modules/@vouchsafe/verify");
  mkdirSync(place, { recursive: true });
  cpSync(join(web, "package"), place, { recursive: true });
  return home;
}

test("the types stand alone, for Node and for browsers", (context) => {
  const home = project(context);
  writeFileSync(join(home, "package.json"), '{"type":"module"}');
  writeFileSync(
    join(home, "use.ts"),
    `import { VouchsafeError, decisionOf, load, verifyBundle, type Verdict } from "@vouchsafe/verify";
await load(new Uint8Array());
const verdict: Verdict = await verifyBundle({ bundle: "", policy: new Uint8Array(), revocations: "" });
const word: "accepted" | "rejected" | "incomplete" = decisionOf(verdict, true);
const error = new VouchsafeError("revocations_unusable", word);
// @ts-expect-error: no such code.
new VouchsafeError("other", error.code);
// @ts-expect-error: a policy is needed.
await verifyBundle({ bundle: "" });
`,
  );
  const tsc = require.resolve("typescript/package.json").replace("package.json", "bin/tsc");
  for (const lib of ["ES2022", "ES2022,DOM"]) {
    const words = ["--strict", "--noEmit", "--target", "ES2022", "--module", "NodeNext", "--lib", lib, "--types", "", "use.ts"];
    execFileSync(process.execPath, [tsc, ...words], { cwd: home, stdio: "inherit" });
  }
});

test("a bundler takes the package for browsers, and it judges there", async (context) => {
  const snp = vectors("snp");
  if (!snp) return;
  const home = project(context);
  writeFileSync(join(home, "use.js"), 'export { verifySnp } from "@vouchsafe/verify";');
  require("esbuild").buildSync({
    absWorkingDir: home, entryPoints: ["use.js"], bundle: true, format: "esm", platform: "browser", outfile: "site/use.js", logLevel: "error",
  });
  const site = join(home, "site");
  cpSync(join(web, "package/vouchsafe_web_bg.wasm"), join(site, "vouchsafe_web_bg.wasm"));
  cpSync(join(web, "package"), join(site, "plain"), { recursive: true });
  writeFileSync(join(site, "index.html"), "<!doctype html><title>use</title>");
  const { origin } = await serve(context, site);
  const page = await (await browserOf(context)).newPage();
  await page.goto(origin);
  const given = {
    report: readFileSync(join(snp, "genoa-v5-siena/report.bin")).toString("base64"),
    vek: readFileSync(join(snp, "genoa-v5-siena/vek.der")).toString("base64"),
    policy: readFileSync(policy("evidence-strict"), "utf8"),
  };
  for (const file of ["/use.js", "/plain/index.js"]) {
    const verdict = await page.evaluate(
      async ([file, { report, vek, policy }]) => {
        const { verifySnp } = await import(file);
        const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
        return (await verifySnp({ report: bytes(report), vek: bytes(vek), policy, at: "2026-02-20T00:00:00Z" })).verdict;
      },
      [file, given],
    );
    assert.equal(verdict, "accepted", file);
  }
});

test("the page's policy forbids every way of sending that it names, and without it they arrive", async (context) => {
  const home = folder(context);
  const html = readFileSync(join(web, "verify.html"), "utf8");
  const bare = html.replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/, "");
  assert.notEqual(bare, html);
  writeFileSync(join(home, "page.html"), html);
  writeFileSync(join(home, "bare.html"), bare);
  writeFileSync(join(home, "done.html"), "<!doctype html><title>done</title>");
  const { asked, origin } = await serve(context, home);
  const browser = await browserOf(context);
  const ways = ["fetch", "beacon", "image", "script", "style", "frame", "form", "socket"];
  const tried = async (address) => {
    const page = await browser.newPage();
    await page.goto(address);
    asked.length = 0;
    await page.evaluate(async () => {
      const put = (name, attributes) => document.body.append(Object.assign(document.createElement(name), attributes));
      await fetch("/fetch").catch(() => {});
      navigator.sendBeacon("/beacon", "x");
      put("img", { src: "/image" });
      put("script", { src: "/script" });
      put("link", { rel: "stylesheet", href: "/style" });
      put("iframe", { src: "/frame" });
      put("iframe", { name: "target" });
      const form = document.createElement("form");
      Object.assign(form, { action: "/form", target: "target", method: "post" });
      document.body.append(form);
      form.submit();
      try {
        new WebSocket(`ws://${location.host}/socket`);
      } catch {}
    });
    return page;
  };
  // Without the policy each arrives: so the test sees what it is there to see.
  const control = await tried(`${origin}/bare.html`);
  for (const way of ways.filter((way) => way !== "socket")) {
    await waitFor(() => asked.includes(`/${way}`), way);
  }
  await control.close();
  const page = await tried(`${origin}/page.html`);
  // What is sent last arrives last: this one is allowed, for navigation is not the policy's matter.
  await page.goto(`${origin}/done.html`);
  assert.deepEqual(asked.filter((url) => ways.includes(url.slice(1))), []);
  const csp = html.match(/Content-Security-Policy" content="([^"]*)"/)[1];
  assert.match(csp, /^default-src 'none'; script-src 'sha256-[^']+' 'wasm-unsafe-eval'; style-src 'sha256-[^']+'; img-src data:; base-uri 'none'; form-action 'none'$/);
});

async function waitFor(holds, what) {
  for (let tries = 0; tries < 600; tries += 1) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`never: ${what}`);
}
