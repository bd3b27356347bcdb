/** Text or bytes. */
export type Bytes = string | Uint8Array | ArrayBuffer;

export type Decision = "accepted" | "rejected" | "incomplete";
export type Outcome = "passed" | "failed" | "skipped" | "ignored";
export type Kind =
  | "bundle" | "policy" | "snp_report" | "tdx_quote" | "tdx_collateral" | "vek" | "certificate" | "crl"
  | "revocations" | "request" | "response" | "event_log" | "unknown";
export type ErrorCode =
  | "policy_unusable" | "moment_unusable" | "revocations_unusable" | "report_data_unusable"
  | "argument_unusable";

/** One check. */
export interface Finding {
  step: string;
  /** The policy's path where the policy decides, else a fixed rule's name. */
  rule: string;
  expected: string;
  seen: string;
  outcome: Outcome;
  /** The stable word, where it failed or could not run. */
  code: string | null;
}

/** Something that was proved, or that was not. */
export interface Statement {
  code: string;
  text: string;
}

/** What came of judging for one moment. */
export interface Judgement {
  verdict: Decision;
  code: string | null;
  /** The moment, RFC 3339. */
  at: string;
}

/** What `vouchsafe verify --format json` prints. */
export interface Verdict {
  verdict: Decision;
  /** The stable word of the first check that failed or could not run. */
  code: string | null;
  detail: string | null;
  /** Whether the evidence was verified under a simulated root: then it proves nothing about hardware. */
  simulated: boolean;
  policy: { name: string; purpose: "production" | "simulation" | "evidence" };
  at: string;
  assurance: "attested" | "settled" | null;
  as_of_now: Judgement;
  as_logged: Judgement | null;
  /** What the evidence claims, by the names of its fields. */
  claims: Record<string, unknown> | null;
  receipt: Record<string, unknown> | null;
  execution: Record<string, unknown> | null;
  proved: Statement[];
  not_proved: Statement[];
  findings: Finding[];
}

interface Terms {
  /** The policy's JSON. */
  policy: Bytes;
  /** The moment to judge for; default: now by this machine's clock. */
  at?: Date | string;
  /** The newest signed list of revocations, as `vouchsafe policy pull` keeps it; the policy names who may sign it. */
  revocations?: Bytes;
}

interface EvidenceTerms extends Terms {
  /** What REPORT_DATA must be: 128 hexadecimal digits. */
  reportData?: string;
  /** A test authority's root, DER or PEM, in place of the vendor's. No production policy accepts it. */
  trustRoot?: Bytes;
}

/** The caller's own arguments are unusable. Evidence never is: it gets a verdict. */
export class VouchsafeError extends Error {
  constructor(code: ErrorCode, message: string);
  readonly code: ErrorCode;
}

/**
 * Loads the module: from beside this file, or from what is given (its bytes, a `Response` or a promise of one, a
 * compiled `WebAssembly.Module`). The other functions do it themselves.
 */
export function load(source?: object): Promise<void>;

/**
 * The judgement that decides, as exit statuses of `vouchsafe verify` tell it: the verdict's own, or with `asLogged` the
 * one for the moment by which witnesses had seen the receipt in its log (`--as-logged`).
 */
export function decisionOf(verdict: Verdict, asLogged: boolean): Decision;

/** What a file seems to be, by its content. */
export function kindOf(file: Bytes): Promise<Kind>;

/** Judges a receipt bundle. */
export function verifyBundle(
  terms: Terms & { bundle: Bytes; request?: Bytes; response?: Bytes },
): Promise<Verdict>;

/** Judges an SEV-SNP attestation report. Certificates and list are DER or PEM. */
export function verifySnp(
  terms: EvidenceTerms & { report: Bytes; vek?: Bytes; certificates?: Bytes[]; crl?: Bytes },
): Promise<Verdict>;

/** Judges a TDX quote. Collateral is JSON in the shape of the DCAP library's QuoteCollateralV3. */
export function verifyTdx(
  terms: EvidenceTerms & { quote: Bytes; collateral?: Bytes; eventLog?: Bytes },
): Promise<Verdict>;
