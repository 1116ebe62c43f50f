/** Everything that needs no Node.js. Files are in `steam-router-client/node`. */

export { connect, Client, deploymentOf, type ConnectOptions, type Verified } from "./connect.js";
export { Owner, holdingsOf, keyOf, VaultError, type Holdings, type OwnerOptions, type OwnerSigner } from "./owner.js";
export { handToSponsor, type Sponsor } from "./sponsor.js";
export { Keypair } from "./keypair.js";
export { refusal, RelayerApi, RelayerError, type CallOptions } from "./relayer.js";

export { signedFetch, AnswerLostError, type Options, type SignedFetch } from "./pay/fetch.js";
export { Account, costOf, ForeignStateError, openOf, UnknownSpendingError, UnresolvedError, type AccountOptions, type Expected } from "./pay/account.js";
export { browserStore, memoryStore, storeOf, type State, type Store, type Unresolved } from "./pay/store.js";
export { isSettledBy, provenRoot, settledBatches, type ReceiptDocument } from "./pay/receipts.js";
export { ReceiptScanner, type Found, type Scanned } from "./pay/scan.js";
export { Signer, type Bound, type SignerOptions } from "./pay/sign.js";
export type { Identity } from "./pay/identity.js";

export * from "./chain/accounts.js";
export * from "./chain/address.js";
export * from "./chain/instructions.js";
export * from "./chain/provider.js";
export * from "./chain/offer.js";
export * from "./chain/transaction.js";
export { FailedError, finalized, handIn, UnknownOutcomeError } from "./chain/send.js";
export { relayerChain, RpcChain, type Account as ChainAccount, type ChainSource, type ChainView, type Progress } from "./chain/source.js";
export { decodeInstruction, encodeInstruction, errorMessage, PROGRAM, type Struct } from "./chain/codec.js";

export { pause } from "./time.js";
export * from "./units.js";
export * from "./voucher.js";
export * from "./key.js";
export * from "./request.js";
export * from "./group.js";
export * from "./allow-list.js";
export * from "./batch.js";
export * from "./receipt.js";
export * as merkle from "./merkle.js";
export { equal, fromBase58, fromBase64, fromHex, Reader, sha256, toBase58, toBase64, toHex, uint, utf8, type Address, type Bytes, type Hash } from "./bytes.js";
