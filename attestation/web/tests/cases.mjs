// What both package and page are tried with: every vector of real evidence, and bundles of a simulated enclave, good and
// bad. Each case says what was recorded independently, or which code is expected; the command says the rest.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { altered, answer, cases, command, flipped, folder, policy, program, read, vectors } from "./support.mjs";

/** The command's options for each kind of file, and the package's arguments. */
const OPTIONS = {
  policy: ["--policy", "policy"],
  revocations: ["--revocations", "revocations"],
  request: ["--request", "request"],
  response: ["--response", "response"],
  vek: ["--vek", "vek"],
  crl: ["--crl", "crl"],
  trust_root: ["--trust-root", "trustRoot"],
  tdx_collateral: ["--collateral", "collateral"],
  event_log: ["--event-log", "eventLog"],
};

/** What the command says to a case: its verdict. */
export function said({ subject, files, at, reportData, chain }) {
  const [kind, path] = subject;
  const words = {
    bundle: ["verify", path],
    snp_report: ["evidence", "verify", "snp", "--report", path],
    tdx_quote: ["evidence", "verify", "tdx", "--quote", path],
  }[kind];
  const options = Object.entries(files).flatMap(([kind, file]) => [OPTIONS[kind][0], file]);
  if (reportData) options.push("--report-data", reportData);
  if (chain) options.push("--chain", chain.folder);
  const run = command(...words, ...options, "--at", at);
  if (!run.verdict) throw new Error(run.error);
  return run.verdict;
}

/** A case as the package's functions take it. */
export function asArguments({ subject, files, at, reportData, chain }) {
  const [kind, path] = subject;
  const name = { bundle: "bundle", snp_report: "report", tdx_quote: "quote" }[kind];
  const given = Object.entries(files).map(([kind, file]) => [OPTIONS[kind][1], readFileSync(file)]);
  const certificates = chain?.files.map((file) => readFileSync(file));
  return { [name]: readFileSync(path), ...Object.fromEntries(given), at, reportData, certificates };
}

/** Whether strict rejection is expected of a vector for its collateral. */
function strictly(expect, collateral) {
  const reasons = expect.verdict?.reject_under_strict_policy ?? [];
  return reasons.some((reason) => !reason.startsWith("collateral-") || reason.startsWith(collateral));
}

/** All of real evidence; `undefined` where it is not at hand, which CI does not accept. */
export function evidenceCases() {
  const [snp, tdx] = [vectors("snp"), vectors("tdx")];
  if (!snp || !tdx) return undefined;
  const all = [];
  const both = ["evidence-strict", "evidence-crypto-only"];
  for (const { name, folder, expect } of cases(snp)) {
    const at = expect.verdict.verify_at ?? "2026-02-06T00:00:00Z";
    const vek = read(folder, "vek.der") && join(folder, "vek.der");
    const isValid = expect.verdict.cryptographic === "VALID";
    for (const one of both) {
      const verdict = one === "evidence-crypto-only" ? (isValid ? "accepted" : null) : strictly(expect, "") ? "rejected" : null;
      const claims = isValid && one === "evidence-strict"
        ? Object.fromEntries(["measurement", "report_data", "chip_id", "product", "vmpl", "host_data", "version"].map((fact) => [fact, expect[fact]]))
        : {};
      const files = { policy: policy(one), ...(vek ? { vek } : {}) };
      all.push({ name: `${name} under ${one}`, subject: ["snp_report", join(folder, "report.bin")], files, at, expect: { verdict, claims } });
    }
  }
  for (const { name, folder, expect } of cases(tdx)) {
    for (const appraisal of expect.appraisals?.length ? expect.appraisals : [{ verify_at_unix: 1774915200 }]) {
      const at = new Date(appraisal.verify_at_unix * 1000).toISOString().replace(".000Z", "Z");
      const collateral = appraisal.collateral && join(folder, appraisal.collateral);
      const isRefused = !collateral || strictly(expect, appraisal.collateral);
      for (const one of both) {
        const verdict = one === "evidence-strict" && !isRefused ? "accepted" : null;
        const isRead = collateral && !String(appraisal.tcb_status).includes("NO_TCB_LEVEL");
        const claims = isRead ? { tcb_status: appraisal.tcb_status, mrtd: expect.mrtd } : {};
        const files = { policy: policy(one), ...(collateral ? { tdx_collateral: collateral } : {}) };
        all.push({ name: `${name} under ${one} at ${at}`, subject: ["tdx_quote", join(folder, "quote.bin")], files, at, expect: { verdict, claims, not: isRefused && one === "evidence-strict" ? "accepted" : undefined } });
      }
    }
  }
  return [...all, ...particular(snp, tdx)];
}

