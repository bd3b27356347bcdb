// Builds what is shown. Every text from a file ends up as a text node: nothing that was dropped is ever
// parsed as HTML.

import { breakOf, chainOf, decisionOf, matchOf } from "./chain.mjs";
import { rowsOf, shortened, spokenIn } from "./artefacts.mjs";

/** Most bytes and characters of a file that are shown. */
const SHOWN_BYTES_MAX = 8192;
const SHOWN_CHARACTERS_MAX = 20_000;
const MARKS = { proved: "✓", simulated: "S", partial: "◐", ignored: "–", resting: "–", broken: "✗", open: "?", unproved: "–" };

/** An element with attributes and children; strings become text. */
export function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, String(value));
  }
  for (const child of children.flat()) if (child != null && child !== "") made.append(child);
  return made;
}

/** A sentence with its {places} filled. */
export function filled(text, values) {
  return text.replace(/\{(\w+)\}/g, (place, name) => (name in values ? String(values[name]) : place));
}

/**
 * The whole result of one judgement.
 * @param {object} verdict
 * @param {object} parts `isRaw`, `choice` (of policy), `isAsLogged`, `isAtGiven`, `judged` (the files with their
 *   digests), `version`, `artefacts`, and `request` and `response` where they were given
 */
export function resultView(verdict, parts) {
  const chain = chainOf(verdict, parts.isRaw);
  return [
    verdict.simulated ? simulatedView() : null,
    headlineView(verdict, parts),
    momentsView(verdict, parts),
    notProvedView(verdict.not_proved),
    chainView(verdict, parts, chain),
    parts.isRaw ? null : contentView(verdict, parts, chain),
    section(
      "proved-list statements",
      TEXTS.proved_title,
      verdict.proved.length > 0 ? statementsView(verdict.proved) : element("p", {}, TEXTS.nothing_proved),
    ),
    judgedView(verdict, parts),
    folded("inner", filled(TEXTS.all_checks, { count: verdict.findings.length }), () => tableView(verdict.findings)),
    folded("inner json", TEXTS.as_json, () => element("pre", { id: "json", tabindex: "0" }, parts.text)),
    element(
      "p",
      { class: "actions" },
      element("button", { type: "button", id: "save" }, TEXTS.save),
      element("button", { type: "button", id: "print" }, TEXTS.print),
    ),
  ].filter(Boolean);
}

/** What the headline says: without a policy of anybody's there is no decision. */
export function headlineOf(verdict, { choice, isAsLogged }) {
  return choice === "none" ? "none" : decisionOf(verdict, isAsLogged);
}

function section(name, title, ...children) {
  return element("section", { class: name }, element("h2", {}, title), ...children);
}

/** Details whose content is made when it is first looked at, and whose troubles are seen. */
function folded(name, title, make) {
  const place = element("div", {});
  const details = element("details", { class: name }, element("summary", {}, title), place);
  details.addEventListener("toggle", () => details.open && fill());
  return details;

  function fill() {
    if (place.firstChild) return;
    try {
      place.append(make());
    } catch {
      place.append(element("p", { class: "quiet" }, TEXTS.unreadable_part));
    }
  }
}

function simulatedView() {
  return element("p", { class: "pretence" }, element("strong", {}, TEXTS.simulated_title), " ", TEXTS.simulated_text);
}

function headlineView(verdict, parts) {
  const word = headlineOf(verdict, parts);
  const isNone = word === "none";
  const rejected = verdict.verdict === "rejected";
  const lead = isNone && rejected ? "none_rejected" : word === "accepted" && verdict.simulated ? "simulated" : word;
  return element(
    "header",
    { class: `headline ${word}${verdict.simulated ? " pretended" : ""}`, "data-headline": word },
    element("h2", { id: "headline", tabindex: "-1" }, TEXTS[`verdict_${word}`]),
    element("p", {}, TEXTS[`headline_${lead}`], parts.isAsLogged ? ` ${TEXTS.headline_logged}` : ""),
    verdict.code ? element("p", {}, sentenceOf(verdict.code)) : null,
    verdict.code ? element("p", { class: "code" }, element("code", {}, verdict.code), " ", shortened(verdict.detail ?? "", 400)) : null,
  );
}

/** What a code means in plain words: of its own, or of the longest beginning that has some. */
export function sentenceOf(code) {
  const known = Object.keys(TEXTS.codes).filter((word) => code === word || (word.endsWith("_") && code.startsWith(word)));
  const [best] = known.sort((a, b) => b.length - a.length);
  return best ? TEXTS.codes[best] : "";
}

