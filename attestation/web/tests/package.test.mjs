// The package says word for word what the command says, and both say what was recorded with real evidence.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { asArguments, bundleCases, evidenceCases, said } from "./cases.mjs";
import { folder, policy, read } from "./support.mjs";

const { VouchsafeError, decisionOf, kindOf, verifyBundle, verifySnp, verifyTdx } = await import(
  pathToFileURL(join(process.env.VOUCHSAFE_WEB, "package", "node.js"))
);
const verify = { bundle: verifyBundle, snp_report: verifySnp, tdx_quote: verifyTdx };

async function holds(one) {
  const verdict = await verify[one.subject[0]](asArguments(one));
  const { expect } = one;
  if (expect.verdict) assert.equal(verdict.verdict, expect.verdict, `${one.name}: ${verdict.code} ${verdict.detail}`);
  if (expect.code) assert.equal(verdict.code, expect.code, `${one.name}: ${verdict.detail}`);
  if (expect.not) assert.notEqual(verdict.verdict, expect.not, one.name);
  if (expect.simulated) assert.equal(verdict.simulated, true, one.name);
  for (const [fact, value] of Object.entries((verdict.claims && expect.claims) ?? {})) {
    assert.deepEqual(verdict.claims[fact], value, `${one.name}: ${fact}`);
  }
  assert.deepEqual(verdict, said(one), one.name);
}

test("real evidence gets the command's verdicts, and those that were recorded", async () => {
  const all = evidenceCases();
  if (!all) return;
  assert.ok(all.length >= 24 + 24 + 11, `${all.length}`);
  for (const one of all) await holds(one);
});

test("bundles, good and bad, get the command's verdicts, and the codes that they are made for", async (context) => {
  const { all, plain, own } = await bundleCases(context);
  for (const one of all) await holds(one);
  const long = join(own, "long.json");
  writeFileSync(long, `{"a":"${"x".repeat(50 << 20)}"}`);
  await holds({ ...all[0], name: "long", subject: ["bundle", long], expect: { code: "bundle_malformed" } });
  const kinds = { bundle: plain.bundle, policy: plain.policy, request: plain.request, response: plain.response };
  kinds.revocations = all.find((one) => one.name === "a list").files.revocations;
  for (const [kind, file] of Object.entries(kinds)) assert.equal(await kindOf(readFileSync(file)), kind);
});

test("which judgement decides is as with the command", () => {
  const verdict = (now, then) => ({ verdict: now, as_logged: then ? { verdict: then } : null });
  assert.equal(decisionOf(verdict("accepted", "rejected"), false), "accepted");
  assert.equal(decisionOf(verdict("accepted", "rejected"), true), "rejected");
  assert.equal(decisionOf(verdict("accepted", null), true), "incomplete");
  assert.equal(decisionOf(verdict("rejected", null), true), "rejected");
});

test("the caller's own mistakes are told from bad evidence", async (context) => {
  const fails = (code, run) => assert.rejects(run, (error) => error instanceof VouchsafeError && error.code === code);
  const strict = read(policy("evidence-strict"));
  await fails("policy_unusable", verifyBundle({ bundle: "{}", policy: "{}" }));
  await fails("moment_unusable", verifyBundle({ bundle: "{}", policy: strict, at: "yesterday" }));
  await fails("moment_unusable", verifyBundle({ bundle: "{}", policy: strict, at: new Date(NaN) }));
  await fails("revocations_unusable", verifyBundle({ bundle: "{}", policy: strict, revocations: "{}" }));
  await fails("report_data_unusable", verifySnp({ report: "", policy: strict, reportData: "00" }));
  await fails("argument_unusable", verifyTdx({ policy: strict }));
  const verdict = await verifySnp({ report: "no report", policy: strict });
  assert.equal(verdict.verdict, "rejected");
});
