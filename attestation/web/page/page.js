// The page: files in, a verdict out. Nothing is fetched, stored or sent; its Content-Security-Policy
// would not allow it either.

/** Longest file that is read, in bytes. The verifier refuses shorter ones where they are too long for their kind. */
const FILE_BYTES_MAX = 64 * 1024 * 1024;
const SUBJECTS = ["bundle", "snp_report", "tdx_quote"];

/** What was dropped: { name, kind, bytes }. */
let files = [];
let lastVerdict = null;

const $ = (id) => document.getElementById(id);

function start() {
  for (const place of document.querySelectorAll("[data-text]")) place.textContent = TEXTS[place.dataset.text];
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
    place({ name: TEXTS.paste_title, bytes, kind: $("paste-kind").value || kindOf(bytes, "") });
    $("paste-text").value = "";
    judge();
  });
  $("policy").addEventListener("change", judge);
  $("at").addEventListener("change", judge);
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
}

async function add(dropped) {
  const problems = [];
  for (const file of dropped) {
    if (file.size > FILE_BYTES_MAX) {
      problems.push(`${file.name} ${TEXTS.too_large}`);
      continue;
    }
    try {
      const bytes = new Uint8Array(await file.arrayBuffer());
      place({ name: file.name, bytes, kind: kindOf(bytes, file.name) });
    } catch {
      problems.push(`${file.name} ${TEXTS.unreadable}`);
    }
  }
  judge(problems.join(". "));
}

/** A file of a kind of which there is one replaces the one before. */
function place(file) {
  if (file.kind !== "certificate" && file.kind !== "unknown") files = files.filter((other) => other.kind !== file.kind);
  files.push(file);
}

/** What a file is: by content, and where that says too little by the names that our own tools give. */
function kindOf(bytes, name) {
  const kind = wasm_bindgen.kindOf(bytes);
  if (/-request\.json$/.test(name)) return "request";
  if (/-response\.(json|sse)$/.test(name)) return "response";
  // Of certificates the names tell which belongs to the chip.
  if (kind === "certificate" && /vcek|vlek|vek/i.test(name)) return "vek";
  return kind;
}

const one = (kind) => files.find((file) => file.kind === kind)?.bytes;

function now() {
  return new Date().toISOString().replace(/\.\d+Z$/, "Z");
}

function judge(problem) {
  const status = $("status");
  status.className = "";
  status.textContent = typeof problem === "string" ? problem : "";
  showFiles();
  const subjects = files.filter((file) => SUBJECTS.includes(file.kind));
  $("terms").hidden = subjects.length !== 1;
  $("result").hidden = true;
  lastVerdict = null;
  if (subjects.length !== 1) {
    if (subjects.length > 1) status.textContent = TEXTS.two_subjects;
    else if (files.length > 0 && !status.textContent) status.textContent = TEXTS.missing_subject;
    return;
  }
  const [subject] = subjects;
  const policy = choosePolicy(subject);
  const at = $("at").value.trim() || now();
  const begun = performance.now();
  let text;
  try {
    text = verify(subject, policy, at);
  } catch (thrown) {
    status.textContent = `${TEXTS.unusable}: ${reason(thrown)}`;
    return;
  }
  const took = performance.now() - begun;
  lastVerdict = text;
  const verdict = JSON.parse(text);
  const isRaw = subject.kind !== "bundle";
  const result = $("result");
  result.replaceChildren(...resultView(verdict, { isRaw, fields: fieldsOf(subject, verdict) }));
  result.dataset.milliseconds = took.toFixed(1);
  result.dataset.verdict = verdict.verdict;
  result.dataset.code = verdict.code ?? "";
  result.hidden = false;
  $("save").addEventListener("click", save);
  $("print").addEventListener("click", () => print());
  if (status.textContent) return;
  // Said to those who listen; the headline shows it.
  status.className = "said";
  status.textContent = TEXTS[`verdict_${verdict.verdict}`];
}

function verify(subject, policy, at) {
  const trustRoot = one("trust_root");
  switch (subject.kind) {
    case "bundle":
      return wasm_bindgen.verifyBundle(subject.bytes, policy, at, one("request"), one("response"));
    case "snp_report": {
      const certificates = files.filter((file) => file.kind === "certificate").map((file) => file.bytes);
      return wasm_bindgen.verifySnp(
        subject.bytes, one("vek"), certificates, one("crl"), policy, at, undefined, trustRoot,
      );
    }
    default:
      return wasm_bindgen.verifyTdx(
        subject.bytes, one("tdx_collateral"), one("event_log"), policy, at, undefined, trustRoot,
      );
  }
}

