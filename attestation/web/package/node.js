// For Node: the module is read from beside this file.

import { readFile } from "node:fs/promises";
import { withModule } from "./api.js";

export { VouchsafeError } from "./api.js";
export { decisionOf } from "./chain.js";
export const { load, kindOf, verifyBundle, verifySnp, verifyTdx } = withModule(() =>
  readFile(new URL("./vouchsafe_web_bg.wasm", import.meta.url)),
);