/** What the vectors hold besides reports and quotes: bad certificates, lists, chains, roots, event logs. */
function particular(snp, tdx) {
  const strict = { policy: policy("evidence-strict") };
  const genoa = (name, more, expect, rest = {}) => ({
    name,
    subject: ["snp_report", join(snp, "genoa-v5-siena/report.bin")],
    files: { ...strict, vek: join(snp, "genoa-v5-siena/vek.der"), ...more },
    at: "2026-07-30T00:00:00Z",
    expect,
    ...rest,
  });
  const chain = ["ark", "ask", "asvk"].map((name) => join(snp, "chains", `genoa-${name}.der`));
  const veks = [
    ["milan-v2-azure", "neg-vek-invalid-legacy.der", "rejected"],
    ["milan-v2-azure", "neg-vek-invalid-new.der", "rejected"],
    ["milan-v3-aci", "vek-reissued.der", null],
  ];
  const gcp = (log, expect) => ({
    name: `event log ${log}`,
    subject: ["tdx_quote", join(tdx, "v4-gcp-cos113-ccel/quote.bin")],
    files: { ...strict, tdx_collateral: join(tdx, "v4-gcp-cos113-ccel/collateral-2025-01-21.json"), event_log: join(tdx, log) },
    at: "2025-01-21T14:00:00Z",
    expect,
  });
  const live = (log, code) => ({
    name: `live quote with ${log}`,
    subject: ["tdx_quote", join(tdx, "v4-live-ccel-pair/quote.bin")],
    files: { ...strict, event_log: join(tdx, "v4-live-ccel-pair", log) },
    at: "2026-07-30T00:00:00Z",
    expect: { code },
  });
  return [
    genoa("AMD's list and the whole chain", { crl: join(snp, "crl/genoa-crl9.der") }, { verdict: "accepted", claims: { crl_checked: true } }, { chain: { folder: join(snp, "chains"), files: chain } }),
    genoa("another product's list", { crl: join(snp, "crl/milan-crl6.der") }, { verdict: "rejected" }),
    genoa("a root of one's own", { trust_root: chain[0] }, { simulated: true }),
    genoa("other REPORT_DATA", {}, { code: "report_data_mismatch" }, { reportData: "00".repeat(64) }),
    ...veks.map(([folder, vek, verdict]) => ({
      name: `${folder} with ${vek}`,
      subject: ["snp_report", join(snp, folder, "report.bin")],
      files: { ...strict, vek: join(snp, folder, vek) },
      at: "2026-02-06T00:00:00Z",
      expect: { verdict },
    })),
    gcp("v4-gcp-cos113-ccel/ccel_data.bin", { verdict: "accepted" }),
    gcp("v4-live-ccel-pair/ccel-good.bin", { code: "tdx_event_log_replay" }),
    live("ccel-good.bin", "tdx_collateral_missing"),
    live("neg-ccel-stale.bin", "tdx_collateral_missing"),
    {
      name: "dstack's event log",
      subject: ["tdx_quote", join(tdx, "v4-dstack-eventlog/quote.bin")],
      files: {
        ...strict,
        tdx_collateral: join(tdx, "v4-dstack-eventlog/collateral-2026-03-16.json"),
        event_log: join(tdx, "v4-dstack-eventlog/eventlog.json"),
      },
      at: "2026-03-16T12:00:00Z",
      expect: {},
    },
  ];
}

