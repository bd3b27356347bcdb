// From a verdict's flat list of checks to the links of the chain of trust.
//
// The verdict is the verifier's; here it is only sorted. A link is proved where the verdict says so and
// none of its checks failed. What a simulated processor signed is as it should be and proves no silicon: those
// links are never shown as proved.

/** The links in order, each with the words by which a verdict says that it is proved. */
const LINKS = [
  { id: "vendor", proved: ["hardware", "simulated_hardware"], raw: true, silicon: true },
  { id: "chip", proved: ["hardware", "simulated_hardware"], raw: true, silicon: true },
  { id: "image", proved: ["measurement"], raw: true },
  { id: "keys", proved: ["keys_attested"] },
  { id: "model", proved: ["model"] },
  { id: "answer", proved: ["receipt", "response_prefix"] },
  { id: "log", proved: ["logged"] },
  { id: "witnesses", proved: ["witnessed"] },
];

/** The link that a check belongs to. */
function linkOf(finding) {
  const { step, rule } = finding;
  if (rule === "measurements") return "image";
  if (rule.startsWith("witnesses.") || rule.startsWith("anchors.")) return "witnesses";
  if (rule.startsWith("log.") || rule.startsWith("settlement.") || step === "settlement") return "log";
  if (step.endsWith("_evidence") || rule.startsWith("trust.")) return "vendor";
  if (step.endsWith("_platform")) return "chip";
  if (["binding", "challenge", "freshness", "boot"].includes(step)) return "keys";
  if (step === "model" || step === "engine") return "model";
  // The form of the whole is judged first, and everything rests on it.
  return step === "format" ? "vendor" : "answer";
}

/**
 * The chain: each link with its status and its checks.
 * @param {object} verdict
 * @param {boolean} isRaw whether a raw report or quote was judged, without statements, receipt or model
 */
function chainOf(verdict, isRaw) {
  const proved = new Set(verdict.proved.map((statement) => statement.code));
  return LINKS.filter((link) => link.raw || !isRaw).map((link) => {
    const findings = verdict.findings.filter((finding) => linkOf(finding) === link.id);
    const has = (outcome) => findings.some((finding) => finding.outcome === outcome);
    let status = link.proved.some((code) => proved.has(code)) ? "proved" : "unproved";
    if (status === "proved" && link.silicon && verdict.simulated) status = "pretended";
    if (has("skipped")) status = "open";
    if (has("failed")) status = "broken";
    return { id: link.id, status, findings };
  });
}

/** Whether request or response was matched: "matches", "differs" or "absent". */
function matchOf(verdict, part) {
  if (verdict.proved.some((statement) => statement.code === part)) return "matches";
  const failed = verdict.findings.some((finding) => finding.step === part && finding.outcome === "failed");
  return failed ? "differs" : "absent";
}
