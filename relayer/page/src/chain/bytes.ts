export { fromBase64, toBase58, toBase64, toHex } from "../../../../app-idl/client/src/index.js";

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
