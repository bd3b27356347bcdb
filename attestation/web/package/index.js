// For browsers and bundlers: the module is fetched from beside this file.

import { withModule } from "./api.js";

export { VouchsafeError } from "./api.js";
export { decisionOf } from "./chain.js";
export const { load, kindOf, verifyBundle, verifySnp, verifyTdx } = withModule(() =>
  fetch(new URL("./vouchsafe_web_bg.wasm", import.meta.url)),
);
