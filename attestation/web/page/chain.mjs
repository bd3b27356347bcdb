// From a verdict to the links of the chain of trust. Pure: no text, no document.
//
// The verdict is the verifier's; here it is only sorted. What a link's status means:
//
//   proved     verified, demanded by the policy, and so is everything that it rests on. Alone green
//   simulated  verified, and signed by a processor that anyone can make
//   partial    the receipt is proved, and no answer was matched with it
//   ignored    the policy does not ask for what decides here
//   resting    verified, but something that it rests on is not proved
//   open       a check that counts could not run
//   broken     a check failed
//   unproved   nothing here was shown

/**
 * The links in order; each rests on those before it. `proved` are the words by which a verdict says that it
 * was verified, `decides` the policy's rules without which that was not demanded.
 */
const LINKS = [
  { id: "vendor", proved: ["hardware", "simulated_hardware"], decides: [], raw: true, silicon: true },
  {
    id: "chip",
    proved: ["hardware", "simulated_hardware"],
    decides: ["platform.accepted", "platform.snp.debug", "platform.tdx.debug"],
    raw: true,
    silicon: true,
  },
  { id: "image", proved: ["measurement"], decides: ["measurements", "measurements.mrtd"], raw: true },
  { id: "keys", proved: ["keys_attested"], decides: [] },
  { id: "model", proved: ["model"], decides: ["models"] },
  { id: "answer", proved: ["receipt", "response_prefix"], decides: [] },
  { id: "log", proved: ["logged"], decides: ["log.inclusion"] },
  { id: "witnesses", proved: ["witnessed"], decides: ["witnesses.quorum"] },
];

/** Rows that are no links, and shown where something is wrong in them: the file's form, and what the policy wants besides. */
const ROWS = ["file", "policy"];

/** What the report or quote itself is at fault in; everything else about evidence is the vendor's certificates and documents. */
const OF_CHIP = new RegExp(
  "^(snp_(report_|guest_policy_|vmpl_|signature_|key_info_|signing_key_|hwid_|chip_id_|chip_key_|tcb_reserved)|" +
    "tdx_(quote_|tee_type|key_type|body_|certification_type|surplus_bytes|trailing_bytes|qe_vendor|" +
    "attestation_key_unbound|qe_report_|event_|td_))",
);
/** What of a bundle is read with its proof. */
const OF_PROOF = /^(proof|note|checkpoint|log|inclusion|cosignature)_/;
const BY_CODE = {
  chip_revoked: "chip",
  processor_revoked: "chip",
  revocation_undecided: "chip",
  image_revoked: "image",
  boot_revoked: "keys",
  receipt_key_revoked: "keys",
};
const BY_STEP = {
  binding: "keys",
  challenge_evidence: "keys",
  challenge_platform: "keys",
  challenge: "keys",
  boot: "keys",
  model: "model",
  engine: "model",
  settlement: "log",
};

/** The link, or the row, that a check belongs to. */
export function linkOf({ step, rule, code }) {
  if (code && code in BY_CODE) return BY_CODE[code];
  if (rule === "revocations.list" || rule === "purpose") return "policy";
  if (rule === "measurements" || rule === "images.released") return "image";
  if (rule === "platform.report_data") return "chip";
  if (rule.startsWith("witnesses.") || rule.startsWith("anchors.")) return "witnesses";
  if (rule.startsWith("log.") || rule.startsWith("settlement.")) return "log";
  if (rule === "freshness.epoch_seconds_max") return "keys";
  if (step === "format") return code && OF_PROOF.test(code) ? "log" : "file";
  if (step === "boot_evidence" || step === "epoch_evidence") return code && OF_CHIP.test(code) ? "chip" : "vendor";
  if (rule.startsWith("trust.")) return "vendor";
  if (step === "boot_platform" || step === "epoch_platform") return "chip";
  return BY_STEP[step] ?? "answer";
}

/** The rules that the policy ignores, as paths. */
export function ignoredOf(verdict) {
  const words = verdict.not_proved.map((statement) => statement.code);
  return new Set(words.filter((word) => word.startsWith("ignored:")).map((word) => word.slice("ignored:".length)));
}

