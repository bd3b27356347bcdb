// What the links of the chain may say, without a browser: a table, and that a chain which says more fails it.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { chainOf, linkOf, matchOf } from "../page/chain.mjs";
import { policyOfNobody, sorted } from "../page/files.mjs";
import { rowsOf } from "../page/artefacts.mjs";

const page = join(import.meta.dirname, "../page");
globalThis.TEXTS = JSON.parse(readFileSync(join(page, "texts.en.json")));
const { sentenceOf } = await import("../page/view.mjs");

const ALL = ["hardware", "measurement", "keys_attested", "model", "receipt", "response", "logged", "witnessed"];
const without = (...words) => ALL.filter((word) => !words.includes(word));
const upTo = (word) => ALL.slice(0, ALL.indexOf(word));
const failed = (step, rule, code) => ({ step, rule, code, outcome: "failed" });
const skipped = (step, rule, code) => ({ step, rule, code, outcome: "skipped" });
const blocked = (step) => skipped(step, step, "prerequisite_failed");
/** Eight states by their first letters; h is held: "resting". */
const STATES = { p: "proved", s: "simulated", r: "partial", i: "ignored", h: "resting", o: "open", b: "broken", u: "unproved" };

/** Name, what the verdict proved, what it ignores, its findings, the states of the links, and of the rows above them. */
const TABLE = [
  ["everything", ALL, [], [], "pppppppp"],
  ["no answer given", without("response"), [], [], "ppppprpp"],
  ["a stream that was cut off", [...upTo("receipt"), "response_prefix"], [], [], "pppppruu"],
  ["no image asked for", without("measurement"), ["measurements"], [], "ppihhhhh"],
  ["an image that leaves MRTD open", ALL, ["measurements.mrtd"], [], "ppihhhhh"],
  ["no model asked for", ALL, ["models"], [], "ppppihhh"],
  ["the bundle's own log and witnesses", ALL, ["log.inclusion", "witnesses.quorum"], [], "ppppppii"],
  ["the bundle's own log", ALL, ["log.inclusion"], [], "ppppppih"],
  ["no proof", upTo("logged"), [], [skipped("settlement", "log.inclusion", "proof_pending")], "ppppppou"],
  ["debugging not asked about", ALL, ["platform.snp.debug"], [], "pihhhhhh"],
  ["any platform", ALL, ["platform.accepted"], [], "pihhhhhh"],
  ["report altered", [], [], [failed("boot_evidence", "evidence", "snp_report_signature_invalid"), blocked("receipt"), blocked("model")], "ubuuuuuu"],
  ["epoch's report altered", ["hardware"], [], [failed("epoch_evidence", "evidence", "snp_report_signature_invalid")], "pbuuuuuu"],
  ["quote altered", [], [], [failed("boot_evidence", "evidence", "tdx_quote_signature")], "ubuuuuuu"],
  ["root not believed", [], [], [failed("boot_evidence", "evidence", "snp_root_not_trusted")], "buuuuuuu"],
  ["collateral missing", [], [], [failed("boot_evidence", "evidence", "tdx_collateral_missing")], "buuuuuuu"],
  ["debugged", ["hardware"], [], [failed("boot_platform", "platform.snp.debug", "snp_debug_mismatch")], "pbuuuuuu"],
  ["another image", ["hardware"], [], [failed("boot_platform", "measurements", "measurement_mismatch")], "ppbuuuuu"],
  ["image revoked", ["hardware", "measurement"], [], [failed("boot_platform", "revocations.list", "image_revoked")], "ppbuuuuu"],
  ["chip revoked", ["hardware"], [], [failed("boot_platform", "revocations.list", "chip_revoked")], "pbuuuuuu"],
  ["boot revoked", ALL, [], [failed("boot", "revocations.list", "boot_revoked")], "pppbhhhh"],
  ["keys of another", upTo("keys_attested"), [], [failed("binding", "boot_report_data", "boot_report_data_mismatch")], "pppbuuuu"],
  ["receipt altered", upTo("model"), [], [failed("receipt", "receipt_signature", "receipt_signature_invalid"), blocked("model")], "ppppubuu"],
  ["another answer", [...upTo("receipt"), "receipt"], [], [failed("response", "openings.response", "response_mismatch")], "pppppbuu"],
  ["not in the log", upTo("logged"), [], [failed("settlement", "log.inclusion", "inclusion_invalid")], "ppppppbu"],
  ["too few witnesses", upTo("witnessed"), [], [failed("settlement", "witnesses.quorum", "witness_quorum_missing")], "pppppppb"],
  ["proof malformed", [], [], [failed("format", "format", "proof_malformed")], "uuuuuubu"],
  ["bundle malformed", [], [], [failed("format", "format", "bundle_malformed")], "uuuuuuuu", { file: "broken" }],
  ["version unknown", [], [], [failed("format", "format", "bundle_version_unknown")], "uuuuuuuu", { file: "broken" }],
  ["policy for reports", [], [], [failed("format", "purpose", "policy_purpose")], "uuuuuuuu", { policy: "broken" }],
  ["no release of the image", ALL, [], [skipped("boot_platform", "images.released", "image_release_missing")], "ppohhhhh"],
  ["no list of revocations", upTo("model"), [], [skipped("freshness", "revocations.list", "revocations_missing")], "hhhhuuuu", { policy: "open" }],
  ["raw", ["hardware", "measurement"], [], [], "ppp"],
  ["raw, for whom is open", ["hardware", "measurement"], [], [skipped("binding", "platform.report_data", "report_data_not_given")], "poh"],
  ["raw, made over something else", ["hardware"], [], [failed("binding", "platform.report_data", "report_data_mismatch")], "pbu"],
  ["raw, with a check that has no link", ["hardware"], [], [failed("boot", "boot", "boot_revoked")], "hhu", { policy: "broken" }],
];

