// The page: files in, a verdict out. Nothing is fetched, stored or sent; its Content-Security-Policy
// would not allow it either.

import { FILE_BYTES_MAX, SUBJECTS, isUsed, kindByName, policyOfNobody, sorted } from "./files.mjs";
import { artefactsOf } from "./artefacts.mjs";
import { element, filled, headlineOf, resultView } from "./view.mjs";

/** What was dropped: { name, kind, bytes, sha256, row }. */
let files = [];
/** What "Save the verdict" saves. */
let lastVerdict = null;

const $ = (id) => document.getElementById(id);

function start() {
  for (const place of document.querySelectorAll("[data-text]")) place.textContent = TEXTS[place.dataset.text];
  $("files").setAttribute("aria-label", TEXTS.files_list);
  wasm_bindgen.initSync({ module: Uint8Array.from(atob(MODULE), (character) => character.charCodeAt(0)) });
  $("about").textContent = `${TEXTS.about} ${wasm_bindgen.version()}`;
  $("paste-kind").append(
    element("option", { value: "" }, TEXTS.paste_any),
    ...Object.entries(TEXTS.kinds).map(([kind, name]) => element("option", { value: kind }, name)),
  );
  $("pick").addEventListener("change", async (event) => {
    await add([...event.target.files]);
    event.target.value = "";
  });
  $("paste-add").addEventListener("click", () => {
    const bytes = new TextEncoder().encode($("paste-text").value);
    if (bytes.length === 0) return;
    place(TEXTS.pasted, bytes, $("paste-kind").value);
    $("paste-text").value = "";
    judge({ isNew: true, since: performance.now() });
  });
  for (const id of ["policy", "at", "decide", "report-data"]) $(id).addEventListener("change", () => judge());
  const drop = $("drop");
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    add([...event.dataTransfer.files]);
  });
  // Paper shows what was opened to the first level: the chain's links, and not their bytes.
  let opened = [];
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll(".link > details:not([open])")) {
      details.open = true;
      opened.push(details);
    }
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
    opened = [];
  });
}

async function add(dropped) {
  const since = performance.now();
  const problems = [];
  for (const file of dropped) {
    if (file.size > FILE_BYTES_MAX) {
      problems.push(`${file.name} ${TEXTS.too_large}`);
      continue;
    }
    try {
      place(file.name, new Uint8Array(await file.arrayBuffer()));
    } catch {
      problems.push(`${file.name} ${TEXTS.unreadable}`);
    }
  }
  judge({ problem: problems.join(". "), isNew: true, since });
}

/** Nothing that was given is ever replaced: two of a kind are for the reader to sort out. The same file twice is one. */
function place(name, bytes, chosen) {
  const sha256 = wasm_bindgen.sha256(bytes);
  const kind = chosen || kindByName(wasm_bindgen.kindOf(bytes), name);
  if (!files.some((file) => file.sha256 === sha256 && file.kind === kind)) files.push({ name, bytes, sha256, kind });
}

const allOf = (kind) => files.filter((file) => file.kind === kind).map((file) => file.bytes);
const one = (kind) => allOf(kind)[0];

function now() {
  return new Date().toISOString().replace(/\.\d+Z$/, "Z");
}

/** Judges what is there, and shows what comes of it: a verdict, or in words why there is none. */
function judge({ problem = "", isNew = false, since } = {}) {
  const { subject, problem: unclear, kind } = sorted(files);
  lastVerdict = null;
  $("result").hidden = true;
  for (const id of ["at", "report-data"]) {
    $(id).removeAttribute("aria-invalid");
    if (id === "at") $(id).removeAttribute("aria-describedby");
  }
  showFiles(subject);
  $("terms").hidden = !subject;
  if (!subject) {
    const words = files.length > 0 || problem ? filled(TEXTS[unclear], { kind: TEXTS.kinds[kind] ?? "" }) : "";
    return say(problem || words, { isSeen: true });
  }
  try {
    showVerdict(subject, { problem, isNew, since });
  } catch (thrown) {
    // Never nothing: what a hostile file makes of the page is said.
    say(`${TEXTS.trouble} ${thrown}`, { isSeen: true });
  }
}

