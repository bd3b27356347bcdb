// What was dropped: which part each file plays, and what is wrong among them. Pure.

/** Longest file that is read, in bytes. The verifier refuses shorter ones where they are too long for their kind. */
export const FILE_BYTES_MAX = 64 * 1024 * 1024;
export const SUBJECTS = ["bundle", "snp_report", "tdx_quote"];

/** What each subject is judged with. */
const PARTS = {
  bundle: ["policy", "revocations", "request", "response"],
  snp_report: ["policy", "revocations", "vek", "certificate", "crl", "trust_root"],
  tdx_quote: ["policy", "revocations", "tdx_collateral", "event_log", "trust_root"],
};
/** Kinds of which there may be many. */
const MANY = ["certificate", "unknown"];

/** The names that the proxy gives to what it keeps, for files whose content says too little. */
export function kindByName(kind, name) {
  if (kind !== "unknown") return kind;
  if (/-request\.json$/.test(name)) return "request";
  if (/-response\.(json|sse)$/.test(name)) return "response";
  return kind;
}

/** What is to be judged, if it is clear: one subject, and one file of each kind of which there can be one only. */
export function sorted(files) {
  const subjects = files.filter((file) => SUBJECTS.includes(file.kind));
  const counted = new Map();
  for (const { kind } of files) counted.set(kind, (counted.get(kind) ?? 0) + 1);
  const twice = [...counted].filter(([kind, count]) => count > 1 && !MANY.includes(kind)).map(([kind]) => kind);
  if (subjects.length > 1) return { problem: "two_subjects" };
  if (twice.length > 0) return { problem: "two_of_a_kind", kind: twice[0] };
  if (subjects.length === 0) return { problem: "missing_subject" };
  return { subject: subjects[0] };
}

/** Whether a file plays a part in judging this subject. */
export function isUsed(file, subject) {
  return !subject || file === subject || PARTS[subject.kind].includes(file.kind);
}

/**
 * The policy by which a bundle is judged where its reader has chosen none: what a platform shows by itself, held to what
 * the templates demand of machines. Everything that is for a reader to say is ignored, and so nothing that rests on it is
 * shown as proved.
 * @param {{snp: object, tdx: object}} templates the shipped templates for production
 */
export function policyOfNobody({ snp, tdx }) {
  const why = { ignore: "no policy was chosen" };
  const rulesOf = (value) => Object.entries(value).filter(([name]) => name !== "$comment");
  const ignoring = (value) => ("ignore" in value || "require" in value ? why : map(value, ignoring));
  const policy = structuredClone(snp);
  for (const [name, section] of rulesOf(policy)) {
    if (section !== null && typeof section === "object" && name !== "trust" && name !== "platform") {
      policy[name] = ignoring(section);
    }
  }
  return {
    ...policy,
    $comment: "Made by the page: only signatures and machines are judged.",
    name: "none chosen",
    // A policy for production can't leave images open.
    purpose: "simulation",
    trust: { vendors: { require: ["amd", "intel"] }, simulated_roots: { require: [] } },
    platform: {
      ...policy.platform,
      accepted: { require: ["sev-snp", "tdx"] },
      tdx: structuredClone(tdx.platform.tdx),
    },
  };

  function map(value, change) {
    return Object.fromEntries(rulesOf(value).map(([name, inner]) => [name, change(inner)]));
  }
}
