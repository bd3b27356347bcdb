// The page as people meet it, in Chromium from `file://`: what each file leads to, that nothing is
// requested, that it is usable by everybody, and how long a verdict takes.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { altered, answer, command, flipped, folder, policy, vectors, web } from "./support.mjs";

const require = createRequire(join(process.env.VOUCHSAFE_NODE_MODULES, "x.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const address = pathToFileURL(join(web, "verify.html")).href;
const shots = join(web, "screenshots");

let browser;
before(async () => {
  mkdirSync(shots, { recursive: true });
  browser = await chromium.launch({ executablePath: process.env.VOUCHSAFE_CHROMIUM, args: ["--no-sandbox"] });
});
after(() => browser?.close());

/** An opened page that records what it requests and what goes wrong in it. */
async function open(context, options = {}) {
  const session = await browser.newContext(options);
  context.after(() => session.close());
  const page = await session.newPage();
  const [requests, problems] = [[], []];
  await page.goto(address);
  page.on("request", (request) => requests.push(request.url()));
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(message.text());
  });
  return { page, requests, problems };
}

const drop = (page, ...files) => page.setInputFiles("#pick", files);

/** Waits until the page says something like this beside its result. */
const says = (page, words) => page.locator("#status", { hasText: words }).waitFor({ state: "attached" });

async function shown(page) {
  await page.waitForSelector("#result:not([hidden])");
  const result = page.locator("#result");
  return {
    verdict: await result.getAttribute("data-verdict"),
    code: await result.getAttribute("data-code"),
    milliseconds: Number(await result.getAttribute("data-milliseconds")),
    links: Object.fromEntries(
      await page.$$eval(".link", (all) => all.map((one) => [one.dataset.link, one.dataset.status])),
    ),
  };
}

