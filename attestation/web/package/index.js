// The typed functions around the verifier's WebAssembly. The verdicts are the verifier's own words, those
// that `vouchsafe verify --format json` prints.

import * as module from "./vouchsafe_web.js";

/** What the caller brought along is unusable; `code` is a stable word. */
export class VouchsafeError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "VouchsafeError";
    this.code = code;
  }
}

let loading;

/**
 * Loads the module: from beside this file, or from the bytes or response given. Once is enough.
 */
export function load(source) {
  loading ??= instantiate(source).catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function instantiate(source) {
  if (source === undefined) {
    const address = new URL("./vouchsafe_web_bg.wasm", import.meta.url);
    if (address.protocol === "file:" && typeof process !== "undefined") {
      const { readFile } = await import("node:fs/promises");
      source = await readFile(address);
    } else {
      source = fetch(address);
    }
  }
  await module.default({ module_or_path: source });
}

/** What a file seems to be, by its content. */
export async function kindOf(file) {
  await load();
  return module.kindOf(bytes(file, "file"));
}

/** Judges a receipt bundle. */
export async function verifyBundle({ bundle, policy, at, request, response }) {
  await load();
  return verdict(() =>
    module.verifyBundle(
      bytes(bundle, "bundle"), bytes(policy, "policy"), moment(at), optional(request, "request"),
      optional(response, "response"),
    ),
  );
}

/** Judges an SEV-SNP attestation report. */
export async function verifySnp({ report, vek, certificates = [], crl, policy, at, reportData, trustRoot }) {
  await load();
  return verdict(() =>
    module.verifySnp(
      bytes(report, "report"), optional(vek, "vek"), certificates.map((one) => bytes(one, "certificates")),
      optional(crl, "crl"), bytes(policy, "policy"), moment(at), reportData, optional(trustRoot, "trustRoot"),
    ),
  );
}

/** Judges a TDX quote. */
export async function verifyTdx({ quote, collateral, eventLog, policy, at, reportData, trustRoot }) {
  await load();
  return verdict(() =>
    module.verifyTdx(
      bytes(quote, "quote"), optional(collateral, "collateral"), optional(eventLog, "eventLog"),
      bytes(policy, "policy"), moment(at), reportData, optional(trustRoot, "trustRoot"),
    ),
  );
}

function verdict(judge) {
  let text;
  try {
    text = judge();
  } catch (thrown) {
    if (typeof thrown !== "string") throw thrown;
    const { code, message } = JSON.parse(thrown);
    throw new VouchsafeError(code, message);
  }
  return JSON.parse(text);
}

function bytes(value, name) {
  if (typeof value === "string") return new TextEncoder().encode(value);
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  throw new VouchsafeError("argument_unusable", `${name}: expected a string or bytes`);
}

const optional = (value, name) => (value == null ? undefined : bytes(value, name));

/** A moment as the verifier reads it: whole seconds in UTC. */
function moment(at) {
  if (typeof at === "string") return at;
  const date = at ?? new Date();
  if (!(date instanceof Date) || Number.isNaN(date.getTime())) {
    throw new VouchsafeError("moment_unusable", "at: expected a Date or a moment as 2026-11-21T12:00:00Z");
  }
  return date.toISOString().replace(/\.\d+Z$/, "Z");
}
