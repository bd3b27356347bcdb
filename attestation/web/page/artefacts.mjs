// The bytes and fields behind each link. For display only: nothing here decides anything.
//
// What the verifier verified comes from its verdict. Everything else is what a file says, and is marked so:
// `isVerified` is true only of values that stand in the verdict, or whose bytes a verified report binds.

const AT_MOST = { nodes: 400, depth: 12, characters: 2000 };

/**
 * What opens under each link: lists of { name, isVerified, fields, bytes }, the last two made when they are looked at.
 * @param {{kind: string, bytes: Uint8Array}} subject
 * @param {(kind: string) => Uint8Array[]} given the other files by their kinds
 */
export function artefactsOf(subject, given, verdict) {
  const claims = verdict.claims ?? {};
  const pick = (...names) => Object.fromEntries(names.filter((name) => name in claims).map((name) => [name, claims[name]]));
  const measured = ["measurement", "mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mrconfigid", "host_data"];
  const ofVendor = ["vek", "pck", "fmspc", "tcb_status", "advisories", "crl_checked"];
  const ofChip = Object.keys(claims).filter((name) => ![...measured, ...ofVendor].includes(name));
  const verified = (name, fields) => (fields && Object.keys(fields).length > 0 ? [{ name, isVerified: true, fields: () => fields }] : []);
  const links = {
    vendor: verified("claims", pick(...ofVendor)),
    chip: verified("claims", pick(...ofChip)),
    image: verified("claims", pick(...measured)),
    keys: [],
    model: [],
    answer: [...verified("receipt", verdict.receipt), ...verified("execution", verdict.execution)],
    log: statements(verdict, ["logged", "time", "settled_in_time"]),
    witnesses: statements(verdict, ["witnessed"]),
  };
  if (subject.kind !== "bundle") {
    for (const kind of ["vek", "certificate", "crl", "tdx_collateral", "trust_root"]) {
      links.vendor.push(...given(kind).map((bytes) => ({ name: kind, bytes: () => bytes })));
    }
    links.chip.push(report(subject.kind, subject.bytes));
    links.image.push(...given("event_log").map((bytes) => ({ name: "event_log", bytes: () => bytes })));
    return links;
  }
  // Only what the verifier's own strict reader took for a bundle is looked into.
  const isRead = !verdict.findings.some(({ step, rule, outcome }) => step === "format" && rule !== "purpose" && outcome === "failed");
  if (!isRead) return { ...links, file: [{ name: "bundle", bytes: () => subject.bytes }] };
  const bundle = JSON.parse(new TextDecoder().decode(subject.bytes));
  const areBound = verdict.proved.some((statement) => statement.code === "keys_attested");
  const part = (name, base64, isVerified) => ({
    name,
    isVerified,
    bytes: () => fromBase64(base64),
    fields: () => json(fromBase64(base64)),
  });
  for (const [name, value] of Object.entries(bundle.endorsements ?? {})) {
    if (name === "platform" || typeof value !== "string") continue;
    const isBase64 = bundle.endorsements.platform === "sev-snp";
    links.vendor.push({ name, bytes: () => (isBase64 ? fromBase64(value) : new TextEncoder().encode(value)) });
  }
  for (const [name, { evidence }] of Object.entries({ boot: bundle.boot, epoch: bundle.epoch })) {
    const kind = evidence.report ? "snp_report" : "tdx_quote";
    links.chip.push(report(kind, fromBase64(evidence.report ?? evidence.quote ?? ""), `${name}_report`));
    if (evidence.event_log) links.image.push({ name: "event_log", bytes: () => fromBase64(evidence.event_log) });
  }
  links.keys.push(part("boot_statement", bundle.boot.statement, areBound), part("epoch_statement", bundle.epoch.statement, areBound));
  links.model.push({
    name: "models_stated",
    isVerified: areBound,
    fields: () => {
      const { models, engine } = json(fromBase64(bundle.boot.statement));
      return { models, engine };
    },
  });
  if (bundle.receipt) links.answer.push(part("receipt_payload", bundle.receipt.payload));
  if (bundle.stream) links.answer.push(part("stream_start", bundle.stream.start.payload));
  if (bundle.stream?.head) links.answer.push(part("stream_head", bundle.stream.head.payload));
  if (bundle.opening) links.answer.push({ name: "opening", fields: () => bundle.opening });
  if (bundle.proof) {
    const note = bundle.proof.indexOf("\n\n") + 2;
    const text = (name, from, to) => ({ name, text: () => bundle.proof.slice(from, to) });
    links.log.push(text("proof", 0, note));
    links.witnesses.push(text("checkpoint", note, undefined));
  }
  return links;
}

