// Builds what is shown. Every text from a file ends up as a text node: nothing that was dropped is ever
// parsed as HTML.

/** An element with attributes and children; strings become text. */
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, String(value));
  }
  made.append(...children.flat().filter((child) => child != null && child !== ""));
  return made;
}

const MARKS = { proved: "✓", pretended: "S", broken: "✗", open: "?", unproved: "–" };

/** The whole result of one judgement. */
function resultView(verdict, parts) {
  const word = verdict.verdict;
  const headline = element(
    "header",
    { class: `headline ${word}` },
    element("h2", { id: "headline", tabindex: "-1" }, TEXTS[`verdict_${word}`]),
    element("p", {}, TEXTS[`headline_${word}`]),
    verdict.code ? element("p", { class: "code" }, element("code", {}, verdict.code), " ", verdict.detail ?? "") : null,
  );
  const simulated = verdict.simulated
    ? element(
        "p",
        { class: "simulated" },
        element("strong", {}, TEXTS.simulated_title),
        " ",
        TEXTS.simulated_text,
      )
    : null;
  return [
    simulated,
    headline,
    momentsView(verdict, parts.isRaw),
    notProvedView(verdict.not_proved),
    chainView(verdict, parts),
    parts.isRaw ? null : contentView(verdict),
    element(
      "section",
      { class: "statements proved-list" },
      element("h2", {}, TEXTS.proved_title),
      statementsView(verdict.proved),
    ),
    element(
      "p",
      { class: "actions" },
      element("button", { type: "button", id: "save" }, TEXTS.save),
      element("button", { type: "button", id: "print" }, TEXTS.print),
    ),
  ].filter(Boolean);
}

function momentsView(verdict, isRaw) {
  const card = (title, judgement) => {
    const body = judgement
      ? [
          element("strong", { class: judgement.verdict }, TEXTS[`verdict_${judgement.verdict}`]),
          judgement.code ? element("code", {}, judgement.code) : null,
          element("span", { class: "quiet" }, `${TEXTS.judged_for} ${judgement.at}`),
        ]
      : [element("span", { class: "quiet" }, TEXTS.as_logged_absent)];
    return element("div", { class: "card" }, element("h3", {}, title), ...body.filter(Boolean));
  };
  return element(
    "div",
    { class: "cards" },
    isRaw ? null : card(TEXTS.as_logged, verdict.as_logged),
    card(TEXTS.as_of_now, verdict.as_of_now),
    element(
      "div",
      { class: "card" },
      element("h3", {}, TEXTS.under_policy),
      element("strong", {}, verdict.policy.name),
      element("span", { class: "quiet" }, verdict.policy.purpose),
    ),
  );
}

function chainView(verdict, parts) {
  const links = chainOf(verdict, parts.isRaw);
  const broken = links.find((link) => link.status === "broken");
  return element(
    "section",
    { class: "chain", "aria-labelledby": "chain-title" },
    element("h2", { id: "chain-title" }, TEXTS.chain_title),
    element("p", { class: "quiet" }, TEXTS.chain_lead),
    element("ol", {}, links.map((link) => linkView(link, link === broken, parts.fields[link.id]))),
  );
}

function linkView(link, isFirstBroken, fields) {
  const texts = TEXTS.links[link.id];
  const failing = link.findings.find((finding) => finding.outcome === "failed");
  return element(
    "li",
    { class: `link ${link.status}`, "data-link": link.id, "data-status": link.status },
    element("span", { class: "mark", "aria-hidden": "true" }, MARKS[link.status]),
    element(
      "details",
      { open: isFirstBroken },
      element(
        "summary",
        {},
        element("span", { class: "name" }, texts.name),
        " ",
        element("span", { class: "status" }, TEXTS[`status_${link.status}`]),
      ),
      isFirstBroken && failing
        ? element(
            "p",
            { class: "break" },
            element("strong", {}, TEXTS.broke_here),
            " ",
            element("code", {}, failing.code ?? ""),
            ` ${failing.rule}: `,
            `${TEXTS.check_expected.toLowerCase()} ${failing.expected}, ${TEXTS.check_seen.toLowerCase()} ${failing.seen}`,
          )
        : null,
      element("p", {}, texts.text),
      element("p", { class: "quiet" }, `${TEXTS.specification}: ${texts.specification}`),
      checksView(link.findings),
      fields?.values ? fieldsView(fields.values) : null,
      fields?.bytes ? bytesView(fields.bytes) : null,
    ),
  );
}

function checksView(findings) {
  if (findings.length === 0) return element("p", { class: "quiet" }, TEXTS.no_checks);
  const head = ["check_outcome", "check_rule", "check_expected", "check_seen"];
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": TEXTS.checks },
    element(
      "table",
      {},
      element("thead", {}, element("tr", {}, head.map((name) => element("th", { scope: "col" }, TEXTS[name])))),
      element(
        "tbody",
        {},
        findings.map((finding) =>
          element(
            "tr",
            { class: finding.outcome },
            element("td", {}, TEXTS[`outcome_${finding.outcome}`], finding.code ? element("code", {}, finding.code) : null),
            element("td", {}, element("code", {}, finding.rule)),
            element("td", {}, finding.expected),
            element("td", {}, finding.seen),
          ),
        ),
      ),
    ),
  );
}

/** Nested values as a list of names and values. */
function valuesView(values) {
  return element(
    "dl",
    {},
    Object.entries(values).flatMap(([name, value]) => [
      element("dt", {}, name),
      element(
        "dd",
        {},
        value !== null && typeof value === "object" ? valuesView(value) : String(value),
      ),
    ]),
  );
}

function fieldsView(values) {
  return element("details", { class: "inner" }, element("summary", {}, TEXTS.fields), valuesView(values));
}

/** Bytes as people read them: offset, sixteen values, characters. Made when first looked at. */
function bytesView(bytes) {
  const place = element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": TEXTS.bytes });
  const view = element("details", { class: "inner" }, element("summary", {}, `${TEXTS.bytes} (${bytes.length})`), place);
  view.addEventListener("toggle", () => {
    if (view.open && !place.firstChild) place.append(element("pre", {}, hexdump(bytes)));
  });
  return view;
}

function hexdump(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const part = [...bytes.subarray(at, at + 16)];
    const hex = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = part.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex.padEnd(47)}  ${text}`);
  }
  return lines.join("\n");
}

function contentView(verdict) {
  const line = (part) => {
    const match = matchOf(verdict, part);
    return element("li", { class: match, "data-part": part, "data-match": match }, TEXTS[`${part}_${match}`]);
  };
  return element(
    "section",
    { class: "content" },
    element("h2", {}, TEXTS.content_title),
    element("ul", {}, line("request"), line("response")),
  );
}

/** What stays open whatever was checked comes first; the rules that a policy ignores follow, folded. */
function notProvedView(statements) {
  const isIgnored = (statement) => statement.code.startsWith("ignored:");
  const ignored = statements.filter(isIgnored);
  return element(
    "section",
    { class: "statements not-proved" },
    element("h2", {}, TEXTS.not_proved_title),
    statementsView(statements.filter((statement) => !isIgnored(statement))),
    ignored.length > 0
      ? element(
          "details",
          {},
          element("summary", {}, `${TEXTS.ignored_rules} (${ignored.length})`),
          statementsView(ignored),
        )
      : null,
  );
}

function statementsView(statements) {
  return element(
    "ul",
    {},
    statements.map((statement) => element("li", {}, element("code", {}, statement.code), " ", statement.text)),
  );
}