const verdictOf = (proved, ignored, findings, simulated = false) => ({
  simulated,
  proved: proved.map((code) => ({ code })),
  not_proved: ignored.map((path) => ({ code: `ignored:${path}` })),
  findings,
});

/** The rows of the table that a chain does not satisfy. */
function wrong(chain) {
  return TABLE.filter(([name, proved, ignored, findings, states, rows = {}]) => {
    const seen = chain(verdictOf(proved, ignored, findings), name.startsWith("raw"));
    const expected = [...states].map((state) => STATES[state]);
    const isSame = (a, b) => JSON.stringify(a) === JSON.stringify(b);
    return !isSame(seen.links.map((link) => link.status), expected)
      || !isSame(Object.fromEntries(seen.rows.map((row) => [row.id, row.status])), rows);
  }).map(([name]) => name);
}

test("each link says what was verified, demanded, and rests on what was", () => {
  assert.deepEqual(wrong(chainOf), []);
});

test("a chain that is green unless it failed satisfies next to nothing of this", () => {
  const green = (verdict, isRaw) => {
    const chain = chainOf(verdict, isRaw);
    return { ...chain, links: chain.links.map((link) => ({ ...link, status: link.status === "broken" ? "broken" : "proved" })) };
  };
  assert.deepEqual(TABLE.length - wrong(green).length, 3, `${wrong(green)}`);
});

test("nothing simulated is ever proved, whatever else holds", () => {
  for (const [name, proved, ignored, findings] of TABLE) {
    const words = proved.map((word) => (word === "hardware" ? "simulated_hardware" : word));
    const { links } = chainOf(verdictOf(words, ignored, findings, true), name.startsWith("raw"));
    for (const link of links) assert.ok(!["proved", "partial"].includes(link.status), `${name}: ${link.id}`);
  }
});

test("what holds a link back is named", () => {
  const rests = (proved, ignored, findings) =>
    chainOf(verdictOf(proved, ignored, findings), false).links.map((link) => link.rests);
  assert.deepEqual(rests(ALL, ["models"], []).slice(4), [undefined, "model", "model", "model"]);
  const altered = [failed("boot_evidence", "evidence", "snp_report_signature_invalid")];
  assert.deepEqual(rests([], [], altered), [undefined, undefined, ...Array(6).fill("chip")]);
});

test("a body is said to match only what it was compared with", () => {
  const match = (proved, findings, isGiven = true) => matchOf(verdictOf(proved, [], findings), "response", isGiven);
  const passed = { step: "response", rule: "openings.response", outcome: "passed" };
  assert.equal(match(["response"], [passed]), "matches");
  assert.equal(match(["response"], [passed], false), "absent");
  assert.equal(match(["response_prefix"], [passed]), "prefix");
  assert.equal(match([], [passed]), "unproven");
  assert.equal(match([], [failed("response", "openings.response", "response_mismatch")]), "differs");
  assert.equal(match([], [skipped("response", "openings.response", "response_opening_missing")]), "unchecked");
  assert.equal(match([], [{ ...passed, rule: "response_framing" }]), "unchecked");
  assert.equal(match([], []), "unchecked");
});

