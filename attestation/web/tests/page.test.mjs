// The page as people meet it, in Chromium from `file://`: what each file leads to, that nothing is
// requested, that it is usable by everybody, and how long a verdict takes.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { bundleCases, evidenceCases, said } from "./cases.mjs";
import { altered, answer, folder, policy, vectors, web } from "./support.mjs";

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

/** What was handed over is folded once it is judged. */
const unfold = (page) => page.evaluate(() => (document.getElementById("inputs").open = true));

/** Waits until the page says something like this beside its result. */
const says = (page, words) => page.locator("#status", { hasText: words }).waitFor({ state: "attached" });

async function shown(page) {
  await page.waitForSelector("#result:not([hidden])");
  const result = page.locator("#result");
  return {
    verdict: await result.getAttribute("data-verdict"),
    code: await result.getAttribute("data-code"),
    headline: await page.locator(".headline").getAttribute("data-headline"),
    rows: await page.$$eval(".rows .link", (all) => all.map((one) => one.dataset.link)),
    matches: Object.fromEntries(await page.$$eval("[data-match]", (all) => all.map((one) => [one.dataset.part, one.dataset.match]))),
    links: Object.fromEntries(
      await page.$$eval("ol .link", (all) => all.map((one) => [one.dataset.link, one.dataset.status])),
    ),
  };
}