function momentsView(verdict, { isRaw, isAtGiven, choice }) {
  const card = (title, judgement) =>
    element(
      "div",
      { class: "card" },
      element("h3", {}, title),
      judgement && choice !== "none" ? element("strong", { class: judgement.verdict }, TEXTS[`verdict_${judgement.verdict}`]) : null,
      judgement?.code ? element("code", {}, judgement.code) : null,
      element("span", { class: "quiet" }, judgement ? `${TEXTS.judged_for} ${judgement.at}` : TEXTS.as_logged_absent),
    );
  return element(
    "div",
    { class: "cards" },
    isRaw ? null : card(TEXTS.as_logged, verdict.as_logged),
    card(isAtGiven ? TEXTS.as_of_given : TEXTS.as_of_now, verdict.as_of_now),
    element(
      "div",
      { class: "card" },
      element("h3", {}, TEXTS.under_policy),
      element("strong", {}, element("bdi", {}, shortened(verdict.policy.name, 200))),
      element("span", { class: "quiet" }, choice === "none" ? TEXTS.source_none : verdict.policy.purpose),
    ),
  );
}

function chainView(verdict, parts, { rows, links }) {
  const decisive = breakOf(verdict);
  const place = decisive && [...rows, ...links].some((link) => link.id === decisive.id) ? decisive.id : "policy";
  const list = (all) => all.map((link) => linkView(link, decisive && link.id === place ? decisive.finding : undefined, parts.artefacts[link.id] ?? []));
  return element(
    "section",
    { class: "chain", "aria-labelledby": "chain-title" },
    element("h2", { id: "chain-title" }, TEXTS.chain_title),
    element("p", { class: "quiet" }, TEXTS.chain_lead),
    rows.length > 0 ? element("ul", { class: "rows" }, list(rows)) : null,
    element("ol", {}, list(links)),
  );
}

function linkView(link, decisive, artefacts) {
  const texts = TEXTS.links[link.id];
  const status = link.status === "unproved" && link.rests ? "unproved_rests" : link.status;
  const rests = link.rests ? TEXTS.links[link.rests].name : "";
  const ignored = link.findings.filter((finding) => finding.outcome === "ignored");
  const isBroken = decisive && link.status === "broken";
  return element(
    "li",
    { class: `link ${link.status}`, "data-link": link.id, "data-status": link.status },
    element("span", { class: "mark", "aria-hidden": "true" }, MARKS[link.status]),
    element(
      "details",
      { open: Boolean(decisive) },
      element(
        "summary",
        {},
        element("span", { class: "name" }, texts.name),
        " ",
        element("span", { class: "status" }, filled(TEXTS[`status_${status}`], { rests })),
      ),
      decisive
        ? element(
            "div",
            { class: `break ${link.status}` },
            element("p", {}, isBroken ? element("strong", {}, `${TEXTS.broke_here} `) : null, sentenceOf(decisive.code ?? "")),
            element(
              "p",
              { class: "quiet" },
              element("code", {}, decisive.code ?? ""),
              ` ${decisive.rule}: ${TEXTS.check_expected.toLowerCase()} ${shortened(decisive.expected, 400)}, `,
              `${TEXTS.check_seen.toLowerCase()} ${shortened(decisive.seen, 400)}`,
            ),
          )
        : null,
      element("p", {}, texts.text),
      element("p", { class: "quiet" }, `${TEXTS.specification}: ${texts.specification}`),
      ignored.length > 0
        ? element("p", { class: "quiet" }, `${TEXTS.ignored_here} ${[...new Set(ignored.map((finding) => finding.rule))].join(", ")}`)
        : null,
      link.findings.length > 0
        ? folded("inner", filled(TEXTS.checks, { count: link.findings.length }), () => tableView(link.findings))
        : element("p", { class: "quiet" }, TEXTS.no_checks),
      artefacts.map(artefactView),
    ),
  );
}

function tableView(findings) {
  const head = ["check_outcome", "check_rule", "check_expected", "check_seen"].map((name) => TEXTS[name]);
  const cell = (at, ...content) => element("td", { "data-name": head[at] }, ...content);
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": TEXTS.chain_title },
    element(
      "table",
      {},
      element("thead", {}, element("tr", {}, head.map((name) => element("th", { scope: "col" }, name)))),
      element(
        "tbody",
        {},
        findings.map((finding) =>
          element(
            "tr",
            { class: finding.outcome },
            cell(0, TEXTS[`outcome_${finding.outcome}`], finding.code ? element("code", {}, finding.code) : null),
            cell(1, element("code", {}, finding.rule)),
            cell(2, shortened(finding.expected)),
            cell(3, shortened(finding.seen)),
          ),
        ),
      ),
    ),
  );
}

