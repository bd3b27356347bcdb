// What the tests of package and page share: where things are, the command, and a real answer's bundle.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const set = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; \`cargo xtask web --test\` sets it`);
  return value;
};

export const root = set("VOUCHSAFE_ROOT");
export const web = set("VOUCHSAFE_WEB");
const programs = set("VOUCHSAFE_PROGRAMS");
const fixtures = process.env.VOUCHSAFE_FIXTURES ?? join(root, "../shared");

/** A folder of the real evidence, or `undefined` where it is not at hand, which CI does not accept. */
export function vectors(part) {
  const folder = join(fixtures, "vectors", part);
  if (existsSync(folder)) return folder;
  if (process.env.CI === "true") throw new Error(`${folder} is missing`);
  console.error(`NOT RUN: ${folder} is missing`);
  return undefined;
}

/** The cases in a folder: each has its facts in `expect.json`. */
export function cases(folder) {
  return readdirSync(folder)
    .sort()
    .map((name) => ({ name, folder: join(folder, name), expect: join(folder, name, "expect.json") }))
    .filter((one) => existsSync(one.expect))
    .map((one) => ({ ...one, expect: JSON.parse(readFileSync(one.expect)) }));
}

/** A file's bytes, if there is one. */
export function read(...parts) {
  try {
    return readFileSync(join(...parts));
  } catch {
    return undefined;
  }
}

/** What one of our other programs prints. */
export function program(name, ...words) {
  const run = spawnSync(join(programs, name), words);
  if (run.status !== 0) throw new Error(`${name} ${words.join(" ")}: ${run.stderr}`);
  return run.stdout;
}

export const policy = (name) => join(root, "policies", `${name}.json`);

/** What the command says: its exit status and its verdict. */
export function command(...words) {
  const run = spawnSync(join(programs, "vouchsafe"), [...words, "--format", "json"], { maxBuffer: 64 << 20 });
  return { status: run.status, verdict: run.stdout.length ? JSON.parse(run.stdout) : undefined, error: String(run.stderr) };
}

/** A temporary folder that goes with the test. */
export function folder(context) {
  const made = mkdtempSync(join(tmpdir(), "vouchsafe-web-"));
  context.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

let answered;

/**
 * Starts the simulated service, has two questions answered, one of them as a stream, and gives what proves the answers:
 * once for all tests of a file, which only read it.
 */
export const answer = () => (answered ??= ask());

async function ask() {
  // Longer than the test that happens to ask first.
  const state = folder({ after: (remove) => process.once("exit", remove) });
  const child = spawn(join(programs, "vouchsafe-up"), ["--listen", "127.0.0.1:0", "--state", state], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let endpoint;
  for await (const line of createInterface({ input: child.stdout })) {
    const [name, rest] = line.trim().split(/\s+/, 2);
    if (name === "endpoint") endpoint = rest;
    if (name === "policy") break;
  }
  child.stdout.resume();
  for (const stream of [false, true]) {
    const messages = [{ role: "user", content: "What is attestation?" }];
    const response = await fetch(`${endpoint}/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", "vouchsafe-assurance": "settled" },
      body: JSON.stringify({ model: "vouchsafe-demo", messages, stream }),
    });
    const text = await response.text();
    if (response.status !== 200) throw new Error(text);
  }
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGINT");
  await ended;
  const names = readdirSync(join(state, "receipts"));
  const one = (suffix) => {
    const response = names.find((name) => name.endsWith(`-response.${suffix}`));
    const beside = (name) => join(state, "receipts", response.replace(`response.${suffix}`, name));
    return {
      bundle: beside("bundle.json"),
      request: beside("request.json"),
      response: beside(`response.${suffix}`),
      policy: join(state, "policy.json"),
    };
  };
  return { plain: one("json"), stream: one("sse") };
}

/** The same JSON text with one value changed, as a file. */
export function altered(folder, name, path, change) {
  const json = JSON.parse(readFileSync(path));
  change(json);
  const file = join(folder, name);
  writeFileSync(file, JSON.stringify(json));
  return file;
}

/** Base64 with one bit of one byte changed. */
export function flipped(base64, at) {
  const bytes = Buffer.from(base64, "base64");
  bytes[at < 0 ? bytes.length + at : at] ^= 1;
  return bytes.toString("base64");
}