/** To those who see it, or only to those who listen. */
function say(text, { isSeen }) {
  $("status").className = isSeen ? "" : "said";
  $("status").textContent = text;
}

function showVerdict(subject, { problem, isNew, since }) {
  const isRaw = subject.kind !== "bundle";
  const { choice, policy } = choosePolicy(subject);
  $("decide-row").hidden = isRaw;
  $("report-data-row").hidden = !isRaw;
  const at = $("at").value.trim();
  const begun = performance.now();
  let text;
  try {
    text = verify(subject, policy, at || now());
  } catch (thrown) {
    return say(`${TEXTS.unusable}: ${reason(thrown)}`, { isSeen: true });
  }
  const took = performance.now() - begun;
  const verdict = JSON.parse(text);
  const judged = judgedWith(subject, policy, choice);
  lastVerdict = JSON.stringify({ ...verdict, judged: { verifier: wasm_bindgen.version(), files: judged } }, null, 2);
  const parts = {
    text,
    isRaw,
    choice,
    judged,
    isAsLogged: !isRaw && $("decide").value === "logged",
    isAtGiven: at !== "",
    version: wasm_bindgen.version(),
    artefacts: artefactsOf(subject, allOf, verdict),
    request: one("request"),
    response: one("response"),
  };
  const result = $("result");
  result.className = verdict.simulated ? "pretended" : "";
  result.replaceChildren(...resultView(verdict, parts));
  Object.assign(result.dataset, { verdict: verdict.verdict, code: verdict.code ?? "", milliseconds: took.toFixed(1) });
  result.hidden = false;
  $("save").addEventListener("click", save);
  $("print").addEventListener("click", () => print());
  const words = filled(choice === "none" ? TEXTS.said_none : TEXTS.said, { verdict: TEXTS[`verdict_${headlineOf(verdict, parts)}`], policy: verdict.policy.name });
  const said = [verdict.simulated ? TEXTS.simulated_title + "." : "", words].filter(Boolean).join(" ");
  say(problem || said, { isSeen: problem !== "" });
  if (!isNew) return;
  // What was handed over has done its part; what came of it is what people came for.
  $("inputs").open = false;
  (document.querySelector("#result .pretence") ?? $("headline")).scrollIntoView({ block: "start" });
  $("headline").focus({ preventScroll: true });
  if (since !== undefined) result.dataset.total = (performance.now() - since).toFixed(1);
}

function verify(subject, policy, at) {
  const trustRoot = one("trust_root");
  const revocations = one("revocations");
  const reportData = $("report-data").value.trim() || undefined;
  switch (subject.kind) {
    case "bundle":
      return wasm_bindgen.verifyBundle(subject.bytes, policy, at, revocations, one("request"), one("response"));
    case "snp_report":
      return wasm_bindgen.verifySnp(
        subject.bytes, one("vek"), allOf("certificate"), one("crl"), policy, at, revocations, reportData, trustRoot,
      );
    default:
      return wasm_bindgen.verifyTdx(
        subject.bytes, one("tdx_collateral"), one("event_log"), policy, at, revocations, reportData, trustRoot,
      );
  }
}

/** What took part, with digests: the policy as well where it is the page's own. */
function judgedWith(subject, policy, choice) {
  const used = files.filter((file) => isUsed(file, subject) && (file.kind !== "policy" || choice === "dropped"));
  const listed = used.map(({ kind, name, bytes, sha256 }) => ({ kind, name, bytes: bytes.length, sha256 }));
  if (choice === "dropped") return listed;
  const name = choice === "none" ? TEXTS.policy_none : `${choice}.json`;
  return [...listed, { kind: "policy", name, bytes: policy.length, sha256: wasm_bindgen.sha256(policy) }];
}