/** Fields and bytes of one part, each with whether the verifier vouches for it. */
function artefactView({ name, isVerified = false, fields, bytes, text }) {
  const label = isVerified ? TEXTS.verified_fields : TEXTS.unverified_fields;
  const count = bytes ? bytes().length : undefined;
  return folded(
    `inner artefact${isVerified ? " verified" : ""}`,
    element("span", {}, `${TEXTS.parts[name] ?? name} `, element("span", { class: "quiet" }, label)),
    () => {
      const views = [];
      if (fields) views.push(fieldsView(fields));
      if (text) views.push(element("pre", { tabindex: "0" }, shortened(text(), SHOWN_CHARACTERS_MAX)));
      if (bytes) views.push(element("p", { class: "quiet" }, filled(TEXTS.bytes, { count })), bytesView(bytes()));
      return element("div", {}, views);
    },
  );
}

function fieldsView(fields) {
  let shown;
  try {
    shown = rowsOf(fields());
  } catch {
    return element("p", { class: "quiet" }, TEXTS.unreadable_part);
  }
  const list = element("dl", {});
  for (const { depth, name, value } of shown.rows) {
    list.append(element("dt", { class: `depth-${Math.min(depth, 4)}` }, name), element("dd", {}, value));
  }
  return element("div", {}, list, shown.isAll ? null : element("p", { class: "quiet" }, TEXTS.more_fields));
}

/** Bytes as people read them: offset, sixteen values, characters. */
function bytesView(bytes) {
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, SHOWN_BYTES_MAX); at += 16) {
    const part = [...bytes.subarray(at, at + 16)];
    const values = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = part.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${values.padEnd(47)}  ${text}`);
  }
  if (bytes.length > SHOWN_BYTES_MAX) lines.push(filled(TEXTS.more_bytes, { count: bytes.length - SHOWN_BYTES_MAX }));
  return element("pre", { class: "scroll", tabindex: "0" }, lines.join("\n"));
}

function contentView(verdict, parts, { links }) {
  // What matches a receipt that is not proved is as good as that receipt.
  const isHeld = !["proved", "partial", "simulated"].includes(links.find((link) => link.id === "answer").status);
  const one = (part, title) => {
    const bytes = parts[part];
    const match = matchOf(verdict, part, bytes !== undefined);
    const spoken = bytes ? spokenIn(bytes) : "";
    const sentence = part === "response" && match === "prefix"
      ? `${TEXTS.response_prefix} ${verdict.proved.find((one) => one.code === "response_prefix")?.text ?? ""}`
      : TEXTS[`${part}_${match}`];
    return element(
      "div",
      { class: `body ${match}`, "data-part": part, "data-match": match },
      element("h3", {}, title),
      element("p", {}, sentence),
      spoken ? element("blockquote", { "aria-label": TEXTS.body_text }, shortened(String(spoken), SHOWN_CHARACTERS_MAX)) : null,
      bytes
        ? folded("inner", filled(TEXTS.body_whole, { count: bytes.length }), () => {
            const text = new TextDecoder().decode(bytes.subarray(0, SHOWN_CHARACTERS_MAX));
            return element("pre", { tabindex: "0" }, bytes.length > SHOWN_CHARACTERS_MAX ? `${text} …` : text);
          })
        : null,
    );
  };
  return section(isHeld ? "content held" : "content", TEXTS.content_title, one("request", TEXTS.prompt), one("response", TEXTS.answer));
}

/** Which files, by which policy, by what: what a print or a screenshot must say to be worth something. */
function judgedView(verdict, { judged, version, choice }) {
  const source = { none: "source_none", dropped: "source_dropped" }[choice] ?? "source_shipped";
  const words = { version, policy: shortened(verdict.policy.name, 200), source: TEXTS[source], at: verdict.at };
  return section(
    "judged",
    TEXTS.judged_title,
    element("p", {}, filled(TEXTS.judged_by, words)),
    element(
      "ul",
      {},
      judged.map(({ kind, name, bytes, sha256 }) =>
        element(
          "li",
          {},
          element("strong", {}, TEXTS.kinds[kind]),
          " ",
          element("bdi", {}, shortened(name, 120)),
          element("span", { class: "quiet" }, ` ${bytes.toLocaleString("en")} B`),
          element("code", { class: "digest", "data-kind": kind }, `SHA-256 ${sha256}`),
        ),
      ),
    ),
  );
}

/** What stays open whatever was checked comes first; the rules that a policy ignores follow, folded. */
function notProvedView(statements) {
  const isIgnored = (statement) => statement.code.startsWith("ignored:");
  const ignored = statements.filter(isIgnored);
  return section(
    "statements not-proved",
    TEXTS.not_proved_title,
    statementsView(statements.filter((statement) => !isIgnored(statement))),
    ignored.length > 0 ? folded("inner", `${TEXTS.ignored_rules} (${ignored.length})`, () => statementsView(ignored)) : null,
  );
}

function statementsView(statements) {
  return element(
    "ul",
    {},
    statements.map((statement) => element("li", {}, shortened(statement.text), " ", element("code", {}, statement.code))),
  );
}