/**
 * The chain: each link with its status, its checks, and, where it is held back by another, which one.
 * @param {object} verdict
 * @param {boolean} isRaw whether a raw report or quote was judged, without statements, receipt or model
 */
export function chainOf(verdict, isRaw) {
  const proved = new Set(verdict.proved.map((statement) => statement.code));
  const ignored = ignoredOf(verdict);
  const links = LINKS.filter((link) => link.raw || !isRaw);
  const known = new Set([...links.map((link) => link.id), ...ROWS]);
  const findingsOf = (id) =>
    verdict.findings.filter((finding) => {
      const place = linkOf(finding);
      return place === id || (id === "policy" && !known.has(place));
    });
  const rows = ROWS.map((id) => ({ id, findings: findingsOf(id) }))
    .map((row) => ({ ...row, status: badness(row.findings) ?? "unproved" }))
    .filter((row) => row.status !== "unproved");
  // What holds back a link: what failed before it, or else the first thing before it that is not proved.
  let weakest = rows[0];
  const chain = links.map((link) => {
    const findings = findingsOf(link.id);
    let status = badness(findings) ?? statusOf(link, proved, ignored, verdict.simulated);
    const isHeld = weakest !== undefined && ["proved", "simulated", "partial"].includes(status);
    if (isHeld) status = "resting";
    const rests = isHeld || status === "unproved" ? weakest?.id : undefined;
    const isSound = ["proved", "simulated", "partial"].includes(status);
    const isBad = (one) => one.status === "broken" || one.status === "open";
    if (!isSound && (!weakest || (isBad({ status }) && !isBad(weakest)))) weakest = { id: link.id, status };
    return { id: link.id, status, findings, rests };
  });
  return { rows, links: chain };
}

/** What failed here, or could not run for want of something other than an earlier check. */
function badness(findings) {
  if (findings.some((finding) => finding.outcome === "failed")) return "broken";
  const isOpen = (finding) => finding.outcome === "skipped" && finding.code !== "prerequisite_failed";
  return findings.some(isOpen) ? "open" : undefined;
}

function statusOf(link, proved, ignored, isSimulated) {
  if (!link.proved.some((word) => proved.has(word))) {
    return link.decides.some((rule) => ignored.has(rule)) ? "ignored" : "unproved";
  }
  // Whatever a policy asks of it, a processor that anyone can make is nobody's silicon.
  if (link.silicon && isSimulated) return "simulated";
  if (link.decides.some((rule) => ignored.has(rule))) return "ignored";
  if (isSimulated) return "simulated";
  return link.id === "answer" && !proved.has("response") ? "partial" : "proved";
}

/** The place that gives the verdict its word: the link or row of the first check that failed, or else could not run. */
export function breakOf(verdict) {
  const first = (outcome) => verdict.findings.find((finding) => finding.outcome === outcome);
  const finding = first("failed") ?? first("skipped");
  return finding && { id: linkOf(finding), finding };
}

/**
 * Whether request or response was matched with its commitment:
 *
 *   absent     it was not given
 *   matches    it is what the receipt commits to, and the receipt is proved
 *   prefix     it begins with what was signed of a stream that was cut off
 *   unproven   it matches, and the receipt is not proved
 *   differs    it is not what the receipt commits to
 *   unchecked  it was given, and could not be compared
 * @param {boolean} isGiven whether it was given to the verifier
 */
export function matchOf(verdict, part, isGiven) {
  if (!isGiven) return "absent";
  const proved = new Set(verdict.proved.map((statement) => statement.code));
  if (proved.has(part)) return "matches";
  if (part === "response" && proved.has("response_prefix")) return "prefix";
  const findings = verdict.findings.filter((finding) => finding.step === part);
  if (findings.some((finding) => finding.outcome === "failed")) return "differs";
  const isMatch = (finding) => finding.rule === `openings.${part}` && finding.outcome === "passed";
  return findings.some(isMatch) ? "unproven" : "unchecked";
}

/** The judgement that decides: the one for the moment asked for, or the one for when witnesses had seen the receipt. */
export function decisionOf(verdict, isAsLogged) {
  if (!isAsLogged) return verdict.verdict;
  if (verdict.as_logged) return verdict.as_logged.verdict;
  // What is refused without a proof is refused with one.
  return verdict.verdict === "rejected" ? "rejected" : "incomplete";
}