/** What a verdict says in sentences to have been proved. */
function statements(verdict, words) {
  const said = verdict.proved.filter((statement) => words.includes(statement.code));
  if (said.length === 0) return [];
  return [{ name: "claims", isVerified: true, fields: () => Object.fromEntries(said.map(({ code, text }) => [code, text])) }];
}

/** Where some of a report's fields stand: AMD 56860, "ATTESTATION_REPORT", and Intel's TDX module ABI, "TDREPORT_STRUCT" in a quote. */
const SNP_FIELDS = {
  version: [0x00, 4], guest_svn: [0x04, 4], policy: [0x08, 8], vmpl: [0x30, 4], current_tcb: [0x38, 8],
  platform_info: [0x40, 8], report_data: [0x50, 64], measurement: [0x90, 48], host_data: [0xc0, 32],
  report_id: [0x140, 32], reported_tcb: [0x180, 8], chip_id: [0x1a0, 64],
};
const TDX_FIELDS = {
  tee_tcb_svn: [0, 16], mrseam: [16, 48], td_attributes: [120, 8], xfam: [128, 8], mrtd: [136, 48],
  mrconfigid: [184, 48], rtmr0: [328, 48], rtmr1: [376, 48], rtmr2: [424, 48], rtmr3: [472, 48],
  report_data: [520, 64],
};

function report(kind, bytes, name = kind) {
  return {
    name,
    bytes: () => bytes,
    fields: () => {
      // A version 5 quote names its body's type and size first.
      const begin = kind === "snp_report" ? 0 : bytes[0] === 5 ? 54 : 48;
      const at = ([from, length]) => hex(bytes.subarray(begin + from, begin + from + length));
      const places = kind === "snp_report" ? SNP_FIELDS : TDX_FIELDS;
      return Object.fromEntries(Object.entries(places).map(([field, place]) => [field, at(place)]));
    },
  };
}

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function json(bytes) {
  return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
}

/**
 * Nested values as a flat list of { depth, name, value }, at most so many of them and so deep: these are strangers'.
 */
export function rowsOf(values, limits = AT_MOST) {
  const rows = [];
  const left = [];
  const put = (value, depth) => {
    const names = Object.keys(value).slice(0, limits.nodes);
    for (const name of names.reverse()) left.push({ depth, name, value: value[name] });
  };
  put(values, 0);
  while (left.length > 0 && rows.length < limits.nodes) {
    const { depth, name, value } = left.pop();
    const isNested = value !== null && typeof value === "object";
    rows.push({ depth, name, value: isNested ? "" : shortened(String(value), limits.characters) });
    if (isNested && depth < limits.depth) put(value, depth + 1);
  }
  return { rows, isAll: left.length === 0 };
}

export function shortened(text, most = AT_MOST.characters) {
  return text.length <= most ? text : `${text.slice(0, most)} … (${text.length})`;
}

/** What people wrote and read, out of a body that they know: chats, completions, and streams of both. */
export function spokenIn(bytes) {
  const text = new TextDecoder().decode(bytes.subarray(0, 1 << 20));
  try {
    if (/^(:|data:|event:)/.test(text)) {
      const events = text.split("\n").filter((line) => line.startsWith("data: {")).map((line) => JSON.parse(line.slice(6)));
      return events.map((event) => event.choices?.[0]?.delta?.content ?? event.choices?.[0]?.text ?? "").join("");
    }
    const body = JSON.parse(text);
    if (Array.isArray(body.messages)) return body.messages.map((one) => `${one.role}: ${one.content}`).join("\n");
    if (typeof body.prompt === "string") return body.prompt;
    const [first] = body.choices ?? [];
    return first?.message?.content ?? first?.text ?? "";
  } catch {
    return "";
  }
}