/** What the verifier threw: its own words as JSON, or a failure of the module. The field that is at fault is marked. */
function reason(thrown) {
  let word;
  try {
    word = JSON.parse(thrown);
  } catch {
    return String(thrown);
  }
  const field = { moment_unusable: "at", report_data_unusable: "report-data" }[word.code];
  if (field) {
    $("inputs").open = true;
    $(field).setAttribute("aria-invalid", "true");
    if (field === "at") $(field).setAttribute("aria-describedby", "status");
  }
  return `${word.message} (${word.code})`;
}

/** The policies that can be chosen for this subject; gives the chosen one. */
function choosePolicy(subject) {
  const select = $("policy");
  const dropped = one("policy");
  const isRaw = subject.kind !== "bundle";
  const names = Object.keys(POLICIES).filter((name) => name.startsWith("evidence-") === isRaw);
  const choices = [...(dropped ? ["dropped"] : []), ...(isRaw ? [] : ["none"]), ...names];
  const known = [...select.options].map((option) => option.value);
  if (known.join() !== choices.join()) {
    const before = select.value;
    const title = (choice) =>
      ({ dropped: TEXTS.policy_dropped, none: TEXTS.policy_none })[choice] ?? `${TEXTS.policy_shipped} ${choice}`;
    select.replaceChildren(...choices.map((choice) => element("option", { value: choice }, title(choice))));
    // A policy that just came along is what its reader means to judge by.
    const isNew = dropped && !known.includes("dropped");
    select.value = isNew || !choices.includes(before) ? choices[0] : before;
  }
  const choice = select.value;
  const note = { simulated: "note_shipped_simulated", dropped: "note_dropped", none: "note_none" }[choice];
  $("policy-note").textContent = TEXTS[note ?? (isRaw ? "note_shipped_evidence" : "note_shipped_template")];
  const policy = choice === "dropped" ? dropped : new TextEncoder().encode(choice === "none" ? nobodys() : POLICIES[choice]);
  $("policy-source").querySelector("pre").textContent = new TextDecoder().decode(policy.subarray(0, 1 << 20));
  return { choice, policy };
}

function nobodys() {
  const [snp, tdx] = ["production-snp", "production-tdx"].map((name) => JSON.parse(POLICIES[name]));
  return JSON.stringify(policyOfNobody({ snp, tdx }), null, 2);
}

/** Brings the list up to date without touching the rows that stay: whoever stands in one keeps their place. */
function showFiles(subject) {
  const list = $("files");
  for (const row of [...list.children]) if (!files.some((file) => file.row === row)) row.remove();
  for (const file of files) {
    file.row ??= rowOf(file);
    if (!file.row.isConnected) list.append(file.row);
    file.row.dataset.kind = file.kind;
    file.row.querySelector("select").value = file.kind;
    file.row.querySelector(".unused").hidden = isUsed(file, subject);
  }
  $("files-brief").textContent = files.map((file) => file.name).join(", ");
}

function rowOf(file) {
  const options = Object.entries(TEXTS.kinds).map(([kind, name]) => element("option", { value: kind }, name));
  const select = element("select", { "aria-label": `${TEXTS.kind_label}: ${file.name}` }, options);
  select.addEventListener("change", () => {
    file.kind = select.value;
    judge();
  });
  const remove = element("button", { type: "button", "aria-label": `${TEXTS.remove}: ${file.name}` }, "×");
  remove.addEventListener("click", () => {
    const place = files.indexOf(file);
    files = files.filter((other) => other !== file);
    judge();
    const next = files[Math.min(place, files.length - 1)];
    (next?.row.querySelector("button") ?? $("pick")).focus();
  });
  return element(
    "li",
    {},
    element("bdi", { class: "file" }, file.name),
    element("span", { class: "unused quiet" }, TEXTS.unused),
    element("span", { class: "quiet" }, `${file.bytes.length.toLocaleString("en")} B`),
    select,
    remove,
    element("code", { class: "digest quiet" }, `SHA-256 ${file.sha256}`),
  );
}

function save() {
  const address = URL.createObjectURL(new Blob([lastVerdict], { type: "application/json" }));
  element("a", { href: address, download: "verdict.json" }).click();
  // Some browsers read it only after this has returned.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

start();