async function isAccessible(page, what) {
  await page.evaluate(axe);
  // What is still fading in has too little contrast.
  await page.evaluate(() => Promise.all(document.getAnimations().map((one) => one.finished)));
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  assert.deepEqual(violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" ")}`), [], what);
}

/** Judges a case of the table on an open page, and gives the verdict's text. */
async function judged(page, { subject, files, at, reportData, chain }) {
  const given = [subject, ...Object.entries(files), ...(chain?.files ?? []).map((file) => ["certificate", file])];
  await page.evaluate(
    ([at, reportData]) => {
      files = [];
      judge();
      document.getElementById("at").value = at;
      document.getElementById("report-data").value = reportData ?? "";
    },
    [at, reportData],
  );
  // One file that is given for two things is one file: it is given again as the other.
  await drop(page, ...new Set(given.map(([, file]) => file)));
  await page.waitForFunction((count) => files.length === count, new Set(given.map(([, file]) => file)).size);
  await page.evaluate((kinds) => {
    for (const [place, kind] of kinds.entries()) {
      const known = files[place];
      if (known) known.kind = kind;
      else files.push({ ...files.find((file) => file.name === kind) });
    }
    judge();
  }, given.map(([kind]) => kind));
  return page.evaluate(() => JSON.parse(lastVerdict));
}

test("every case gets the command's verdict on the page as well", async (context) => {
  const { all } = await bundleCases(context);
  const evidence = evidenceCases();
  if (!evidence) return;
  const { page, requests, problems } = await open(context);
  for (const one of [...all, ...evidence]) {
    const { judged: by, ...verdict } = await judged(page, one);
    assert.deepEqual(verdict, said(one), one.name);
    assert.equal(by.files.length, 1 + Object.keys(one.files).length + (one.chain?.files.length ?? 0), one.name);
    assert.equal(await page.locator("#result").isVisible(), true, one.name);
    // Green is what was verified and asked for: never in what is simulated, and never all of it where it was refused.
    const links = await page.$$eval("ol .link", (all) => all.map((one) => one.dataset.status));
    if (verdict.simulated) assert.ok(!links.includes("proved"), `${one.name}: ${links}`);
    if (verdict.verdict !== "accepted") assert.ok(links.some((status) => status !== "proved"), `${one.name}: ${links}`);
  }
  assert.deepEqual(requests, []);
  assert.deepEqual(problems, []);
});

const SIMULATED = { vendor: "simulated", chip: "simulated", image: "simulated", keys: "simulated", model: "simulated" };
const LINKS = ["vendor", "chip", "image", "keys", "model", "answer", "log", "witnesses"];
const all = (status) => Object.fromEntries(LINKS.map((link) => [link, status]));

test("an honest answer is accepted, link by link, without a single request", async (context) => {
  const { plain: good } = await answer();
  const { page, requests, problems } = await open(context, { viewport: { width: 1280, height: 800 } });
  await isAccessible(page, "the empty page");
  await drop(page, good.bundle, good.policy, good.request, good.response);
  const first = await shown(page);
  assert.equal(first.verdict, "accepted", first.code);
  assert.deepEqual(first.links, all("simulated"), "no hardware vouches for a simulation");
  assert.deepEqual(first.matches, { request: "matches", response: "matches" });
  assert.match(await page.locator('[data-part="request"] blockquote').textContent(), /What is attestation\?/);
  assert.equal(await page.locator(".pretence").count(), 1, "simulated evidence is unmistakable");
  assert.equal(await page.locator("#status").textContent(), "Simulated. Accepted under policy simulated.");
  // The verdict is what is seen and read first.
  assert.equal(await page.evaluate(() => document.activeElement.id), "headline");
  const { y, height } = await page.locator("#headline").boundingBox();
  assert.ok(y >= 0 && y + height <= 800, `the headline is at ${y}`);
  for (const word of ["simulated_root", "physical_attacks"]) {
    assert.equal(await page.locator(`.not-proved code:text-is("${word}")`).count(), 1, word);
  }
  const times = await page.locator("#result").evaluate((one) => one.dataset);
  // Every link opens down to its checks, fields and bytes.
  await page.evaluate(() => {
    for (const details of document.querySelectorAll(".chain details")) details.open = true;
  });
  await page.waitForFunction(() => [...document.querySelectorAll(".chain .inner > div")].every((one) => one.firstChild));
  for (const link of LINKS) {
    const opened = page.locator(`[data-link="${link}"]`);
    assert.ok((await opened.locator(".artefact").count()) > 0, `${link} opens to nothing`);
    assert.ok((await opened.locator("table tr").count()) > 1 || link === "vendor", link);
  }
  assert.match(await page.locator('[data-link="chip"] .artefact pre').first().textContent(), /^0000 {2}05 00 00 00/);
  assert.match(await page.locator('[data-link="answer"]').textContent(), /unattested_time/);
  assert.match(await page.locator('[data-link="log"]').textContent(), /c2sp\.org\/tlog-proof/);
  // What the verifier did not verify by itself is never called verified.
  assert.equal(await page.locator('.verified:has-text("path")').count(), 0);
  await isAccessible(page, "an accepted answer with everything open");

  // What is saved is the verdict, word for word, and what it is of.
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
  const { judged: by, ...saved } = JSON.parse(readFileSync(await download.path()));
  const files = { policy: good.policy, request: good.request, response: good.response };
  assert.deepEqual(saved, said({ subject: ["bundle", good.bundle], files, at: saved.at }));
  const digest = (file) => createHash("sha256").update(readFileSync(file)).digest("hex");
  assert.deepEqual(
    Object.fromEntries(by.files.map((file) => [file.kind, file.sha256])),
    Object.fromEntries(Object.entries({ bundle: good.bundle, ...files }).map(([kind, file]) => [kind, digest(file)])),
  );
  assert.ok((await page.locator(".judged").textContent()).includes(digest(good.policy)));

  // One of prompt and answer can be shown without the other.
  await unfold(page);
  await page.click('#files li[data-kind="request"] button');
  assert.deepEqual((await shown(page)).matches, { request: "absent", response: "matches" });
  assert.deepEqual(requests.filter((url) => !url.startsWith("blob:")), []);
  assert.deepEqual(problems, []);
  const warm = [];
  for (let time = 0; time < 9; time += 1) {
    await page.locator("#at").evaluate((field) => field.dispatchEvent(new Event("change")));
    warm.push(Number(await page.locator("#result").getAttribute("data-milliseconds")));
  }
  warm.sort((a, b) => a - b);
  console.log(
    `a full bundle in the browser: verified in ${times.milliseconds} ms the first time, ${warm[4]} ms the median of nine ` +
      `more; from drop to verdict on screen ${times.total} ms`,
  );
});

test("what was tampered with breaks at its link, and every other link says what it rests on", async (context) => {
  const { all: table, own, plain } = await bundleCases(context);
  const { page, problems } = await open(context);
  const case_ = (name) => table.find((one) => one.name === name);
  const held = { ...all("unproved") };
  const expected = [
    ["boot report", { ...held, chip: "broken" }, [], { request: "unchecked", response: "unchecked" }],
    ["epoch report", { ...held, vendor: "simulated", chip: "broken" }, []],
    ["measurement", { ...held, vendor: "simulated", chip: "simulated", image: "broken" }, []],
    ["statement", { ...held, vendor: "simulated", chip: "simulated", image: "simulated", keys: "broken" }, []],
    ["receipt", { ...SIMULATED, model: "unproved", answer: "broken", log: "unproved", witnesses: "unproved" }, [], { request: "unchecked", response: "unchecked" }],
    ["the prompt as the answer", { ...SIMULATED, answer: "broken", log: "unproved", witnesses: "unproved" }, [], { request: "absent", response: "differs" }],
    ["path", { ...all("simulated"), log: "broken", witnesses: "unproved" }, []],
    ["proof", { ...held, log: "broken" }, []],
    ["version", held, ["file"]],
    ["a policy for reports", { ...held, vendor: "broken", image: "ignored", model: "ignored", log: "ignored", witnesses: "ignored" }, ["policy"]],
    ["no opening of the answer", { ...SIMULATED, answer: "open", log: "unproved", witnesses: "unproved" }, [], { request: "matches", response: "unchecked" }],
    ["no list", { ...all("unproved"), vendor: "resting", chip: "resting", image: "resting", keys: "resting" }, ["policy"]],
    ["a list with this chip", { ...held, vendor: "simulated", chip: "broken" }, []],
    ["cut off", { ...SIMULATED, answer: "simulated", log: "open", witnesses: "unproved" }, [], { request: "matches", response: "prefix" }],
  ];
  for (const [name, links, rows, matches] of expected) {
    await judged(page, case_(name));
    const seen = await shown(page);
    assert.deepEqual(seen.links, links, name);
    assert.deepEqual(seen.rows, rows, name);
    if (matches) assert.deepEqual(seen.matches, matches, name);
    if (seen.verdict === "rejected") {
      const [broken] = [...rows, ...Object.keys(links).filter((link) => links[link] === "broken")];
      const place = page.locator(`[data-link="${broken}"] .break`);
      assert.match(await place.textContent(), new RegExp(seen.code), name);
      assert.ok((await place.locator("p").first().textContent()).length > 20, `${name}: no plain words`);
    }
    if (name === "boot report" || name === "no list") await isAccessible(page, name);
  }
  assert.deepEqual(problems, []);

  // A policy that does not ask is no proof, even where everything would hold.
  const lax = altered(own, "lax.json", plain.policy, (p) => {
    for (const path of [["measurements"], ["models"], ["log", "inclusion"], ["witnesses", "quorum"]]) {
      const last = path.pop();
      path.reduce((at, name) => at[name], p)[last] = { ignore: "a test" };
    }
  });
  await judged(page, { ...case_("honest with bodies"), files: { ...case_("honest with bodies").files, policy: lax } });
  const seen = await shown(page);
  assert.equal(seen.verdict, "accepted", seen.code);
  assert.deepEqual(seen.links, {
    vendor: "simulated", chip: "simulated", image: "ignored", keys: "resting", model: "ignored", answer: "resting",
    log: "ignored", witnesses: "ignored",
  });
});

test("nothing that was given is replaced, and nothing is judged until it is clear", async (context) => {
  const { all: table, plain, stream, own } = await bundleCases(context);
  const { page } = await open(context);
  const weak = altered(own, "readme.txt", plain.policy, (p) => (p.measurements = { ignore: "a test" }));
  await drop(page, plain.bundle, plain.policy);
  await shown(page);
  await drop(page, plain.response, weak);
  await says(page, /two files here that could be the policy/);
  assert.equal(await page.locator("#result").isVisible(), false);
  await unfold(page);
  await page.click('#files li:has-text("readme.txt") button');
  assert.equal((await shown(page)).verdict, "accepted");
  // The same file twice is one.
  await drop(page, plain.bundle);
  assert.equal((await shown(page)).verdict, "accepted");
  await drop(page, stream.bundle);
  await says(page, /more than one thing to judge/);
  await unfold(page);
  await page.locator('#files li[data-kind="bundle"] button').last().click();
  assert.equal((await shown(page)).verdict, "accepted");
  assert.ok(table.length > 20);
});

test("without a policy there is no verdict, only what verifies by itself", async (context) => {
  const { plain } = await answer();
  const { page } = await open(context);
  await drop(page, plain.bundle);
  const none = await shown(page);
  assert.deepEqual([none.headline, none.code, none.links.vendor], ["none", "snp_root_not_trusted", "broken"]);
  assert.equal(await page.locator("#headline").textContent(), "No policy chosen");
  // The policy that the page makes is there to be read, and the command says the same by it.
  const own = folder(context);
  const made = join(own, "nobodys.json");
  writeFileSync(made, await page.locator("#policy-source pre").textContent());
  const { judged: by, ...verdict } = await page.evaluate(() => JSON.parse(lastVerdict));
  assert.deepEqual(verdict, said({ subject: ["bundle", plain.bundle], files: { policy: made }, at: verdict.at }));
  assert.equal(by.files.at(-1).name, "none chosen");
  await unfold(page);
  await page.selectOption("#policy", "production-snp");
  assert.equal((await shown(page)).headline, "rejected");
  await page.selectOption("#policy", "simulated");
  assert.notEqual((await shown(page)).headline, "accepted");
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
  assert.deepEqual([seen.verdict, seen.code, seen.rows], ["rejected", "bundle_malformed", ["file"]]);
  await unfold(page);
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
  const own = folder(context);
  const judge = async (at, ...files) => {
    await page.reload();
    requests.length = 0;
    await page.evaluate((at) => (document.getElementById("at").value = at), at);
    await drop(page, ...files);
    return shown(page);
  };
  // The chip's certificate is told by its content, whatever it is called.
  const vek = join(own, "chipcert.der");
  writeFileSync(vek, readFileSync(join(snp, "genoa-v5-siena/vek.der")));
  const good = await judge("2026-02-20T00:00:00Z", join(snp, "genoa-v5-siena/report.bin"), vek);
  assert.equal(good.verdict, "accepted", good.code);
  assert.deepEqual(good.links, { vendor: "proved", chip: "proved", image: "ignored" });
  await isAccessible(page, "a raw report");
  assert.deepEqual(requests, []);
  // A debugged guest is no chip's proof under a policy that does not ask.
  await unfold(page);
  await page.selectOption("#policy", "evidence-crypto-only");
  assert.deepEqual((await shown(page)).links, { vendor: "proved", chip: "ignored", image: "ignored" });
  await page.selectOption("#policy", "evidence-strict");
  await page.fill("#report-data", "00".repeat(64));
  await page.locator("#report-data").dispatchEvent("change");
  const other = await shown(page);
  assert.deepEqual([other.code, other.links.chip], ["report_data_mismatch", "broken"]);
  await page.fill("#report-data", "00");
  await page.locator("#report-data").dispatchEvent("change");
  await says(page, /report_data_unusable/);
  assert.equal(await page.locator("#report-data").getAttribute("aria-invalid"), "true");
  const quote = join(tdx, "v4-gcp-cos113-ccel");
  const late = await judge("2026-01-27T12:00:00Z", join(quote, "quote.bin"), join(quote, "collateral-2026-01-27.json"));
  assert.deepEqual([late.verdict, late.code], ["rejected", "tdx_tcb_status_not_accepted"]);
  assert.equal(late.links.chip, "broken");
});

test("it fits phones, tablets and desks, in light and dark, on paper, and works by keyboard", async (context) => {
  const { plain: good } = await answer();
  for (const width of [360, 768, 1440]) {
    for (const colorScheme of ["light", "dark"]) {
      const { page } = await open(context, { viewport: { width, height: 900 }, colorScheme });
      await page.keyboard.press("Tab");
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.id), "pick");
      await drop(page, good.bundle, good.policy);
      await shown(page);
      const { y } = await page.locator("#headline").boundingBox();
      assert.ok(y >= 0 && y < 900, `the headline is at ${y} at ${width}`);
      await page.evaluate(() => {
        for (const details of document.querySelectorAll('[data-link="chip"] details')) details.open = true;
      });
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

  // Whoever works in the list of files keeps their place.
  await unfold(page);
  const select = page.locator("#files select").first();
  await select.focus();
  await page.keyboard.press("ArrowDown");
  assert.equal(await select.evaluate((one) => one === document.activeElement), true);
  await page.keyboard.press("ArrowUp");
  await page.locator("#files button").last().click();
  assert.match(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), /^Remove: /);
  await page.fill("#at", "yesterday");
  await page.locator("#at").dispatchEvent("change");
  await says(page, /moment_unusable/);
  assert.equal(await page.locator("#at").getAttribute("aria-invalid"), "true");

  // On paper stands what was judged, by what, and every link opened.
  await page.fill("#at", "");
  await drop(page, good.policy);
  await shown(page);
  await page.emulateMedia({ media: "print" });
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  assert.equal(await page.locator(".link > details:not([open])").count(), 0);
  assert.equal(await page.locator(".judged .digest").first().isVisible(), true);
  assert.equal(await page.locator("#inputs").isVisible(), false);
  assert.ok((await page.pdf({ path: join(shots, "print.pdf") })).length > 0);
  await page.evaluate(() => dispatchEvent(new Event("afterprint")));
  assert.equal(await page.locator(".link > details[open]").count(), 0);
});

test("files that are dropped are taken as those that are chosen", async (context) => {
  const { plain } = await answer();
  const { page } = await open(context);
  const given = [plain.bundle, plain.policy].map((file) => [basename(file), readFileSync(file, "utf8")]);
  await page.evaluate((given) => {
    const dataTransfer = new DataTransfer();
    for (const [name, text] of given) dataTransfer.items.add(new File([text], name));
    dispatchEvent(new DragEvent("drop", { dataTransfer, cancelable: true }));
  }, given);
  assert.equal((await shown(page)).verdict, "accepted");
});