/** Bundles of one simulated service: whole, streamed, cut off, tampered with and made up. */
export async function bundleCases(context) {
  const { plain, stream } = await answer();
  const own = folder(context);
  const at = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  const bad = (name, change, of = plain) => altered(own, `${name}.json`, of.bundle, change);
  const text = (name, content) => {
    const file = join(own, name);
    writeFileSync(file, content);
    return file;
  };
  const all = [];
  const add = (name, bundle, expect, more = {}, bodies = {}) =>
    all.push({ name, subject: ["bundle", bundle], files: { policy: plain.policy, ...bodies, ...more }, at, expect });
  const whole = { request: plain.request, response: plain.response };
  const streamed = { request: stream.request, response: stream.response };
  const refused = (name, bundle, code, more, bodies) => add(name, bundle, { code }, more, bodies);
  add("honest", plain.bundle, { verdict: "accepted" });
  add("honest with bodies", plain.bundle, { verdict: "accepted" }, {}, whole);
  add("streamed with bodies", stream.bundle, { verdict: "accepted" }, {}, streamed);
  refused("a template", plain.bundle, "snp_root_not_trusted", { policy: policy("production-snp") });
  refused("a policy for reports", plain.bundle, "policy_purpose", { policy: policy("evidence-strict") });
  refused("the prompt as the answer", plain.bundle, "response_mismatch", {}, { response: plain.request });
  refused("another's answer", plain.bundle, "response_mismatch", {}, { response: stream.response });
  refused("receipt", bad("receipt", (b) => (b.receipt.payload = flipped(b.receipt.payload, 30))), "receipt_signature_invalid", {}, whole);
  refused("boot report", bad("report", (b) => (b.boot.evidence.report = flipped(b.boot.evidence.report, 0x90))), "snp_report_signature_invalid", {}, whole);
  refused("epoch report", bad("epoch", (b) => (b.epoch.evidence.report = flipped(b.epoch.evidence.report, 0x90))), "snp_report_signature_invalid");
  refused("statement", bad("statement", (b) => (b.boot.statement = flipped(b.boot.statement, 40))), "boot_report_data_mismatch");
  refused("opening", bad("opening", (b) => (b.opening.execution.record = b.opening.execution.record.replace("stop", "halt"))), "execution_mismatch");
  refused("request's opening", bad("path", (b) => (b.opening.request.path = "/v1/LIE")), "request_mismatch", {}, whole);
  add("opening of what is not shown", bad("lie", (b) => { b.opening.request.path = "/v1/LIE"; b.opening.response.status = 418; }), { verdict: "accepted" });
  add("no opening of the answer", bad("noopening", (b) => delete b.opening.response), { code: "response_opening_missing" }, {}, whole);
  refused("index", bad("index", (b) => (b.proof = b.proof.replace(/^index \d+/m, "index 1"))), "inclusion_invalid");
  refused("path", bad("hash", (b) => (b.proof = b.proof.replace(/\n([A-Za-z0-9+/]{43}=)\n/, (line, hash) => `\n${flipped(hash, 3)}\n`))), "inclusion_invalid");
  refused("proof", bad("proof", (b) => (b.proof = "nothing")), "proof_malformed");
  refused("version", bad("version", (b) => (b.version = 2)), "bundle_version_unknown");
  refused("field", bad("field", (b) => (b.more = 1)), "bundle_malformed");
  refused("twice", text("twice.json", readFileSync(plain.bundle, "utf8").replace("{", '{"version":1,')), "bundle_malformed");
  refused("deep", text("deep.json", `{"boot":1,"epoch":${"[".repeat(100_000)}`), "bundle_malformed");
  refused("deep opening", text("deepopening.json", readFileSync(bad("nest", (b) => (b.opening.more = 0)), "utf8").replace('"more":0', `"more":${"[".repeat(20_000)}${"]".repeat(20_000)}`)), "bundle_malformed");
  refused("wide", bad("wide", (b) => (b.opening.more = Array(300_000).fill(0))), "bundle_malformed");
  refused("empty", text("empty.json", ""), "bundle_malformed");
  const cut = cutOff(own, stream);
  add("cut off", cut, { verdict: null, not: undefined }, {}, { request: stream.request, response: stream.response });
  add("measurement", plain.bundle, { code: "measurement_mismatch" }, {
    policy: altered(own, "other-image.json", plain.policy, (p) => (p.measurements.require[0].digests.measurement = "00".repeat(48))),
  });
  for (const one of await listed(own, plain, at)) all.push(one);
  return { all, plain, stream, own, at, cut };
}

/** The bundle that a client holds whose stream was cut off after its last signed head. */
function cutOff(own, stream) {
  const heads = readFileSync(stream.response, "utf8").split("\n").filter((line) => line.startsWith(": vouchsafe-stream-head "));
  const head = JSON.parse(Buffer.from(heads.at(-1).slice(": vouchsafe-stream-head ".length), "base64url"));
  return altered(own, "cut.json", stream.bundle, (b) => {
    delete b.receipt;
    delete b.opening.response;
    delete b.opening.execution;
    b.stream.head = head;
    b.proof = null;
  });
}

/** A policy that requires a list of revocations: without one, with one that names nobody here, and with one that does. */
async function listed(own, plain, at) {
  const key = join(own, "revoker.pem");
  const known = join(own, "revoker-public.pem");
  writeFileSync(known, program("vouchsafe-policy", "keygen", "--out", key));
  const write = (name, content) => {
    writeFileSync(join(own, name), content);
    return join(own, name);
  };
  const wants = write("revokers.json", program("vouchsafe-policy", "revokers", "--key", known, "--threshold", "1", plain.policy));
  const { claims } = said({ subject: ["bundle", plain.bundle], files: { policy: plain.policy }, at });
  const list = (name, chip) => {
    const reason = ["--name", "lost", "--at", "2026-01-01T00:00:00Z", "--reason", "a test"];
    const plainList = write(`${name}-list.json`, program("vouchsafe-policy", "revoke", "--new", ...reason, "--chip-id", chip));
    const release = ["--serial", "1", "--at", at, "--expires", "2099-01-01T00:00:00Z"];
    return write(`${name}.json`, program("vouchsafe-policy", "sign", "--key", key, ...release, plainList));
  };
  const other = "11".repeat(64);
  const one = (name, files, expect) => ({
    name, subject: ["bundle", plain.bundle], files: { policy: wants, ...files }, at, expect,
  });
  return [
    one("no list", {}, { verdict: "incomplete", code: "revocations_missing" }),
    one("a list", { revocations: list("other", other) }, { verdict: "accepted" }),
    one("a list with this chip", { revocations: list("this", claims.chip_id) }, { code: "chip_revoked" }),
  ];
}
