// The package says word for word what the command says, and both say what was recorded with real evidence.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { altered, answer, cases, command, flipped, folder, policy, vectors, web } from "./support.mjs";

const { VouchsafeError, kindOf, verifyBundle, verifySnp, verifyTdx } = await import(
  pathToFileURL(join(web, "package", "index.js"))
);
const POLICIES = ["evidence-strict", "evidence-crypto-only", "production-snp", "production-tdx"];

/** Reads a file if there is one. */
function read(...parts) {
  try {
    return readFileSync(join(...parts));
  } catch {
    return undefined;
  }
}

/** Whether strict rejection is expected of a case for its collateral. */
function strictly(expect, collateral) {
  const reasons = expect.verdict?.reject_under_strict_policy ?? [];
  return reasons.some((reason) => !reason.startsWith("collateral-") || reason.startsWith(collateral));
}

test("real SNP reports get the command's verdicts, and those that were recorded", async () => {
  const snp = vectors("snp");
  if (!snp) return;
  const all = cases(snp);
  assert.equal(all.length, 12);
  for (const { name, folder, expect } of all) {
    const at = expect.verdict.verify_at ?? "2026-02-06T00:00:00Z";
    const [report, vek] = [join(folder, "report.bin"), read(folder, "vek.der")];
    for (const one of POLICIES) {
      const words = ["evidence", "verify", "snp", "--report", report, "--policy", policy(one), "--at", at];
      if (vek) words.push("--vek", join(folder, "vek.der"));
      const said = command(...words);
      const verdict = await verifySnp({ report: read(report), vek, policy: read(policy(one)), at });
      assert.deepEqual(verdict, said.verdict, `${name} under ${one}`);
      const isValid = expect.verdict.cryptographic === "VALID";
      if (one === "evidence-crypto-only") assert.equal(verdict.verdict === "accepted", isValid, name);
      if (one === "evidence-strict") {
        assert.equal(verdict.verdict === "rejected", strictly(expect, ""), `${name}: ${verdict.detail}`);
        if (!isValid) continue;
        for (const fact of ["measurement", "report_data", "chip_id", "product", "vmpl", "host_data", "version"]) {
          assert.deepEqual(verdict.claims[fact], expect[fact], `${name}: ${fact}`);
        }
      }
    }
  }
});

test("a chain, a list and a root of one's own are used as the command uses them", async () => {
  const snp = vectors("snp");
  if (!snp) return;
  const at = "2026-07-30T00:00:00Z";
  const file = (...parts) => join(snp, ...parts);
  const common = ["evidence", "verify", "snp", "--policy", policy("evidence-strict"), "--at", at];
  const report = file("genoa-v5-siena/report.bin");
  const vek = file("genoa-v5-siena/vek.der");
  const crl = file("crl/genoa-crl9.der");
  const certificates = ["ark", "ask", "asvk"].map((name) => read(file(`chains/genoa-${name}.der`)));
  const said = command(...common, "--report", report, "--vek", vek, "--crl", crl, "--chain", file("chains"));
  const terms = { policy: read(policy("evidence-strict")), at };
  const verdict = await verifySnp({
    report: read(report), vek: read(vek), crl: read(crl), certificates, ...terms,
  });
  assert.deepEqual(verdict, said.verdict);
  assert.equal(verdict.claims.crl_checked, true);

  const root = file("chains/genoa-ark.der");
  const own = command(...common, "--report", report, "--vek", vek, "--trust-root", root);
  const simulated = await verifySnp({ report: read(report), vek: read(vek), trustRoot: read(root), ...terms });
  assert.deepEqual(simulated, own.verdict);
  assert.equal(simulated.simulated, true);

  const reportData = "00".repeat(64);
  const other = command(...common, "--report", report, "--vek", vek, "--report-data", reportData);
  const mismatch = await verifySnp({ report: read(report), vek: read(vek), reportData, ...terms });
  assert.deepEqual(mismatch, other.verdict);
  assert.equal(mismatch.code, "report_data_mismatch");
});

test("real TDX quotes get the command's verdicts, and those that were recorded", async () => {
  const tdx = vectors("tdx");
  if (!tdx) return;
  const all = cases(tdx);
  assert.equal(all.length, 12);
  for (const { name, folder, expect } of all) {
    const appraisals = expect.appraisals?.length ? expect.appraisals : [{ verify_at_unix: 1774915200 }];
    for (const appraisal of appraisals) {
      const at = new Date(appraisal.verify_at_unix * 1000);
      const moment = at.toISOString().replace(".000Z", "Z");
      for (const one of POLICIES) {
        const [quote, used] = [join(folder, "quote.bin"), policy(one)];
        const words = ["evidence", "verify", "tdx", "--quote", quote, "--policy", used, "--at", moment];
        let collateral;
        if (appraisal.collateral) {
          collateral = read(folder, appraisal.collateral);
          assert.ok(collateral, `${name}: ${appraisal.collateral}`);
          words.push("--collateral", join(folder, appraisal.collateral));
        }
        const said = command(...words);
        const verdict = await verifyTdx({ quote: read(quote), collateral, policy: read(used), at });
        assert.deepEqual(verdict, said.verdict, `${name} under ${one}`);
        if (one === "evidence-strict") {
          const isRefused = !collateral || strictly(expect, appraisal.collateral);
          assert.equal(verdict.verdict !== "accepted", isRefused, `${name}: ${verdict.code} ${verdict.detail}`);
        }
        if (collateral && verdict.claims && !String(appraisal.tcb_status).includes("NO_TCB_LEVEL")) {
          assert.equal(verdict.claims.tcb_status, appraisal.tcb_status, name);
          assert.equal(verdict.claims.mrtd, expect.mrtd, name);
        }
      }
    }
  }
});

