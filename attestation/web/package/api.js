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

/**
 * The functions that want the module.
 * @param {() => unknown} fromBeside gives the module's bytes, or a response with them
 */
export function withModule(fromBeside) {
  let loading;
  const load = (source) => {
    loading ??= instantiate(source ?? fromBeside()).catch((error) => {
      loading = undefined;
      throw error;
    });
    return loading;
  };
  return {
    load,
    async kindOf(file) {
      await load();
      return module.kindOf(bytes(file, "file"));
    },
    async verifyBundle({ bundle, policy, at, revocations, request, response }) {
      await load();
      return verdict(() =>
        module.verifyBundle(
          bytes(bundle, "bundle"), bytes(policy, "policy"), moment(at), optional(revocations, "revocations"),
          optional(request, "request"), optional(response, "response"),
        ),
      );
    },
    async verifySnp({
      report, vek, certificates = [], crl, policy, at, revocations, reportData, trustRoot,
    }) {
      await load();
      return verdict(() =>
        module.verifySnp(
          bytes(report, "report"), optional(vek, "vek"), certificates.map((one) => bytes(one, "certificates")),
          optional(crl, "crl"), bytes(policy, "policy"), moment(at), optional(revocations, "revocations"),
          reportData, optional(trustRoot, "trustRoot"),
        ),
      );
    },
    async verifyTdx({ quote, collateral, eventLog, policy, at, revocations, reportData, trustRoot }) {
      await load();
      return verdict(() =>
        module.verifyTdx(
          bytes(quote, "quote"), optional(collateral, "collateral"), optional(eventLog, "eventLog"),
          bytes(policy, "policy"), moment(at), optional(revocations, "revocations"), reportData,
          optional(trustRoot, "trustRoot"),
        ),
      );
    },
  };
}

async function instantiate(source) {
  await module.default({ module_or_path: await source });
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