async function isAccessible(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  assert.deepEqual(violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" ")}`), [], what);
}

test("an honest answer is accepted, link by link, without a single request", async (context) => {
  const good = await answer(context);
  const { page, requests, problems } = await open(context);
  await isAccessible(page, "the empty page");
  await drop(page, good.bundle, good.policy, good.request, good.response);
  const first = await shown(page);
  assert.equal(first.verdict, "accepted", first.code);
  const { vendor, chip: silicon, ...rest } = first.links;
  assert.deepEqual([vendor, silicon], ["pretended", "pretended"], "no hardware vouches for a simulation");
  assert.deepEqual(Object.values(rest), Array(6).fill("proved"));
  assert.equal(await page.locator(".simulated").count(), 1, "simulated evidence is unmistakable");
  assert.deepEqual(await page.$$eval("[data-match]", (all) => all.map((one) => one.dataset.match)), ["matches", "matches"]);
  for (const word of ["simulated_root", "physical_attacks"]) {
    assert.equal(await page.locator(`.not-proved code:text-is("${word}")`).count(), 1, word);
  }
  // Every link opens down to its checks, fields and bytes.
  for (const summary of await page.locator(".chain summary").all()) {
    if (await summary.isVisible()) await summary.click();
  }
  for (const summary of await page.locator(".chain .inner > summary").all()) {
    if (!(await summary.evaluate((one) => one.parentElement.open))) await summary.click();
  }
  const chip = await page.locator('[data-link="chip"] pre').textContent();
  assert.match(chip, /^0000 {2}05 00 00 00/);
  assert.match(await page.locator('[data-link="answer"]').textContent(), /unattested_time/);
  await isAccessible(page, "an accepted answer with everything open");

  // The page's verdict is the command's, for the same moment.
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
  const saved = JSON.parse(readFileSync(await download.path()));
  const said = command(
    "verify", good.bundle, "--policy", good.policy, "--request", good.request, "--response", good.response,
    "--at", saved.at,
  );
  assert.deepEqual(saved, said.verdict);

  // One of prompt and answer can be shown without the other.
  await page.click('#files li[data-kind="request"] button');
  assert.equal((await shown(page)).verdict, "accepted");
  assert.deepEqual(await page.$$eval("[data-match]", (all) => all.map((one) => one.dataset.match)), ["absent", "matches"]);
  assert.deepEqual(requests.filter((url) => !url.startsWith("blob:")), []);
  assert.deepEqual(problems, []);
  const fastest = await fastestOf(page, 5);
  console.log(`verification of a full bundle in the browser: ${fastest.toFixed(1)} ms`);
});

async function fastestOf(page, times) {
  let fastest = Infinity;
  for (let time = 0; time < times; time += 1) {
    await page.locator("#at").evaluate((field) => field.dispatchEvent(new Event("change")));
    fastest = Math.min(fastest, (await shown(page)).milliseconds);
  }
  return fastest;
}

test("what was tampered with breaks at its link, with its word", async (context) => {
  const good = await answer(context);
  const own = folder(context);
  const other = join(own, "other-response.json");
  writeFileSync(other, readFileSync(good.response, "utf8").replace("chat.completion", "chat.Completion"));
  const bad = (name, change) => altered(own, `${name}.json`, good.bundle, change);
  const cases = [
    ["vendor", "snp_report_signature_invalid", bad("report", (b) => (b.boot.evidence.report = flipped(b.boot.evidence.report, 0x90)))],
    ["answer", "receipt_signature_invalid", bad("receipt", (b) => (b.receipt.payload = flipped(b.receipt.payload, 30)))],
    ["log", "inclusion_invalid", bad("proof", (b) => (b.proof = b.proof.replace(/\n([A-Za-z0-9+/]{43}=)\n/, (line, hash) => `\n${flipped(hash, 3)}\n`)))],
    ["answer", "response_mismatch", good.bundle, other],
    ["image", "measurement_mismatch", good.bundle, undefined, altered(own, "policy.json", good.policy, (p) => {
      const [reference] = p.measurements.require;
      reference.digests.measurement = "00".repeat(48);
    })],
  ];
  for (const [link, code, bundle, response, policy] of cases) {
    const { page, problems } = await open(context);
    await drop(page, ...[bundle, policy ?? good.policy, response].filter(Boolean));
    const seen = await shown(page);
    assert.deepEqual([seen.verdict, seen.code], ["rejected", code]);
    assert.equal(seen.links[link], "broken", JSON.stringify(seen.links));
    assert.match(await page.locator(`[data-link="${link}"] .break`).textContent(), new RegExp(code));
    await isAccessible(page, code);
    assert.deepEqual(problems, []);
  }
});

test("without a policy of one's own nothing is accepted, and simulated is not believed", async (context) => {
  const good = await answer(context);
  const { page } = await open(context);
  await drop(page, good.bundle);
  const seen = await shown(page);
  assert.equal(seen.verdict, "rejected");
  assert.notEqual(await page.locator("#policy-note").textContent(), "");
});

test("what is no evidence is told so", async (context) => {
  const own = folder(context);
  const file = (name, content) => {
    const path = join(own, name);
    writeFileSync(path, content);
    return path;
  };
  const { page, problems } = await open(context);
  await drop(page, file("picture.png", "\x89PNG\r\n"));
  await says(page, /nothing to judge/);
  assert.equal(await page.locator('#files li[data-kind="unknown"]').count(), 1);
  await page.locator("#files button").click();

  // 50 MB that begin like a bundle.
  await drop(page, file("long.json", `{"boot":1,"epoch":1,"x":"${"x".repeat(50 << 20)}"}`));
  const seen = await shown(page);
  assert.deepEqual([seen.verdict, seen.links.vendor], ["rejected", "broken"]);
  await page.locator("#files button").click();

  await drop(page, file("huge.bin", Buffer.alloc(65 << 20)));
  await says(page, /too large/);

  // Pasted text that is no markup stays text.
  await page.click(".paste summary");
  await page.fill("#paste-text", '{"boot":"<img src=x onerror=alert(1)>","epoch":1}');
  await page.click("#paste-add");
  assert.equal((await shown(page)).verdict, "rejected");
  assert.equal(await page.locator("#result img").count(), 0);
  assert.deepEqual(problems, []);
});

test("raw reports and quotes are judged too", async (context) => {
  const [snp, tdx] = [vectors("snp"), vectors("tdx")];
  if (!snp || !tdx) return;
  const { page, requests } = await open(context);
  const judge = async (at, ...files) => {
    await page.reload();
    requests.length = 0;
    await drop(page, ...files);
    await page.fill("#at", at);
    await page.locator("#at").dispatchEvent("change");
    return shown(page);
  };
  const good = await judge(
    "2026-02-20T00:00:00Z", join(snp, "genoa-v5-siena/report.bin"), join(snp, "genoa-v5-siena/vek.der"),
  );
  assert.deepEqual([good.verdict, good.links.vendor], ["accepted", "proved"], good.code);
  assert.deepEqual(Object.keys(good.links), ["vendor", "chip", "image"]);
  await isAccessible(page, "a raw report");
  assert.deepEqual(requests, []);
  const quote = join(tdx, "v4-gcp-cos113-ccel");
  const fresh = await judge(
    "2025-01-21T14:00:00Z", join(quote, "quote.bin"), join(quote, "collateral-2025-01-21.json"),
    join(quote, "ccel_data.bin"),
  );
  assert.equal(fresh.verdict, "accepted", fresh.code);
  const late = await judge("2026-01-27T12:00:00Z", join(quote, "quote.bin"), join(quote, "collateral-2026-01-27.json"));
  assert.deepEqual([late.verdict, late.code], ["rejected", "tdx_tcb_status_not_accepted"]);
  assert.equal(late.links.chip, "broken");
});

test("it fits phones, tablets and desks, in light and dark, and works by keyboard", async (context) => {
  const good = await answer(context);
  for (const width of [360, 768, 1440]) {
    for (const colorScheme of ["light", "dark"]) {
      const { page } = await open(context, { viewport: { width, height: 900 }, colorScheme });
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.id), "pick");
      await drop(page, good.bundle, good.policy);
      await shown(page);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${overflow} pixels too wide at ${width}`);
      await isAccessible(page, `${width} ${colorScheme}`);
      await page.screenshot({ path: join(shots, `${width}-${colorScheme}.png`), fullPage: true });
    }
  }
  const { page } = await open(context);
  await drop(page, good.bundle, good.policy);
  await shown(page);
  await page.locator(".link summary").first().focus();
  await page.keyboard.press("Enter");
  assert.equal(await page.locator(".link details").first().evaluate((one) => one.open), true);
});

test("nothing of it can reach out, whatever it is told to", async (context) => {
  const { page } = await open(context);
  const outcome = await page.evaluate(async () => {
    try {
      await fetch("http://127.0.0.1:9/");
      return "sent";
    } catch (error) {
      return "refused";
    }
  });
  assert.equal(outcome, "refused");
  const csp = await page.locator('meta[http-equiv="Content-Security-Policy"]').getAttribute("content");
  assert.match(csp, /^default-src 'none'; script-src 'sha256-[^']+' 'wasm-unsafe-eval'; style-src 'sha256-[^']+';/);
});