test("an event log is replayed as by the command", async () => {
  const tdx = vectors("tdx");
  if (!tdx) return;
  const at = "2025-01-21T14:00:00Z";
  const file = (name) => join(tdx, "v4-gcp-cos113-ccel", name);
  for (const log of [file("ccel_data.bin"), join(tdx, "v4-live-ccel-pair", "ccel-good.bin")]) {
    const said = command(
      "evidence", "verify", "tdx", "--quote", file("quote.bin"), "--policy", policy("evidence-strict"),
      "--collateral", file("collateral-2025-01-21.json"), "--event-log", log, "--at", at,
    );
    const verdict = await verifyTdx({
      quote: read(file("quote.bin")), collateral: read(file("collateral-2025-01-21.json")), eventLog: read(log),
      policy: read(policy("evidence-strict")), at,
    });
    assert.deepEqual(verdict, said.verdict);
    assert.equal(await kindOf(read(log)), "event_log");
  }
});

test("bundles, good and bad, get the command's verdicts", async (context) => {
  const good = await answer(context);
  const own = folder(context);
  const at = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  const bad = (name, change) => altered(own, `${name}.json`, good.bundle, change);
  const text = (name, content) => {
    const file = join(own, name);
    writeFileSync(file, content);
    return file;
  };
  const bundles = [
    [good.bundle, null],
    [bad("receipt", (bundle) => (bundle.receipt.payload = flipped(bundle.receipt.payload, 30))), "receipt_signature_invalid"],
    [bad("report", (bundle) => (bundle.boot.evidence.report = flipped(bundle.boot.evidence.report, 0x90))), "snp_report_signature_invalid"],
    [bad("statement", (bundle) => (bundle.boot.statement = flipped(bundle.boot.statement, 40))), undefined],
    [bad("opening", (bundle) => (bundle.opening.execution.record = bundle.opening.execution.record.replace("stop", "halt"))), "execution_mismatch"],
    [bad("proof", (bundle) => (bundle.proof = bundle.proof.replace(/^index \d+/m, "index 1"))), undefined],
    [bad("version", (bundle) => (bundle.version = 2)), undefined],
    [bad("field", (bundle) => (bundle.more = 1)), undefined],
    [text("twice.json", readFileSync(good.bundle, "utf8").replace("{", '{"version":1,')), undefined],
    [text("deep.json", "[".repeat(100_000)), undefined],
    [text("long.json", `{"a":"${"x".repeat(50 << 20)}"}`), undefined],
    [text("png.json", "\x89PNG\r\n"), undefined],
    [text("empty.json", ""), undefined],
  ];
  for (const [bundle, code] of bundles) {
    for (const used of [good.policy, policy("production-snp"), policy("evidence-strict")]) {
      for (const bodies of [{}, { request: good.request, response: good.response }, { response: good.request }]) {
        const words = Object.entries(bodies).flatMap(([name, file]) => [`--${name}`, file]);
        const said = command("verify", bundle, "--policy", used, "--at", at, ...words);
        const verdict = await verifyBundle({
          bundle: readFileSync(bundle), policy: readFileSync(used), at,
          ...Object.fromEntries(Object.entries(bodies).map(([name, file]) => [name, readFileSync(file)])),
        });
        assert.deepEqual(verdict, said.verdict, `${bundle} under ${used}`);
        if (used === good.policy && !("response" in bodies)) {
          if (code !== undefined) assert.equal(verdict.code, code, bundle);
          assert.equal(verdict.verdict === "accepted", code === null, bundle);
        }
        if (bundle === good.bundle && bodies.response === good.request) assert.equal(verdict.code === null, false);
      }
    }
  }
  assert.equal(await kindOf(readFileSync(good.bundle)), "bundle");
  assert.equal(await kindOf(readFileSync(good.policy)), "policy");
  assert.equal(await kindOf(readFileSync(good.request)), "request");
  assert.equal(await kindOf(readFileSync(good.response)), "response");
});

test("the caller's own mistakes are told from bad evidence", async () => {
  const fails = (code, run) => assert.rejects(run, (error) => error instanceof VouchsafeError && error.code === code);
  const strict = read(policy("evidence-strict"));
  await fails("policy_unusable", verifyBundle({ bundle: "{}", policy: "{}" }));
  await fails("moment_unusable", verifyBundle({ bundle: "{}", policy: strict, at: "yesterday" }));
  await fails("moment_unusable", verifyBundle({ bundle: "{}", policy: strict, at: new Date(NaN) }));
  await fails("report_data_unusable", verifySnp({ report: "", policy: strict, reportData: "00" }));
  await fails("argument_unusable", verifyTdx({ policy: strict }));
  const verdict = await verifySnp({ report: "no report", policy: strict });
  assert.equal(verdict.verdict, "rejected");
});