/** What the verifier threw: its own words as JSON, or a failure of the module. */
function reason(thrown) {
  try {
    const { code, message } = JSON.parse(thrown);
    return `${message} (${code})`;
  } catch {
    return String(thrown);
  }
}

/** The policies that can be chosen for this subject; gives the chosen one's bytes. */
function choosePolicy(subject) {
  const select = $("policy");
  const dropped = one("policy");
  const isRaw = subject.kind !== "bundle";
  const names = Object.keys(POLICIES).filter((name) => name.startsWith("evidence-") === isRaw);
  const choices = [...(dropped ? ["dropped"] : []), ...names];
  const known = [...select.options].map((option) => option.value);
  if (known.join() !== choices.join()) {
    const before = select.value;
    const title = (choice) =>
      choice === "dropped" ? TEXTS.policy_dropped : `${TEXTS.policy_shipped} ${choice}`;
    select.replaceChildren(...choices.map((choice) => element("option", { value: choice }, title(choice))));
    select.value = dropped || !choices.includes(before) ? choices[0] : before;
  }
  const choice = select.value;
  const note = { simulated: "note_shipped_simulated", dropped: "note_dropped" }[choice]
    ?? (isRaw ? "note_shipped_evidence" : "note_shipped_template");
  $("policy-note").textContent = TEXTS[note];
  return choice === "dropped" ? dropped : new TextEncoder().encode(POLICIES[choice]);
}

function showFiles() {
  $("files").replaceChildren(
    ...files.map((file) => {
      const select = element(
        "select",
        { "aria-label": `${TEXTS.kind_label}: ${file.name}` },
        Object.entries(TEXTS.kinds).map(([kind, name]) =>
          element("option", { value: kind, selected: kind === file.kind }, name),
        ),
      );
      select.addEventListener("change", () => {
        file.kind = select.value;
        judge();
      });
      const remove = element("button", { type: "button", "aria-label": `${TEXTS.remove}: ${file.name}` }, "×");
      remove.addEventListener("click", () => {
        files = files.filter((other) => other !== file);
        judge();
      });
      const size = file.bytes.length.toLocaleString("en");
      return element(
        "li",
        { "data-kind": file.kind },
        element("span", { class: "file" }, file.name),
        element("span", { class: "quiet" }, `${size} B`),
        select,
        remove,
      );
    }),
  );
}

/** Fields and bytes to show under each link. For display only: nothing here decides anything. */
function fieldsOf(subject, verdict) {
  const claims = verdict.claims ?? {};
  const pick = (...names) =>
    Object.fromEntries(names.filter((name) => name in claims).map((name) => [name, claims[name]]));
  const without = (...names) => Object.fromEntries(Object.entries(claims).filter(([name]) => !names.includes(name)));
  const measured = ["measurement", "mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mrconfigid", "host_data"];
  const fields = {
    vendor: { values: pick("vek", "pck", "fmspc", "tcb_status", "advisories", "crl_checked") },
    chip: { values: without(...measured, "vek", "report_data") },
    image: { values: pick(...measured) },
  };
  if (subject.kind !== "bundle") {
    fields.chip.bytes = subject.bytes;
    return fields;
  }
  let bundle;
  try {
    bundle = JSON.parse(new TextDecoder().decode(subject.bytes));
    const evidence = bundle.boot.evidence;
    fields.chip.bytes = fromBase64(evidence.report ?? evidence.quote);
    const statement = decoded(bundle.boot.statement);
    const { models, engine, ...rest } = statement;
    fields.keys = { values: { boot: rest, epoch: decoded(bundle.epoch.statement) } };
    fields.model = { values: { models, engine } };
    fields.answer = { values: { receipt: bundle.receipt ? decoded(bundle.receipt.payload) : {}, opening: bundle.opening ?? {} } };
    if (bundle.proof) {
      const [proof, note] = [bundle.proof.split("\n\n", 1)[0], bundle.proof.slice(bundle.proof.indexOf("\n\n") + 2)];
      fields.log = { values: { proof: proof.split("\n") } };
      fields.witnesses = { values: { checkpoint: note.split("\n").filter(Boolean) } };
    }
  } catch {
    // What can't be decoded isn't shown; the verdict says why it is refused.
  }
  return fields;
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function decoded(text) {
  return JSON.parse(new TextDecoder().decode(fromBase64(text)));
}

function save() {
  const address = URL.createObjectURL(new Blob([lastVerdict], { type: "application/json" }));
  const link = element("a", { href: address, download: "verdict.json" });
  link.click();
  URL.revokeObjectURL(address);
}

start();
