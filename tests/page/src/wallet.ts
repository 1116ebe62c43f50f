/** A wallet by the Wallet Standard, with a real keypair that lies outside the page. What it signs can be seen, refused or changed by a test. */

import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import type { Page } from "@playwright/test";

const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/** What comes before the seed of a private key. */
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");

export function base58(bytes: Uint8Array): string {
  let value = bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  let text = "";
  for (; value > 0n; value /= 58n) text = ALPHABET.charAt(Number(value % 58n)) + text;
  const zeros = bytes.findIndex((byte) => byte !== 0);
  return "1".repeat(zeros < 0 ? bytes.length : zeros) + text;
}

export class TestWallet {
  readonly #key: KeyObject;
  readonly publicKey: Uint8Array;
  readonly address: string;
  /** Every transaction that it was asked to sign. */
  readonly asked: Uint8Array[] = [];
  /** Whether it has the feature `solana:signIn`, and how it writes the message; `solana:signMessage` it has always. */
  signsIn: "no" | "exactly" | "otherwise" = "no";
  /** What it does when it is asked. */
  mood: "signs" | "refuses" | "changes" = "signs";

  /** With a `seed` of 32 bytes it is the same wallet each time. */
  constructor(seed?: Uint8Array) {
    this.#key = seed ? createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: "der", type: "pkcs8" }) : generateKeyPairSync("ed25519").privateKey;
    this.publicKey = Uint8Array.from(createPublicKey(this.#key).export({ format: "der", type: "spki" }).subarray(-32));
    this.address = base58(this.publicKey);
  }

  sign(transaction: Uint8Array): Uint8Array {
    this.asked.push(transaction);
    if (this.mood === "refuses") throw new Error("User rejected the request.");
    const signed = transaction.slice();
    const signatures = signed[0]!;
    const message = signed.subarray(1 + 64 * signatures);
    if (this.mood === "changes") message[message.length - 2]! ^= 1;
    const place = this.placeOf(message);
    signed.set(sign(null, message, this.#key), 1 + 64 * place);
    return signed;
  }

  /** Every message that it was asked to sign, as text. */
  readonly messages: string[] = [];

  /** Its signature of a message that a page shows it. */
  signMessage(message: Uint8Array): Uint8Array {
    this.messages.push(new TextDecoder().decode(message));
    if (this.mood === "refuses") throw new Error("User rejected the request.");
    return this.signBytes(message);
  }

  /** Its signature of any bytes. */
  signBytes(bytes: Uint8Array): Uint8Array {
    return Uint8Array.from(sign(null, bytes, this.#key));
  }

  /** Its place among the signers: after version, header and the number of keys come the keys. */
  private placeOf(message: Uint8Array): number {
    const keys = message[0]! >= 0x80 ? 5 : 4;
    for (let at = 0; at < 4; at++) {
      if (Buffer.from(message.subarray(keys + 32 * at, keys + 32 * (at + 1))).equals(Buffer.from(this.publicKey))) return at;
    }
    throw new Error("this wallet does not sign that");
  }

  /** Registers it in every document of `page`. */
  async install(page: Page): Promise<void> {
    await page.exposeFunction("testWalletSign", (bytes: number[]) => [...this.sign(Uint8Array.from(bytes))]);
    await page.exposeFunction("testWalletSignMessage", (bytes: number[]) => [...this.signMessage(Uint8Array.from(bytes))]);
    await page.addInitScript(register, { address: this.address, publicKey: [...this.publicKey], signsIn: this.signsIn });
  }

  /** It takes its account away, as when a person locks it. */
  static async vanish(page: Page): Promise<void> {
    await page.evaluate(() => (window as unknown as { testWalletVanish(): void }).testWalletVanish());
  }
}

/** Runs in the page. */
function register({ address, publicKey, signsIn }: { address: string; publicKey: number[]; signsIn: string }): void {
  type Listener = (change: { accounts: unknown[] }) => void;
  const scope = window as unknown as {
    testWalletSign(bytes: number[]): Promise<number[]>;
    testWalletSignMessage(bytes: number[]): Promise<number[]>;
    testWalletVanish(): void;
  };
  const account = { address, publicKey: Uint8Array.from(publicKey), chains: ["solana:localnet", "solana:mainnet"], features: ["solana:signTransaction"] };
  const listeners: Listener[] = [];
  const signMessage = async (message: Uint8Array) => ({ signedMessage: message, signature: Uint8Array.from(await scope.testWalletSignMessage([...message])) });
  interface SignInInput { domain: string; address: string; statement: string; version: string; nonce: string; issuedAt: string; expirationTime: string }
  const signIn = {
    "solana:signIn": {
      version: "1.0.0",
      signIn: async ({ domain, address, statement, version, nonce, issuedAt, expirationTime }: SignInInput) => {
        if (domain !== location.host) throw new Error(`${domain} is not this page`);
        const text = `${domain} wants you to sign in with your Solana account:\n${address}\n\n${statement}\n\nVersion: ${version}\nNonce: ${nonce}\nIssued At: ${issuedAt}\nExpiration Time: ${expirationTime}`;
        const written = signsIn === "exactly" ? text : text.replace("\nVersion: 1", "");
        return [{ account, ...(await signMessage(new TextEncoder().encode(written))) }];
      },
    },
  };
  const wallet = {
    version: "1.0.0",
    name: "Test Wallet",
    icon: "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHZpZXdCb3g9IjAgMCAxIDEiPjxyZWN0IHdpZHRoPSIxIiBoZWlnaHQ9IjEiIGZpbGw9IiM3YTMiLz48L3N2Zz4=",
    chains: account.chains,
    accounts: [] as unknown[],
    features: {
      "standard:connect": {
        version: "1.0.0",
        connect: async () => {
          wallet.accounts = [account];
          return { accounts: wallet.accounts };
        },
      },
      "standard:events": {
        version: "1.0.0",
        on: (_: string, listener: Listener) => {
          listeners.push(listener);
          return () => listeners.splice(listeners.indexOf(listener), 1);
        },
      },
      ...(signsIn === "no" ? {} : signIn),
      "solana:signMessage": { version: "1.0.0", signMessage: async (...inputs: { message: Uint8Array }[]) => Promise.all(inputs.map(({ message }) => signMessage(message))) },
      "solana:signTransaction": {
        version: "1.0.0",
        supportedTransactionVersions: ["legacy", 0],
        signTransaction: async (...inputs: { transaction: Uint8Array }[]) =>
          Promise.all(inputs.map(async ({ transaction }) => ({ signedTransaction: Uint8Array.from(await scope.testWalletSign([...transaction])) }))),
      },
    },
  };
  scope.testWalletVanish = () => {
    wallet.accounts = [];
    listeners.forEach((listener) => listener({ accounts: [] }));
  };
  const announce = (api: { register(...wallets: unknown[]): () => void }) => api.register(wallet);
  window.addEventListener("wallet-standard:app-ready", (event) => announce((event as CustomEvent).detail));
  window.dispatchEvent(new CustomEvent("wallet-standard:register-wallet", { detail: announce }));
}