test("every code of a verdict has a sentence, and a link", () => {
  const table = readFileSync(join(page, "../../../docs/rejection-codes.md"), "utf8").split("## What was not proved")[0];
  // What only clients, logs and people who sign give never stands in a verdict.
  const sections = table.split(/^## /m).filter((section) => /^(Format|Evidence|Platform|Machine|Binding|Freshness|Statements|Receipt|Model|Answer|Settlement|Revocation)/.test(section));
  const rows = sections.flatMap((section) => section.split("\n").filter((line) => line.startsWith("| `") && !line.includes("(exit 30)")));
  const codes = rows.flatMap((line) => [...line.split("|")[1].matchAll(/`([a-z0-9_]+)`/g)].map(([, code]) => code));
  assert.ok(codes.length > 150, `${codes.length}`);
  const isElsewhere = (code) => /^(document_version|challenge|settled_without|consistency|tile|leaf|signers?|release)_/.test(code);
  assert.deepEqual(codes.filter((code) => !sentenceOf(code) && !isElsewhere(code)), []);
  for (const code of codes) assert.ok(TEXTS.links[linkOf({ step: "boot_evidence", rule: "evidence", code })], code);
});

test("two of a kind are never sorted out for the reader", () => {
  const files = (...kinds) => sorted(kinds.map((kind) => ({ kind })));
  assert.equal(files("bundle", "policy").subject.kind, "bundle");
  assert.equal(files("bundle", "policy", "policy").problem, "two_of_a_kind");
  assert.equal(files("bundle", "bundle").problem, "two_subjects");
  assert.equal(files("bundle", "tdx_quote").problem, "two_subjects");
  assert.equal(files("policy").problem, "missing_subject");
  assert.equal(files("snp_report", "certificate", "certificate", "unknown", "unknown").subject.kind, "snp_report");
});

test("nobody's policy decides nothing that is for its reader to say", () => {
  const read = (name) => JSON.parse(readFileSync(join(page, "../../../policies", `${name}.json`)));
  const policy = policyOfNobody({ snp: read("production-snp"), tdx: read("production-tdx") });
  for (const rule of [policy.measurements, policy.models, policy.operator.identities, policy.log.inclusion, policy.witnesses.quorum, policy.settlement.bound]) {
    assert.deepEqual(Object.keys(rule), ["ignore"]);
  }
  assert.deepEqual(policy.platform.snp.debug, { require: false });
  assert.deepEqual(policy.trust.simulated_roots, { require: [] });
});

test("strangers' values are shown up to a limit", () => {
  let nested = {};
  for (let depth = 0; depth < 10_000; depth += 1) nested = { nested };
  assert.ok(rowsOf(nested).rows.length < 20);
  assert.equal(rowsOf({ wide: Array(300_000).fill(0) }).rows.length, 400);
  assert.ok(rowsOf({ long: "x".repeat(1 << 20) }).rows[0].value.length < 3000);
});

test("every text is used, and every text that is used is there", () => {
  const sources = readdirSync(page).filter((name) => /\.(mjs|html)$/.test(name)).map((name) => readFileSync(join(page, name), "utf8")).join("\n");
  const exact = [...sources.matchAll(/TEXTS\.(\w+)|data-text="(\w+)"/g)].map((match) => match[1] ?? match[2]);
  const missing = exact.filter((name) => !(name in TEXTS));
  assert.deepEqual(missing, []);
  const begun = [...sources.matchAll(/TEXTS\[`(?:(\w+_)\$|\$\{part\}(_)\$)/g)].map((match) => match[1]).filter(Boolean);
  const isUsed = (name) =>
    exact.includes(name) || sources.includes(`"${name}"`) || begun.some((begin) => name.startsWith(begin)) ||
    /^(request|response)_/.test(name) || ["document_title", "noscript"].includes(name);
  assert.deepEqual(Object.keys(TEXTS).filter((name) => !isUsed(name)), []);
});
